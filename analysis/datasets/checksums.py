"""Checksums as they are published with files, written `kind:hexadecimal digits`."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

_BLOCK = 2**20


def compute(path: Path, kind: str) -> str:
    """The checksum of a file: `adler32` (as the CERN Open Data portal gives it), `md5` (as Zenodo does) or `sha256`."""
    with path.open("rb") as file:
        if kind == "adler32":
            value = 1
            while block := file.read(_BLOCK):
                value = zlib.adler32(block, value)
            return f"adler32:{value:08x}"
        if kind not in ("md5", "sha256"):
            raise ValueError(f"unknown kind of checksum {kind!r}")
        return f"{kind}:{hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"
