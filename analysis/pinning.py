"""`hepbatch datasets pin`: a copy of the catalogue with the files that the records on the portal list today."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import yaml

from analysis.configuration import Configuration, Retries, find_yaml, read_yaml
from analysis.datasets.catalogue import Catalogue, load_catalogue
from analysis.datasets.file_lists import path_below
from analysis.datasets.portal import Key, NoAnswerError, Record, ask, client_version, key_of
from analysis.errors import UserError
from analysis.progress import say
from cluster.space import shown

#: The first line of every file that is written, by which another pin knows what it may replace.
MARK = "# pinned by hepbatch"
Files = list[tuple[str, int, str]]


@dataclass
class Pinned:
    """The files of each sample, and of which record they are; what went wrong, in sentences."""

    files: dict[str, Files] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def pin(configuration: Configuration, directory: Path) -> bool:
    """Asks the portal for all records of the catalogue and writes the copy below `directory`; True if all answered.

    A sample whose record did not answer, or that has none, is left as it was.
    """
    origin = find_yaml(configuration.datasets, "datasets", "catalogue")
    catalogue, target = load_catalogue(configuration.datasets), directory / origin.name
    keys = _keys(catalogue)
    server = getattr(configuration.settings("opendata"), "portal", None) if configuration.opendata else None
    if not keys or server is None:
        raise UserError(
            f"the catalogue {configuration.datasets} names no record of the CERN Open Data portal to ask for"
        )
    if target.exists() and (target.resolve() == origin.resolve() or not _is_ours(target)):
        raise UserError(f"{target} is there, and no pin has made it: give another --output")
    client = f"cernopendata-client {client_version()}"
    found = _asked(catalogue, keys, server, configuration.retries)
    _write(origin, target, found, f"{client} at {server}, {datetime.now(UTC):%Y-%m-%d}")
    for line in _outcome(catalogue, found):
        say(line)
    say(f"pinned: --set datasets={target}")
    return not found.problems


def _keys(catalogue: Catalogue) -> dict[Key, list[str]]:
    """The records to ask for, with the samples of each: a sample's own one before that of its whole catalogue."""
    found: dict[Key, list[str]] = {}
    for name, entry in catalogue.samples.items():
        key = key_of(entry.published)
        if key is None and entry.published is not None:
            key = key_of(catalogue.published)
        if key is not None:
            found.setdefault(key, []).append(name)
    return found


def _asked(catalogue: Catalogue, keys: Mapping[Key, list[str]], server: str, retries: Retries) -> Pinned:
    found = Pinned()
    for key, names in keys.items():
        try:
            record = _patiently(server, key, retries)
        except NoAnswerError as problem:
            found.problems.append(f"{', '.join(names)}: {problem}")
            continue
        if record.number_files is not None and record.number_files != len(record.files):
            found.problems.append(
                f"{', '.join(names)}: {key} lists {len(record.files)} files, and says that it has {record.number_files}"
            )
            continue
        for name in names:
            try:
                found.files[name] = list(_own_files(catalogue, record, name, alone=len(names) == 1))
            except NoAnswerError as problem:
                found.problems.append(str(problem))
                continue
            found.records[name] = record
            if len(names) == 1:
                found.alone.add(name)
    return found


def _own_files(catalogue: Catalogue, record: Record, name: str, *, alone: bool) -> Iterator[tuple[str, int, str]]:
    """Path below the catalogue's servers, size and checksum of a sample's files in a record; raises NoAnswerError."""
    servers = catalogue.publication(name).servers
    own = [file for file in record.files if _of_sample(catalogue, file[0], name, alone=alone)]
    if not own:
        raise NoAnswerError(f"{name}: record {record.recid} ({record.title}) lists no file of it")
    for address, size, checksum in own:
        path = path_below(address, servers)
        if path is None:
            raise NoAnswerError(
                f"{name}: {address} is below none of its published.servers: {', '.join(servers) or 'none'}"
            )
        yield path, size, checksum


def _patiently(server: str, key: Key, retries: Retries) -> Record:
    pause = retries.first_pause
    for _ in range(retries.attempts - 1):
        try:
            return ask(server, key)
        except NoAnswerError as problem:
            say(f"note: {problem}; once more in {pause:g} s")
            time.sleep(pause)
            pause = min(2 * pause, retries.longest_pause)
    return ask(server, key)


def _of_sample(catalogue: Catalogue, address: str, name: str, *, alone: bool) -> bool:
    """Whether a file of a record is the sample's: by its name where several samples share the record."""
    path = PurePosixPath(urlsplit(address).path)
    if path.suffix not in catalogue.suffixes:
        return False
    if alone:
        return True
    layout, entry = catalogue.layout, catalogue.samples[name]
    if layout is None:
        return fnmatchcase(path.name, str(entry.files))
    for pattern in (layout.data, layout.simulation):
        tail = "/".join(path.parts[-len(PurePosixPath(pattern).parts) :])
        match = layout.match(pattern, tail)
        if match is not None:
            of = match["sample"] if "dsid" not in match else catalogue.by_dsid(int(match["dsid"]))
            return of == name
    return False


def _write(origin: Path, target: Path, found: Pinned, source: str) -> None:
    content = read_yaml(origin)
    target.parent.mkdir(parents=True, exist_ok=True)
    for name, entry in content["samples"].items():
        published = entry.get("published")
        if name in found.files:
            record = found.records[name]
            own = {key: value for key, value in (published or {}).items() if key not in ("files", "list", "events")}
            own |= {"list": f"{name}.txt", "source": f"record {record.recid}, by {source}", "complete": True}
            own |= {"verified": False, **({"events": record.events} if name in found.alone and record.events else {})}
            entry["published"] = own
            lines = [f"{MARK}: record {record.recid}, {record.title}", f"# by {source}"]
            lines += ["\t".join(str(fact) for fact in file if fact != "") for file in found.files[name]]
            (target.parent / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        elif isinstance(published, dict) and "list" in published:  # of an earlier pin, or of the program
            kept = target.parent / Path(published["list"]).name
            if kept.resolve() != (origin.parent / published["list"]).resolve():
                shutil.copyfile(origin.parent / published["list"], kept)
            published["list"] = kept.name
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    target.write_text(f"{MARK}: {origin.name} with the files of its records, by {source}\n{text}", encoding="utf-8")
    load_catalogue(str(target))  # what was written can be read


def _outcome(catalogue: Catalogue, found: Pinned) -> Iterator[str]:
    for name, files in found.files.items():
        record = found.records[name]
        events = f", {record.events} events" if name in found.alone and record.events else ""
        what = f"{len(files)} files, {shown(sum(size for _, size, _ in files))}{events}, of record {record.recid}"
        yield f"{name}: {what}: {_changes(catalogue, name, files)}"
    yield from found.problems
    left = [name for name, entry in catalogue.samples.items() if entry.published and name not in found.files]
    if left:
        yield f"left as they were: {', '.join(left)}"


def _changes(catalogue: Catalogue, name: str, files: Files) -> str:
    """How the files differ from what the catalogue lists of the sample."""
    listed = {one.path: one for one in catalogue.publication(name).files}
    if not listed:
        return "none was listed"
    both = [(listed[path], size, checksum) for path, size, checksum in files if path in listed]
    other = sum(one.size not in (None, size) or one.checksum not in (None, checksum) for one, size, checksum in both)
    numbers = {"new": len(files) - len(both), "gone": len(listed) - len(both), "of another content": other}
    return ", ".join(f"{number} {what}" for what, number in numbers.items() if number) or "as they were listed"


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8").startswith(MARK)
