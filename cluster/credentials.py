"""Credentials of a user (X.509 proxy, Kerberos ticket, bearer token): where they are, and for how long they are valid.

None of them is ever shown: only where it is and when it ends.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import ClusterError
from cluster.settings import CredentialSettings

if TYPE_CHECKING:
    from distributed import Client

PROXY, TICKET, TOKEN = "X.509 proxy", "Kerberos ticket", "bearer token"
RENEWAL = {
    PROXY: "voms-proxy-init --voms YOUR_VO --valid 96:00",
    TICKET: "kinit, or kinit -R while it can be renewed",
    TOKEN: "htgettoken or oidc-token",
}
# The extension of a proxy that holds VOMS attribute certificates.
VOMS = "1.3.6.1.4.1.8005.100.100.5"
# RFC 5755, 4.2.6: the validity of an attribute certificate is a sequence of two times of this one form.
_AC_VALIDITY = re.compile(rb"\x30\x22\x18\x0f(\d{14})Z\x18\x0f(\d{14})Z")
# A ticket of the table that klist prints in the C locale: valid from, until, for what.
_TICKET = re.compile(r"(\S+ \S+)  (\S+ \S+)  krbtgt/(\S+)@\3")
_REALM = re.compile(r"Default principal: \S+@(\S+)")
_DATES = ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S")
# klist may ask a daemon [s].
LONGEST_KLIST = 30.0
MINUTE = 60.0


@dataclass(frozen=True)
class Credential:
    """A credential that is needed: where it is, when it ends (seconds since 1970), or why it is none."""

    name: str
    place: str
    ends: float | None = None
    problem: str | None = None


def find(settings: CredentialSettings, environment: Mapping[str, str] | None = None) -> list[Credential]:
    """The credentials that `settings` ask for, as this process sees them."""
    around = os.environ if environment is None else environment
    found = []
    if settings.x509_proxy:
        found.append(read_proxy(proxy_path(settings, around)))
    if settings.kerberos:
        found.append(read_ticket(around))
    if settings.token:
        found.append(find_token(settings.token, around))
    return found


def shortage(one: Credential, settings: CredentialSettings, now: float | None = None) -> str | None:
    """A sentence on what is wrong with a credential; None where it lasts for long enough."""
    needed = settings.token_lifetime if one.name == TOKEN else settings.lifetime
    key = "credentials.token_lifetime" if one.name == TOKEN else "credentials.lifetime"
    renew = f"renew it with {RENEWAL[one.name]}"
    if one.ends is None:
        return f"the {one.name} ({one.place}) {one.problem}: {renew}"
    left = one.ends - (time.time() if now is None else now)
    if left >= needed:
        return None
    when = datetime.fromtimestamp(one.ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
    ended = f"ended at {when}" if left <= 0 else f"ends at {when}, in {duration(left)}"
    return f"the {one.name} ({one.place}) {ended}, and {duration(needed)} are needed ({key}): {renew}"


def report(settings: CredentialSettings) -> list[tuple[bool, str]]:
    """For each credential that is needed whether it is well, and a line that says so; also on a worker."""
    lines = []
    for one in find(settings):
        wrong = shortage(one, settings)
        valid = f"the {one.name} ({one.place}) is valid for {duration((one.ends or 0.0) - time.time())}"
        lines.append((wrong is None, wrong or valid))
    return lines


def check(settings: CredentialSettings) -> None:
    """Raises ClusterError with a sentence on every credential that is missing or ends too early."""
    wrong = [line for good, line in report(settings) if not good]
    if wrong:
        raise ClusterError("; ".join(wrong))


def check_workers(client: Client, workers: dict[str, str], settings: CredentialSettings) -> None:
    """Raises ClusterError where the credentials do not reach `workers` (address to name)."""
    if not (settings.on_workers and (settings.x509_proxy or settings.kerberos or settings.token)):
        return
    # Walking time counts: the run has begun, and what is there must only be valid.
    present = settings.model_copy(update={"lifetime": MINUTE, "token_lifetime": MINUTE})
    answers = client.run(report, present, workers=list(workers), on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, BaseException):
            raise ClusterError(f"the worker {workers[address]} does not tell its credentials: {answer}")
        wrong = [line for good, line in answer if not good]
        if wrong:
            raise ClusterError(f"on the worker {workers[address]} {'; '.join(wrong)}")


def proxy_path(settings: CredentialSettings, environment: Mapping[str, str]) -> Path:
    """Where the proxy is, or should be."""
    if isinstance(settings.x509_proxy, str):
        # Where jobs have a copy, their environment has its name.
        copied = environment.get("X509_USER_PROXY") if settings.copy_proxy else None
        return Path(copied or os.path.expandvars(settings.x509_proxy)).expanduser()
    return Path(environment.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}")  # noqa: S108  (Globus' own place)


def read_proxy(path: Path) -> Credential:
    """The end of a proxy: the earliest of its chain and of its VOMS attributes, without which it opens nothing."""
    from cryptography import x509

    place = str(path)
    try:
        content = path.read_bytes()
        readable = path.stat().st_mode & 0o077
    except OSError as error:
        return Credential(PROXY, place, problem=_unreadable(error))
    if readable:
        return Credential(PROXY, place, problem="can be read by others (chmod 600), and servers' clients refuse it")
    if b"PRIVATE KEY-----" not in content:
        return Credential(PROXY, place, problem="holds no private key")
    try:
        chain = x509.load_pem_x509_certificates(content)
        ends = [one.not_valid_after_utc.timestamp() for one in chain]
        attributes = [
            end
            for one in chain
            for extension in one.extensions
            if extension.oid.dotted_string == VOMS and isinstance(extension.value, x509.UnrecognizedExtension)
            for end in _attribute_ends(extension.value.value)
        ]
    except ValueError as error:
        return Credential(PROXY, place, problem=f"is no chain of certificates ({' '.join(str(error).split())})")
    return Credential(PROXY, place, min([*ends, *attributes]))


def _attribute_ends(content: bytes) -> list[float]:
    return [
        datetime.strptime(last.decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
        for _, last in _AC_VALIDITY.findall(content)
    ]


def read_ticket(environment: Mapping[str, str]) -> Credential:
    """The end of the ticket of the user's own realm, with which all others are got."""
    place = environment.get("KRB5CCNAME") or "the default cache"
    try:
        asked = subprocess.run(
            ["klist"], env={**environment, "LC_ALL": "C", "TZ": "UTC"}, capture_output=True, text=True,
            timeout=LONGEST_KLIST, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return Credential(TICKET, place, problem="cannot be seen, because there is no command klist here")
    except subprocess.TimeoutExpired:
        return Credential(TICKET, place, problem=f"cannot be seen, because klist took more than {LONGEST_KLIST:g} s")
    if asked.returncode != 0:
        return Credential(TICKET, place, problem=f"is not there ({' '.join(asked.stderr.split())})")
    realm = _REALM.search(asked.stdout)
    ends = [_date(until) for _, until, whose in _TICKET.findall(asked.stdout) if realm and whose == realm[1]]
    known = [end for end in ends if end is not None]
    if not known:
        return Credential(TICKET, place, problem="is not there (klist shows no ticket for the user's realm)")
    return Credential(TICKET, place, max(known))


def _date(text: str) -> float | None:
    for form in _DATES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None


def find_token(where: bool | str, environment: Mapping[str, str]) -> Credential:
    """The token that WLCG's Bearer Token Discovery finds (doi:10.5281/zenodo.3937438), or that of the file `where`."""
    if isinstance(where, str):
        return _token_in(Path(os.path.expandvars(where)).expanduser())
    if environment.get("BEARER_TOKEN"):
        return _token(environment["BEARER_TOKEN"], "BEARER_TOKEN")
    if environment.get("BEARER_TOKEN_FILE"):
        return _token_in(Path(environment["BEARER_TOKEN_FILE"]))
    folders = (environment.get("XDG_RUNTIME_DIR"), "/tmp")  # noqa: S108  (WLCG's own place)
    places = [Path(folder) / f"bt_u{os.geteuid()}" for folder in folders if folder]
    for path in places:
        if path.exists():
            return _token_in(path)
    return Credential(TOKEN, f"BEARER_TOKEN, BEARER_TOKEN_FILE, {', '.join(map(str, places))}", problem="is not there")


def _token_in(path: Path) -> Credential:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Credential(TOKEN, str(path), problem=_unreadable(error))
    return _token(content, str(path))


def _token(text: str, place: str) -> Credential:
    """When a JSON Web Token (RFC 7519) ends; whom it convinces is for the servers to say."""
    parts = text.strip().split(".")
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        ends = float(payload["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return Credential(TOKEN, place, problem="is no JSON Web Token that says when it ends (exp)")
    return Credential(TOKEN, place, ends)


def _unreadable(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there"
    return f"cannot be read ({getattr(error, 'strerror', None) or 'it is no text'})"


def duration(seconds: float) -> str:
    """A time left, for people.

    >>> duration(5400), duration(40), duration(200000)
    ('1 h 30 min', '40 s', '55 h 33 min')
    """
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours and minutes else f"{hours} h" if hours else f"{minutes} min"
