"""Downloading a public file into a cache: resumed where it broke off, under its name only when it is right.

Neither energyflow's downloader nor pooch resumes a file of several GB that broke off or knows the checksums of the CERN
Open Data portal (Adler-32), which is why this does not use them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from analysis.datasets.checksums import compute
from analysis.datasets.plausibility import implausible
from analysis.datasets.publication import PublicFile
from analysis.datasets.shared_cache import make_folders, refusals_named, share
from analysis.datasets.transfer import WEB, Told, append, checksum_of_server
from analysis.engine.faults import is_full, is_transient
from processors.errors import UnreadableFile, first_line

#: A transfer that broke off after at least so many bytes got somewhere: it goes on at once.
PROGRESS = 2**20


def fetch_file(file: PublicFile, attempt: int = 0) -> bool:
    """Puts the file into the cache, from the address whose turn it is; False where it was there and right.

    Several processes may be at the same file, also on several machines: one downloads it, the others wait.

    Raises:
        UnreadableFile: what the server has is not the published file; nothing stays in the cache.
        OSError: the server did not answer, or the connection broke: the next attempt goes on from there. Or the disk
            is full: nothing of this file stays in the cache.

    """
    path = Path(file.path)
    if noted(file) or _right(file, path):
        return False
    address = file.addresses[attempt % len(file.addresses)]
    part = part_of(path)
    with refusals_named(path):
        make_folders(path.parent)
    with _locked(part) as out:
        if noted(file) or _right(file, path):
            part.unlink(missing_ok=True)
            return False
        path.unlink(missing_ok=True)
        expected, origin = file, "was published" if file.checksum else "is what its server tells"
        told = Told()
        try:
            if file.checksum is None:  # nobody published one: that of the server finds what goes wrong on the way
                expected = replace(file, checksum=checksum_of_server(address, file.size))
            verified = expected.checksum is not None
            if not verified:
                told.validator = _read_version(part, address)
                if told.validator is None:  # nothing would tell that what is there is of another file
                    _version(part).unlink(missing_ok=True)
                    out.truncate(0)
            resumed = _transfer(address, out, told, verified=verified)
            wrong = _difference(expected, part, address, origin, told.size)
            if wrong is not None and resumed:  # what an earlier attempt left may be of another file
                out.truncate(0)
                _transfer(address, out, told, verified=verified)
                wrong = _difference(expected, part, address, origin, told.size)
            if wrong is not None:
                raise UnreadableFile(wrong)
            os.fsync(out.fileno())
        except Exception as problem:
            if is_full(problem):
                part.unlink()
                raise OSError(
                    errno.ENOSPC, f"no room for {path.name} in the cache {path.parent}; nothing was kept of it"
                ) from problem
            if not is_transient(problem):
                part.unlink()
                _version(part).unlink(missing_ok=True)
            elif expected.checksum is None and told.validator is not None:
                _version(part).write_text(json.dumps({"address": address, "version": told.validator}), encoding="utf-8")
                share(_version(part))
            raise
        part.replace(path)
        _version(part).unlink(missing_ok=True)
    _write_note(file, path, expected.checksum)
    return True


def noted(file: PublicFile) -> bool:
    """Whether a note beside a file says that it was found to be right, and it has not been changed since."""
    path, note = Path(file.path), _read_note(Path(file.path))
    try:
        return note is not None and note.items() >= _state(file, path).items()
    except FileNotFoundError:
        return False


def compared(file: PublicFile) -> bool:
    """Whether more than the size of a file in the cache was compared: a checksum, of the publication or the server."""
    note = _read_note(Path(file.path))
    return note is not None and note.get("compared") is not None


def part_of(path: Path) -> Path:
    """What there is of a file that is on its way."""
    return path.with_name(f".{path.name}.part")


def _right(file: PublicFile, path: Path) -> bool:
    """Whether the file is in the cache and right, which takes a look at all of it."""
    if not path.is_file() or _difference(file, path, str(path)) is not None:
        return False
    _write_note(file, path, file.checksum)
    return True


def _difference(
    file: PublicFile, path: Path, origin: str, told: str = "was published", announced: int | None = None
) -> str | None:
    """A sentence where the content at `path` is not what was published; None where it is, as far as that was.

    `announced` is the size that the server tells. Of what nobody published anything, the format is looked at.
    """
    size = path.stat().st_size
    name, kept = Path(file.path).name, "nothing was kept of it"
    if file.size is not None and size != file.size:
        return f"{origin} is not the published file {name}: it has {size} bytes, {file.size} were published; {kept}"
    if size == 0 and file.size != 0:
        return f"{origin} has no content: {kept}"
    if announced is not None and size != announced:
        return f"{origin} was not received whole: {size} bytes came, its server tells {announced}; {kept}"
    if file.checksum is None:
        wrong = implausible(path, Path(file.path).suffix) if file.size is None else None
        return f"{origin} cannot be the file {name}: {wrong}; {kept}" if wrong is not None else None
    kind = file.checksum.partition(":")[0]
    found = compute(path, kind)
    if found != file.checksum:
        shown = {"md5": "MD5", "sha256": "SHA-256", "adler32": "Adler-32"}[kind]
        is_now, right = (text.partition(":")[2] for text in (found, file.checksum))
        return f"{origin} is not the published file {name}: its {shown} is {is_now}, {right} {told}; {kept}"
    return None


def _transfer(address: str, out: BinaryIO, told: Told, *, verified: bool) -> bool:
    """Appends what is missing; True where something was there before. Goes on where it broke off on the way."""
    resumed = out.seek(0, os.SEEK_END) > 0
    while True:
        before = out.seek(0, os.SEEK_END)
        try:
            append(address, out, told, verified=verified)
            out.flush()
        except Exception as problem:
            out.flush()
            same = verified or told.validator is not None or not address.startswith(WEB)
            if same and is_transient(problem) and out.seek(0, os.SEEK_END) - before >= PROGRESS:
                continue
            if isinstance(problem, urllib.error.URLError) and not isinstance(problem, urllib.error.HTTPError):
                raise OSError(f"{address}: {first_line(problem)}") from problem
            raise
        return resumed


def _version(part: Path) -> Path:
    """A note on what a server calls the version of a file that a part is of."""
    return part.with_suffix(".version")


def _read_version(part: Path, address: str) -> str | None:
    try:
        content = json.loads(_version(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content["version"] if isinstance(content, dict) and content.get("address") == address else None


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The part of a file, for this process alone; waits for another one that has it."""
    while True:
        with refusals_named(part):
            out = part.open("a+b")
        with out:
            if _is_at(out, part):
                share(part)
            fcntl.flock(out, fcntl.LOCK_EX)
            if not _is_at(out, part):  # who had it before is done with it, and has moved or removed it
                continue
            yield out
            return


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _read_note(path: Path) -> dict[str, Any] | None:
    """The note beside a file; None where there is none, or only a part of one."""
    try:
        content = json.loads(_note(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None


def _write_note(file: PublicFile, path: Path, checksum: str | None) -> None:
    try:
        content = _state(file, path) | {"compared": checksum}
        _note(path).write_text(json.dumps(content), encoding="utf-8")
        share(_note(path))
    except OSError as problem:
        # A cache that others keep and this user only reads: the file is as right without a note, which saves time only.
        if problem.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def _state(file: PublicFile, path: Path) -> dict[str, Any]:
    facts = path.stat()
    return {"checksum": file.checksum, "size": facts.st_size, "changed": facts.st_mtime_ns}
