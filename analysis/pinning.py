"""`hepbatch datasets pin`: a copy of the catalogue with the files that the records on the portal list today."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from analysis.configuration import Configuration, Retries, find_yaml, read_yaml
from analysis.datasets.catalogue import Catalogue, load_catalogue
from analysis.datasets.file_lists import path_below, read_list
from analysis.datasets.portal import Key, NoAnswerError, Record, ask, client_version, key_of
from analysis.datasets.publication import ListedFile, Publication
from analysis.errors import UserError
from analysis.progress import say
from cluster.space import shown

#: The first line of every file that is written, by which another pin knows what it may replace.
MARK = "# pinned by hepbatch"
#: Of a sample's publication, what a pin replaces.
PINNED = ("files", "list", "events", "source", "verified", "complete")


@dataclass(frozen=True)
class Wanted:
    """A record that is asked for, for these samples; `own`: it is the record of one sample, not of many."""

    key: Key
    samples: tuple[str, ...]
    own: bool


@dataclass(frozen=True)
class Listed:
    """The files of a sample that a record lists, and their events together where the record is the sample's own."""

    record: Record
    files: tuple[ListedFile, ...]
    events: int | None


@dataclass
class Pinned:
    """What was found of each sample, and what went wrong, in sentences."""

    samples: dict[str, Listed] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def pin(configuration: Configuration, directory: Path) -> bool:
    """Asks the portal for all records of the catalogue and writes the copy below `directory`; True if all answered.

    A sample whose record did not answer is left as it was: as an earlier pin there has it, or the catalogue.
    """
    origin = find_yaml(configuration.datasets, "datasets", "catalogue")
    catalogue, target = load_catalogue(configuration.datasets), directory / origin.name
    wanted = _wanted(catalogue)
    server = getattr(configuration.settings("opendata"), "portal", None) if configuration.opendata else None
    if not wanted or server is None:
        raise UserError(
            f"the catalogue {configuration.datasets} names no record of the CERN Open Data portal to ask for"
        )
    client = f"cernopendata-client {client_version()}"
    _make_room(directory, origin, target, [f"{name}.txt" for name in catalogue.samples])
    found = _asked(catalogue, wanted, server, configuration.retries)
    before = load_catalogue(str(target)) if target.exists() else None
    _write(origin, target, catalogue, before, found, f"{client} at {server}, {datetime.now(UTC):%Y-%m-%d}")
    for line in _outcome(catalogue, found):
        say(line)
    say(f"pinned: --set datasets={target}")
    return not found.problems


def _make_room(directory: Path, origin: Path, target: Path, lists: Sequence[str]) -> None:
    """The directory, in which nothing but an earlier pin is replaced. Raises UserError."""
    if target.resolve() == origin.resolve():
        raise UserError(f"{target} is the catalogue that is pinned: give another --output")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {directory} cannot be made a directory: {error.strerror}") from error
    for path in (target, *(directory / name for name in lists)):
        if path.exists() and not (path.is_file() and path.read_text(encoding="utf-8").startswith(MARK)):
            raise UserError(f"{path} is there, and no pin has made it: give another --output")


def _wanted(catalogue: Catalogue) -> list[Wanted]:
    """The records to ask for: the sample's own one, or that of the catalogue where it names none."""
    found: dict[tuple[Key, bool], list[str]] = {}
    common = key_of(catalogue.published)
    for name, entry in catalogue.samples.items():
        own = entry.published
        if own is None:
            continue
        names_one = own.record is not None or own.doi is not None
        key = key_of(own) if names_one else common
        if key is not None:
            found.setdefault((key, names_one), []).append(name)
    return [Wanted(key, tuple(names), own and len(names) == 1) for (key, own), names in found.items()]


def _asked(catalogue: Catalogue, wanted: Sequence[Wanted], server: str, retries: Retries) -> Pinned:
    found = Pinned()
    for one in wanted:
        try:
            record = _patiently(server, one.key, retries)
            if record.number_files is not None and record.number_files != len(record.files):
                raise NoAnswerError(
                    f"{one.key} lists {len(record.files)} files, and says that it has {record.number_files}"
                )
        except NoAnswerError as problem:
            found.problems.append(f"{', '.join(one.samples)}: {problem}")
            continue
        for name in one.samples:
            try:
                files = tuple(_own_files(catalogue, record, name, own=one.own))
            except NoAnswerError as problem:
                found.problems.append(f"{name}: {problem}")
            else:
                found.samples[name] = Listed(record, files, record.events if one.own else None)
    return found


def _patiently(server: str, key: Key, retries: Retries) -> Record:
    pause = retries.first_pause
    for _ in range(retries.attempts - 1):
        try:
            return ask(server, key)
        except NoAnswerError as problem:
            if problem.final:
                raise
            say(f"note: {problem}; once more in {pause:g} s")
            time.sleep(pause)
            pause = min(2 * pause, retries.longest_pause)
    return ask(server, key)


def _own_files(catalogue: Catalogue, record: Record, name: str, *, own: bool) -> Iterator[ListedFile]:
    """The sample's files in a record, with their paths below the catalogue's servers; raises NoAnswerError."""
    servers = catalogue.publication(name).servers
    files = [file for file in record.files if _of_sample(catalogue, file[0], name, own=own)]
    if not files:
        raise NoAnswerError(f"record {record.recid} ({record.title}) lists no file of it")
    for address, size, checksum in files:
        path = path_below(address, servers)
        if path is None:
            raise NoAnswerError(f"{address} is below none of its published.servers: {', '.join(servers) or 'none'}")
        try:
            yield ListedFile(path=path, size=size, checksum=checksum or None)
        except ValidationError as error:
            first = error.errors()[0]
            raise NoAnswerError(f"{address}: {first['loc'][0]} {first['input']!r}: {first['msg']}") from error


def _of_sample(catalogue: Catalogue, address: str, name: str, *, own: bool) -> bool:
    """Whether a file of a record is the sample's: all that a run could read, by their names if the record has more."""
    path = PurePosixPath(urlsplit(address).path)
    if path.suffix not in catalogue.suffixes:
        return False
    if own:
        return True
    layout, entry = catalogue.layout, catalogue.samples[name]
    if layout is None:
        return fnmatchcase(path.name, str(entry.files))
    for pattern in (layout.data, layout.simulation):
        tail = "/".join(path.parts[-len(PurePosixPath(pattern).parts) :])
        match = layout.match(pattern, tail)
        if match is not None:
            return name == (match["sample"] if "dsid" not in match else catalogue.by_dsid(int(match["dsid"])))
    return False


def _write(
    origin: Path, target: Path, catalogue: Catalogue, before: Catalogue | None, found: Pinned, source: str
) -> None:
    """The lists, then the catalogue that names them."""
    content = read_yaml(origin)
    for name, entry in content["samples"].items():
        listed = found.samples.get(name)
        if listed is not None:
            facts: dict[str, Any] = {"source": f"record {listed.record.recid}, by {source}", "verified": False}
            facts |= {"complete": True} | ({"events": listed.events} if listed.events is not None else {})
            files, title = listed.files, f"record {listed.record.recid}, {listed.record.title}"
        else:
            kept = _kept(catalogue, before, name)
            if not kept.files:
                continue
            given = ("source", "verified", "complete", "events")
            facts = {key: value for key in given if (value := getattr(kept, key)) is not None}
            files, title = kept.files, "as it was"
        rest = {key: value for key, value in (entry.get("published") or {}).items() if key not in PINNED}
        entry["published"] = {**rest, **facts, "list": f"{name}.txt"}
        lines = [f"{MARK}: {name}, {title}", f"# by {source}", *map(_line, files)]
        (target.parent / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        list(read_list(target.parent / f"{name}.txt", (), name))  # what was written can be read
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    target.write_text(f"{MARK}: {origin.name} with the files of its records, by {source}\n{text}", encoding="utf-8")


def _kept(catalogue: Catalogue, before: Catalogue | None, name: str) -> Publication:
    """What there is of a sample whose record did not answer: of an earlier pin, if there was one."""
    earlier = Publication() if before is None or name not in before.samples else before.publication(name)
    return earlier if earlier.files else catalogue.publication(name)


def _line(file: ListedFile) -> str:
    facts = (file.size, file.checksum, None if file.events is None else f"events={file.events}")
    return "\t".join([file.path, *(str(fact) for fact in facts if fact is not None)])


def _outcome(catalogue: Catalogue, found: Pinned) -> Iterator[str]:
    for name, listed in found.samples.items():
        events = f", {listed.events} events" if listed.events is not None else ""
        size = shown(sum(file.size or 0 for file in listed.files))
        yield (
            f"{name}: {len(listed.files)} files, {size}{events}, of record {listed.record.recid}: "
            f"{_changes(catalogue, name, listed.files)}"
        )
    yield from found.problems
    left = [name for name, entry in catalogue.samples.items() if entry.published and name not in found.samples]
    if left:
        yield f"left as they were: {', '.join(left)}"


def _changes(catalogue: Catalogue, name: str, files: Sequence[ListedFile]) -> str:
    """How the files differ from what the catalogue lists of the sample."""
    listed: Mapping[str, ListedFile] = {one.path: one for one in catalogue.publication(name).files}
    if not listed:
        return "none was listed"
    both = [(listed[file.path], file) for file in files if file.path in listed]
    other = sum(old.size not in (None, new.size) or old.checksum not in (None, new.checksum) for old, new in both)
    numbers = {"new": len(files) - len(both), "gone": len(listed) - len(both), "of another content": other}
    return ", ".join(f"{number} {what}" for what, number in numbers.items() if number) or "as they were listed"
