"""Downloading a public file into a cache: resumed where the server allows it, under its name only when it is right.

Neither energyflow's downloader nor pooch resumes a file of several GB that broke off, which is why this does not use
them.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.errors import UnreadableFile
from processors.patient import patience

# Bytes that are held at a time.
_BLOCK = 2**20
_SCHEMES = ("http://", "https://")


@dataclass(frozen=True)
class PublicFile:
    """A published file of a sample: its address, its MD5 as published, and its place in the cache."""

    sample: str
    address: str
    md5: str
    path: str


def fetch_file(file: PublicFile, attempt: int = 0) -> bool:  # noqa: ARG001  (each attempt goes on where one broke off)
    """Puts the file into the cache; False where it was there with the right checksum.

    A checksum is taken once: a note beside the file says for which size and time of change it held.

    Raises:
        UnreadableFile: what the server has is not the published file; nothing stays in the cache.
        OSError: the server did not answer, or the connection broke; the next attempt goes on from there.

    """
    path = Path(file.path)
    if _verified(file, path):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("a+b") as out:
        fcntl.flock(out, fcntl.LOCK_EX)  # another run may be at the same file
        if _verified(file, path):
            part.unlink(missing_ok=True)
            return False
        resumed = out.seek(0, 2) > 0
        _download(file.address, out)
        found = _md5(part)
        if found != file.md5 and resumed:  # what an earlier attempt left may be of another file
            out.truncate(0)
            _download(file.address, out)
            found = _md5(part)
        if found != file.md5:
            part.unlink()
            raise UnreadableFile(
                f"{file.address} is not the published file {path.name}: its MD5 is {found}, {file.md5} was published; "
                "nothing was kept of it"
            )
        part.replace(path)
    _note(path).write_text(json.dumps(_state(file, path)), encoding="utf-8")
    return True


def _verified(file: PublicFile, path: Path) -> bool:
    """Whether the file is in the cache with the right checksum; a wrong one is removed."""
    if not path.is_file():
        return False
    note = _note(path)
    state = _state(file, path)
    if note.is_file() and note.read_text(encoding="utf-8") == json.dumps(state):
        return True
    if _md5(path) != file.md5:
        path.unlink()
        return False
    note.write_text(json.dumps(state), encoding="utf-8")
    return True


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _state(file: PublicFile, path: Path) -> dict[str, Any]:
    facts = path.stat()
    return {"md5": file.md5, "size": facts.st_size, "changed": facts.st_mtime_ns}


def _download(address: str, out: Any) -> None:
    """Appends to `out` what it lacks; from the beginning where the server gives whole files only."""
    if not address.startswith(_SCHEMES):
        raise UnreadableFile(f"{address} is no address of a web server: it must start with https:// or http://")
    have = out.seek(0, 2)
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=patience().timeout)  # noqa: S310  (the scheme is checked)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # all of it is there
            return
        raise
    with answer:
        if have and not _continues(answer, have):
            out.truncate(0)
        while block := answer.read(_BLOCK):
            out.write(block)
        out.flush()
        missing = getattr(answer, "length", None)
    if missing:
        raise OSError(f"the connection to {address} broke off {missing} bytes before the end")


def _continues(answer: Any, have: int) -> bool:
    """Whether an answer is the rest of the file from the byte asked for on."""
    if answer.status != http.client.PARTIAL_CONTENT:
        return False
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == have


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
