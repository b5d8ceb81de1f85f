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

from analysis.addresses import has_credentials, masked
from analysis.datasets.checksums import compute
from analysis.datasets.download import fetch_file, part_of
from analysis.datasets.publication import PublicFile
from analysis.errors import UserError
from analysis.files import replacing, write_json
from processors.errors import ReadError, first_line
from processors.faults import http_status, is_transient, root_cause
from processors.patient import Patience, patience
from processors.webdav import SCHEMES

Result = TypeVar("Result")
#: The list; it is written last, so a run that has one is there as a whole.
INDEX = "published.json"
#: What a published run has: results, not what the engine needs to go on.
FILES = ("manifest.json", "cutflow.json", "histograms.json", "histograms.root", "results.json", "report.html")
FOLDERS = ("skim", "models", "plots")
#: In a directory that a published run was brought to, and in no other; it says whence.
FETCHED = ".fetched.json"
NOTE = ".manifest.json.verified"
#: Where credentials are looked for, for each scheme.
CREDENTIALS = {
    **dict.fromkeys(("root", "xroot"), "a proxy, ticket or token as XRootD takes them"),
    **dict.fromkeys(("s3", "s3a"), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws"),
    **dict.fromkeys((*SCHEMES, "http", "https"), "BEARER_TOKEN, a token file, or ~/.netrc, for addresses with davs://"),
}
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
            raise UserError(f"{masked(address)!r} names no place")
        check_address(address)
        self.address = address.rstrip("/")
        self.shown = masked(self.address)
        if writing and address.startswith(("http://", "https://")):
            raise UserError(f"{masked(address)} cannot be written to: a server with WebDAV has an address with davs://")
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
                    raise UserError(masked(f"{self.address}/{name}: {said}")) from problem
                time.sleep(self._patience.pause(attempt))
                attempt += 1


def check_address(address: str) -> None:
    """Raises UserError for an address with a password or token before the server: others would get to read it."""
    if has_credentials(address):
        known = CREDENTIALS.get(address.partition("://")[0].lower(), "the environment, or the settings of its package")
        raise UserError(f"{masked(address)} has credentials in it, which belong elsewhere: {known}")


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
        raise UserError(f"{place.shown} {where}: --publish needs a directory of its own, apart from it")


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
        raise UserError(f"{place.shown}/{INDEX} is not the list of a published run") from error
    for name in index.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UserError(f"{place.shown}/{INDEX} lists {name}, which is not below it")
    return index


def fetch_run(address: str, directory: Path) -> Index:
    """Brings a published run here, as a run directory: `hepbatch report` and notebooks open it like any other.

    What broke off goes on; what is here and right is not brought again; of a run that was brought here before, what
    this one has not is removed. Raises UserError where there is no published run, a file is not the one that was
    published, or the directory holds a run of its own.
    """
    place = Place(address)
    index = read_index(place)
    if index is None:
        raise UserError(f"there is no published run at {masked(address)}: it has no {INDEX}")
    if "://" not in address or address.startswith("file:"):
        raise UserError(f"{address} is a directory here: --output opens it as it is")
    own = f"{directory} holds a run of its own: a published one needs another --output"
    if (directory / "ledger").exists():
        raise UserError(own)
    stale = _stale(directory, index)
    if not _is_copy(directory):
        others = stale or _other_manifest(directory, index)
        if others:
            raise UserError(f"{own} ({others[0].relative_to(directory)} is not of that one)")
    free = shutil.disk_usage(next(path for path in (directory, *directory.resolve().parents) if path.exists())).free
    here = sum(path.lstat().st_size for path in stale)
    if free + here < sum(_lacking(directory / name, one.size) for name, one in index.files.items()):
        raise UserError(f"{directory} has too little room for the published run at {masked(address)}")
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / FETCHED, {"from": place.shown})
    for path in stale:
        path.unlink()
    for name, one in index.files.items():
        file = PublicFile(
            "", (f"{place.address}/{name}",), str(directory.resolve() / name), f"sha256:{one.sha256}", one.size
        )
        place.patiently(name, partial(fetch_file, file))
    return index


def becomes_own(directory: Path) -> None:
    """A run of the user's own begins in a directory: from now on it is no copy, and nothing is removed from it."""
    for name in (FETCHED, NOTE):
        (directory / name).unlink(missing_ok=True)


def _is_copy(directory: Path) -> bool:
    """Whether a published run was brought to a directory; earlier versions left only what downloads leave."""
    return (directory / FETCHED).is_file() or (directory / NOTE).is_file()


def _other_manifest(directory: Path, index: Index) -> list[Path]:
    """The manifest of a directory, where it is not the published one."""
    path, listed = directory / "manifest.json", index.files.get("manifest.json")
    if not path.is_file() or (listed is not None and compute(path, "sha256") == f"sha256:{listed.sha256}"):
        return []
    return [path]


def _stale(directory: Path, index: Index) -> list[Path]:
    """What a run directory has of a published run that this one has not."""
    found = [directory / name for name in FILES if (directory / name).is_file()]
    for folder in FOLDERS:
        found += sorted(path for path in (directory / folder).rglob("*") if path.is_file() or path.is_symlink())
    kept = {directory / name for name in index.files}
    kept |= {path.with_name(f".{path.name}{end}") for path in kept for end in (".verified", ".part")}
    stale = [path for path in found if path not in kept]
    root = directory.resolve()
    for path in stale:
        if path.parent.resolve() != root and root not in path.parent.resolve().parents:
            raise UserError(f"{path} is not of the published run, and behind a link: another --output")
    return stale


def _lacking(path: Path, size: int) -> int:
    """How many bytes of a file are yet to be brought."""
    return max(0, size - sum(one.stat().st_size for one in (path, part_of(path)) if one.is_file()))


def index_of(content: dict[str, Any], files: dict[str, Listed], when: str) -> Index:
    """The list for a run whose manifest has this content."""
    return Index(analysis=content["analysis"], status=content["status"], published=when, files=files)
