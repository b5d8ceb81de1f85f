"""How long a user's credentials last: real proxies with VOMS attributes, tickets of a real realm, tokens."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.credentials import Realm, kerberos_realm, token, voms_proxy

from cluster.credentials import Credential, check, find, read_proxy, report, shortage
from cluster.errors import ClusterError
from cluster.proxy_copy import ProxyCopy
from cluster.settings import CredentialSettings

HOUR = 3600.0


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voms_proxy(tmp_path_factory.mktemp("voms"), hours=24, attribute_hours=6)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    with kerberos_realm(tmp_path_factory.mktemp("realm")) as running:
        yield running


def needed(**keys: object) -> CredentialSettings:
    return CredentialSettings.model_validate(keys)


def only(settings: CredentialSettings, **environment: str) -> Credential:
    (one,) = find(settings, {"PATH": os.environ["PATH"], **environment})
    return one


def lasts(one: Credential, hours: float) -> bool:
    assert one.ends is not None, one.problem
    return abs(one.ends - time.time() - hours * HOUR) < 300


def test_the_attributes_of_a_proxy_end_before_it_does(proxy: Path) -> None:
    one = only(needed(x509_proxy=True), X509_USER_PROXY=str(proxy))
    assert one.place == str(proxy)
    assert lasts(one, 6)
    assert only(needed(x509_proxy=str(proxy))) == one


def test_a_chain_ends_with_its_first_certificate(proxy: Path, tmp_path: Path) -> None:
    later = voms_proxy(tmp_path / "later", hours=48, attribute_hours=40)
    assert lasts(read_proxy(later), 40)
    both = tmp_path / "both.pem"
    both.write_bytes(later.read_bytes() + proxy.read_bytes())
    both.chmod(0o600)
    assert lasts(read_proxy(both), 6)


def test_a_proxy_that_is_none(proxy: Path, tmp_path: Path) -> None:
    absent = only(needed(x509_proxy=True), X509_USER_PROXY=str(tmp_path / "nowhere"))
    assert absent.problem == "is not there"
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\nPRIVATE KEY-----\n")
    broken.chmod(0o600)
    assert "is no chain of certificates" in str(read_proxy(broken).problem)
    broken.chmod(0o644)
    assert "chmod 600" in str(read_proxy(broken).problem)
    bare = tmp_path / "bare"
    bare.write_bytes((proxy.parent / "user.pem").read_bytes())
    bare.chmod(0o600)
    assert read_proxy(bare).problem == "holds no private key"


def test_a_proxy_is_looked_for_in_its_usual_place() -> None:
    assert only(needed(x509_proxy=True)).place == f"/tmp/x509up_u{os.getuid()}"  # noqa: S108


def test_a_ticket(realm: Realm) -> None:
    missing = only(needed(kerberos=True), **{**realm.environment, "KRB5CCNAME": "FILE:/nowhere"})
    assert missing.place == "FILE:/nowhere"
    assert "is not there" in str(missing.problem)
    assert "No credentials cache found" in str(missing.problem)
    realm.log_in("9h")
    assert lasts(only(needed(kerberos=True), **realm.environment), 9)
    # Whatever the user's language and place.
    assert lasts(only(needed(kerberos=True), **realm.environment, LC_ALL="de_CH.UTF-8", TZ="Asia/Tokyo"), 9)


def test_without_kerberos(tmp_path: Path) -> None:
    (one,) = find(needed(kerberos=True), {"PATH": str(tmp_path)})
    assert "there is no command klist" in str(one.problem)


def test_a_token_is_found_as_wlcg_says(tmp_path: Path) -> None:
    now = time.time()
    mine, theirs, runtime = tmp_path / "mine", tmp_path / "theirs", tmp_path / "runtime"
    runtime.mkdir()
    mine.write_text(token(now + HOUR) + "\n")
    theirs.write_text(token(now + 2 * HOUR))
    (runtime / f"bt_u{os.geteuid()}").write_text(token(now + 3 * HOUR))
    around = {"XDG_RUNTIME_DIR": str(runtime)}
    assert lasts(only(needed(token=True), **around), 3)
    around["BEARER_TOKEN_FILE"] = str(theirs)
    assert lasts(only(needed(token=True), **around), 2)
    around["BEARER_TOKEN"] = token(now + 4 * HOUR)
    assert lasts(only(needed(token=True), **around), 4)
    assert lasts(only(needed(token=str(mine)), **around), 1)


@pytest.mark.parametrize("text", ["secret", "a.b.c", "e30.e30.x", "", "a.bnVsbA.c"])
def test_a_token_that_is_none_is_not_shown(text: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    line = shortage(only(needed(token=str(path))), needed(token=str(path)))
    assert line is not None
    assert f"the bearer token ({path}) is no JSON Web Token" in line
    assert not text or text not in line.replace(str(path), "")


def test_what_is_too_short_is_one_sentence() -> None:
    settings = needed(x509_proxy=True, lifetime="12h")
    ends = 1_800_000_000.0
    one = Credential("X.509 proxy", "/run/x509up_u1", ends)
    assert shortage(one, settings, now=ends - 13 * HOUR) is None
    assert shortage(one, settings, now=ends - 1.5 * HOUR) == (
        "the X.509 proxy (/run/x509up_u1) ends at 2027-01-15 08:00 UTC, in 1 h 30 min, and 12 h are needed "
        "(credentials.lifetime): renew it with voms-proxy-init --voms YOUR_VO --valid 96:00"
    )
    assert "ended at 2027-01-15 08:00 UTC, and" in str(shortage(one, settings, now=ends + 5))


def test_a_token_has_a_lifetime_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(token(time.time() + HOUR))
    check(needed(token=str(path), lifetime="12h"))
    with pytest.raises(ClusterError, match=r"2 h are needed \(credentials.token_lifetime\): renew it with htgettoken"):
        check(needed(token=str(path), token_lifetime="2h"))  # noqa: S106


def test_all_that_is_wrong_is_said(proxy: Path, tmp_path: Path) -> None:
    settings = needed(x509_proxy=str(proxy), token=str(tmp_path / "none"), lifetime="12h")
    with pytest.raises(ClusterError) as caught:
        check(settings)
    assert "X.509 proxy" in str(caught.value)
    assert "bearer token" in str(caught.value)
    assert [good for good, _ in report(needed(x509_proxy=str(proxy), lifetime="5h"))] == [True]


def test_a_copy_follows_the_proxy(tmp_path: Path) -> None:
    source, private = tmp_path / "proxy", tmp_path / "private"
    private.mkdir()
    source.write_text("one")
    copy = ProxyCopy(source, private)
    assert copy.refresh()
    assert not copy.refresh()
    assert copy.path.stat().st_mode & 0o777 == 0o600
    assert copy.environment == {"X509_USER_PROXY": str(private / "x509_proxy.pem")}
    renewed = tmp_path / "renewed"
    renewed.write_text("two")
    renewed.replace(source)
    assert copy.refresh()
    assert copy.path.read_text() == "two"
    source.unlink()
    assert not copy.refresh()
    assert copy.path.read_text() == "two"
    assert [path.name for path in private.iterdir()] == ["x509_proxy.pem"]
