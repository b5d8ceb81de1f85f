"""Signal: events of gluons alone that are put into one bin of a sample."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.sampling import Doubles, Indices, drawing_order

GLUON = 21


def gluon_events(partons: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(N,) true where all jets of an event stem from gluons; `partons` (N, jets) are particle numbers."""
    return np.asarray((partons == GLUON).all(axis=1))


def signal_events(
    sample: Indices,
    bins: Indices,
    gluons: NDArray[np.bool_],
    *,
    bin_: int,
    number: int,
    weights: Doubles | None,
    rng: np.random.Generator,
) -> Indices:
    """Events of gluons in a bin that are not in the sample, (number,), ascending.

    `bins` and `gluons` are those of every event of the pool. With the same generator a larger number holds the events
    of a smaller one. `weights` as in `drawing_order`.

    Raises:
        ValueError: if there are fewer.
    """
    free = gluons & (bins == bin_)
    free[sample] = False
    candidates = np.flatnonzero(free)
    order = drawing_order(len(candidates), None if weights is None else weights[candidates], rng)
    if number > len(order):
        raise ValueError(
            f"injection.sizes: {number} events are to be injected, but bin {bin_ + 1} has only {len(order)} events of "
            f"gluons that are not in a sample of {len(sample)} already."
        )
    return np.sort(candidates[order[:number]]).astype(np.int64)


def inject(
    sample: Indices,
    bins: Indices,
    signal: Indices,
    *,
    bin_: int,
    mode: Literal["add", "replace"],
    rng: np.random.Generator,
) -> Indices:
    """The sample with the signal in it; `replace` takes as many events out of the bin, chosen at random.

    Raises:
        ValueError: if the bin has fewer events to replace.
    """
    if mode == "replace":
        there = sample[bins[sample] == bin_]
        if len(there) < len(signal):
            raise ValueError(
                f"injection.sizes: {len(signal)} events of bin {bin_ + 1} are to be replaced, but a sample of "
                f"{len(sample)} has only {len(there)} there."
            )
        gone = there[drawing_order(len(there), None, rng)[: len(signal)]]
        sample = np.setdiff1d(sample, gone, assume_unique=True)
    return np.union1d(sample, signal)
