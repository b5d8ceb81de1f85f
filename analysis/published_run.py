"""A finished run at an address: the list of its files with sizes and checksums, and bringing them here."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.datasets.download import fetch_file
from analysis.datasets.publication import PublicFile
from analysis.errors import UserError
from analysis.files import replacing
from processors.errors import ReadError, first_line
from processors.faults import http_status, is_transient, root_cause
from processors.patient import Patience, patience
from processors.webdav import SCHEMES

Result = TypeVar("Result")
#: The list; it is written last, so a run that has one is there as a whole.
INDEX = "published.json"
#: Bytes of a file that are held while it is written.
BLOCK = 4 * 2**20
#: HTTP statuses of what is not there.
ABSENT = (404, 410)
#: What stands before the last address of a chain of fsspec, such as `simplecache::file:///there`.
_CHAIN = re.compile(r"^(?:\w[\w+.-]*(?:://[^\[\]]*?)?::)+")
#: Stores of objects: their only folders are buckets.
WITHOUT_FOLDERS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")


@dataclass(frozen=True)
class Listed:
    """Size [bytes] and SHA-256 of a file of a published run."""

    size: int
    sha256: str


class Index(BaseModel):
    """What is at the address of a published run: files by their paths below it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    analysis: str
    status: str
    published: str
    files: dict[str, Listed]

    def text(self) -> str:
        """As JSON."""
        content = self.model_dump(exclude={"files"}) | {
            "files": {name: asdict(one) for name, one in self.files.items()}
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


class Place:
    """An address of any file system of fsspec, asked with patience. What goes wrong for good is a UserError."""

    def __init__(self, address: str, *, writing: bool = False) -> None:
        from processors.remote import file_system

        if not address.rpartition("://")[2].strip("/ ") and not address.startswith(("/", "file:")):
            raise UserError(f"{address!r} names no place")
        self.address = address.rstrip("/")
        if writing and address.startswith(("http://", "https://")):
            raise UserError(f"{address} cannot be written to: a server with WebDAV has an address with davs://")
        self._patience: Patience = patience()
        try:
            self.system, self._root = file_system(self.address, self._patience, writing=writing)
        except (ReadError, OSError) as problem:
            raise UserError(f"{address}: {first_line(problem)}") from problem

    def at(self, name: str) -> str:
        """The path of a file of the place, as its file system takes it."""
        return f"{self._root.rstrip('/')}/{name}"

    def size(self, name: str) -> int | None:
        """The size of a file; None where there is none."""

        def look() -> int | None:
            self.system.invalidate_cache()
            try:
                return int(self.system.info(self.at(name))["size"])
            except FileNotFoundError as problem:  # which is what fsspec makes of every failure over HTTP
                cause = root_cause(problem)
                if isinstance(cause, FileNotFoundError) or http_status(cause) in ABSENT:
                    return None
                raise

        return self.patiently(name, look)

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None where there is none."""
        if self.size(name) is None:
            return None

        def look() -> bytes:
            with self.system.open(self.at(name), "rb") as file:
                return bytes(file.read())

        return self.patiently(name, look)

    def put(self, path: Path, name: str) -> None:
        """Writes the content of a file here to one of the place; one attempt."""
        if self.address.partition("://")[0] in SCHEMES:  # opened for writing, it would be copied here once more
            self.system.put_file(str(path), self.at(name))
            return
        with path.open("rb") as source, self._opened(name) as target:
            shutil.copyfileobj(source, target, BLOCK)

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file of the place; one attempt."""
        with self._opened(name) as target:
            target.write(content)

    def directory(self) -> Path | None:
        """The directory that the place is, links resolved; None where it is not on a file system of this machine."""
        from fsspec.core import url_to_fs

        system, root = self.system, self._root
        if (last := _CHAIN.sub("", self.address)) != self.address:
            system, root = url_to_fs(last)
        return Path(root).resolve() if _is_local(system) else None

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        """A file of the place to write to. In a directory of this machine it has its name only when it is whole."""
        if _is_local(self.system):
            with replacing(Path(self.at(name))) as temporary, temporary.open("wb") as file:
                yield file
            return
        self.make_folder(name)
        with self.system.open(self.at(name), "wb") as file:
            yield file

    def make_folder(self, name: str) -> None:
        """Makes the folders that a file is to be in. A bucket is not made: its name may be a slip."""
        if self.address.partition("://")[0] not in WITHOUT_FOLDERS:
            self.system.makedirs(self.at(name).rpartition("/")[0], exist_ok=True)

    def patiently(self, name: str, call: Callable[[], Result]) -> Result:
        """What a call gives; it is made again where its error may go away."""
        attempt = 1
        while True:
            try:
                return call()
            except Exception as problem:
                if not is_transient(problem) or attempt >= self._patience.attempts:
                    cause = root_cause(problem)
                    said = f"{type(cause).__name__}: {first_line(cause)}"
                    raise UserError(f"{self.address}/{name}: {said}") from problem
                time.sleep(self._patience.pause(attempt))
                attempt += 1


def check_apart(place: Place, directory: Path) -> None:
    """Raises UserError where a run in `directory` would be published into itself, or into a directory that has it."""
    target, own = place.directory(), directory.resolve()
    if target is None:
        return
    where = None
    if _same_directory(target, own):
        where = "is the run directory"
    elif any(_same_directory(one, own) for one in target.parents):
        where = f"is inside the run directory {directory}"
    elif any(_same_directory(target, one) for one in own.parents):
        where = f"has the run directory {directory} in it"
    if where is not None:
        raise UserError(f"{place.address} {where}: --publish needs a directory of its own, apart from it")


def _same_directory(one: Path, other: Path) -> bool:
    """Whether two resolved paths are one directory, also where it is mounted twice."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _is_local(system: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)


def read_index(place: Place) -> Index | None:
    """The list of a published run; None where there is none. Raises UserError for one that is not right."""
    text = place.read(INDEX)
    if text is None:
        return None
    try:
        index = Index.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{place.address}/{INDEX} is not the list of a published run") from error
    for name in index.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UserError(f"{place.address}/{INDEX} lists {name}, which is not below it")
    return index


def fetch_run(address: str, directory: Path) -> Index:
    """Brings a published run here, as a run directory: `hepbatch report` and notebooks open it like any other.

    What broke off goes on; what is here and right is not brought again. Raises UserError where there is no published
    run, a file is not the one that was published, or the directory holds a run of its own.
    """
    index = read_index(Place(address))
    if index is None:
        raise UserError(f"there is no published run at {address}: it has no {INDEX}")
    if "://" not in address or address.startswith("file:"):
        raise UserError(f"{address} is a directory here: --output opens it as it is")
    if (directory / "ledger").exists():
        raise UserError(f"{directory} holds a run of its own: a published one needs another --output")
    place = Place(address)
    free = shutil.disk_usage(next(path for path in (directory, *directory.resolve().parents) if path.exists())).free
    if free < sum(one.size for one in index.files.values()):
        raise UserError(f"{directory} has too little room for the published run at {address}")
    for name, one in index.files.items():
        path = str(directory.resolve() / name)
        file = PublicFile("", (f"{place.address}/{name}",), path, f"sha256:{one.sha256}", one.size)
        place.patiently(name, partial(fetch_file, file))
    return index


def index_of(content: dict[str, Any], files: dict[str, Listed], when: str) -> Index:
    """The list for a run whose manifest has this content."""
    return Index(analysis=content["analysis"], status=content["status"], published=when, files=files)
