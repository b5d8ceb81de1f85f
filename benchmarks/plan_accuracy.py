"""What `hepbatch plan` predicts against what then happens, on local runs of three analyses.

Each analysis is simulated once, planned, and run: `python -m benchmarks.plan_accuracy`. With `--skim-only` no training
is tried and none is run. The exit status is 1 where a prediction is off by more than 30 %. Nothing else may run on the
machine: a prediction is as right as the machine is steady.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ANALYSES = ("higgs4l", "dijet_anomaly", "lepton_id")
WITHIN = 0.3
HEPBATCH = Path(sys.executable).parent / "hepbatch"


@dataclass(frozen=True)
class Compared:
    """One quantity of a run as it was predicted, and as it then was; `required` where it decides."""

    what: str
    predicted: float
    happened: float
    required: bool = True

    @property
    def off(self) -> float:
        """By which part of what happened the prediction is off."""
        return abs(self.predicted - self.happened) / self.happened if self.happened else float(self.predicted != 0)

    @property
    def missed(self) -> bool:
        """Whether it is off by more than is allowed."""
        return self.required and self.off > WITHIN


def compare(plan: dict[str, Any], manifest: dict[str, Any]) -> Iterator[Compared]:
    """The quantities of a plan (plan.json) beside those of a run (manifest.json)."""
    skim, opening = manifest["stages"]["skim"], manifest["stages"]["plan"]
    began, skimming = (datetime.fromisoformat(one["started"]) for one in (manifest, skim))
    pools: dict[str, list[dict[str, Any]]] = {"cpu": [], "gpu": []}
    for worker in manifest["workers"]:
        pools[worker["pool"]].append(worker)
    skimmed = (skimming - began).total_seconds() + skim["seconds"]
    train = manifest["stages"].get("train")
    if train is None:
        yield Compared("wall time [s]", plan["seconds"], skimmed)
    else:
        ended = datetime.fromisoformat(train["started"]) - began
        # Null where the trainings could not be tried: that is no prediction, and missed.
        yield Compared("wall time [s]", plan["total_seconds"] or 0.0, ended.total_seconds() + train["seconds"])
        yield Compared("of it until the skim [s]", plan["seconds"], skimmed, required=False)
        yield Compared("of it training [s]", plan["train_seconds"] or 0.0, train["seconds"], required=False)
    yield Compared("of it skim [s]", plan["skim_seconds"], skim["seconds"], required=False)
    yield Compared("of it opening [s]", plan["plan_seconds"], opening["seconds"], required=False)
    yield Compared("read [MB]", plan["bytes_read"] / 1e6, skim["bytes_read"] / 1e6)
    peak = max(worker["peak_memory_bytes"] for worker in pools["cpu"])
    yield Compared("memory [MB]", plan["memory_bytes"] / 1e6, peak / 1e6)
    if train is not None:
        busy = sum(worker["busy_seconds"] for worker in pools["gpu"])
        yield Compared("device [s]", (plan["device_hours"] or 0.0) * 3600, busy)


def measure(
    analysis: str, directory: Path, source: str | None, options: Sequence[str], *, train: bool
) -> list[Compared]:
    """Plans and runs one analysis in a directory; a source that is None is simulated there first."""
    if source is None:
        source = str(directory / "source")
        _hepbatch("datasets", "simulate", analysis, "--output", source, *options)
    words = (analysis, "--source", source, *options)
    _hepbatch("plan", *words, *(() if train else ("--skim-only",)), "--output", str(directory / "plan"))
    _hepbatch("run" if train else "skim", *words, "--output", str(directory / "run"))
    plan, manifest = (directory / "plan" / "plan.json", directory / "run" / "manifest.json")
    return list(compare(json.loads(plan.read_text()), json.loads(manifest.read_text())))


def report(analysis: str, found: Sequence[Compared]) -> bool:
    """Prints the comparison; True where all is within what is required."""
    for one in found:
        verdict = "MISSED" if one.missed else "" if one.required else "(a part)"
        sys.stdout.write(
            f"{analysis:14} {one.what:24} predicted {one.predicted:10.4g}  happened {one.happened:10.4g}  "
            f"off by {one.off:4.0%} {verdict}\n"
        )
    sys.stdout.flush()
    return not any(one.missed for one in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares all that is asked for; 1 where a prediction is off by more than 30 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_accuracy", description=__doc__)
    parser.add_argument("--analysis", action="append", choices=ANALYSES, help="may be repeated; all three without")
    parser.add_argument("--source", action="append", default=[], metavar="ANALYSIS=DIR", help="files that are there")
    parser.add_argument("--workers", default="2", help="of the local cluster")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for every hepbatch")
    parser.add_argument("--skim-only", action="store_true", help="without trainings")
    given = parser.parse_args(arguments)
    sources = dict(one.split("=", 1) for one in given.source if "=" in one)
    if len(sources) < len(given.source) or not set(sources) <= set(ANALYSES):
        parser.error(f"--source is ANALYSIS=DIR, with an analysis of {', '.join(ANALYSES)}")
    options = ["--workers", given.workers, *(word for one in given.set for word in ("--set", one))]
    right = True
    for analysis in given.analysis or ANALYSES:
        with tempfile.TemporaryDirectory(prefix="plan-accuracy-") as directory:
            found = measure(analysis, Path(directory), sources.get(analysis), options, train=not given.skim_only)
        right = report(analysis, found) and right
    return 0 if right else 1


def _hepbatch(*words: str) -> None:
    """Runs a command; what it says is shown only where it fails. Exit status 1: a sample is not in the source."""
    done = subprocess.run([str(HEPBATCH), *words], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise SystemExit(f"hepbatch {' '.join(words)}:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
