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
    skim = read_ledger(directory / "ledger", "skim")
    for sample in sorted({entry["sample"] for entry in skim.values() if "sample" in entry}):
        states = Counter(entry["state"] for entry in skim.values() if entry.get("sample") == sample)
        lines.append(f"skim {sample}: {_counts(states)}")
    training = read_ledger(directory / "ledger", "train")
    if training:
        lines.append(f"train: {_counts(Counter(entry['state'] for entry in training.values()))}")
    lines += manifest.failure_lines()
    return lines, manifest.content["status"] == "complete"


def _counts(states: Counter[str]) -> str:
    return f"{states['done']} done, {states['planned']} missing, {states['failed']} failed"
