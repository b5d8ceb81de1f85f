"""The root directory in which HTCondor runs: that of a newer Debian, made once per machine.

Debian 12 has no HTCondor. A directory that is there is whole: it gets its name when everything is in it.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.packages import installed

RELEASE = "trixie"
ROOT = Path(f"/var/tmp/hepbatch-tests/condor-{RELEASE}")  # noqa: S108  (made by root, for root)
MIRROR = "http://deb.debian.org/debian"
USER = 1500
# Downloads and unpacking, on a slow network [s].
LONGEST = 1200


def condor_root(root: Path = ROOT) -> Path:
    """The root directory, made where it is not there yet; skips the test where that cannot be done."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("HTCondor needs root, and the right to mount, for a root directory of its own")
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two sessions, one makes it and the other waits
        if not root.exists():
            making = root.with_name(f"{root.name}.making")
            shutil.rmtree(making, ignore_errors=True)  # of a session that was killed
            try:
                _make(making)
                making.rename(root)
            finally:
                shutil.rmtree(making, ignore_errors=True)
    return root


def _make(root: Path) -> None:
    installed(
        ("debootstrap", "/usr/share/keyrings/debian-archive-keyring.gpg"), ("debootstrap", "debian-archive-keyring")
    )
    _run(["debootstrap", "--variant=minbase", RELEASE, root, _mirror()])
    policy = root / "usr/sbin/policy-rc.d"  # nothing is started when it is installed
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    # Python for its libraries: this machine's own may be Debian's, which uses them.
    _run(["chroot", root, "apt-get", "install", "-y", "--no-install-recommends", "condor", "python3"])
    with (root / "etc/passwd").open("a") as users, (root / "etc/group").open("a") as groups:
        users.write(f"lab:x:{USER}:{USER}:lab:/tmp:/bin/sh\n")
        groups.write(f"lab:x:{USER}:\n")


def _run(words: Sequence[str | Path]) -> None:
    done = subprocess.run(
        words, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}, capture_output=True, text=True,
        timeout=LONGEST,
    )  # fmt: skip
    if done.returncode != 0:
        said = " | ".join((done.stdout + done.stderr).strip().splitlines()[-6:])
        raise RuntimeError(f"{' '.join(map(str, words))} failed: {said}")


def _mirror() -> str:
    """The Debian archive that this machine uses; the usual one where it uses none (another distribution)."""
    known = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True)
    return next((uri for uri in known.stdout.split() if urlsplit(uri).path.rstrip("/") == "/debian"), MIRROR)
