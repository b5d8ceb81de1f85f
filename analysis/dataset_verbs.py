"""`hepbatch datasets list|check|fetch`: what an analysis' samples are, whether they can be read, and getting them."""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.checking import PROBLEMS, Found, Place, open_all, schemas, totals
from analysis.configuration import Configuration
from analysis.datasets.catalogue import Catalogue, load_catalogue
from analysis.datasets.publication import Publication, PublicFile
from analysis.datasets.samples import Sample
from analysis.datasets.shared_cache import make_folders, share
from analysis.datasets.sources import OPENDATA, resolve
from analysis.errors import UserError
from analysis.fetching import fetch, public_files, public_samples
from analysis.files import read_json, write_json
from analysis.manifest import now
from analysis.progress import say
from analysis.stages import Request, settle, started
from cluster.space import shown

#: What `check` leaves in its directory.
REPORT = "check.json"


def describe(configuration: Configuration) -> list[str]:
    """The samples as lines of a table: role, process, files, events, bytes, licence, cross section, record."""
    catalogue = load_catalogue(configuration.datasets)
    seen = _seen(configuration)
    public = public_samples(configuration, catalogue)
    header = ("sample", "role", "process", "dsid", "xsec [pb]", "files", "events", "bytes", "licence", "seen", "record")
    rows = [header]
    for name, entry in catalogue.samples.items():
        files = public_files(configuration, catalogue, (name,)) if name in public else []
        about = catalogue.publication(name)
        checked = sum(any(address in seen for address in file.addresses) for file in files)
        rows.append(
            (
                name, entry.role, entry.process, str(entry.dsid or ""), f"{entry.xsec:.6g}" if entry.xsec else "",
                str(len(files)) if files else "none listed",
                _events(files, seen, about),
                _sum(files, [_known(file, seen, "size", "size") for file in files], shown),
                about.licence or "", f"{checked}/{len(files)}" if files else "",
                about.doi or about.record or "",
            )
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *_notes(catalogue, public)]


def check_only(request: Request) -> bool:
    """Opens every file of the source, at each of its addresses; True where nothing is wrong."""
    samples, places = _places(request)
    if not places:
        raise UserError(f"the source {request.configuration.source} has no files to check")
    expected = schemas(request.configuration, request.catalogue, samples)
    with started(request) as run:
        found = open_all(run, places, expected)
    public = request.configuration.source == OPENDATA
    short = list(_other_totals(request.catalogue, found)) if public and request.limit_files is None else []
    write_json(
        request.directory / REPORT, {"checked": now(), "samples": short, "places": [asdict(one) for one in found]}
    )
    if public:
        _remember(request.configuration, found)
    for line in (*_outcome(found), *short):
        say(line)
    return not short and not any(one.problem for one in found)


def fetch_only(request: Request) -> bool:
    """Downloads the public files into the cache, where `--source opendata` finds them."""
    configuration = request.configuration
    wanted = public_samples(configuration, request.catalogue)
    if not wanted:
        raise UserError(f"the catalogue {configuration.datasets} lists no public files")
    if configuration.settings("opendata").read == "in_place":
        raise UserError("opendata.read = in_place: there is nothing to download; --set opendata.read=cache downloads")
    with started(request) as run:
        fetched, failures = fetch(run, wanted, request.limit_files)
        run.record_cluster(request.cluster_name)
        for name, sample in fetched.items():
            say(f"{name}: {len(sample.files)} files in {Path(sample.files[0]).parent}")
        return settle(run, not failures)


def _places(request: Request) -> tuple[list[Sample], list[Place]]:
    """The samples of the source, and every address of its files, at most `limit_files` files of a sample."""
    configuration, catalogue = request.configuration, request.catalogue
    public = public_samples(configuration, catalogue)
    if configuration.source == OPENDATA and public:
        places = [
            Place(file.sample, address, file.addresses[0], file.size, file.events)
            for file in public_files(configuration, catalogue, public, request.limit_files)
            for address in file.addresses
        ]
        return [_listed(catalogue, name) for name in public], places
    samples = list(resolve(catalogue, configuration.source, None, public).samples.values())
    return samples, [
        Place(sample.name, address, path)
        for sample in samples
        for path in sample.files[: request.limit_files or None]
        for address in (path, *sample.replicas.get(path, []))
    ]


def _listed(catalogue: Catalogue, name: str) -> Sample:
    """A sample as its catalogue has it: one without a cross section can be checked, though not normalised."""
    entry = catalogue.samples[name]
    return Sample(
        name, entry.role, entry.process, (), OPENDATA, simulated=False, xsec=entry.xsec, sumw=entry.sumw,
        reduction_efficiency=entry.reduction_efficiency, tree=entry.tree,
    )  # fmt: skip


def _outcome(found: Sequence[Found]) -> Iterator[str]:
    """A line for each sample, and one for each address with a problem."""
    for name, sums in totals(found).items():
        wrong = ", ".join(f"{sums.problems[kind]} {kind}" for kind in PROBLEMS if sums.problems[kind])
        where = f" at {sums.places} addresses" if sums.places > sums.files else ""
        yield (
            f"{name}: {sums.files} files{where}, {sums.events} events and {shown(sums.bytes)} in those that are right: "
            f"{wrong or 'all are right'}"
        )
    for one in found:
        if one.problem is not None:
            yield f"{one.problem}: {one.sample}: {one.address}: {one.error}"
    yield f"read {shown(sum(one.bytes_read for one in found))} of {len(found)} files to see this"


def _other_totals(catalogue: Catalogue, found: Sequence[Found]) -> Iterator[str]:
    """A sentence for each sample all of whose files are right, and that has not as many events as its record tells."""
    for name, sums in totals(found).items():
        published = catalogue.publication(name)
        whole = published.complete and not sums.problems
        if whole and published.events is not None and published.events != sums.events:
            told = f"{published.events} were published"
            yield f"other content: {name}: its files have {sums.events} events in all, {told}"


def _notes(catalogue: Catalogue, public: Sequence[str]) -> Iterator[str]:
    """Whence the addresses and cross sections are, and what is left out, each sentence once."""
    said: dict[str, None] = {}
    for name in public:
        about = catalogue.publication(name)
        if about.source:
            state = "" if about.verified else " (not verified: 'hepbatch datasets check' has to see them)"
            said[f"addresses from {about.source}{state}"] = None
        if about.xsec_source:
            said[f"cross sections from {about.xsec_source}"] = None
        if not about.complete:
            said[f"{name}: only a part of the published files is listed"] = None
    yield from said


def _sum(files: Sequence[PublicFile], numbers: Sequence[int | None], text: Any) -> str:
    """The sum of what is known of the files, marked where that is not all of them."""
    known = [number for number in numbers if number is not None]
    if not known:
        return "?" if files else ""
    return text(sum(known)) if len(known) == len(files) else f">= {text(sum(known))}"


def _events(files: Sequence[PublicFile], seen: dict[str, Any], about: Publication) -> str:
    """Those of all files as the record tells them, else the sum of what is known of each."""
    if about.events is not None and about.complete:
        return str(about.events)
    return _sum(files, [_known(file, seen, "events", "entries") for file in files], str)


def _known(file: PublicFile, seen: dict[str, Any], published: str, found: str) -> int | None:
    """A number of a file as it was published, or as the last check found it."""
    number: int | None = getattr(file, published)
    if number is not None:
        return number
    return next((int(seen[address][found]) for address in file.addresses if address in seen), None)


def _memory(configuration: Configuration) -> Path | None:
    """Where the cache keeps what checks of the public addresses found."""
    if configuration.opendata is None:
        return None
    cache = Path(configuration.settings("opendata").cache).expanduser()
    return cache / "checked" / f"{Path(configuration.datasets).stem}.json"


def _seen(configuration: Configuration) -> dict[str, Any]:
    """What the last checks found at public addresses that were right; nothing where there was none."""
    memory = _memory(configuration)
    if memory is None or not memory.is_file():
        return {}
    try:
        content: dict[str, Any] = read_json(memory)
    except json.JSONDecodeError as error:
        raise UserError(f"{memory} is damaged: remove it, and 'hepbatch datasets check' makes it again") from error
    return {address: one for address, one in content.items() if one["problem"] is None}


def _remember(configuration: Configuration, found: Sequence[Found]) -> None:
    """Adds what was found to what earlier checks found; two checks at the same time lose nothing of each other."""
    memory = _memory(configuration)
    if memory is None:
        return
    try:
        make_folders(memory.parent)
        beside = memory.with_name(f".{memory.name}.lock")
        with beside.open("a") as lock:
            share(beside)
            fcntl.flock(lock, fcntl.LOCK_EX)
            earlier = _earlier(memory)
            write_json(memory, earlier | {one.address: asdict(one) | {"checked": now()} for one in found})
            share(memory)
    except OSError as problem:
        if problem.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        say(f"note: {memory.parent} cannot be written: 'hepbatch datasets list' will not know of this check")


def _earlier(memory: Path) -> dict[str, Any]:
    """What earlier checks found; nothing, which is said, where the file is damaged."""
    if not memory.is_file():
        return {}
    try:
        content = read_json(memory)
    except ValueError:  # no JSON, or no UTF-8
        content = None
    if isinstance(content, dict):
        return content
    say(f"note: {memory} was damaged: what earlier checks found is forgotten, and it begins anew with this one")
    return {}
