"""`--publish URL`: copies a finished run to an address of any file system of fsspec, file by file, verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from analysis.datasets.checksums import compute
from analysis.errors import UserError
from analysis.files import read_json, write_json
from analysis.manifest import now
from analysis.progress import say
from analysis.published_run import BLOCK, FILES, FOLDERS, INDEX, Index, Listed, Place, check_apart, index_of, read_index
from cluster.space import shown

#: Below the run directory: what was brought where and was found to be right there.
MEMORY = ".published"
#: Files that are on their way at once.
AT_ONCE = 4


def publish_run(directory: Path, address: str) -> None:
    """Copies the results of a run in `directory` to `address`, each file verified there by size and SHA-256.

    What an earlier attempt brought is not brought again. The list of all, `published.json`, is removed before anything
    changes and written at the end. Raises UserError where the address does not take it; the same command goes on. And
    where it is the run directory itself, lies in it or has it in it.
    """
    place = Place(address, writing=True)
    check_apart(place, directory)
    names = list(contents(directory))
    if not names:
        raise UserError(f"there is no finished run in {directory} to publish")
    memory = directory / MEMORY / f"{hashlib.sha256(place.address.encode()).hexdigest()[:16]}.json"
    remembered = _remembered(memory)
    listed = {name: _listed(directory / name, remembered.get(name)) for name in names}
    there = read_index(place)
    missing = [name for name, one in listed.items() if not _is_there(place, name, one, there, remembered)]
    former = {} if there is None else there.files
    gone = [name for name in former if name not in listed]
    if there is not None and not missing and not gone and former == listed:
        say(f"published before: {len(names)} files at {place.shown}")
        return
    if there is not None:  # from here on it is not the run that the list tells of
        place.patiently(INDEX, partial(_remove, place, INDEX))
    for name in gone:
        place.patiently(name, partial(_remove, place, name))
    done = {name: _state(directory / name, one) for name, one in listed.items() if name not in missing}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = {pool.submit(_bring, place, directory / name, name, listed[name]): name for name in missing}
        try:
            for future in as_completed(waiting):
                future.result()
                done[waiting[future]] = _state(directory / waiting[future], listed[waiting[future]])
                write_json(memory, done)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what is on its way arrives, and is remembered
            arrived = [name for one, name in waiting.items() if not one.cancelled() and one.exception() is None]
            write_json(memory, done | {name: _state(directory / name, listed[name]) for name in arrived})
            raise
    text = index_of(read_json(directory / "manifest.json"), listed, now()).text().encode()
    _write(place, INDEX, text)
    size = sum(one.size for one in listed.values())
    say(f"published: {len(names)} files ({shown(size)}) at {place.shown}, {len(missing)} of them now")


def contents(directory: Path) -> Iterator[str]:
    """The files of a run that are published, by their paths below its directory."""
    for name in FILES:
        if (directory / name).is_file():
            yield name
    for folder in FOLDERS:
        for path in sorted((directory / folder).rglob("*")):
            relative = path.relative_to(directory)
            if path.is_file() and not any(part.startswith(".") for part in relative.parts):
                yield relative.as_posix()


def _remembered(memory: Path) -> dict[str, dict[str, Any]]:
    """What earlier attempts from here remember: what the files here were, and that they were brought."""
    if not memory.is_file():
        return {}
    try:
        content: dict[str, dict[str, Any]] = read_json(memory)
    except json.JSONDecodeError:
        memory.unlink()  # everything is brought again
        return {}
    return content


def _is_there(place: Place, name: str, one: Listed, there: Index | None, remembered: dict[str, dict[str, Any]]) -> bool:
    """Whether a file is at the address as it is here.

    The list there tells. Without one, an attempt of this or another run broke off: what is remembered is looked at.
    """
    if there is not None:
        return there.files.get(name) == one and place.size(name) == one.size
    if not _same(remembered.get(name), one) or place.size(name) != one.size:
        return False
    size, digest = place.patiently(name, partial(_content, place, name))
    return (size, digest) == (one.size, one.sha256)


def _listed(path: Path, known: dict[str, Any] | None) -> Listed:
    """Size and checksum of a file; the checksum is not taken again of one that was not changed."""
    facts = path.stat()
    if known is not None and (known["size"], known.get("changed")) == (facts.st_size, facts.st_mtime_ns):
        return Listed(facts.st_size, known["sha256"])
    return Listed(facts.st_size, compute(path, "sha256").partition(":")[2])


def _state(path: Path, one: Listed) -> dict[str, Any]:
    return asdict(one) | {"changed": path.stat().st_mtime_ns}


def _same(known: dict[str, Any] | None, one: Listed) -> bool:
    return known is not None and (known["size"], known["sha256"]) == (one.size, one.sha256)


def _bring(place: Place, path: Path, name: str, one: Listed) -> None:
    def bring() -> None:
        place.put(path, name)
        _verify(place, name, one)

    place.patiently(name, bring)


def _write(place: Place, name: str, content: bytes) -> None:
    def write() -> None:
        place.write(name, content)
        _verify(place, name, Listed(len(content), hashlib.sha256(content).hexdigest()))

    place.patiently(name, write)


def _remove(place: Place, name: str) -> None:
    place.system.invalidate_cache()
    if place.system.exists(place.at(name)):
        place.system.rm_file(place.at(name))


def _verify(place: Place, name: str, one: Listed) -> None:
    """Reads back what was written; an OSError where it is not what was meant, which may go away."""
    size, digest = _content(place, name)
    if (size, digest) != (one.size, one.sha256):
        raise OSError(f"what was written is not what is there: {size} bytes of {one.size}, or another checksum")


def _content(place: Place, name: str) -> tuple[int, str]:
    """Size and SHA-256 of a file of the place, as it is read."""
    digest, size = hashlib.sha256(), 0
    place.system.invalidate_cache()
    with place.system.open(place.at(name), "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
