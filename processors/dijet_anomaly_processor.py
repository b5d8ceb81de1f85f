"""The coffea processor of dijet_anomaly: from jets to events with n of them, cutflow, histograms and skim."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pyarrow as pa
from coffea import processor

from processors import dijet_anomaly
from processors.dijet_anomaly import CUTS, EVENT, JET_COLUMNS, PARTICLE_COLUMNS, PARTICLES, PARTON, Settings
from processors.jets import Groups, Indices, four_momenta, group, invariant_mass
from processors.kinematics import Bools, Doubles
from processors.mod_selection import Comparison, parse, passing
from processors.selections import Array, flat_content, scalar_content
from processors.skims import arrow_numbers, skim_name, write_skim

Histogram = hist.Hist[hist.storage.Weight]
Columns = dict[str, Any]

#: A cross section of 1 nb is so many pb.
NANOBARN = 1000.0


class DijetProcessor(processor.ProcessorABC):  # type: ignore[misc]
    """Skims events with exactly n selected jets from chunks of jets.

    A chunk must hold all jets of its events (`processors.event_ranges`). `process` returns `{dataset: {"entries",
    "sum_mc_weight", "cutflow", "histograms", "skims"}}`; entries and the sum of weights are those of the jets.
    """

    def __init__(self, settings: Settings, *, luminosity: float | None, skim_directory: str | None = None) -> None:
        self.settings = settings
        self.unit = 1.0 if luminosity is None else luminosity * NANOBARN
        self.skim_directory = skim_directory
        self._cuts = _cuts(settings)

    def branches(self, role: str) -> tuple[str, ...]:
        """The columns to read from files of a sample with this role."""
        return dijet_anomaly.branches(role, self.settings)

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        """Selects jets and events of one chunk, writes its skim if a directory was given, and gives the accumulator."""
        metadata = events.metadata
        jets = self._jets(events, metadata["role"])
        weight = jets["weight"] * self.unit
        cutflow = {cut: {"events": 0, "weighted": 0.0} for cut in CUTS}
        selected = self._select_jets(jets, weight, cutflow)
        groups = group([jets[name][selected] for name in EVENT])
        members = selected[groups.of(self.settings.n_jets)]
        mass = self._event_mass(jets, members)
        low, high = self.settings.mass_window()
        inside = (mass >= low) & (mass < high)
        kept = members[inside]
        everything = group([jets[name] for name in EVENT])
        _add(cutflow["events"], weight[everything.order[everything.first]])
        _add(cutflow["events_with_jets"], weight[selected[groups.order[groups.first]]])
        _add(cutflow["events_n_jets"], weight[members[:, 0]])
        _add(cutflow["events_mass"], weight[kept[:, 0]])
        particles = _particles(events, kept)
        histograms = self._histograms(jets, weight, selected, groups, members, mass)
        histograms["particles_per_jet"].fill(
            np.diff(particles.bounds), weight=np.repeat(weight[kept[:, 0]], kept.shape[1])
        )
        skims = []
        if self.skim_directory is not None and len(kept):
            columns = _columns(jets, kept, mass[inside], weight, int(metadata["entrystart"]))
            skims.append(self._write(columns | particles.columns(kept.shape[1]), metadata))
        return {
            metadata["dataset"]: {
                "entries": len(weight),
                "sum_mc_weight": float(jets["weight"].sum()),
                "cutflow": cutflow,
                "histograms": histograms,
                "skims": skims,
            }
        }

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Returns the accumulator as it is."""
        return accumulator

    def _jets(self, events: Any, role: str) -> dict[str, Array]:
        """The columns of the jets; recorded ones have the parton 0, which is what the format has for none."""
        names = dict.fromkeys((*EVENT, *JET_COLUMNS, *self.settings.columns()))
        jets = {name: scalar_content(events[name]) for name in names}
        jets[PARTON] = np.zeros(len(jets["jet_pt"]), np.int64) if role == "data" else scalar_content(events[PARTON])
        return jets

    def _select_jets(self, jets: Mapping[str, Array], weight: Doubles, cutflow: dict[str, Any]) -> Indices:
        """The jets that pass all cuts on jets, which are counted."""
        remaining: Bools = np.ones(len(weight), dtype=np.bool_)
        _add(cutflow["jets"], weight)
        for cut, comparisons in self._cuts.items():
            remaining &= passing(comparisons, jets, len(weight))
            _add(cutflow[cut], weight[remaining])
        return np.flatnonzero(remaining)

    def _event_mass(self, jets: Mapping[str, Array], members: Indices) -> Doubles:
        pt, mass = jets["jet_pt"][members], jets["jet_m"][members]
        if self.settings.event_mass == "corrected":
            correction = jets["jec"][members]
            pt, mass = pt * correction, mass * correction
        return invariant_mass(four_momenta(pt, jets["jet_y"][members], jets["jet_phi"][members], mass))

    def _histograms(
        self,
        jets: Mapping[str, Array],
        weight: Doubles,
        selected: Indices,
        groups: Groups,
        members: Indices,
        mass: Doubles,
    ) -> dict[str, Histogram]:
        """Event mass and jets of the events with n jets, and how many selected jets the events have."""
        of_event = weight[members[:, 0]]
        low, high = self.settings.jet_pt
        axes: dict[str, Any] = {
            "mjj": hist.axis.Regular(100, 0, 2000, name="mjj", label="event mass [GeV]"),
            "jet_pt": hist.axis.Regular(50, low, high, name="jet_pt", label="corrected jet pT [GeV]"),
            "jets_per_event": hist.axis.Integer(0, 8, name="jets_per_event", label="selected jets"),
            "particles_per_jet": hist.axis.Regular(80, 0, 160, name="particles_per_jet", label="particles in the jet"),
        }
        histograms = {name: hist.Hist(axis, storage=hist.storage.Weight()) for name, axis in axes.items()}
        histograms["mjj"].fill(mass, weight=of_event)
        corrected = jets["jet_pt"][members] * jets["jec"][members]
        histograms["jet_pt"].fill(corrected.reshape(-1), weight=np.repeat(of_event, members.shape[1]))
        histograms["jets_per_event"].fill(groups.count, weight=weight[selected[groups.order[groups.first]]])
        return histograms

    def _write(self, columns: Columns, metadata: Mapping[str, Any]) -> dict[str, Any]:
        start, stop = int(metadata["entrystart"]), int(metadata["entrystop"])
        file_uuid = str(metadata["fileuuid"])
        name = Path(metadata["dataset"]) / skim_name(file_uuid, start, stop)
        rows = write_skim(Path(str(self.skim_directory)) / name, [columns], compression=self.settings.compression)
        return {"file": name.as_posix(), "uuid": file_uuid, "start": start, "stop": stop, "rows": rows}


class _Particles:
    """The particles of chosen jets, jet after jet: `bounds` (jets + 1,) says where a jet's begin and end."""

    def __init__(self, bounds: Indices, values: Mapping[str, Array]) -> None:
        self.bounds = bounds
        self.values = values

    def columns(self, n_jets: int) -> Columns:
        """Arrow columns: for each event a list of jets, for each jet a list of particles."""
        events, jets = _bounds(len(self.bounds) - 1, n_jets), arrow_numbers(_int32(self.bounds))
        return {
            f"particle_{name}": pa.ListArray.from_arrays(events, pa.ListArray.from_arrays(jets, arrow_numbers(values)))
            for name, values in self.values.items()
        }


def _particles(events: Any, members: Indices) -> _Particles:
    """The particles of the jets `members` (events, n). Momenta in single precision, which is what training uses."""
    chosen = members.reshape(-1)
    values: dict[str, Array] = {}
    rows: Indices | None = None
    for name in PARTICLE_COLUMNS:
        content, counts = flat_content(events[f"{PARTICLES}.{name}"])
        if rows is None:
            first, length = (np.cumsum(counts) - counts)[chosen], counts[chosen]
            bounds = np.concatenate([[0], np.cumsum(length)])
            rows = np.repeat(first - bounds[:-1], length) + np.arange(bounds[-1])
        taken = content[rows]
        values[name] = taken.astype(np.int32 if name == "pid" else np.float32)
        if name == "pid" and not np.array_equal(values[name], taken):
            raise ValueError(f"{PARTICLES}.pid has values that are no particle numbers")
    return _Particles(bounds, values)


def _columns(jets: Mapping[str, Array], members: Indices, mass: Doubles, weight: Doubles, start: int) -> Columns:
    """A row per event: numbers of the event, lists of n numbers of its jets."""
    first = members[:, 0]
    columns: Columns = {
        "file": jets["fn"][first].astype(np.int64),
        "run": jets["rn"][first].astype(np.int64),
        "lumi": jets["lbn"][first].astype(np.int64),
        "event": jets["evn"][first].astype(np.int64),
        "entry": first + start,
        "mjj": mass,
        "weight": weight[first],
    }
    sources = {name: name for name in ("jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta")}
    sources |= {"jet_jec": "jec", "jet_parton_id": PARTON}
    bounds = _bounds(members.size, members.shape[1])
    for name, source in sources.items():
        values = jets[source][members].reshape(-1)
        kind = np.int32 if source == PARTON else np.float64
        columns[name] = pa.ListArray.from_arrays(bounds, arrow_numbers(values.astype(kind)))
    return columns


def _bounds(total: int, step: int) -> Any:
    return arrow_numbers(np.arange(0, total + 1, step, dtype=np.int32))


def _int32(bounds: Indices) -> Array:
    if bounds[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{bounds[-1]} particles are too many for one work item: a smaller chunk_size is needed")
    return bounds.astype(np.int32)


def _cuts(settings: Settings) -> dict[str, tuple[Comparison, ...]]:
    """The requirements of the cuts on jets, in the order of the cutflow."""
    low, high = settings.jet_pt
    return {
        "jets_pt": (Comparison("corr_jet_pt", ">=", low), Comparison("corr_jet_pt", "<=", high)),
        "jets_eta": (Comparison("abs_jet_eta", "<", settings.jet_eta),),
        "jets_quality": (Comparison("quality", ">=", settings.jet_quality),),
        "jets_selection": tuple(comparison for text in settings.selection for comparison in parse(text)),
    }


def _add(entry: dict[str, Any], weight: Doubles) -> None:
    entry["events"] += len(weight)
    entry["weighted"] += float(weight.sum())
