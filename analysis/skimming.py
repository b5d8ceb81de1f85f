"""The skim stage: process the work items that are not done yet; collect cutflow, histograms and Parquet skims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from analysis.collecting import Collected, write_outcome
from analysis.datasets.samples import Sample, without_files
from analysis.engine.attempts import Kind, Outcome
from analysis.engine.items import Failure, InputFile, WorkItem, split
from analysis.engine.ledger import Entry, Skim
from analysis.engine.stopping import Stopped
from analysis.normalisation import Accounts, account
from analysis.planning import Plan, make_plan
from analysis.progress import say
from analysis.run import Run
from analysis.skim_files import finish, join_small, publish, restore
from analysis.skim_job import Processed, SkimJob, make_job, process_item, sum_weights

STAGE = "skim"
# After so many items, the small files they wrote are joined: a directory of a million entries serves nobody.
JOIN_INTERVAL = 5000


def skim(run: Run, samples: dict[str, Sample], limit_files: int | None) -> bool:
    """Skims every sample into the run directory; True when each work item is done and each yield is known.

    What an earlier session has done with the same code and configuration is kept. Writes cutflow.json, histograms.json,
    histograms.root, skim/ and the manifest's samples and inputs.
    """
    files = [
        InputFile(name, path, tuple(sample.replicas.get(path, ())))
        for name, sample in samples.items()
        for path in sample.files[: limit_files or None]
    ]
    with run.manifest.stage("plan") as facts:
        plan = make_plan(run, files, {name: one.tree for name, one in samples.items() if one.tree is not None})
        facts.update(
            files=len(files), remembered=plan.remembered, failed=len(plan.failures), bytes_read=plan.bytes_read
        )
    run.manifest.add_failures([*plan.failures, *plan.copies])
    samples = {name: without_files(one, {copy.file for copy in plan.copies}) for name, one in samples.items()}
    job = make_job(run, samples)
    with run.manifest.stage(STAGE) as facts:
        skimming = Skimming(run, job, plan)
        skimming.process()
        collected = skimming.collected
        write_outcome(run.directory, collected, samples)
        failures = failures_of(run)
        check_entries(plan, collected, failures)
        facts.update(skimming.facts(samples))
    run.manifest.add_failures(failures)
    say(
        f"skim: {facts['items']} items in {facts['seconds']:.1f} s: {facts['done_now']} done now, {facts['kept']} "
        f"before, {facts['failed']} failed; {facts['entries']} entries in all"
    )
    accounts = account_for(run, job, samples, plan, collected, failures)
    run.manifest.content["samples"] = {name: one.as_json() for name, one in accounts.items()}
    run.manifest.content["simulated"] = any(sample.simulated for sample in samples.values())
    run.manifest.content["inputs"] = [
        {"path": f.path, "sample": f.sample, "uuid": f.uuid, "size": f.size, "entries": f.entries} for f in plan.files
    ]
    return not (failures or plan.failures or plan.copies) and all(one.scale is not None for one in accounts.values())


@dataclass
class Skimming:
    """The work items of a plan on their way: what they give goes to the sums, the ledger and the skim directory."""

    run: Run
    job: SkimJob
    plan: Plan
    collected: Collected = field(default_factory=Collected)
    done: int = 0
    bytes_read: int = 0
    read_retries: int = 0
    entries: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._ledger = self.run.ledger
        self._directory = Path(self.job.directory)
        self._staged: list[Skim] = []  # of items that are not committed yet
        self._parts: set[str] = set()  # of items that were split in this session: the dispatcher has them

    def process(self) -> None:
        """Processes the work items that are not done."""
        ledger = self._ledger
        ledger.plan(STAGE, (self._entry(item) for file in self.plan.files for item in split(file, self._chunk)))
        for sample in restore(self._directory, ledger):
            say(f"{sample}: skim files are missing or not as they were written: the sample is skimmed again")
            ledger.begin_again(STAGE, sample)
            finish(self._directory, ledger)
        self.collected = Collected.from_texts(ledger.sums(STAGE))
        self.kept = ledger.count(STAGE, "done")
        states = ("planned", "failed") if self.run.retry_failed else ("planned",)
        kind = Kind(partial(_halves, self.run.configuration.retries.smallest_item), WorkItem.addresses)
        due = ledger.count(STAGE, *states)
        try:
            for outcome in self.run.map(
                "cpu", partial(process_item, self.job), self._feed(states), due, "skimming", kind=kind,
                longest=self.run.configuration.retries.longest_item,
            ):  # fmt: skip
                self._end(outcome)
                if ledger.due():
                    self._commit()
        except Stopped as stopped:
            if not stopped.at_once:  # otherwise an item may be in the sums and not yet in the ledger: neither is kept
                self._commit()
            raise
        self._commit()
        self._join()
        finish(self._directory, ledger)

    def facts(self, samples: dict[str, Sample]) -> dict[str, Any]:
        """What the manifest says of the stage."""
        ledger = self._ledger
        return {
            "items": ledger.count(STAGE, "done", "failed"),
            "done_now": self.done,
            "kept": self.kept,
            "failed": ledger.count(STAGE, "failed"),
            "entries": sum(self.collected.entries(name) for name in samples),
            "entries_now": self.entries,
            "bytes_read": self.bytes_read,
            "read_retries": self.read_retries,
            "worker_seconds": round(self.seconds, 3),
        }

    @property
    def _chunk(self) -> int:
        return self.run.configuration.chunk_size

    def _feed(self, states: tuple[str, ...]) -> Iterator[WorkItem]:
        """The items that are due, from the ledger as they are needed."""
        files = {(file.sample, file.path): file for file in self.plan.files}
        for number, entry in enumerate(self._ledger.rows(STAGE, *states), start=1):
            if entry.key in self._parts:
                continue
            file = files[entry.sample, entry.path]
            start, stop = entry.start or 0, entry.stop or 0
            yield WorkItem(file.sample, file.path, file.uuid, start, stop, entry.parent, file.replicas, file.divisible)
            if number % JOIN_INTERVAL == 0:
                self._commit()
                self._join()

    def _end(self, outcome: Outcome) -> None:
        item: WorkItem = outcome.item
        facts: dict[str, Any] = {
            "attempts": outcome.attempts, "worker": outcome.worker, "host": outcome.host,
            "seconds": round(outcome.seconds, 4),
        }  # fmt: skip
        if outcome.split:
            self._ledger.record(STAGE, self._entry(item, state="split", **facts))
            for part in outcome.split:
                self._parts.add(part.key)
                self._ledger.record(STAGE, self._entry(part))
            return
        self.seconds += outcome.seconds
        if outcome.error is not None:
            self._ledger.record(STAGE, self._entry(item, state="failed", error=outcome.error, **facts))
            return
        processed: Processed = outcome.value
        self.collected.add(item.sample, processed.content)
        self._ledger.record(STAGE, self._entry(item, state="done", **facts), processed.skim)
        if processed.skim is not None:
            self._staged.append(processed.skim)
        self.done += 1
        self.entries += item.entries
        self.bytes_read += processed.bytes_read
        self.read_retries += processed.read_retries

    def _commit(self) -> None:
        self._ledger.commit(STAGE, self.collected.changed())
        publish(self._directory, self._staged)
        self._staged.clear()

    def _join(self) -> None:
        # No progress of its own: this is in the middle of the skim's.
        for problem in join_small(
            self._directory, self._ledger, lambda function, joins: self.run.map("cpu", function, joins, len(joins), "")
        ):
            say(problem)

    def _entry(self, item: WorkItem, **facts: Any) -> Entry:
        mark = self.job.fingerprints[item.sample]
        return Entry(item.key, mark, item.sample, item.path, item.start, item.stop, parent=item.parent, **facts)


def failures_of(run: Run) -> list[Failure]:
    """The failed items of the ledger."""
    return [
        Failure(STAGE, e.sample, e.path, e.start, e.stop, str(e.error), e.attempts, e.worker, e.host)
        for e in run.ledger.rows(STAGE, "failed")
    ]


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

    def sums(name: str, parts: list[tuple[str, int, int | None]]) -> list[float | None]:
        answers: dict[tuple[str, int, int | None], float | None] = {}
        read = partial(sum_weights, job, name)
        for outcome in run.map("cpu", read, parts, len(parts), "weights of unprocessed entries"):
            answers[outcome.item] = outcome.value if outcome.error is None else None
        return [answers[part] for part in parts]

    return {
        name: account(sample, plan.files, collected, failures, partial(sums, name)) for name, sample in samples.items()
    }


def _halves(floor: int, item: WorkItem) -> tuple[WorkItem, WorkItem] | None:
    return item.halves(floor)
