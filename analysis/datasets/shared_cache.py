"""Places in a cache that a group shares: what one user makes there, the others can go on with."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_folders(folder: Path) -> None:
    """Makes a folder and those above it; each has the rights of the group that the one above it gives."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        share(one)


def share(path: Path) -> None:
    """Gives the group what the folder above gives it: for files the right to read and write, for folders all of it.

    Nothing changes where the folder above is of another group or open to all (sticky), or `path` is another user's.
    """
    above, here = path.parent.stat(), path.stat()
    if here.st_gid != above.st_gid or above.st_mode & stat.S_ISVTX or here.st_uid != os.geteuid():
        return
    given = above.st_mode & (stat.S_ISGID | stat.S_IRWXG if stat.S_ISDIR(here.st_mode) else stat.S_IRGRP | stat.S_IWGRP)
    wanted = stat.S_IMODE(here.st_mode) | given
    if given & stat.S_IWGRP and wanted != stat.S_IMODE(here.st_mode):
        path.chmod(wanted)


@contextmanager
def refusals_named(path: Path) -> Iterator[None]:
    """Makes one sentence of a refused right: which place, and whose it is."""
    try:
        yield
    except PermissionError as problem:
        place = Path(problem.filename or path)
        while not place.exists():
            place = place.parent
        if place.is_dir() or os.access(place, os.W_OK):
            what = f"the folder {place if place.is_dir() else place.parent}"
        else:
            what = f"the file {place}"
        raise PermissionError(
            f"{path.name} cannot be put into the cache: {what} belongs to {_owner(place)}, who can let the group write "
            f"there (chmod g+w)"
        ) from problem


def _owner(path: Path) -> str:
    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # of another machine
        return f"user {number}"
