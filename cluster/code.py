"""hepbatch's own code: which it is, in a file for workers that have none, and how a worker gets rid of other code.

A worker of a cluster that exists lives longer than a run. Python imports a module once: what the user changed since
would not be run there, and what is run would be taken for what the driver has.
"""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.abc import ResourceLoader
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import cast

from cluster.errors import ClusterError

ARCHIVE = "hepbatch-code.zip"
# What workers import.
PACKAGES = ("analysis", "processors", "training", "cluster")
# The same code makes the same file, byte for byte.
TIME = (1980, 1, 1, 0, 0, 0)

# Expressions that a worker evaluates: functions do not travel to where our packages are not.
ASK = "__import__('cluster.code', fromlist=['*']).fingerprint(*{more!r})"
FORGET = (
    "[__import__('sys').modules.pop(name) and name for name in list(__import__('sys').modules) "
    "if name.partition('.')[0] in {packages!r}] and __import__('importlib').invalidate_caches()"
)


@cache
def fingerprint(*more: str) -> str:
    """A hash of the code of the packages and of the user's modules `more`, as it is at the first call in a process.

    A worker is asked for it before it imports anything else of ours: what it runs afterwards is what it has told.
    """
    digest = hashlib.sha256()
    for name, source in _sources(more):
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()[:16]


def ask(more: Sequence[str] = ()) -> str:
    """An expression that gives the fingerprint of a process."""
    return ASK.format(more=tuple(more))


def forget(more: Sequence[str] = ()) -> str:
    """An expression with which a process forgets what it has imported of our packages, and of `more`."""
    return FORGET.format(packages=(*PACKAGES, *more))


def pack(directory: Path, more: Sequence[str] = ()) -> Path:
    """Puts the packages and the modules `more` into a file that Python imports from.

    Raises ClusterError when there is no such module, or none of Python source.
    """
    directory.mkdir(parents=True, exist_ok=True)
    archive = directory / ARCHIVE
    with zipfile.ZipFile(archive, "w") as packed:
        for name, source in _sources(more):
            packed.writestr(zipfile.ZipInfo(name, TIME), source, zipfile.ZIP_DEFLATED)
    return archive


def _sources(more: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        yield from _files(files(package), package)
    for module in more:
        yield from _user_module(module)


def _files(place: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for one in sorted(place.iterdir(), key=lambda each: each.name):
        if one.is_dir():
            yield from _files(one, f"{name}/{one.name}")
        elif one.name.endswith(".py"):
            yield f"{name}/{one.name}", one.read_bytes()


def _user_module(module: str) -> Iterator[tuple[str, bytes]]:
    found = importlib.util.find_spec(module) if module.isidentifier() else None
    if found is None:
        raise ClusterError(f"own_modules: Python finds no module or package {module} here")
    if found.submodule_search_locations:
        yield from _files(files(module), module)
        return
    if not (found.origin and found.origin.endswith(".py")):
        raise ClusterError(f"own_modules: {module} is no Python source; it must be installed where the workers are")
    yield f"{module}.py", cast("ResourceLoader", found.loader).get_data(found.origin)  # a directory's, or an archive's
