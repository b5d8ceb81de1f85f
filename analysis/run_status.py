"""What of a run is done, missing and failed, from its ledger."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from analysis.engine.ledger import read_ledger
from analysis.manifest import Manifest


def describe(directory: Path, analysis: str) -> tuple[list[str], bool]:
    """Lines for the user, and whether the run is complete. Raises UserError where there is no run."""
    manifest = Manifest.load(directory, analysis)
    lines = [f"{directory}: {manifest.content['status']}, started {manifest.content['started']}"]
    counts, failed = read_ledger(directory / "ledger")
    for (stage, sample), states in counts.items():
        missing = states["planned"]
        lines.append(f"{stage} {sample}: {states['done']} done, {missing} missing, {states['failed']} failed")
    for stage, entry in failed:
        entries = "" if entry.stop is None else f" entries {entry.start} to {entry.stop}"
        tries = f" ({entry.attempts} attempts, {entry.worker})" if entry.worker else f" ({entry.attempts} attempts)"
        lines.append(f"failed: {stage}: {entry.sample}: {entry.path}{entries}: {entry.error}{tries}")
    lines += manifest.failure_lines(without={"skim", "train"})  # those are in the ledger
    return lines, manifest.content["status"] == "complete"


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
