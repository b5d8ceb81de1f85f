"""Collecting what work items return: reduced as it arrives, written once at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.datasets.samples import Sample
from analysis.engine.items import WorkItem
from analysis.files import replacing, write_json, write_text


@dataclass
class Collected:
    """The sum of all finished work items per sample, their skim files, and the failed ones with their errors."""

    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: list[tuple[WorkItem, str]] = field(default_factory=list)
    skims: set[str] = field(default_factory=set)

    def add(self, item: WorkItem, result: dict[str, Any]) -> None:
        """Adds one item's accumulator; the item fails where the processor saw another number of entries than it has."""
        from coffea.processor import accumulate

        (sample, part), *others = result.items()
        if others or sample != item.sample or part["entries"] != item.entries:
            seen = {name: content["entries"] for name, content in result.items()}
            self.failed.append((item, f"expected {item.entries} entries of {item.sample}, the processor saw {seen}"))
            return
        self.skims.update(skim["file"] for skim in part["skims"])
        part = {key: value for key, value in part.items() if key != "skims"}
        self.totals[sample] = accumulate([part], self.totals.get(sample))

    def entries(self, sample: str) -> int:
        """Entries processed of a sample."""
        return int(self.totals[sample]["entries"]) if sample in self.totals else 0

    def sum_of_weights(self, sample: str) -> float:
        """Sum of generator weights over the processed entries of a sample."""
        return float(self.totals[sample]["sum_mc_weight"]) if sample in self.totals else 0.0


def write_outcome(directory: Path, collected: Collected, samples: dict[str, Sample]) -> None:
    """Writes cutflow.json, histograms.json (UHI) and histograms.root, samples in the order of the catalogue."""
    totals = {name: collected.totals[name] for name in samples if name in collected.totals}
    cutflow = {
        name: {
            cut: {"events": int(count["events"]), "weighted": float(count["weighted"])}
            for cut, count in total["cutflow"].items()
        }
        for name, total in totals.items()
    }
    write_json(directory / "cutflow.json", cutflow)
    histograms = {name: total["histograms"] for name, total in totals.items()}
    _write_uhi(directory / "histograms.json", histograms)
    _write_root(directory / "histograms.root", histograms)


def _write_uhi(path: Path, histograms: dict[str, dict[str, Any]]) -> None:
    import uhi.io.json

    write_text(path, json.dumps(histograms, default=uhi.io.json.default))


def _write_root(path: Path, histograms: dict[str, dict[str, Any]]) -> None:
    import uproot

    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        for sample, named in histograms.items():
            for name, histogram in named.items():
                file[f"{sample}/{name}"] = histogram
