"""A user's X.509 proxy where batch jobs find it: in the run's private directory, renewed when the user renews it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAME = "x509_proxy.pem"
VARIABLE = "X509_USER_PROXY"


class ProxyCopy:
    """A copy of the proxy `source` in the directory `private`, for its user alone (mode 0600)."""

    def __init__(self, source: Path, private: Path) -> None:
        self.path = (private / NAME).resolve()
        self._source = source
        self._stamp: tuple[int, int] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes a job use it."""
        return {VARIABLE: str(self.path)}

    def refresh(self) -> bool:
        """Copies the proxy where it is new, in one step; whether it did. A proxy that is away leaves the copy as is."""
        try:
            facts = self._source.stat()
        except OSError:
            return False
        stamp = (facts.st_mtime_ns, facts.st_ino)
        if stamp == self._stamp:
            return False
        temporary = self.path.with_name(f".{NAME}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as copy, self._source.open("rb") as original:
            shutil.copyfileobj(original, copy)
        temporary.replace(self.path)
        self._stamp = stamp
        return True
