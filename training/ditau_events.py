"""Events of the ditau skim for the regression: groups of channels, the split, weights that flatten the spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.ditau_columns import input_matrix
from training.ditau_lists import FULL, columns_of
from training.samples import Sample
from training.splits import event_hash

#: The order of the numbers in the skim's column `channel`.
CHANNELS = ("tt", "mt", "et", "em", "mm", "ee")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "inclusive": CHANNELS, **{name: (name,) for name in CHANNELS}, "lt": ("mt", "et"), "ll": ("em", "mm", "ee"),
}  # fmt: skip
PARTS = ("train", "validation", "test")
#: Shares of the parts in the source.
SHARES = (0.7, 0.2, 0.1)
#: Steps of the generated mass in which the spectrum is made flat [GeV].
STEP = 2.0
#: Before the names of inputs that the convention of the published models has otherwise.
PUBLISHED = "published_"
#: Before the names of the usual ones, where a skim's own inputs are of the published convention.
CORRECTED = "corrected_"
_ORDER = ("run", "luminosityBlock", "event", "entry")


@dataclass(frozen=True)
class DitauEvents:
    """N events: `inputs` (N, inputs), `mass` (N,) as generated [GeV], `channel` (N,), `part` (N,) number in `PARTS`.

    `columns` has what identifies each event, all inputs by name in the corrected convention and, where the skim has
    them, those of the published one; `convention` is that of `inputs`. `without_mass` is how many selected events were
    left out because the generator says no mass of them.
    """

    inputs: NDArray[np.float32]
    mass: NDArray[np.float64]
    channel: NDArray[np.int8]
    part: NDArray[np.int8]
    without_mass: int
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    convention: Literal["corrected", "published"] = "corrected"

    def of(self, part: str) -> DitauEvents:
        """The events of one part."""
        return self.where(self.part == PARTS.index(part))

    def where(self, keep: NDArray[Any]) -> DitauEvents:
        """The events of a mask, or of a list of places."""
        columns = {name: values[keep] for name, values in self.columns.items()}
        mass, channel, part = self.mass[keep], self.channel[keep], self.part[keep]
        return DitauEvents(self.inputs[keep], mass, channel, part, 0, columns, self.convention)

    def __len__(self) -> int:
        return len(self.mass)


def signal_samples(samples: Sequence[Sample], only: Sequence[str] | None = None) -> list[Sample]:
    """The samples whose generated masses are the target, by name: another sample's boson would be learned, too.

    Those of `only` where it is given. Raises ValueError for a name there that no signal has.
    """
    signal = {sample.name: sample for sample in samples if sample.role == "signal"}
    for name in only or ():
        if name not in signal:
            raise ValueError(f"training.samples: there is no signal {name!r} (there is: {', '.join(signal) or 'none'})")
    return [signal[name] for name in sorted(signal) if only is None or name in only]


def read_ditau(
    samples: Sequence[Sample],
    inputs: Sequence[str],
    group: str,
    *,
    seed: int,
    shares: tuple[float, float, float] = SHARES,
    only: Sequence[str] | None = None,
) -> DitauEvents:
    """Read the events of a group of channels from the signal's skims; no order of samples or files has an influence.

    `only` are the samples that are read, all signal if None.

    An event's part follows from its sample, run, number, the seed and the `shares` of the parts alone.

    Raises:
        ValueError: if a file lacks a column, or there is no signal of a name in `only`.
    """
    import pyarrow.parquet as pq

    chosen = signal_samples(samples, only)
    names = [sample.name for sample in chosen]
    wanted = list(dict.fromkeys([*_ORDER, "channel", "gen_mass", *columns_of(inputs), *FULL]))
    schemas = {file: set(pq.read_schema(file).names) for sample in chosen for file in sample.files}
    published = [f"{PUBLISHED}{name}" for name in FULL]
    wanted += [name for name in published if schemas and all(name in schema for schema in schemas.values())]
    corrected = [name for name in FULL if any(f"{CORRECTED}{name}" in schema for schema in schemas.values())]
    wanted = list(dict.fromkeys([*wanted, *(f"{CORRECTED}{name}" for name in corrected)]))
    tables: list[dict[str, NDArray[Any]]] = []
    for number, sample in enumerate(chosen):
        for file in sample.files:
            missing = [name for name in wanted if name not in schemas[file]]
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
    part = np.searchsorted(np.cumsum(shares)[:-1], place, side="right").astype(np.int8)
    matrix = input_matrix(merged, inputs)
    for name in corrected:
        merged[f"{PUBLISHED}{name}"], merged[name] = merged[name], merged.pop(f"{CORRECTED}{name}")
    mass, channel = merged.pop("gen_mass").astype(np.float64), merged.pop("channel").astype(np.int8)
    del merged["sample"]
    without = int(np.sum(keep & ~known))
    return DitauEvents(
        matrix, mass, channel, part, without, merged, convention="published" if corrected else "corrected"
    )


def as_published(columns: Mapping[str, NDArray[Any]], inputs: Sequence[str]) -> NDArray[np.float32] | None:
    """(N, inputs) in the convention of the program that trained the published models; None where the skim lacks it."""
    if not any(name.startswith(PUBLISHED) for name in columns):
        return None
    chosen = {name: columns.get(f"{PUBLISHED}{name}", columns[name]) for name in columns_of(inputs)}
    return input_matrix(chosen, inputs)


def flattening_weights(mass: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) weights that make the spectrum of the generated mass flat in steps of 2 GeV; their mean is 1."""
    if not len(mass):
        return np.empty(0)
    _, step, counts = np.unique(np.floor(np.asarray(mass) / STEP), return_inverse=True, return_counts=True)
    weight = 1.0 / counts[step]
    return np.asarray(weight * (len(mass) / weight.sum()), np.float64)
