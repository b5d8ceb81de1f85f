"""Real credentials of one's own: a Kerberos realm on the loopback interface, VOMS proxies, tokens."""

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.packages import installed

PASSWORD = "secret"  # noqa: S105  (of a realm that lives for one test)


@dataclass(frozen=True)
class Realm:
    """A Kerberos realm with the user jane; `environment` leads to it, and to an empty cache."""

    environment: dict[str, str]

    def log_in(self, lifetime: str) -> None:
        """Gets a ticket."""
        self.run("kinit", "-l", lifetime, "jane", given=f"{PASSWORD}\n")

    def run(self, *words: str, given: str = "") -> None:
        """Runs a command of Kerberos."""
        environment = {**os.environ, **self.environment, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        subprocess.run(words, env=environment, input=given, text=True, check=True, capture_output=True)


@contextmanager
def kerberos_realm(directory: Path) -> Iterator[Realm]:
    """Starts a key distribution centre in `directory`. Installs it where it is absent (as root)."""
    installed(("krb5kdc", "kinit", "klist"), ("krb5-kdc", "krb5-user", "krb5-admin-server"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "krb5.conf").write_text(
        "[libdefaults]\ndefault_realm = LAB\ndns_lookup_kdc = false\ndns_lookup_realm = false\n"
        f"[realms]\nLAB = {{\nkdc = 127.0.0.1:{port}\n}}\n"
    )
    (directory / "kdc.conf").write_text(
        f"[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n"
        f"[realms]\nLAB = {{\ndatabase_name = {directory}/principal\nkey_stash_file = {directory}/stash\n"
        f"acl_file = {directory}/acl\nmax_life = 48h\n}}\n[logging]\nkdc = FILE:{directory}/kdc.log\n"
    )
    realm = Realm(
        {
            "KRB5_CONFIG": f"{directory}/krb5.conf", "KRB5_KDC_PROFILE": f"{directory}/kdc.conf",
            "KRB5CCNAME": f"FILE:{directory}/cache",
        }
    )  # fmt: skip
    realm.run("kdb5_util", "create", "-s", "-r", "LAB", "-P", "master")
    realm.run("kadmin.local", "-r", "LAB", "-q", f"addprinc -pw {PASSWORD} jane")
    environment = {**os.environ, **realm.environment, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    process = subprocess.Popen(["krb5kdc", "-n", "-r", "LAB"], env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not _answers(port):
            assert process.poll() is None, (directory / "kdc.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield realm
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def voms_proxy(directory: Path, hours: int, attribute_hours: int) -> Path:
    """A proxy as voms-proxy-init leaves it, whose VOMS attributes have a life of their own."""
    installed(("voms-proxy-fake", "openssl"), ("voms-clients", "openssl"))
    trusted = directory / "certificates"
    trusted.mkdir(parents=True)
    for name in ("user", "voms"):
        _run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{directory}/{name}.key",
             "-out", f"{directory}/{name}.pem", "-days", "9", "-subj", f"/DC=org/CN={name}")  # fmt: skip
        (directory / f"{name}.key").chmod(0o600)
        mark = _run("openssl", "x509", "-hash", "-noout", "-in", f"{directory}/{name}.pem").strip()
        (trusted / f"{mark}.0").write_bytes((directory / f"{name}.pem").read_bytes())
    proxy = directory / "proxy.pem"
    _run("voms-proxy-fake", "-cert", f"{directory}/user.pem", "-key", f"{directory}/user.key",
         "-hostcert", f"{directory}/voms.pem", "-hostkey", f"{directory}/voms.key", "-voms", "lab",
         "-uri", "voms.lab:15000", "-fqan", "/lab/Role=NULL", "-hours", str(hours), "-vomslife", str(attribute_hours),
         "-rfc", "-bits", "2048", "-out", str(proxy),
         X509_CERT_DIR=str(trusted), HOME=str(directory))  # fmt: skip
    return proxy


def token(ends: float) -> str:
    """A JSON Web Token that ends at a time; its signature convinces nobody."""
    parts = [{"alg": "RS256", "typ": "JWT"}, {"sub": "jane", "exp": int(ends), "wlcg.ver": "1.0"}]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*coded, "bm90IHNpZ25lZA"])


def _run(*words: str, **environment: str) -> str:
    done = subprocess.run(words, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    return done.stdout
