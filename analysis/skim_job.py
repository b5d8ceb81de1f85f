"""What a worker does with a work item of the skim, and what identifies its result."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from analysis.addresses import opened_as
from analysis.datasets.samples import Sample
from analysis.engine.fingerprint import fingerprint
from analysis.engine.items import WorkItem
from analysis.engine.ledger import Skim
from analysis.run import Run
from analysis.skim_files import staged_name


@dataclass(frozen=True)
class SkimJob:
    """What all work items of a run share; travels with each call to a worker."""

    module: str
    settings: str
    luminosity: float | None
    directory: str
    format: str
    tree: str
    trees: dict[str, str]
    weight_branch: str
    event: tuple[str, ...]
    metadata: dict[str, dict[str, Any]]
    fingerprints: dict[str, str]
    xrootd_prefix: str | None

    def tree_of(self, sample: str) -> str:
        """The name of a sample's tree."""
        return self.trees.get(sample, self.tree)


@dataclass(frozen=True)
class Processed:
    """What a work item gives: the processor's accumulator of its sample, the skim it wrote, and what reading took."""

    content: dict[str, Any]
    skim: Skim | None
    bytes_read: int
    read_retries: int


def make_job(run: Run, samples: dict[str, Sample]) -> SkimJob:
    """The job of a run's configuration; a sample's fingerprint covers all that its skim depends on."""
    configuration, catalogue = run.configuration, run.catalogue
    module = configuration.module("processor").__name__
    settings = json.dumps({key: value for key, value in configuration.processor.items() if key != "module"})
    packages = ("processors", module.partition(".")[0])
    fingerprints = {
        name: fingerprint(
            (module, "processors.formats", "processors.event_ranges"), packages, settings=settings,
            luminosity=configuration.luminosity, format=catalogue.format, tree=sample.tree or catalogue.tree,
            weight_branch=catalogue.weight_branch, event=catalogue.event, sample=sample.metadata(),
        )
        for name, sample in samples.items()
    }  # fmt: skip
    return SkimJob(
        module,
        settings,
        configuration.luminosity,
        str((run.directory / "skim").resolve()),
        catalogue.format,
        catalogue.tree,
        {name: sample.tree for name, sample in samples.items() if sample.tree},
        catalogue.weight_branch,
        catalogue.event,
        {name: sample.metadata() for name, sample in samples.items()},
        fingerprints,
        run.cluster_settings.xrootd_prefix,
    )


def process_item(job: SkimJob, item: WorkItem, attempt: int) -> Processed:
    """On a worker: reads one entry range, and gives what the processor makes of it.

    Raises ValueError where the file is not the one that was planned, the processor saw other entries than these, or
    what it gives is not finite.
    """
    from processors.chunks import check_finite
    from processors.formats import reader_of

    mark = job.fingerprints[item.sample]
    tree = job.tree_of(item.sample)
    metadata = {**job.metadata[item.sample], "dataset": item.sample, "tree": tree}
    staged = Path(job.directory) / staged_name(mark, "")
    processor = _processor(job.module, job.settings, job.luminosity, str(staged))
    branches = columns_of(importlib.import_module(job.module), processor, metadata)
    address, reader = opened_as(item.address(attempt), job.xrootd_prefix), reader_of(job.format)
    start, stop = _whole_events(job, reader, address, tree, item.start, item.stop)
    events = reader.read(address, tree, branches, start, stop, metadata, item.uuid)
    content = _checked(item, len(events), processor.process(events.events))
    check_finite(content)
    return Processed(content, _skim(job, item, content.pop("skims"), mark), events.bytes_read, events.retries)


def columns_of(module: Any, processor: Any, metadata: dict[str, Any]) -> tuple[str, ...]:
    """The columns to read: a processor knows more of that than its module, where it depends on settings or sample.

    Raises ValueError where the processor does not know the tree of the sample.
    """
    if hasattr(processor, "branches_of"):
        of_sample: tuple[str, ...] = processor.branches_of(metadata)
        return of_sample
    of_role = getattr(processor, "branches", None) or module.branches
    return tuple(of_role(metadata["role"]))


def sum_weights(job: SkimJob, sample: str, part: tuple[str, int, int | None], attempt: int) -> float:  # noqa: ARG001
    """On a worker: sum of generator weights of an entry range of a sample's file."""
    from processors.formats import reader_of

    path, start, stop = part
    reader, path, tree = reader_of(job.format), opened_as(path, job.xrootd_prefix), job.tree_of(sample)
    if stop is None:
        stop = reader.facts(path, tree, ()).entries
    else:
        start, stop = _whole_events(job, reader, path, tree, start, stop)
    return reader.total(path, tree, job.weight_branch, start, stop) if job.weight_branch else float(stop - start)


def _whole_events(job: SkimJob, reader: Any, path: str, tree: str, start: int, stop: int) -> tuple[int, int]:
    """The entries of the events that begin in a range; the range itself where each entry is an event."""
    if not job.event:
        return start, stop
    from processors.event_ranges import event_range

    entries = reader.facts(path, tree, ()).entries
    return event_range(reader, path, tree, job.event, start, stop, entries)


def _checked(item: WorkItem, entries: int, result: dict[str, Any]) -> dict[str, Any]:
    """The accumulator of the sample. It counts as the item was planned: what one item adds its neighbour lacks."""
    content: dict[str, Any] | None = result.get(item.sample)
    if content is None or len(result) > 1 or content["entries"] != entries:
        seen = {name: part["entries"] for name, part in result.items()}
        raise ValueError(f"expected {entries} entries of {item.sample}, the processor saw {seen}")
    content["entries"] = item.entries
    return content


def _skim(job: SkimJob, item: WorkItem, records: list[dict[str, Any]], mark: str) -> Skim | None:
    if not records:
        return None
    (record,) = records
    staged = staged_name(mark, record["file"])
    return Skim(record["file"], item.sample, staged, (Path(job.directory) / staged).stat().st_size, record["rows"])


@lru_cache(maxsize=64)
def _processor(name: str, settings: str, luminosity: float | None, directory: str) -> Any:
    # One processor serves all items of a sample; settings travel as JSON text because the cache needs a hashable key.
    module = importlib.import_module(name)
    return module.build(module.Settings.model_validate_json(settings), luminosity=luminosity, skim_directory=directory)
