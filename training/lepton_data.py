"""Leptons from the skim: a sample of as many electrons as muons, and its halves for training and test.

What is chosen depends on nothing but the leptons: neither on files, chunks and order, nor on the precision they are
stored in, so that the same leptons in single and in double precision give the same halves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.lepton_settings import REPRESENTATIONS, Settings
from training.samples import Sample
from training.splits import event_hash

if TYPE_CHECKING:
    import pyarrow as pa

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]

COLUMNS = tuple(
    dict.fromkeys(
        (
            *("is_muon", "p", "m2_single", "rounding_e", "rounding_pt", "rounding_eta"),
            *(column for columns in REPRESENTATIONS.values() for column in columns),
        )
    )
)
#: Fewer of a flavour are no sample.
FEWEST = 20
#: With a most of the leptons, so many times as many are held while the skim is read.
HELD = 8
#: No more of the leptons may be there twice: so many are not by chance, and some would be both learnt from and tested.
TWICE = 0.01


@dataclass(frozen=True)
class Leptons:
    """A balanced sample of N leptons. `label` (N,) is 1 for muons; `train` and `test` are rows, each half balanced."""

    columns: Mapping[str, NDArray[Any]]
    label: NDArray[np.int64]
    train: Rows
    test: Rows

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def features(self, representation: str) -> Doubles:
        """(N, F) in double precision."""
        names = REPRESENTATIONS[representation]  # type: ignore[index]
        return np.stack([self.columns[name] for name in names], axis=1).astype(np.float64)

    def first(self, number: int | None) -> Rows:
        """Rows of the first training leptons, half of them of each flavour; all if None or there are no more."""
        if number is None or number >= len(self.train):
            return self.train
        electrons, muons = (self.train[self.label[self.train] == flavour] for flavour in (0, 1))
        return np.concatenate([electrons[: number // 2], muons[: number - number // 2]])


def divided(samples: Sequence[Sample], settings: Settings) -> dict[str, list[Sample]]:
    """The samples with leptons as `stored`, and those of `double_sample` as `double`; the latter alone are stored."""
    filled = [sample for sample in samples if sample.files]
    double = [sample for sample in filled if sample.name == settings.double_sample]
    others = [sample for sample in filled if sample.name != settings.double_sample]
    if not others:
        return {"stored": double}
    return {"stored": others, **({"double": double} if double else {})}


def read_leptons(samples: Sequence[Sample], settings: Settings, *, seed: int) -> Leptons:
    """The balanced sample of all leptons of these samples, at most `settings.leptons`.

    Where there is such a most, the memory does not grow with the leptons that there are.

    Raises:
        ValueError: if a flavour has fewer than 20 leptons, a skim lacks a column, or two samples hold the same leptons.
    """
    columns = _read(samples, settings.leptons, seed)
    muon = columns["is_muon"] == 1
    order = _order(columns, seed)
    momenta = np.stack([columns[name][order] for name in ("pt", "eta", "phi")]).astype(np.float32)
    twice = int(np.all(np.diff(momenta) == 0, axis=0).sum())
    if twice > TWICE * len(order):
        raise ValueError(
            f"{twice} of {len(order)} leptons of {', '.join(sample.name for sample in samples)} are there twice: keep "
            "one of these samples, or name the one in double precision in training.double_sample."
        )
    by_flavour = [order[muon[order] == flavour] for flavour in (False, True)]
    number = min(len(rows) for rows in by_flavour)
    if number < FEWEST:
        raise ValueError(
            f"There are {len(by_flavour[0])} electrons and {len(by_flavour[1])} muons; at least {FEWEST} of each are "
            "needed."
        )
    number = min(number, (settings.leptons or 2 * number) // 2)
    # Of each flavour the first half of the order learns. In the order, flavours are mixed.
    chosen = np.concatenate([rows[:number] for rows in by_flavour])
    learns = np.concatenate([np.arange(number) < number // 2] * 2)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    mixed = np.argsort(place[chosen])
    chosen, learns = chosen[mixed], learns[mixed]
    return Leptons(
        {name: column[chosen] for name, column in columns.items()},
        muon[chosen].astype(np.int64),
        np.flatnonzero(learns),
        np.flatnonzero(~learns),
    )


def _read(samples: Sequence[Sample], most: int | None, seed: int) -> dict[str, NDArray[Any]]:
    """The columns of all leptons; where `most` are wanted, of the first so many of each flavour and of some others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept: list[pa.Table] = []
    rows = 0
    for sample in samples:
        for file in sample.files:
            missing = sorted(set(COLUMNS) - set(pq.read_schema(file).names))
            if missing:
                raise ValueError(f"The skim {file} of sample {sample.name} has no column {missing[0]}: skim again.")
            kept.append(pq.read_table(file, columns=list(COLUMNS), use_threads=False))
            rows += kept[-1].num_rows
            if most is not None and rows > HELD * most:
                kept = [_first_of_each(pa.concat_tables(kept), most, seed)]
                rows = kept[0].num_rows
    if not kept:
        return {name: np.empty(0) for name in COLUMNS}
    table = pa.concat_tables(kept)
    return {name: table.column(name).to_numpy() for name in COLUMNS}


def _first_of_each(table: pa.Table, most: int, seed: int) -> pa.Table:
    """The first `most` leptons of each flavour in the order: which these are does not depend on those behind them."""
    columns = {name: table.column(name).to_numpy() for name in ("is_muon", "pt", "eta", "phi")}
    order, muon = _order(columns, seed), columns["is_muon"] == 1
    chosen = np.concatenate([order[muon[order] == flavour][:most] for flavour in (False, True)])
    return table.take(np.sort(chosen))


def _order(columns: Mapping[str, NDArray[Any]], seed: int) -> Rows:
    """A random order of the leptons, from their momenta in single precision."""
    bits = [
        np.asarray(columns[name]).astype(np.float32).view(np.int32).astype(np.int64) for name in ("pt", "eta", "phi")
    ]
    both = (bits[1] << 32) | (bits[2] & 0xFFFFFFFF)
    values = event_hash(("leptons",), np.zeros(len(both), np.int64), bits[0], both, seed, "order")
    # The bits decide where two hashes are equal.
    return np.lexsort((*bits, values)).astype(np.int64)


def scaled(features: Doubles, rows: Rows, how: str) -> Doubles:
    """Features divided by their mean over `rows`, or less it and divided by the standard deviation there.

    In double precision: the difference of two large features is lost when they are rounded.
    """
    offset, factor = scaling_of(features, rows, how)
    result: Doubles = (features - offset) / factor
    return result


def scaling_of(features: Doubles, rows: Rows, how: str) -> tuple[Doubles, Doubles]:
    """What `scaled` subtracts from each feature, and then divides by; a mean or a deviation of zero is taken as 1."""
    mean, deviation = features[rows].mean(axis=0), features[rows].std(axis=0)
    divisor = mean if how == "mean" else deviation
    return np.zeros_like(mean) if how == "mean" else mean, np.where(divisor == 0, 1.0, divisor)
