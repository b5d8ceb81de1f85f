"""Events of the ditau skim for the regression: groups of channels, the split, weights that flatten the spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.samples import Sample
from training.splits import event_hash

#: The order of the numbers in the skim's column `channel`.
CHANNELS = ("tt", "mt", "et", "em", "mm", "ee")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "inclusive": CHANNELS, **{name: (name,) for name in CHANNELS}, "lt": ("mt", "et"), "ll": ("em", "mm", "ee"),
}  # fmt: skip
PARTS = ("train", "validation", "test")
_SHARES = (0.7, 0.2, 0.1)
#: Steps of the generated mass in which the spectrum is made flat [GeV].
STEP = 2.0
_ORDER = ("run", "luminosityBlock", "event", "entry")


@dataclass(frozen=True)
class DitauEvents:
    """N events: `inputs` (N, inputs), `mass` (N,) as generated [GeV], `channel` (N,), `part` (N,) number in `PARTS`.

    `without_mass` is how many selected events were left out because the generator says no mass of them.
    """

    inputs: NDArray[np.float32]
    mass: NDArray[np.float64]
    channel: NDArray[np.int8]
    part: NDArray[np.int8]
    without_mass: int

    def of(self, part: str) -> DitauEvents:
        """The events of one part."""
        chosen = self.part == PARTS.index(part)
        return DitauEvents(self.inputs[chosen], self.mass[chosen], self.channel[chosen], self.part[chosen], 0)

    def __len__(self) -> int:
        return len(self.mass)


def read_ditau(samples: Sequence[Sample], inputs: Sequence[str], group: str, *, seed: int) -> DitauEvents:
    """Read the events of a group of channels from skims; the order of samples and files has no influence.

    An event's part follows from its sample, run, number and the seed alone.

    Raises:
        ValueError: if a file lacks a column.
    """
    import pyarrow.parquet as pq

    chosen = sorted((sample for sample in samples if sample.role != "data"), key=lambda sample: sample.name)
    names = [sample.name for sample in chosen]
    wanted = list(dict.fromkeys([*_ORDER, "channel", "gen_mass", *inputs]))
    tables: list[dict[str, NDArray[Any]]] = []
    for number, sample in enumerate(chosen):
        for file in sample.files:
            missing = [name for name in wanted if name not in pq.read_schema(file).names]
            if missing:
                raise ValueError(f"The skim {file} of sample {sample.name} has no column {missing[0]}.")
            table = pq.read_table(file, columns=wanted, use_threads=False)
            columns = {name: table.column(name).to_numpy() for name in wanted}
            tables.append({**columns, "sample": np.full(table.num_rows, number, np.int64)})
    if not tables:
        nothing = np.empty(0)
        return DitauEvents(
            np.empty((0, len(inputs)), np.float32), nothing, nothing.astype(np.int8), nothing.astype(np.int8), 0
        )
    merged = {name: np.concatenate([table[name] for table in tables]) for name in (*wanted, "sample")}
    keep = np.isin(merged["channel"], [CHANNELS.index(name) for name in GROUPS[group]])
    known = np.isfinite(merged["gen_mass"])
    order = np.lexsort([merged[name] for name in reversed(("sample", *_ORDER))])
    order = order[(keep & known)[order]]
    merged = {name: values[order] for name, values in merged.items()}
    block = (merged["luminosityBlock"].astype(np.int64) << 20) ^ merged["run"].astype(np.int64)
    number_of = event_hash(names, merged["sample"], block, merged["event"], seed, "ditau split")
    place = number_of.astype(np.float64) / 2.0**64
    part = np.searchsorted(np.cumsum(_SHARES)[:-1], place, side="right").astype(np.int8)
    matrix = np.stack([merged[name].astype(np.float32) for name in inputs], axis=1)
    mass = merged["gen_mass"].astype(np.float64)
    return DitauEvents(matrix, mass, merged["channel"].astype(np.int8), part, int(np.sum(keep & ~known)))


def flattening_weights(mass: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) weights that make the spectrum of the generated mass flat in steps of 2 GeV; their mean is 1."""
    if not len(mass):
        return np.empty(0)
    _, step, counts = np.unique(np.floor(np.asarray(mass) / STEP), return_inverse=True, return_counts=True)
    weight = 1.0 / counts[step]
    return np.asarray(weight * (len(mass) / weight.sum()), np.float64)
