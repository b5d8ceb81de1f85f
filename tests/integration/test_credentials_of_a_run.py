"""A run whose credentials do not last does not begin, and says why in one sentence."""

import time
from pathlib import Path

import pytest
from support.command import hepbatch, make_source
from support.credentials import kerberos_realm, token

pytestmark = pytest.mark.slow


def test_a_run_begins_with_credentials_that_last(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",), events=20)
    (tmp_path / "token").write_text(token(time.time() + 600))
    words = ("skim", "higgs4l", "--source", source, "--output", "out", "--set", "cluster.credentials.kerberos=true",
             "--set", "cluster.credentials.token=token")  # fmt: skip
    (tmp_path / "realm").mkdir()
    with kerberos_realm(tmp_path / "realm") as realm:
        done = hepbatch(*words, cwd=tmp_path, **realm.environment)
        assert done.returncode == 2
        line = done.stderr.strip().splitlines()[-1]
        assert "the Kerberos ticket (FILE:" in line
        assert "is not there" in line
        assert "the bearer token (token) ends at" in line
        assert "20 min are needed (credentials.token_lifetime)" in line
        assert (tmp_path / "token").read_text() not in line
        assert not (tmp_path / "out").exists()
        detached = hepbatch(*words, "--detach", cwd=tmp_path, **realm.environment)
        assert detached.returncode == 2
        assert "the Kerberos ticket (FILE:" in detached.stderr
        realm.log_in("9h")
        done = hepbatch(*words, "--set", "cluster.credentials.token_lifetime=5 min", cwd=tmp_path, **realm.environment)
        assert done.returncode == 0, done.stderr
