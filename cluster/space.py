"""Room for what a run writes: free space, files that may still be made, AFS quota."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.quantities import size

# The table of `fs listquota`: volume, quota [KiB] or "no limit", used [KiB].
_AFS = re.compile(r"^\S+\s+(?P<quota>\d+|no limit)\s+(?P<used>\d+)\s", re.MULTILINE)
LONGEST_FS = 30.0
GIB = 2**30


@dataclass(frozen=True)
class Room:
    """Free space [bytes] for this user below a directory, and whether another file can be made."""

    bytes: int
    files: bool
    of: str


def free_space(directory: Path) -> Room:
    """What is free where a run directory is or will be. Raises ClusterError where that cannot be asked.

    Quotas of AFS are asked for with its own command. Those of EOS are what its file system calls free; those of others
    show when they are reached.
    """
    existing = next(path for path in (directory.resolve(), *directory.resolve().parents) if path.exists())
    try:
        facts = os.statvfs(existing)
    except OSError as error:
        raise ClusterError(f"the file system of {directory} does not answer: {error.strerror}") from error
    room = Room(facts.f_bavail * facts.f_frsize, facts.f_files == 0 or facts.f_favail > 0, "file system")
    if existing.is_relative_to("/afs"):
        return _afs_room(existing, room)
    return room


def _afs_room(directory: Path, room: Room) -> Room:
    """AFS tells statvfs a large number, whatever the quota is."""
    try:
        asked = subprocess.run(
            ["fs", "listquota", "-path", str(directory)], capture_output=True, text=True, timeout=LONGEST_FS,
            check=False,
        )  # fmt: skip
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return room
    left = afs_quota_left(asked.stdout)
    return room if left is None else Room(left, room.files, "AFS quota")


def afs_quota_left(listing: str) -> int | None:
    r"""Bytes that the quota in the output of `fs listquota` leaves; None where it says no number.

    >>> afs_quota_left('Volume Name   Quota    Used %Used   Partition\nuser.jane   10000000 9999000 100%<<  80%\n')
    1024000
    """
    found = _AFS.search(listing)
    if found is None or found["quota"] in ("no limit", "0"):
        return None
    return max(0, int(found["quota"]) - int(found["used"])) * 1024


def shortage(directory: Path, needed: str) -> str | None:
    """A sentence where a run directory has less than `needed` (a size) free, or takes no more files; else None."""
    room = free_space(directory)
    if room.bytes < size(needed):
        return (
            f"the {room.of} of the run directory {directory} has {shown(room.bytes)} free, and {needed} are needed "
            "(free_space): make room, or choose another --output"
        )
    if not room.files:
        return f"the file system of the run directory {directory} takes no more files: make room, or choose another"
    return None


def shown(number: int) -> str:
    """A size, for people."""
    return f"{number / GIB:.1f} GiB" if number >= GIB / 10 else f"{number / 2**20:.1f} MiB"
