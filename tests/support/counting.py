"""An analysis of the user's own that counts events, as slowly or as deadly as a test asks for."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from support.command import make_source

SAMPLES = ("ZZ", "ttbar_lep")
PROCESSOR = '''
"""Counts events. What FLAG says, while it is there, kills the worker (sample and entry); PAUSE, seconds, slows it."""
import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

FLAG, PAUSE = (Path(__file__).with_name(name) for name in ("flag", "pause"))


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cut: int = 0
    color: str = "blue"


def branches(role):
    return ("eventNumber", "mcWeight")


def tasks(settings, *, seed):
    return []


def build(settings, *, luminosity, skim_directory):
    import awkward as ak
    import hist
    from coffea.processor import ProcessorABC
    from processors.skims import skim_name, write_skim

    class Counting(ProcessorABC):
        def process(self, events):
            facts = events.metadata
            start, stop = facts["entrystart"], facts["entrystop"]
            time.sleep(float(PAUSE.read_text()) if PAUSE.exists() else 0)
            if FLAG.exists():
                sample, entry = FLAG.read_text().split()
                if facts["dataset"] == sample and start <= int(entry) < stop:
                    os.kill(os.getpid(), signal.SIGKILL)
            numbers, weights = ak.to_numpy(events["eventNumber"]), ak.to_numpy(events["mcWeight"])
            chosen = numbers >= settings.cut
            histogram = hist.Hist(hist.axis.Regular(10, 0, 1000, name="event"), storage=hist.storage.Weight())
            histogram.fill(numbers[chosen])
            name = Path(facts["dataset"]) / skim_name(facts["fileuuid"], start, stop)
            rows = write_skim(Path(skim_directory) / name, [{"event": numbers[chosen]}])
            count = lambda keep: {"events": int(keep.sum()), "weighted": float(keep.sum())}
            return {
                facts["dataset"]: {
                    "entries": stop - start,
                    "sum_mc_weight": float(weights.sum()),
                    "cutflow": {"all": count(numbers >= 0), "cut": count(chosen)},
                    "histograms": {"event": histogram},
                    "skims": [{"file": name.as_posix(), "rows": rows}],
                }
            }

        def postprocess(self, accumulator):
            return accumulator

    return Counting()
'''
CONFIGURATION = """
name: counting
title: Counting
datasets: ./samples.yaml
seed: 1
chunk_size: 20
luminosity: 1000.0
retries: {first_pause: 0.05, deaths: 1, smallest_item: 5}
processor: {module: counting_processor}
training: {module: counting_processor}
results: {module: counting_processor}
"""
CATALOGUE = """
label: ATLAS Open Data
sqrt_s_tev: 8
tree: mini
weight_branch: mcWeight
layout: {data: "Data/skim.{sample}.root", simulation: "MC/skim.mc_{dsid}.{sample}.root"}
samples:
  ZZ: {role: signal, process: ZZ, dsid: 105986, xsec: 1.5376, sumw: 243674.74}
  ttbar_lep: {role: background, process: tt, dsid: 117050, xsec: 137.29749, sumw: 49761200.21}
"""


def make_counting(directory: Path, events: int) -> tuple[str, ...]:
    """Writes the analysis and its files below `directory`, where it is to run; gives the arguments of `hepbatch`."""
    (directory / "counting_processor.py").write_text(PROCESSOR)
    (directory / "counting.yaml").write_text(CONFIGURATION)
    (directory / "samples.yaml").write_text(CATALOGUE)
    source = make_source(directory / "source", SAMPLES, events=events)
    return ("skim", "./counting.yaml", "--source", str(source), "--output", str(directory / "out"), "--workers", "2")


def counts(output: Path) -> dict[str, dict[str, int]]:
    """The cutflow of a run, events only."""
    content: dict[str, Any] = json.loads((output / "cutflow.json").read_text())
    return {sample: {cut: one["events"] for cut, one in cuts.items()} for sample, cuts in content.items()}


def skimmed(output: Path, sample: str) -> list[int]:
    """The events in the skim of a sample, sorted."""
    paths = (output / "skim" / sample).glob("*.parquet")
    return sorted(event for path in paths for event in pq.read_table(path)["event"].to_pylist())
