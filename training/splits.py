"""Folds of the cross-validation, fixed by what an event is and not by where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that spreads every bit."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def event_hash(
    names: Sequence[str],
    sample: NDArray[np.integer],
    run: NDArray[np.integer],
    event: NDArray[np.integer],
    seed: int,
    purpose: str,
) -> NDArray[np.uint64]:
    """(N,) 64-bit hash of (data set, run, event, seed), independent for every `purpose`.

    Signed numbers count as their two's complement, so negative or large event numbers are allowed.
    """
    salts = [hashlib.blake2b(f"{purpose}\0{seed}\0{name}".encode(), digest_size=8).digest() for name in names]
    start = np.array([int.from_bytes(salt, "little") for salt in salts], np.uint64)[sample]
    state = _mixed(start ^ np.asarray(run).astype(np.int64).view(np.uint64))
    return _mixed(state ^ np.asarray(event).astype(np.int64).view(np.uint64))


def fold_of(
    names: Sequence[str],
    sample: NDArray[np.integer],
    run: NDArray[np.integer],
    event: NDArray[np.integer],
    *,
    seed: int,
    folds: int,
) -> NDArray[np.int16]:
    """(N,) fold 0 to folds - 1 of every event."""
    return (event_hash(names, sample, run, event, seed, "fold") % np.uint64(folds)).astype(np.int16)


def exclusions(folds: int) -> tuple[list[tuple[int]], list[tuple[int, int]]]:
    """The sets of folds that the models of a nested cross-validation leave out: (outer, inner).

    The outer model (k,) judges fold k. The threshold of fold k must come from scores of the other folds' events, given
    by models that saw neither them nor fold k: the model without (j, k) scores fold j for the threshold of k, and fold
    k for the threshold of j. That takes K + K(K-1)/2 fits where plain nesting takes K + K(K-1).
    """
    return [(k,) for k in range(folds)], list(combinations(range(folds), 2))
