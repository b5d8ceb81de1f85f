"""The skim stage: plan work items, process them, collect cutflow, histograms and Parquet skims."""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from analysis.collecting import Collected, write_outcome
from analysis.datasets.samples import Sample, without_files
from analysis.engine.items import Failure, InputFile, OpenedFile, WorkItem, split, without_copies
from analysis.engine.ledger import Ledger
from analysis.normalisation import Accounts, account
from analysis.progress import say
from analysis.run import Run
from analysis.skim_files import compact, remove_others


@dataclass(frozen=True)
class SkimJob:
    """What all work items of a run share; travels with each call to a worker."""

    module: str
    settings: str
    luminosity: float | None
    directory: str
    tree: str
    weight_branch: str
    metadata: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """The files that could be opened, their work items, what could not be opened, and copies that are left out."""

    files: tuple[OpenedFile, ...]
    items: tuple[WorkItem, ...]
    failures: tuple[Failure, ...]
    copies: tuple[Failure, ...]


def skim(run: Run, samples: dict[str, Sample], limit_files: int | None) -> bool:
    """Skims every sample into the run directory; True when each work item is done and each yield is known.

    Writes cutflow.json, histograms.json, histograms.root, skim/ and the manifest's samples and inputs.
    """
    job = make_job(run, samples)
    files = [InputFile(name, path) for name, sample in samples.items() for path in sample.files[: limit_files or None]]
    with run.manifest.stage("plan") as facts:
        plan = make_plan(run, files)
        facts.update(files=len(files), items=len(plan.items), failed=len(plan.failures), copies=len(plan.copies))
    run.manifest.add_failures([*plan.failures, *plan.copies])
    samples = {name: without_files(one, {copy.file for copy in plan.copies}) for name, one in samples.items()}
    job = make_job(run, samples)
    with run.manifest.stage("skim") as facts:
        shutil.rmtree(job.directory, ignore_errors=True)
        collected = process(run, job, plan.items)
        entries = sum(item.entries for item in plan.items) - sum(item.entries for item, _ in collected.failed)
        remove_others(Path(job.directory), collected.skims)
        compact(Path(job.directory))
        write_outcome(run.directory, collected, samples)
        facts.update(items=len(plan.items), failed=len(collected.failed), entries=entries)
    failures = [Failure("skim", i.sample, i.path, i.start, i.stop, error) for i, error in collected.failed]
    run.manifest.add_failures(failures)
    _report_rate(facts)
    accounts = account_for(run, job, samples, plan, collected)
    run.manifest.content["samples"] = {name: one.as_json() for name, one in accounts.items()}
    run.manifest.content["simulated"] = any(sample.simulated for sample in samples.values())
    run.manifest.content["inputs"] = [
        {"path": f.path, "sample": f.sample, "uuid": f.uuid, "size": f.size, "entries": f.entries} for f in plan.files
    ]
    return not (failures or plan.failures or plan.copies) and all(one.scale is not None for one in accounts.values())


def make_job(run: Run, samples: dict[str, Sample]) -> SkimJob:
    """The job of a run's configuration."""
    configuration = run.configuration
    return SkimJob(
        configuration.module("processor").__name__,
        json.dumps({key: value for key, value in configuration.processor.items() if key != "module"}),
        configuration.luminosity,
        str((run.directory / "skim").resolve()),
        run.catalogue.tree,
        run.catalogue.weight_branch,
        {name: sample.metadata() for name, sample in samples.items()},
    )


def make_plan(run: Run, files: list[InputFile]) -> Plan:
    """Opens every file on the cpu pool and splits its entries into work items."""
    opened: list[OpenedFile] = []
    failures: list[Failure] = []
    for outcome in run.map("cpu", partial(open_file, run.catalogue.tree), files, len(files), "opening files"):
        file = outcome.argument
        if outcome.error is not None:
            failures.append(Failure("plan", file.sample, file.path, None, None, outcome.error))
        else:
            opened.append(outcome.value)
    order = {(file.sample, file.path): number for number, file in enumerate(files)}
    opened.sort(key=lambda file: order[file.sample, file.path])
    originals, copies = without_copies(opened)
    items = [item for file in originals for item in split(file, run.configuration.chunk_size)]
    return Plan(tuple(originals), tuple(items), tuple(failures), tuple(copies))


def process(run: Run, job: SkimJob, items: tuple[WorkItem, ...]) -> Collected:
    """Processes the work items on the cpu pool; the state of each goes to the ledger."""
    collected = Collected()
    with Ledger(run.directory / "ledger", "skim") as ledger:
        for item in items:
            ledger.write(item.key, "planned", sample=item.sample, file=item.path, start=item.start, stop=item.stop)
        for outcome in run.map("cpu", partial(process_item, job), items, len(items), "skimming"):
            item = outcome.argument
            where = {"sample": item.sample, "file": item.path, "start": item.start, "stop": item.stop}
            if outcome.error is not None:
                collected.failed.append((item, outcome.error))
                ledger.write(item.key, "failed", **where, worker=outcome.worker, error=outcome.error)
            else:
                collected.add(item, outcome.value)
                ledger.write(item.key, "done", **where, worker=outcome.worker, seconds=round(outcome.seconds, 4))
    collected.failed.sort(key=lambda pair: pair[0].key)
    return collected


def account_for(
    run: Run, job: SkimJob, samples: dict[str, Sample], plan: Plan, collected: Collected
) -> dict[str, Accounts]:
    """Entries, processed entries and scale of every sample; reads the weights of what was not processed."""

    def sums(parts: list[tuple[str, int, int | None]]) -> list[float | None]:
        answers: dict[tuple[str, int, int | None], float | None] = {}
        for outcome in run.map("cpu", partial(sum_weights, job), parts, len(parts), "weights of unprocessed entries"):
            answers[outcome.argument] = outcome.value if outcome.error is None else None
        return [answers[part] for part in parts]

    return {name: account(sample, plan.files, collected, sums) for name, sample in samples.items()}


def open_file(tree: str, file: InputFile) -> OpenedFile:
    """On a worker: identity and size of a file."""
    from processors.readers import root_file_facts

    facts = root_file_facts(file.path, tree, ())
    return OpenedFile(file.sample, file.path, facts.uuid, facts.entries, facts.size)


def process_item(job: SkimJob, item: WorkItem) -> dict[str, Any]:
    """On a worker: reads one entry range, and gives what the processor makes of it."""
    from processors.readers import read_root

    metadata = {**job.metadata[item.sample], "dataset": item.sample, "fileuuid": item.uuid}
    module = importlib.import_module(job.module)
    branches = module.branches(metadata["role"])
    events = read_root(item.path, job.tree, branches, item.start, item.stop, metadata)
    result: dict[str, Any] = _processor(job.module, job.settings, job.luminosity, job.directory).process(events)
    return result


def sum_weights(job: SkimJob, part: tuple[str, int, int | None]) -> float:
    """On a worker: sum of generator weights of an entry range."""
    from processors.readers import root_file_facts, sum_branch

    path, start, stop = part
    last = root_file_facts(path, job.tree, ()).entries if stop is None else stop
    return sum_branch(path, job.tree, job.weight_branch, start, last)


@lru_cache(maxsize=4)
def _processor(name: str, settings: str, luminosity: float | None, directory: str) -> Any:
    # One processor serves all items of a worker; settings travel as JSON text because the cache needs a hashable key.
    module = importlib.import_module(name)
    return module.build(module.Settings.model_validate_json(settings), luminosity=luminosity, skim_directory=directory)


def _report_rate(facts: dict[str, Any]) -> None:
    rate = facts["entries"] / facts["seconds"] if facts["seconds"] else 0.0
    failed = f"{facts['failed']} items failed"
    say(f"skimmed {facts['entries']} entries in {facts['seconds']:.1f} s ({rate / 1e3:.1f} kHz), {failed}")
