"""Collecting what work items return: reduced as it arrives, safe together with the ledger, written once at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.datasets.samples import Sample
from analysis.files import replacing, write_json, write_text


@dataclass
class Collected:
    """The sum of all finished work items per sample."""

    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)

    @classmethod
    def from_texts(cls, texts: dict[str, str]) -> Collected:
        """The sums of an earlier session, as `texts` gave them to the ledger."""
        return cls({sample: _decoded(text) for sample, text in texts.items()})

    def add(self, sample: str, content: dict[str, Any]) -> None:
        """Adds one item's accumulator, which may become part of the sum."""
        if sample in self.totals:
            _add(self.totals[sample], content)
        else:
            self.totals[sample] = content
        self._changed.add(sample)

    def changed(self) -> dict[str, str]:
        """The sums that changed since the last call, as JSON text that `from_texts` reads."""
        texts = {sample: _encoded(self.totals[sample]) for sample in self._changed}
        self._changed.clear()
        return texts

    def entries(self, sample: str) -> int:
        """Entries processed of a sample."""
        return int(self.totals[sample]["entries"]) if sample in self.totals else 0

    def sum_of_weights(self, sample: str) -> float:
        """Sum of generator weights over the processed entries of a sample."""
        return float(self.totals[sample]["sum_mc_weight"]) if sample in self.totals else 0.0


def write_outcome(directory: Path, collected: Collected, samples: dict[str, Sample]) -> None:
    """Writes cutflow.json, histograms.json (UHI) and histograms.root, samples in the order of the catalogue.

    What a processor notes of the files (sentence: entries) goes into notes.json, for processors that note anything.
    """
    totals = {name: collected.totals[name] for name in samples if name in collected.totals}
    cutflow = {
        name: {
            cut: {"events": int(count["events"]), "weighted": float(count["weighted"])}
            for cut, count in total["cutflow"].items()
        }
        for name, total in totals.items()
    }
    write_json(directory / "cutflow.json", cutflow)
    if any("notes" in total for total in totals.values()):
        write_json(directory / "notes.json", {name: total.get("notes", {}) for name, total in totals.items()})
    histograms = {name: total["histograms"] for name, total in totals.items()}
    write_text(directory / "histograms.json", _encoded(histograms))
    _write_root(directory / "histograms.root", histograms)


def _add(total: dict[str, Any], content: dict[str, Any]) -> None:
    """What `coffea.processor.accumulate` does, for what a sum may hold: mappings, numbers and histograms.

    Finding out what else an object could be took coffea most of the time that the driver has for an item.
    """
    for key, value in content.items():
        if key not in total:
            total[key] = value
        elif isinstance(value, dict):
            _add(total[key], value)
        else:
            total[key] += value


def _encoded(content: Any) -> str:
    import uhi.io.json

    return json.dumps(content, default=uhi.io.json.default)


def _decoded(text: str) -> dict[str, Any]:
    import hist
    import uhi.io.json

    content: dict[str, Any] = json.loads(text, object_hook=uhi.io.json.object_hook)
    content["histograms"] = {name: hist.Hist(one) for name, one in content["histograms"].items()}
    return content


def _write_root(path: Path, histograms: dict[str, dict[str, Any]]) -> None:
    import uproot

    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        for sample, named in histograms.items():
            for name, histogram in named.items():
                file[f"{sample}/{name}"] = histogram
