"""The coffea processor of higgs4l: weights, cutflow, histogram and skim of one chunk of events."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
from coffea import processor

from processors.higgs4l import CUTS, EVENT_BRANCHES, HISTOGRAM_CUT, LEPTON_BRANCHES, WEIGHT_BRANCHES, Settings
from processors.higgs4l_selection import Selected, at_least_four, exactly_four, select, small_integers
from processors.kinematics import Bools, Doubles
from processors.selections import Array, flat_content, scalar_content
from processors.skims import skim_name, write_skim

Histogram = hist.Hist[hist.storage.Weight]

#: Events that are selected at once: their arrays stay in the processor's cache, which halves the time of the selection.
BLOCK = 16384


class Higgs4lProcessor(processor.ProcessorABC):  # type: ignore[misc]
    """Skims four-lepton events; runs on chunks of `processors.readers` and under coffea's own Runner.

    `process` returns `{dataset: {"entries", "sum_mc_weight", "cutflow", "histograms", "skims"}}`, which
    `coffea.processor.accumulate` adds up.
    """

    def __init__(self, settings: Settings, *, luminosity: float, skim_directory: str | None = None) -> None:
        self.settings = settings
        self.luminosity = luminosity
        self.skim_directory = skim_directory

    def branches(self, role: str) -> tuple[str, ...]:
        """The branches that a file of a sample with this role must have."""
        return self.settings.branches(role)

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        """Selects the events of one chunk, writes its skim if a directory was given, and returns the accumulator.

        Raises ValueError if a simulated data set lacks its normalisation or the lepton branches do not fit `lep_n`.
        """
        metadata = events.metadata
        column = self.settings.column
        weight, mc_weight = self._weights(events, metadata)
        counts, flat = _leptons(events, metadata, column)
        bounds = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=bounds[1:])
        run, number = (scalar_content(events[column(name)]) for name in EVENT_BRANCHES[:2])
        histogram = self._histogram()
        cutflow = {cut: {"events": 0, "weighted": 0.0} for cut in CUTS}
        _add(cutflow["all"], weight)
        tables = []
        for start in range(0, len(weight), BLOCK):
            block = slice(start, min(start + BLOCK, len(weight)))
            values = {name: array[bounds[start] : bounds[block.stop]] for name, array in flat.items()}
            chosen, left, selected = self._select(counts[block], values)
            rows = np.flatnonzero(chosen) + start
            self._count(selected, weight[rows], cutflow, histogram)
            if self.skim_directory is not None and len(rows):
                columns: dict[str, Array] = {
                    "run": run[rows].astype(np.int32),
                    "event": number[rows].astype(np.int64),
                    "entry": rows + int(metadata["entrystart"]),
                    "lep_n": left,
                }
                columns |= selected.columns | {"weight": weight[rows], "mc_weight": mc_weight[rows]}
                columns["pass_four_leptons"] = np.ones(len(rows), dtype=np.bool_)
                tables.append(columns | {f"pass_{cut}": passed for cut, passed in selected.passes.items()})
        return {
            metadata["dataset"]: {
                "entries": len(weight),
                "sum_mc_weight": float(mc_weight.sum()),
                "cutflow": cutflow,
                "histograms": {"m4l": histogram},
                "skims": self._write(tables, metadata),
            }
        }

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Returns the accumulator as it is."""
        return accumulator

    def _weights(self, events: Any, metadata: Mapping[str, Any]) -> tuple[Doubles, Doubles]:
        """Full weight at the configured luminosity, and generator weight, of every event; 1 for data."""
        if metadata["role"] == "data":
            ones = np.ones(len(events), dtype=np.float64)
            return ones, ones
        xsec, sumw, efficiency = (
            self._number(events, metadata, key, branch)
            for key, branch in (
                ("xsec", self.settings.xsec_column),
                ("sumw", self.settings.sumw_column),
                ("reduction_efficiency", None),
            )
        )
        mc_weight, *factors = (scalar_content(events[self.settings.column(branch)]) for branch in WEIGHT_BRANCHES)
        mc_weight = mc_weight.astype(np.float64)
        weight = mc_weight
        for factor in factors:
            weight = weight * factor
        return weight * (self.luminosity * xsec / (sumw * efficiency)), mc_weight

    @staticmethod
    def _number(events: Any, metadata: Mapping[str, Any], key: str, branch: str | None) -> Any:
        """A number of the normalisation, of the sample or of each event; ValueError for one that cannot be used."""
        if branch is not None:
            values = scalar_content(events[branch]).astype(np.float64)
            wrong = values[~np.isfinite(values) | (values == 0)]
            if len(wrong):
                raise ValueError(f"{branch} of {metadata['dataset']} is {wrong[0]} in {len(wrong)} events")
            return values
        value = metadata.get(key)
        if value is None or not math.isfinite(value) or value == 0:
            raise ValueError(f"the simulated data set {metadata['dataset']} needs a number for {key}, not {value}")
        return float(value)

    def _select(self, counts: Array, flat: Mapping[str, Array]) -> tuple[Bools, Array, Selected]:
        """Which events pass `four_leptons`, how many leptons they are left with, and what the selection gives."""
        if self.settings.leptons == "exactly_4":
            chosen, leptons = exactly_four(counts, flat)
            left = np.full(len(leptons), 4, dtype=np.int32)
        else:
            chosen, leptons, left = at_least_four(counts, flat, self.settings)
        return chosen, left, select(leptons, self.settings)

    def _histogram(self) -> Histogram:
        low, high = self.settings.histogram_range
        axis = hist.axis.Regular(self.settings.histogram_bins, low, high, name="m4l", label="m4l [GeV]")
        return hist.Hist(axis, storage=hist.storage.Weight())

    @staticmethod
    def _count(selected: Selected, weight: Doubles, cutflow: dict[str, dict[str, Any]], histogram: Histogram) -> None:
        """Adds a block of events that pass `four_leptons` to the cumulative cutflow and to the histogram."""
        remaining: Bools = np.ones(len(weight), dtype=np.bool_)
        for cut in CUTS[1:]:
            if cut in selected.passes:
                remaining = remaining & selected.passes[cut]
            passing = weight[remaining]
            _add(cutflow[cut], passing)
            if cut == HISTOGRAM_CUT:
                histogram.fill(m4l=selected.columns["m4l"][remaining], weight=passing)

    def _write(self, tables: list[dict[str, Array]], metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Writes the skim of this chunk and gives its record, or nothing if there is no row or no directory."""
        if self.skim_directory is None or not tables:
            return []
        start, stop = int(metadata["entrystart"]), int(metadata["entrystop"])
        file_uuid = str(metadata["fileuuid"])
        name = Path(metadata["dataset"]) / skim_name(file_uuid, start, stop)
        rows = write_skim(Path(self.skim_directory) / name, tables, compression=self.settings.compression)
        return [{"file": name.as_posix(), "uuid": file_uuid, "start": start, "stop": stop, "rows": rows}]


def _add(entry: dict[str, Any], weight: Doubles) -> None:
    entry["events"] += len(weight)
    entry["weighted"] += float(weight.sum())


def _leptons(events: Any, metadata: Mapping[str, Any], column: Callable[[str], str]) -> tuple[Array, dict[str, Array]]:
    """How many leptons every event has, and the lepton branches of all events one after another."""
    counts = scalar_content(events[column("lep_n")]).astype(np.int64)
    flat = {}
    for branch in LEPTON_BRANCHES:
        flat[branch], own_counts = flat_content(events[column(branch)])
        if not np.array_equal(own_counts, counts):
            raise ValueError(
                f"{column(branch)} does not have {column('lep_n')} entries in every event of {metadata['filename']}"
            )
    flat["lep_charge"] = small_integers(flat["lep_charge"], "lep_charge")
    flat["lep_type"] = small_integers(flat["lep_type"], "lep_type")
    return counts, flat
