"""Whether a file of which nothing was published can be what its name says: by its first bytes and its own length."""

from __future__ import annotations

import struct
from pathlib import Path

#: The first bytes of the formats, by the suffixes of their files.
BEGINNINGS = {
    ".root": b"root",
    ".h5": b"\x89HDF\r\n\x1a\n",
    ".hdf5": b"\x89HDF\r\n\x1a\n",
    ".parquet": b"PAR1",
}
#: From this version of the format on, positions in a ROOT file have 8 bytes (TFile::Init).
LARGE_ROOT = 1_000_000


def implausible(path: Path, suffix: str) -> str | None:
    """What is wrong with a file that should be of the format of a suffix, as the end of a sentence; None if nothing."""
    beginning = BEGINNINGS.get(suffix)
    if beginning is None:
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(20)
        if not head.startswith(beginning):
            return f"it does not begin as a {suffix} file does"
        if suffix == ".parquet":
            file.seek(max(0, size - len(beginning)))
            return None if file.read() == beginning else "its end is missing"
    if suffix == ".root":
        end = _end_of_root(head)
        if end is None or end > size:
            return f"it has {size} bytes, and by its own header it ends at {end or 'none of them'}"
    return None


def _end_of_root(head: bytes) -> int | None:
    """The end that a ROOT file names: fVersion, fBEGIN and fEND follow its first four bytes, big-endian."""
    if len(head) < 20:
        return None
    version: int = struct.unpack_from(">i", head, 4)[0]
    end: int = struct.unpack_from(">i" if version < LARGE_ROOT else ">q", head, 12)[0]
    return end
