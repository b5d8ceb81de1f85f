"""The coffea processor of lepton_id: the leading lepton of each event of a chunk, in every representation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
from coffea import processor

from processors.lepton_id import CUTS, Collection, Schema, Settings, schema_of
from processors.lepton_mass import Doubles, Stored, energy_of
from processors.selections import Array, flat_content
from processors.skims import skim_name, write_skim

Histogram = hist.Hist[hist.storage.Weight]
MOMENTUM = ("pt", "eta", "phi", "energy")


class LeptonProcessor(processor.ProcessorABC):  # type: ignore[misc]
    """Keeps the lepton of highest pT; the name of the tree decides about the branches.

    `process` returns `{dataset: {"entries", "sum_mc_weight", "cutflow", "histograms", "skims"}}`.
    """

    def __init__(self, settings: Settings, *, skim_directory: str | None = None) -> None:
        self.settings = settings
        self.skim_directory = skim_directory

    def branches_of(self, metadata: Mapping[str, Any]) -> tuple[str, ...]:
        """What a file of a sample must have. Raises ValueError for a tree that is not known."""
        return schema_of(str(metadata["tree"])).branches

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        """Chooses, counts and writes the leptons of one chunk.

        Raises ValueError if the branches have different numbers of leptons in an event.
        """
        metadata = events.metadata
        columns, passing = leading_columns(events, self.settings.energy)
        columns["entry"] += int(metadata["entrystart"])
        return {
            metadata["dataset"]: {
                "entries": len(events),
                "sum_mc_weight": float(len(events)),
                "cutflow": {cut: {"events": number, "weighted": float(number)} for cut, number in passing.items()},
                "histograms": self._histograms(columns["mass"], columns["is_muon"]),
                "skims": self._write(columns, metadata),
            }
        }

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Returns the accumulator as it is."""
        return accumulator

    def _histograms(self, mass: Doubles, is_muon: Array) -> dict[str, Histogram]:
        found = {}
        for name, flavour in (("mass_electron", 0), ("mass_muon", 1)):
            low, high = self.settings.histogram_range
            axis = hist.axis.Regular(self.settings.histogram_bins, low, high, name="mass", label="mass [GeV]")
            found[name] = hist.Hist(axis, storage=hist.storage.Weight())
            found[name].fill(mass=mass[is_muon == flavour])
        return found

    def _write(self, columns: Mapping[str, Array], metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
        if self.skim_directory is None or not len(columns["entry"]):
            return []
        start, stop, file_uuid = int(metadata["entrystart"]), int(metadata["entrystop"]), str(metadata["fileuuid"])
        name = Path(metadata["dataset"]) / skim_name(file_uuid, start, stop)
        rows = write_skim(Path(self.skim_directory) / name, [columns], compression=self.settings.compression)
        return [{"file": name.as_posix(), "uuid": file_uuid, "start": start, "stop": stop, "rows": rows}]


def leading_columns(events: Any, energy: str = "single") -> tuple[dict[str, Array], dict[str, int]]:
    """Columns of the leading leptons of a chunk, with the number of each one's event in it, and events after each cut.

    `energy` is the precision in which E is kept where the tree has the mass instead. Raises ValueError if the branches
    have different numbers of leptons in an event.
    """
    schema = schema_of(str(events.metadata["treename"]))
    momentum, kind, entry = _leading(events, schema, energy)
    known = (kind == schema.muon) | (kind == schema.electron)
    finite = known & np.all([np.isfinite(momentum[name]) for name in MOMENTUM], axis=0)
    kept = {name: values[finite] for name, values in momentum.items()}
    columns: dict[str, Array] = {
        "entry": entry[finite],
        "is_muon": (kind[finite] == schema.muon).astype(np.int8),
        **Stored(**kept, unit=schema.unit).columns(),
    }
    passing = (len(events), len(kind), int(known.sum()), int(finite.sum()))
    return columns, dict(zip(CUTS, passing, strict=True))


def _leading(events: Any, schema: Schema, energy: str) -> tuple[dict[str, Array], Array, Array]:
    """Momentum and flavour of the lepton of highest pT (the first of equals) of events that have one; their numbers.

    A pT that is not a number counts as the highest: such an event is dropped and counted, not quietly given another
    lepton.
    """
    parts = [_collected(events, collection, schema, energy) for collection in schema.collections]
    flat = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # By event, then by falling pT, then by place.
    order = np.lexsort((-np.where(np.isnan(flat["pt"]), np.inf, flat["pt"]), flat["event"]))
    first = order[np.flatnonzero(np.diff(flat["event"][order], prepend=-1))]
    return {name: flat[name][first] for name in MOMENTUM}, flat["kind"][first], flat["event"][first]


def _collected(events: Any, collection: Collection, schema: Schema, energy: str) -> dict[str, Array]:
    """All leptons of a collection, one after another: momentum, kind, the number of the event."""
    flat, counts = {}, None
    for branch in collection.branches:
        flat[branch], own = flat_content(events[branch])
        if counts is not None and not np.array_equal(own, counts):
            path = events.metadata["filename"]
            raise ValueError(f"{branch} has other numbers of leptons than {collection.pt} in {path}")
        counts = own
    assert counts is not None  # noqa: S101  (a collection has branches)
    pt, eta = flat[collection.pt], flat[collection.eta]
    if collection.energy:
        e = flat[collection.energy]
    else:
        e = energy_of(pt, eta, flat[collection.mass]).astype(np.float32 if energy == "single" else np.float64)
    always = schema.muon if collection.muons else schema.electron
    kind = flat[collection.flavour] if collection.flavour else np.full(len(pt), always)
    found = {"pt": pt, "eta": eta, "phi": flat[collection.phi], "energy": e, "kind": kind}
    found["event"] = np.repeat(np.arange(len(counts)), counts)
    if not collection.origin:
        return found
    prompt = np.isin(flat[collection.origin], schema.prompt)
    return {name: values[prompt] for name, values in found.items()}
