"""The stage that downloads the public files into the cache, on the cpu pool, and verifies their checksums."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.configuration import Configuration
from analysis.datasets.catalogue import Catalogue
from analysis.datasets.download import compared, fetch_file, noted, part_of
from analysis.datasets.publication import PublicFile
from analysis.datasets.samples import Sample, make_sample
from analysis.datasets.sources import OPENDATA
from analysis.engine.attempts import Kind
from analysis.engine.items import Failure
from analysis.errors import UserError
from analysis.progress import say
from analysis.run import Run
from cluster import space
from cluster.errors import ClusterError

#: The caches' sizes are looked at no more often than this [s].
LOOK = 2.0


def public_samples(configuration: Configuration, catalogue: Catalogue) -> tuple[str, ...]:
    """The samples of an analysis that have public files, in the order of the catalogue; none without such a source."""
    if configuration.opendata is None:
        return ()
    names = configuration.module("opendata").samples(configuration.settings("opendata"), catalogue)
    return tuple(name for name in catalogue.samples if name in names)


def public_files(
    configuration: Configuration, catalogue: Catalogue, names: Sequence[str], limit: int | None = None
) -> list[PublicFile]:
    """The public files of samples, at most `limit` of each."""
    settings, module = configuration.settings("opendata"), configuration.module("opendata")
    return [file for name in names for file in module.files(settings, catalogue, name)[: limit or None]]


def fetch(run: Run, names: Sequence[str], limit_files: int | None) -> tuple[dict[str, Sample], list[Failure]]:
    """Downloads the public files of the samples `names`, at most `limit_files` of each; what is in the cache is kept.

    Gives the samples with the files that are there, and a failure for each file that is not. Nothing is downloaded
    where the configuration says that they are read in place. Raises UserError where the cache has no room for them.
    """
    configuration, catalogue = run.configuration, run.catalogue
    wanted = public_files(configuration, catalogue, names, limit_files)
    settings = configuration.settings("opendata")
    totals: dict[str, float] = configuration.module("opendata").totals(settings, catalogue)
    if settings.read == "in_place":
        return _samples(catalogue, wanted, totals, in_place=True), []
    there = {file.path for file in wanted if noted(file)}
    missing = [file for file in wanted if file.path not in there]
    cache = Path(settings.cache).expanduser()
    _check_room(cache, missing)
    failures: list[Failure] = []
    downloaded = 0
    kind = Kind(batches=False, addresses=lambda file: len(file.addresses))
    with run.manifest.stage("fetch") as facts:
        for outcome in run.map(
            "cpu", fetch_file, missing, len(missing), "fetching", kind=kind, place=cache, detail=_Arrived(missing)
        ):
            file: PublicFile = outcome.item
            if outcome.error is None:
                there.add(file.path)
                downloaded += outcome.value
                continue
            where = (outcome.attempts, outcome.worker, outcome.host)
            failures.append(Failure("fetch", file.sample, file.addresses[0], None, None, outcome.error, *where))
        kept = len(there) - downloaded
        facts.update(files=len(wanted), kept=kept, done_now=downloaded, failed=len(failures))
    run.manifest.add_failures(failures)
    say(f"fetched {downloaded} of {len(wanted)} files ({kept} were there) in {facts['seconds']:.0f} s")
    bare = sum(file.path in there and not compared(file) for file in wanted)
    if bare:
        say(
            f"note: only the sizes of {bare} files were compared: no checksum of them was published, and the servers "
            "they came from tell none"
        )
    return _samples(catalogue, [file for file in wanted if file.path in there], totals, in_place=False), failures


def present_or_remote(configuration: Configuration, catalogue: Catalogue, names: Sequence[str]) -> dict[str, Sample]:
    """Samples with public files: those in the cache by their paths there, the others by their addresses."""
    if not names:
        return {}
    files = public_files(configuration, catalogue, names)
    totals = configuration.module("opendata").totals(configuration.settings("opendata"), catalogue)
    there = {file.path for file in files if noted(file)}
    here = [replace(file, addresses=(file.path,)) if file.path in there else file for file in files]
    return _samples(catalogue, here, totals, in_place=True)


def _check_room(cache: Path, files: Iterable[PublicFile]) -> None:
    """Raises UserError where what is known of the sizes says that the files do not fit."""
    needed = sum(max(0, (file.size or 0) - _size(part_of(Path(file.path)))) for file in files)
    try:
        room = space.free_space(cache)
    except ClusterError as error:
        raise UserError(str(error)) from error
    if needed > room.bytes:
        raise UserError(
            f"the cache {cache} has {space.shown(room.bytes)} free, and {space.shown(needed)} are still to come: make "
            "room, choose another opendata.cache, or fewer files (--limit-files, opendata.samples)"
        )


class _Arrived:
    """How much of the files is in the cache, as one says it."""

    def __init__(self, files: Sequence[PublicFile]) -> None:
        self._files = files
        known = [file.size for file in files if file.size is not None]
        self._total = f" of {space.shown(sum(known))}" if files and len(known) == len(files) else ""
        self._text, self._until = "", 0.0

    def __call__(self) -> str:
        if time.monotonic() >= self._until:
            paths = [Path(file.path) for file in self._files]
            self._text = f"{space.shown(sum(_size(path) or _size(part_of(path)) for path in paths))}{self._total}"
            self._until = time.monotonic() + LOOK
        return self._text


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _samples(
    catalogue: Catalogue, files: Sequence[PublicFile], totals: dict[str, float], *, in_place: bool
) -> dict[str, Sample]:
    found = {}
    for name in Counter(file.sample for file in files):
        own = [file for file in files if file.sample == name]
        paths = tuple(file.addresses[0] if in_place else file.path for file in own)
        sample = make_sample(name, catalogue.samples[name], paths, OPENDATA, catalogue.weights)
        replicas = {file.addresses[0]: [*file.addresses[1:]] for file in own if in_place and len(file.addresses) > 1}
        found[name] = replace(sample, total_weight=totals.get(name), replicas=replicas)
    return found
