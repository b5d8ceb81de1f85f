"""The stage that downloads the public files into the cache, on the cpu pool, and verifies their checksums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from analysis.configuration import Configuration
from analysis.datasets.catalogue import Catalogue
from analysis.datasets.download import PublicFile, fetch_file
from analysis.datasets.samples import Sample, make_sample
from analysis.datasets.sources import OPENDATA
from analysis.engine.attempts import Kind
from analysis.engine.items import Failure
from analysis.progress import say
from analysis.run import Run


def public_samples(configuration: Configuration) -> tuple[str, ...]:
    """The samples of an analysis that have public files; none without such a source."""
    if configuration.opendata is None:
        return ()
    names: tuple[str, ...] = configuration.module("opendata").samples(configuration.settings("opendata"))
    return names


def fetch(run: Run, names: Sequence[str], limit_files: int | None) -> tuple[dict[str, Sample], list[Failure]]:
    """Downloads the public files of the samples `names`, at most `limit_files` of each; what is in the cache is kept.

    Gives the samples with the files that are there, and a failure for each file that is not.
    """
    configuration = run.configuration
    settings, module = configuration.settings("opendata"), configuration.module("opendata")
    wanted: list[PublicFile] = [file for name in names for file in module.files(settings, name)[: limit_files or None]]
    failures: list[Failure] = []
    there: set[str] = set()
    downloaded = 0
    with run.manifest.stage("fetch") as facts:
        for outcome in run.map("cpu", fetch_file, wanted, len(wanted), "fetching", kind=Kind(batches=False)):
            file: PublicFile = outcome.item
            if outcome.error is None:
                there.add(file.path)
                downloaded += outcome.value
                continue
            where = (outcome.attempts, outcome.worker, outcome.host)
            failures.append(Failure("fetch", file.sample, file.address, None, None, outcome.error, *where))
        kept = len(there) - downloaded
        facts.update(files=len(wanted), kept=kept, done_now=downloaded, failed=len(failures))
    run.manifest.add_failures(failures)
    say(f"fetched {downloaded} of {len(wanted)} files ({kept} were there) in {facts['seconds']:.0f} s")
    totals: dict[str, float] = module.totals(settings)
    return _samples(run.catalogue, [file for file in wanted if file.path in there], totals), failures


def _samples(catalogue: Catalogue, files: Sequence[PublicFile], totals: dict[str, float]) -> dict[str, Sample]:
    found = {}
    for name in Counter(file.sample for file in files):
        paths = tuple(file.path for file in files if file.sample == name)
        sample = make_sample(name, catalogue.samples[name], paths, OPENDATA, catalogue.weights)
        found[name] = replace(sample, total_weight=totals.get(name))
    return found
