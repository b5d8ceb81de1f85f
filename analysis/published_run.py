"""A finished run at an address: the list of its files with sizes and checksums, and bringing them here."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.datasets.download import fetch_file
from analysis.datasets.publication import PublicFile
from analysis.errors import UserError
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
        self.make_folder(name)
        with path.open("rb") as source, self.system.open(self.at(name), "wb") as target:
            shutil.copyfileobj(source, target, BLOCK)

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
