"""TLS certificates of one run, in files that only its user can read."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Clocks of nodes differ, and no run lasts as long as this.
BEFORE, AFTER = datetime.timedelta(days=1), datetime.timedelta(days=90)
NAME = "hepbatch-run"


@dataclass(frozen=True)
class TlsFiles:
    """Paths of the authority, of the certificate and of its key (PEM)."""

    ca_file: str
    cert: str
    key: str

    def security(self) -> Any:
        """A `distributed.Security` that lets nobody in who does not have these files."""
        from distributed import Security

        roles = {f"tls_{role}_{part}": getattr(self, part) for role in ("client", "scheduler", "worker")
                 for part in ("cert", "key")}  # fmt: skip
        return Security(require_encryption=True, tls_ca_file=self.ca_file, **roles)

    def as_dict(self) -> dict[str, str]:
        """The paths by name."""
        return asdict(self)


@contextmanager
def run_certificates(directory: Path) -> Iterator[TlsFiles]:
    """Makes a certificate for one run, and its key, in a new private `directory` that goes at the end.

    The certificate is its own authority: whoever has the key belongs to the run, nobody else does.
    """
    shutil.rmtree(directory, ignore_errors=True)  # of a run that was killed
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700)
    certificate, key = _self_signed()
    try:
        paths = {"cert.pem": certificate, "key.pem": key}
        for name, content in paths.items():
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        cert, private = (str((directory / name).resolve()) for name in paths)
        yield TlsFiles(cert, cert, private)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _self_signed() -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
