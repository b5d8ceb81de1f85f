"""The coffea processor of ditau_mass: channels, inputs, cutflow, histograms and skim of one chunk of NanoAOD events."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor

from processors import ditau_inputs, ditau_objects, ditau_pairs, ditau_response
from processors.ditau_generator import generated_mass
from processors.ditau_mass import (
    CHANNELS,
    CONVENTIONAL,
    COVARIANCE,
    CUTS,
    DEEP_TAU,
    FILTERS,
    IDENTITY,
    INPUTS,
    MVA,
    NEUTRINOS,
    SUBSTITUTES,
    WEIGHT,
    Settings,
    branches,
)
from processors.ditau_pairs import LEGS, Objects, Pairs
from processors.kinematics import Bools, Doubles
from processors.nanoaod import column, found_as, require
from processors.selections import Array, scalar_content
from processors.skims import skim_name, write_skim

Histogram = hist.Hist[hist.storage.Weight]
_LEG = ("pt", "eta", "phi")


@dataclass(frozen=True)
class Predictable:
    """Events for a regression.

    `identity` has run, luminosityBlock and event of each entry, `channel` its place in `CHANNELS` (-1: not selected),
    `inputs` the inputs of those with a channel; `notes` says in how many entries a branch stood in for another.
    """

    identity: dict[str, Array]
    channel: Array
    inputs: dict[str, Array]
    notes: dict[str, int]


@dataclass(frozen=True)
class Measured:
    """Of the selected events: legs, jets and b jets by falling pT, and the inputs in both conventions."""

    legs: tuple[dict[str, Array], dict[str, Array]]
    jets: Any
    b_jets: Any
    corrected: dict[str, Doubles]
    published: dict[str, Doubles]


class DitauProcessor(processor.ProcessorABC):  # type: ignore[misc]
    """Gives each event its channel and writes the inputs of the selected ones; runs on NanoEvents, also coffea's own.

    `process` returns `{dataset: {"entries", "sum_mc_weight", "cutflow", "histograms", "notes", "skims"}}`; the notes
    say in how many entries a branch stood in for the one that is meant.
    """

    def __init__(self, settings: Settings, *, skim_directory: str | None = None) -> None:
        self.settings = settings
        self.skim_directory = skim_directory

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        """Selects the events of one chunk, writes its skim if a directory was given, and gives the accumulator.

        Raises MissingBranch where the file lacks a branch that has no substitute.
        """
        metadata = events.metadata
        require(events, branches(metadata["role"]))
        recorded = metadata["role"] == "data"
        number = len(events)
        weight = np.ones(number) if recorded else scalar_content(column(events, WEIGHT)).astype(np.float64)
        mass = np.full(number, np.nan) if recorded else generated_mass(events, self.settings.bosons)
        cutflow = {cut: {"events": 0, "weighted": 0.0} for cut in CUTS}
        _add(cutflow["all"], weight)
        objects = self._objects(events)
        channel, pairs = self._channels(objects, filters(events), weight, cutflow)
        rows = np.flatnonzero(channel >= 0)
        measured = self._measured(events, objects, channel, pairs) if len(rows) else None
        skims = []
        if self.skim_directory is not None and measured is not None:
            columns = {
                **{name: scalar_content(column(events, name))[rows] for name in IDENTITY},
                "entry": rows + int(metadata["entrystart"]),
                "channel": channel[rows],
                "weight": weight[rows],
                "gen_mass": mass[rows],
                **self._columns(measured),
            }
            skims.append(self._write(columns, metadata))
        ratios: dict[str, Doubles] = {}
        if measured is not None and not recorded:
            ratios = ditau_response.ratios(
                events, rows, channel[rows], measured.legs, measured.jets, measured.corrected
            )
        return {
            metadata["dataset"]: {
                "entries": number,
                "sum_mc_weight": float(weight.sum()),
                "cutflow": cutflow,
                "histograms": {
                    **_histograms(mass, weight, channel),
                    **ditau_response.histograms(ratios, weight[rows]),
                },
                "notes": dict.fromkeys(notes(events), number),
                "skims": skims,
            }
        }

    def predictable(self, events: Any) -> Predictable:
        """What a regression needs of a chunk, recorded or simulated: see `Predictable`.

        Raises MissingBranch as `process`.
        """
        require(events, branches("data"))
        objects, number = self._objects(events), len(events)
        cutflow = {cut: {"events": 0, "weighted": 0.0} for cut in CUTS}
        channel, pairs = self._channels(objects, filters(events), np.ones(number), cutflow)
        identity = {name: scalar_content(column(events, name)) for name in IDENTITY}
        inputs = self.inputs(events, objects, channel, pairs) if np.any(channel >= 0) else _no_inputs()
        return Predictable(identity, channel, inputs, dict.fromkeys(notes(events), number))

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Returns the accumulator as it is."""
        return accumulator

    def _objects(self, events: Any) -> Objects:
        return {
            "tau": ditau_objects.taus(events, self.settings),
            "muon": ditau_objects.leptons(events, "Muon"),
            "electron": ditau_objects.leptons(events, "Electron"),
        }

    def _channels(
        self, objects: Objects, filtered: Bools, weight: Doubles, cutflow: dict[str, Any]
    ) -> tuple[Array, dict[str, Pairs]]:
        """The channel of each event (-1: none) and the pairs of all channels; fills the cutflow."""
        names: tuple[str, ...] = self.settings.channels
        pairs = {name: ditau_pairs.best_pairs(objects, name, self.settings) for name in names}
        passed = {name: pairs[name].found & filtered for name in pairs}
        _add(cutflow["filters"], weight[filtered])
        _add(cutflow["pair"], weight[np.any(list(passed.values()), axis=0)])
        for cut, veto in (("third_lepton", ditau_pairs.third_lepton), ("dilepton", ditau_pairs.dilepton)):
            passed = {name: passed[name] & ~veto(objects, pairs[name], self.settings) for name in pairs}
            _add(cutflow[cut], weight[np.any(list(passed.values()), axis=0)])
        return ditau_pairs.assign(passed), pairs

    def inputs(self, events: Any, objects: Objects, channel: Array, pairs: Mapping[str, Pairs]) -> dict[str, Array]:
        """The inputs of the events with a channel, in single precision, and how many jets and b jets they have."""
        return self._columns(self._measured(events, objects, channel, pairs))

    def _measured(self, events: Any, objects: Objects, channel: Array, pairs: Mapping[str, Pairs]) -> Measured:
        rows = np.flatnonzero(channel >= 0)
        legs, neutrinos = self._legs(objects, channel, pairs)
        chosen = ditau_inputs.all_jets(events)[rows]
        mine, of_all = self._tau_jets(objects, channel, pairs)
        plain, tagged = ditau_inputs.select_jets(chosen, legs, mine, self.settings)
        met, covariance, vertices = _event_inputs(events, rows)
        corrected = ditau_inputs.inputs(legs, plain, met, covariance, vertices, neutrinos)
        old_plain, old_tagged = ditau_inputs.select_jets(chosen, legs, of_all, self.settings)
        # b jets come again, after all others, as they did in that program.
        published = ditau_inputs.as_published(corrected, ak.concatenate([old_plain, old_tagged], axis=1))
        return Measured(legs, plain, tagged, corrected, published)

    def _columns(self, measured: Measured) -> dict[str, Array]:
        published = measured.published
        main = published if self.settings.convention == "published" else measured.corrected
        columns: dict[str, Array] = {name: main[name].astype(np.float32) for name in INPUTS}
        if self.settings.published_inputs:
            columns |= {f"published_{name}": published[name].astype(np.float32) for name in CONVENTIONAL}
        if self.settings.convention == "published":
            # Simple estimators are of the events as they are, whatever a network is given.
            columns |= {f"corrected_{name}": measured.corrected[name].astype(np.float32) for name in CONVENTIONAL}
        columns["n_jets"] = ak.to_numpy(ak.num(measured.jets)).astype(np.int16)
        columns["n_b_jets"] = ak.to_numpy(ak.num(measured.b_jets)).astype(np.int16)
        return columns

    def _legs(
        self, objects: Objects, channel: Array, pairs: Mapping[str, Pairs]
    ) -> tuple[tuple[dict[str, Array], dict[str, Array]], Array]:
        """pt, eta, phi of both legs of the events with a channel, and the number of neutrinos."""
        legs = tuple({name: np.zeros(len(channel)) for name in _LEG} for _ in range(2))
        neutrinos = np.zeros(len(channel))
        for name, pair in pairs.items():
            rows = np.flatnonzero(channel == CHANNELS.index(name))
            neutrinos[rows] = NEUTRINOS[name]
            for leg, kind, places in zip(legs, LEGS[name], (pair.first, pair.second), strict=True):
                for field, values in ditau_pairs.take(objects[kind][rows], places[rows], _LEG).items():
                    leg[field][rows] = values
        rows = np.flatnonzero(channel >= 0)
        first, second = ({name: values[rows] for name, values in leg.items()} for leg in legs)
        return (first, second), neutrinos[rows]

    def _tau_jets(self, objects: Objects, channel: Array, pairs: Mapping[str, Pairs]) -> tuple[Any, Any]:
        """For the events with a channel: the places of the jets of the selected taus, and of all tau candidates."""
        taus = objects["tau"]
        selected = np.zeros(len(ak.flatten(taus.index)), np.bool_)
        start = np.cumsum(np.concatenate([[0], ak.to_numpy(ak.num(taus))]))
        candidate = ak.zeros_like(taus.index, dtype=bool)
        for name, pair in pairs.items():
            rows = np.flatnonzero(channel == CHANNELS.index(name))
            for places in pair.of_kind("tau"):
                selected[start[rows] + places[rows]] = True
            if "tau" in LEGS[name]:
                cut = getattr(self.settings.selection, f"{name}_tau")
                here = channel == CHANNELS.index(name)
                candidate = candidate | (ditau_objects.passing(taus, cut, "tau") & here)
        rows = np.flatnonzero(channel >= 0)
        mine = taus.jet_index[ak.unflatten(selected, ak.num(taus))]
        return mine[rows], taus.jet_index[candidate][rows]

    def _write(self, columns: dict[str, Array], metadata: Mapping[str, Any]) -> dict[str, Any]:
        start, stop = int(metadata["entrystart"]), int(metadata["entrystop"])
        file_uuid = str(metadata["fileuuid"])
        name = Path(metadata["dataset"]) / skim_name(file_uuid, start, stop)
        rows = write_skim(Path(str(self.skim_directory)) / name, [columns], compression=self.settings.compression)
        return {"file": name.as_posix(), "uuid": file_uuid, "start": start, "stop": stop, "rows": rows}


def filters(events: Any) -> Bools:
    """Which events pass the filters that the file has, shape (events,)."""
    passed = np.ones(len(events), np.bool_)
    for name in FILTERS:
        flag = column(events, f"{name}?")
        if flag is not None:
            passed &= scalar_content(flag).astype(np.bool_)
    return passed


def notes(events: Any) -> list[str]:
    """One sentence for each branch that stands in for the one that is meant, or is not there."""
    found = []
    if ditau_objects.deep_tau_version(events) != DEEP_TAU[0]:
        found.append(f"DeepTau {DEEP_TAU[1]} in place of {DEEP_TAU[0]}")
    for name in (*COVARIANCE.values(), MVA):
        used = found_as(events, name)
        if used in SUBSTITUTES:
            found.append(f"{used} in place of {name.partition('|')[0]}")
    if found_as(events, "Jet_jetId?") is None:
        found.append("jets without identification: the file has no Jet_jetId")
    missing = [name for name in FILTERS if found_as(events, f"{name}?") is None]
    return found + [f"no {name}" for name in missing]


def _no_inputs() -> dict[str, Array]:
    return {name: np.empty(0, np.float32) for name in INPUTS}


def _event_inputs(events: Any, rows: Array) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """PUPPI missing momentum, its covariance as the file has it, and good vertices of some events."""
    met = {name: scalar_content(column(events, f"PuppiMET_{name}"))[rows] for name in ("pt", "phi")}
    covariance = {part: scalar_content(column(events, name))[rows] for part, name in COVARIANCE.items()}
    return met, covariance, scalar_content(column(events, "PV_npvsGood"))[rows]


def _histograms(mass: Doubles, weight: Doubles, channel: Array) -> dict[str, Histogram]:
    """Generated mass of all events and of those of each channel: the selection efficiency is their ratio."""
    known = np.isfinite(mass)
    out = {}
    for name in ("all", *CHANNELS):
        rows = known if name == "all" else known & (channel == CHANNELS.index(name))
        axis = hist.axis.Regular(40, 0, 1000, name="gen_mass", label="generated mass [GeV]")
        out[f"gen_mass_{name}"] = hist.Hist(axis, storage=hist.storage.Weight())
        out[f"gen_mass_{name}"].fill(mass[rows], weight=weight[rows])
    return out


def _add(entry: dict[str, Any], weight: Doubles) -> None:
    entry["events"] += len(weight)
    entry["weighted"] += float(weight.sum())
