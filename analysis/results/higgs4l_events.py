"""Skimmed four-lepton events of a run, the selections the report compares, and their yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import UserError
from analysis.results.data_overlap import cross_stream_overlap
from analysis.results.plot_style import COLOURS
from analysis.results.quantities import Quantity, Results, total
from analysis.results.run_files import RunDirectory, SampleRecord
from analysis.results.run_sections import sample_flags
from analysis.results.statistics import observed_yield, per_generated_event, weighted_yield
from analysis.results.tables import EventTable

WINDOW = "mass_window"
SKIMMED = "four_leptons"
LEPTONS = range(1, 5)
# Colours of the notebook "How to rediscover the Higgs boson yourself"; the stack is drawn in this order.
PROCESS_STYLE = {
    "other": ("other", "#9b9b9b"),  # at 13 TeV; the notebook has none
    "Z, tt": (r"$Z, t\bar{t}$", "#8700da"),
    "ZZ": (r"$ZZ$", "#f90000"),
    "H125": (r"$H \rightarrow ZZ^{*} \rightarrow 4\ell$ (125 GeV)", "#4faeff"),
}

FEATURES = (
    *(f"lep{i}_{name}" for name in ("pt", "eta", "phi") for i in LEPTONS),
    "m4l", "pt4l", "y4l", "m_z1", "m_z2", "cos_theta_star", "cos_theta1", "cos_theta2", "phi", "phi1",
)  # fmt: skip
ISOLATION = tuple(f"lep{i}_{name}" for name in ("etcone20", "d0_significance", "type") for i in LEPTONS)
COLUMNS = ("run", "event", "entry", "lep_n", "weight", *FEATURES, *ISOLATION)


@dataclass(frozen=True)
class Selection:
    """A named set of cuts on skimmed events."""

    name: str
    title: str
    cuts: tuple[str, ...]


@dataclass(frozen=True)
class FourLeptonEvents:
    """Events of every sample that pass `four_leptons`, data events of two streams counted once.

    `cuts` are all cuts after `four_leptons` in their order; the columns `pass_<cut>` hold each of them alone.
    """

    records: Mapping[str, SampleRecord]
    tables: Mapping[str, EventTable]
    cuts: tuple[str, ...]
    duplicates: int

    def names(self, role: str) -> list[str]:
        """Samples of a role."""
        return [name for name, record in self.records.items() if record.role == role]

    @property
    def processes(self) -> dict[str, list[str]]:
        """Samples of every simulated process, in the order of the stack."""
        groups: dict[str, list[str]] = {name: [] for name in PROCESS_STYLE}
        for name, record in self.records.items():
            if record.role != "data":
                groups.setdefault(record.process, []).append(name)
        return {process: names for process, names in groups.items() if names}

    @property
    def selections(self) -> tuple[Selection, ...]:
        """From all skimmed events to the cut-based selection."""
        before = tuple(cut for cut in self.cuts if cut != WINDOW)
        return (
            Selection("four_leptons", "Four leptons", ()),
            Selection("no_cuts", "No cuts, in the mass window", (WINDOW,)),
            Selection("selected", "All cuts but the mass window", before),
            Selection("cut_based", "Cut-based, in the mass window", self.cuts),
        )

    def selection(self, name: str) -> Selection:
        """A selection by its name."""
        return next(selection for selection in self.selections if selection.name == name)

    def mask(self, sample: str, cuts: tuple[str, ...]) -> NDArray[np.bool_]:
        """Events of a sample that pass all of `cuts`."""
        return self.tables[sample].passing(f"pass_{cut}" for cut in cuts)

    def weights(self, sample: str) -> NDArray[np.float64]:
        """Scaled weights of a sample's events at the run's luminosity; unscaled where the scale is not known."""
        scale = self.records[sample].scale
        return np.asarray(self.tables[sample]["weight"], dtype=np.float64) * (1.0 if scale is None else scale)

    def expected(self, sample: str, cuts: tuple[str, ...]) -> Quantity:
        """Yield of a sample after cuts: weighted for a simulated one, a count for data; None where it is not known."""
        record, keep = self.records[sample], self.mask(sample, cuts)
        flags = sample_flags(sample, record)
        if record.role == "data":
            count = observed_yield(int(np.count_nonzero(keep)), flags)
            return count if record.scale is not None else count.times(None)
        table = self.tables[sample]
        independent = per_generated_event(table["weight"][keep], table["run"][keep], table["event"][keep])
        return weighted_yield(independent, record.scale, flags)


def process_style(process: str) -> tuple[str, str]:
    """Title (matplotlib text) and colour of a process; processes this analysis does not know get a neutral colour."""
    return PROCESS_STYLE.get(process, (process, COLOURS[7]))


def load_events(run: RunDirectory) -> FourLeptonEvents:
    """Read the skim of a run. Raises UserError when there is none or it does not agree with the cutflow."""
    run.require_skim()
    records = run.manifest.samples
    cuts = _cut_names(run)
    columns = (*COLUMNS, *(f"pass_{cut}" for cut in cuts))
    tables = {name: run.skim(name, columns) for name in records}
    for name, counts in run.cutflow.items():
        if name not in tables:
            raise UserError(f"{run.path / 'cutflow.json'} has the sample {name!r}, which manifest.json does not know")
        if len(tables[name]) != counts[SKIMMED].events:
            raise UserError(
                f"the skim of {name} in {run.path} has {len(tables[name])} events where cutflow.json counts "
                f"{counts[SKIMMED].events} after {SKIMMED}: run 'hepbatch skim {run.manifest.analysis}' again"
            )
    streams = {name: tables[name] for name, record in records.items() if record.role == "data"}
    overlap = cross_stream_overlap(streams)
    tables |= {name: streams[name].where(keep) for name, keep in overlap.keep.items()}
    return FourLeptonEvents(records, tables, cuts, overlap.duplicates)


def _cut_names(run: RunDirectory) -> tuple[str, ...]:
    """Cuts after `four_leptons` in the order of the cutflow."""
    if not run.cutflow:
        raise UserError(
            f"{run.path / 'cutflow.json'} has no sample: nothing was skimmed, so there is nothing to report"
        )
    orders = {tuple(cuts) for cuts in run.cutflow.values()}
    names = next(iter(orders))
    if len(orders) > 1 or SKIMMED not in names or WINDOW not in names:
        raise UserError(
            f"{run.path / 'cutflow.json'}: every sample needs the same cuts, {SKIMMED} and {WINDOW} among them"
        )
    return names[names.index(SKIMMED) + 1 :]


def record_yields(events: FourLeptonEvents, results: Results) -> None:
    """Add `yield.<sample>.<selection>` and the totals of processes, signal, background and data to the results."""
    for selection in events.selections:
        single = {name: events.expected(name, selection.cuts) for name in events.records}
        for name, quantity in single.items():
            results.add(f"yield.{name}.{selection.name}", quantity)
        for role in ("signal", "background", "data"):
            if events.names(role):
                parts = [single[name] for name in events.names(role)]
                results.add(f"yield.{role}.{selection.name}", total(parts))
    results.add("cross_stream_duplicates", Quantity(events.duplicates, None, "events"))
