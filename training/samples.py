"""Simulated and recorded events from Parquet skims, in an order that no file layout can change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.features import required_columns

ROLES = ("signal", "background", "data")

# What sorts the events of a sample. Run, event and the entry in its file identify an event of one file; the rest
# separates equal triples of different files, so that the order of the files cannot show.
ORDER = ("run", "event", "entry", "m4l", "lep1_pt", "weight")


@dataclass(frozen=True)
class Sample:
    """One data set's skim.

    `files` are Parquet paths, `role` is signal, background or data, and `scale` multiplies every weight where only a
    part of the sample was processed.
    """

    name: str
    role: str
    process: str
    files: tuple[str, ...]
    scale: float = 1.0


@dataclass(frozen=True)
class Events:
    """Columns of N events of several samples.

    `sample` (N,) indexes `names` and `roles`; `weight` (N,) is the full weight with the sample's scale, 1 for data;
    every array of `columns` has shape (N,).
    """

    names: tuple[str, ...]
    roles: tuple[str, ...]
    sample: NDArray[np.int16]
    weight: NDArray[np.float64]
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def select(self, mask: NDArray[np.bool_]) -> Events:
        """Events where `mask` (N,) is true, in the same order."""
        columns = {name: column[mask] for name, column in self.columns.items()}
        return Events(self.names, self.roles, self.sample[mask], self.weight[mask], columns)

    @property
    def label(self) -> NDArray[np.int8]:
        """(N,) 1 for signal, 0 for background, -1 for data."""
        values = np.array([{"signal": 1, "background": 0, "data": -1}[role] for role in self.roles], np.int8)
        return values[self.sample]

    @property
    def generated(self) -> NDArray[np.intp]:
        """(N,) the same number for events of one generated event (equal sample, run and event number).

        A simulation may make several weighted events from one generated event; they are not independent.
        """
        keys = np.column_stack([self.sample, self.columns["run"], self.columns["event"]]).astype(np.int64)
        return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)

    @property
    def simulated(self) -> NDArray[np.bool_]:
        """(N,) true for signal and background."""
        return self.label >= 0

    def passed(self, cuts: Iterable[str]) -> NDArray[np.bool_]:
        """(N,) true where every one of `cuts` is passed."""
        mask = np.ones(len(self), bool)
        for cut in cuts:
            mask &= self.columns[f"pass_{cut}"]
        return mask


def read_events(samples: Sequence[Sample], features: Iterable[str], cuts: Iterable[str]) -> Events:
    """Read the columns that `features` and `cuts` need from all samples.

    The result does not depend on the order of the samples, of a sample's files, nor of the rows in them: samples come
    by name, events sorted by run, event number, entry and mass.

    Raises:
        ValueError: if a sample has an unknown role or a name used twice, or a file lacks a column.
    """
    import pyarrow.parquet as pq

    wanted = list(
        dict.fromkeys([*ORDER, "lep_n", *(f"pass_{cut}" for cut in cuts), *required_columns(features)]),
    )
    ordered = sorted(samples, key=lambda sample: sample.name)
    names = tuple(sample.name for sample in ordered)
    if len(set(names)) != len(names):
        raise ValueError(f"Sample names must differ, but they are {', '.join(names)}.")
    parts: dict[str, list[NDArray[Any]]] = {column: [] for column in wanted}
    index: list[NDArray[np.int16]] = []
    weights: list[NDArray[np.float64]] = []
    for number, sample in enumerate(ordered):
        if sample.role not in ROLES:
            raise ValueError(
                f"Sample {sample.name} has the role {sample.role!r}; it must be one of {', '.join(ROLES)}."
            )
        tables = []
        for file in sample.files:
            _check_columns(pq.read_schema(file).names, wanted, file, sample.name)
            tables.append(pq.read_table(file, columns=wanted, use_threads=False))
        if not sum(table.num_rows for table in tables):
            continue
        columns = {
            name: np.concatenate([table.column(name).to_numpy() for table in tables if table.num_rows])
            for name in wanted
        }
        order = np.lexsort([columns[name] for name in reversed(ORDER)])
        for name in wanted:
            parts[name].append(columns[name][order])
        index.append(np.full(len(order), number, np.int16))
        weights.append(columns["weight"][order].astype(np.float64) * sample.scale)
    return Events(
        names=names,
        roles=tuple(sample.role for sample in ordered),
        sample=np.concatenate([*index, np.empty(0, np.int16)]),
        weight=np.concatenate([*weights, np.empty(0, np.float64)]),
        columns={name: np.concatenate(part) if part else np.empty(0) for name, part in parts.items()},
    )


def _check_columns(present: Sequence[str], wanted: Sequence[str], file: str, sample: str) -> None:
    for column in wanted:
        if column not in present:
            near = difflib.get_close_matches(column, present, n=1, cutoff=0.4)
            hint = f"; the nearest column is {near[0]}" if near else ""
            raise ValueError(f"The skim {file} of sample {sample} has no column {column}{hint}.")


def require_both_classes(events: Events, cuts: Sequence[str]) -> None:
    """Check that signal and background have events.

    Raises:
        ValueError: naming the role without events and its samples.
    """
    label = events.label
    for role, value in (("signal", 1), ("background", 0)):
        if not np.any(label == value):
            of_role = [name for name, its in zip(events.names, events.roles, strict=True) if its == role]
            which = f"sample(s) {', '.join(of_role)}" if of_role else "no sample has that role"
            after = f" after the cuts {cuts[0]} to {cuts[-1]}" if cuts else ""
            raise ValueError(f"A classifier needs {role} events, but none are left{after}: {which}.")
