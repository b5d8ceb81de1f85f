"""What of a run is done, missing and failed, from its manifest, its ledger and its lock."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.engine.items import Failure
from analysis.engine.ledger import read_ledger
from analysis.engine.lock import Holder, living_holder
from analysis.errors import UserError
from analysis.manifest import STAGES, Manifest
from analysis.progress import duration
from analysis.summary import show_summary

# How many data sets, and how many failures, the end of a run lists; the verb `status` lists all.
MOST_AT_THE_END = 20
# Their items, failures among them, are in the ledger; what failed in other stages is in the manifest.
IN_LEDGER = ("skim", "train", "predict", "write")

Counts = dict[tuple[str, str], Counter[str]]


def show_status(directory: Path, analysis: str, console: Console, *, terminal: bool, most: int | None = None) -> bool:
    """Shows what a run cost and how it stands, at its end or later; True when it is complete."""
    if (directory / "manifest.json").is_file():
        show_summary(Manifest.load(directory, analysis).content, console, terminal=terminal)
    lines, complete = describe(directory, analysis, most)
    for line in lines:
        console.print(line, markup=False)
    return complete


def describe(directory: Path, analysis: str, most: int | None = None) -> tuple[list[str], bool]:
    """Lines for the user, and whether the run is complete. Raises UserError where there is no run.

    At most `most` counts and `most` failures are listed; None lists all.
    """
    holder = _other_run(directory)
    if holder is not None and not (directory / "manifest.json").is_file():
        return [f"{directory}: {_running(holder)}, starting"], False
    manifest = Manifest.load(directory, analysis).content
    counts, failures = _read(directory, manifest)
    states = sum(counts.values(), Counter[str]())
    complete = manifest["status"] == "complete" and not ("doing" in manifest or failures or states["planned"])
    command = f"hepbatch status {analysis} --output {directory}"
    lines = [f"{directory}: {_headline(manifest, holder)}"]
    lines += _count_lines(counts, failures, most)
    lines += _first([str(failure) for failure in failures], most, f"more: {command} shows all")
    return lines, complete


def interruption(directory: Path, reason: object) -> str:
    """A sentence on what of an interrupted run is done, and how to go on."""
    counts, _ = read_ledger(directory / "ledger")
    stages: dict[str, Counter[str]] = {}
    for (stage, _), states in counts.items():
        stages.setdefault(stage, Counter()).update(states)
    done = [
        f"{stage}: {states['done']} of {states['done'] + states['planned'] + states['failed']} done"
        + (f", {states['failed']} failed" if states["failed"] else "")
        for stage, states in stages.items()
    ]
    return f"interrupted by {reason}; {'; '.join(done) or 'nothing was done yet'}; the same command goes on from there"


def _other_run(directory: Path) -> Holder | None:
    """The run that goes on in the directory, if that is not this process, which is at its end."""
    holder = living_holder(directory)
    return None if holder is None or holder.is_this_process else holder


def _headline(manifest: dict[str, Any], holder: Holder | None) -> str:
    doing = manifest.get("doing")
    if holder is not None:
        return _running(holder) + (f", stage {doing}" if doing else "")
    if doing or manifest["status"] == "running":
        stage = f" in the stage {doing}" if doing else ""
        return f"interrupted{stage}: the same command goes on (started {manifest['started']})"
    return f"{manifest['status']}, started {manifest['started']}, finished {manifest.get('finished', 'never')}"


def _running(holder: Holder) -> str:
    return f"running on {holder.host}, process {holder.pid}, last sign of life {duration(holder.silent)} ago"


def _read(directory: Path, manifest: dict[str, Any]) -> tuple[Counts, list[Failure]]:
    """States per stage and data set, and all failures, in the order of the stages."""
    try:
        counts, failed = read_ledger(directory / "ledger")
    except sqlite3.Error as problem:
        raise UserError(f"the ledger in {directory / 'ledger'} cannot be read now: {problem}") from problem
    counts = {key: states for key, states in counts.items() if _up_to_date(key[0], manifest)}
    failures = [
        Failure(stage, e.sample, e.path, e.start, e.stop, str(e.error), e.attempts, e.worker, e.host)
        for stage, e in failed
        if _up_to_date(stage, manifest)
    ]
    failures += [Failure(**one) for one in manifest["failures"] if one["stage"] not in IN_LEDGER]
    failures.sort(key=lambda one: (STAGES.index(one.stage), one.sample, one.file, one.start or 0))
    return counts, failures


def _up_to_date(stage: str, manifest: dict[str, Any]) -> bool:
    """Whether the ledger's rows of a stage belong to this run: a later stage of an earlier one waits to be planned."""
    doing = manifest.get("doing")
    if stage in manifest["stages"] or stage == doing:
        return True
    # While the files are opened, the skim stands where the last session left it.
    return stage == "skim" and doing in ("simulate", "plan")


def _count_lines(counts: Counts, failures: Sequence[Failure], most: int | None) -> list[str]:
    """A line per stage and data set; where there are too many, those first in which something is missing or failed."""
    unopened = Counter((one.stage, one.sample) for one in failures if one.stage not in IN_LEDGER)
    lines = [f"{stage} {sample}: {number} failed" for (stage, sample), number in sorted(unopened.items())]
    rows = sorted(counts.items(), key=lambda row: (STAGES.index(row[0][0]), row[0][1]))
    if most is not None and len(rows) > most:
        rows.sort(key=lambda row: not (row[1]["planned"] or row[1]["failed"]))
    return lines + _first(
        [
            f"{stage} {sample}: {states['done']} done, {states['planned']} missing, {states['failed']} failed"
            for (stage, sample), states in rows
        ],
        most,
        "more data sets",
    )


def _first(lines: list[str], most: int | None, rest: str) -> list[str]:
    if most is None or len(lines) <= most:
        return lines
    return [*lines[:most], f"... and {len(lines) - most} {rest}"]
