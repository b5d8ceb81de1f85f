"""The skim stage: process the work items that are not done yet; collect cutflow, histograms and Parquet skims."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from analysis.collecting import Collected, write_outcome
from analysis.datasets.samples import Sample, without_files
from analysis.engine.fingerprint import fingerprint
from analysis.engine.items import Failure, InputFile, WorkItem
from analysis.engine.ledger import Entry
from analysis.normalisation import Accounts, account
from analysis.planning import Plan, make_plan
from analysis.progress import say
from analysis.run import Run
from analysis.skim_files import compact, remove_others

STAGE = "skim"


@dataclass(frozen=True)
class SkimJob:
    """What all work items of a run share; travels with each call to a worker."""

    module: str
    settings: str
    luminosity: float | None
    directory: str
    format: str
    tree: str
    weight_branch: str
    metadata: dict[str, dict[str, Any]]
    fingerprints: dict[str, str]


def skim(run: Run, samples: dict[str, Sample], limit_files: int | None) -> bool:
    """Skims every sample into the run directory; True when each work item is done and each yield is known.

    What an earlier session has done with the same code and configuration is kept. Writes cutflow.json, histograms.json,
    histograms.root, skim/ and the manifest's samples and inputs.
    """
    files = [InputFile(name, path) for name, sample in samples.items() for path in sample.files[: limit_files or None]]
    with run.manifest.stage("plan") as facts:
        plan = make_plan(run, files)
        facts.update(files=len(files), remembered=plan.remembered, items=len(plan.items), failed=len(plan.failures))
    run.manifest.add_failures([*plan.failures, *plan.copies])
    samples = {name: without_files(one, {copy.file for copy in plan.copies}) for name, one in samples.items()}
    job = make_job(run, samples)
    with run.manifest.stage(STAGE) as facts:
        collected, done = process(run, job, plan)
        compact(Path(job.directory), run.ledger)
        write_outcome(run.directory, collected, samples)
        failures = failures_of(run)
        check_entries(plan, collected, failures)
        entries = sum(collected.entries(name) for name in samples)
        facts.update(items=len(plan.items), done_now=done, failed=len(failures), entries=entries)
    run.manifest.add_failures(failures)
    summary = f"{len(failures)} failed, {entries} entries in all"
    say(f"skim: {done} of {len(plan.items)} items in {facts['seconds']:.1f} s, {summary}")
    accounts = account_for(run, job, samples, plan, collected, failures)
    run.manifest.content["samples"] = {name: one.as_json() for name, one in accounts.items()}
    run.manifest.content["simulated"] = any(sample.simulated for sample in samples.values())
    run.manifest.content["inputs"] = [
        {"path": f.path, "sample": f.sample, "uuid": f.uuid, "size": f.size, "entries": f.entries} for f in plan.files
    ]
    return not (failures or plan.failures or plan.copies) and all(one.scale is not None for one in accounts.values())


def make_job(run: Run, samples: dict[str, Sample]) -> SkimJob:
    """The job of a run's configuration; a sample's fingerprint covers all that its skim depends on."""
    configuration = run.configuration
    module = configuration.module("processor").__name__
    settings = json.dumps({key: value for key, value in configuration.processor.items() if key != "module"})
    packages = ("processors", module.partition(".")[0])
    catalogue = run.catalogue
    fingerprints = {
        name: fingerprint(
            module, packages, settings=settings, luminosity=configuration.luminosity, format=catalogue.format,
            tree=catalogue.tree, weight_branch=catalogue.weight_branch, sample=sample.metadata(),
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
        catalogue.weight_branch,
        {name: sample.metadata() for name, sample in samples.items()},
        fingerprints,
    )


def process(run: Run, job: SkimJob, plan: Plan) -> tuple[Collected, int]:
    """Processes the work items that are not done; gives the sums of all done ones and the number done now."""
    ledger = run.ledger
    ledger.plan(STAGE, (_entry(item, job) for item in plan.items))
    remove_others(Path(job.directory), ledger.outputs(STAGE))
    collected = Collected.from_texts(ledger.sums(STAGE))
    uuids = {(file.sample, file.path): file.uuid for file in plan.files}
    due = [
        WorkItem(e.sample, e.path, uuids[e.sample, e.path], e.start or 0, e.stop or 0, e.parent)
        for e in ledger.unfinished(STAGE, retry_failed=run.retry_failed)
    ]
    floor = run.configuration.retries.smallest_item
    halves = partial(_halves, floor)
    done = 0
    for outcome in run.map("cpu", partial(process_item, job), due, len(due), "skimming", halves=halves):
        item = outcome.item
        facts: dict[str, Any] = {
            "attempts": outcome.attempts, "worker": outcome.worker, "seconds": round(outcome.seconds, 4)
        }  # fmt: skip
        error, output = outcome.error, None
        if outcome.split:
            ledger.record(STAGE, _entry(item, job, state="split", **facts))
            for part in outcome.split:
                ledger.record(STAGE, _entry(part, job))
            continue
        if error is None:
            try:
                output = collected.add(item, outcome.value)
            except ValueError as problem:
                error = str(problem)
        state = "done" if error is None else "failed"
        ledger.record(STAGE, _entry(item, job, state=state, error=error, output=output, **facts))
        done += error is None
        if ledger.due():
            ledger.commit(STAGE, collected.changed())
    ledger.commit(STAGE, collected.changed())
    remove_others(Path(job.directory), ledger.outputs(STAGE))
    return collected, done


def failures_of(run: Run) -> list[Failure]:
    """The failed items of the ledger."""
    return [Failure(STAGE, e.sample, e.path, e.start, e.stop, str(e.error)) for e in run.ledger.rows(STAGE, "failed")]


def check_entries(plan: Plan, collected: Collected, failures: list[Failure]) -> None:
    """Holds the sums against the files' own counts: each entry is processed once, or listed as failed."""
    for sample in {file.sample for file in plan.files}:
        own = sum(file.entries for file in plan.files if file.sample == sample)
        failed = sum((f.stop or 0) - (f.start or 0) for f in failures if f.sample == sample)
        if collected.entries(sample) + failed != own:
            raise RuntimeError(
                f"{sample}: {collected.entries(sample)} entries processed and {failed} failed, the files have {own}"
            )


def account_for(
    run: Run, job: SkimJob, samples: dict[str, Sample], plan: Plan, collected: Collected, failures: list[Failure]
) -> dict[str, Accounts]:
    """Entries, processed entries and scale of every sample; reads the weights of what was not processed."""

    def sums(parts: list[tuple[str, int, int | None]]) -> list[float | None]:
        answers: dict[tuple[str, int, int | None], float | None] = {}
        for outcome in run.map("cpu", partial(sum_weights, job), parts, len(parts), "weights of unprocessed entries"):
            answers[outcome.item] = outcome.value if outcome.error is None else None
        return [answers[part] for part in parts]

    return {name: account(sample, plan.files, collected, failures, sums) for name, sample in samples.items()}


def process_item(job: SkimJob, item: WorkItem, attempt: int) -> dict[str, Any]:  # noqa: ARG001
    """On a worker: reads one entry range, and gives what the processor makes of it."""
    from processors.chunks import check_finite
    from processors.formats import reader_of

    metadata = {**job.metadata[item.sample], "dataset": item.sample}
    module = importlib.import_module(job.module)
    branches = module.branches(metadata["role"])
    reader = reader_of(job.format)
    events = reader.read(item.path, job.tree, branches, item.start, item.stop, metadata, item.uuid)
    result: dict[str, Any] = _processor(job.module, job.settings, job.luminosity, job.directory).process(events)
    check_finite(result)
    return result


def sum_weights(job: SkimJob, part: tuple[str, int, int | None], attempt: int) -> float:  # noqa: ARG001
    """On a worker: sum of generator weights of an entry range."""
    from processors.formats import reader_of

    path, start, stop = part
    reader = reader_of(job.format)
    last = reader.facts(path, job.tree, ()).entries if stop is None else stop
    return reader.total(path, job.tree, job.weight_branch, start, last)


@lru_cache(maxsize=4)
def _processor(name: str, settings: str, luminosity: float | None, directory: str) -> Any:
    # One processor serves all items of a worker; settings travel as JSON text because the cache needs a hashable key.
    module = importlib.import_module(name)
    return module.build(module.Settings.model_validate_json(settings), luminosity=luminosity, skim_directory=directory)


def _entry(item: WorkItem, job: SkimJob, **facts: Any) -> Entry:
    mark = job.fingerprints[item.sample]
    return Entry(item.key, mark, item.sample, item.path, item.start, item.stop, parent=item.parent, **facts)


def _halves(floor: int, item: WorkItem) -> tuple[WorkItem, WorkItem] | None:
    return item.halves(floor)
