"""Samples of events from a pool, their bins, and which jets train and which test. Plain functions on numpy arrays.

Every random number comes from a `SeedSequence` of its own for each purpose, sample size, sample and pair of bins: what
a training sees does not depend on which other trainings run in the same task, nor where.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Doubles = NDArray[np.float64]


def seed_sequence(seed: int, purpose: str, *numbers: int) -> np.random.SeedSequence:
    """The seed of one use of random numbers, independent of that of every other (purpose, numbers)."""
    key = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=4).digest(), "little")
    return np.random.SeedSequence(seed, spawn_key=(key, *numbers))


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A generator seeded by `seed_sequence`."""
    return np.random.default_rng(seed_sequence(seed, purpose, *numbers))


def drawing_order(events: int, weights: Doubles | None, rng: np.random.Generator, most: int | None = None) -> Indices:
    """The events 0 ... `events` - 1 in the order in which they are drawn without replacement, the first `most` of them.

    With `weights` (events,) each draw takes one of the remaining events with a probability proportional to its weight:
    events in ascending order of independent exponential times with the weights as rates (Efraimidis and Spirakis,
    Inf. Process. Lett. 97 (2006) 181). Events of weight 0 are never drawn and not part of the order.

    Raises:
        ValueError: if a weight is negative or not finite.
    """
    times = rng.exponential(size=events)
    if weights is None:
        return _first(times, most)
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise ValueError("draw: weights needs weights that are finite and not negative; use draw: uniform.")
    possible = np.flatnonzero(weights > 0)
    return possible[_first(times[possible] / weights[possible], most)].astype(np.int64)


def _first(times: Doubles, most: int | None) -> Indices:
    if most is None or most >= len(times):
        return np.argsort(times, kind="stable").astype(np.int64)
    early = np.argpartition(times, most)[:most]
    return early[np.argsort(times[early], kind="stable")].astype(np.int64)


def draw_sample(
    events: int, weights: Doubles | None, *, size: int, sample: int, samples: int, disjoint: bool, seed: int
) -> Indices:
    """The events of one sample in ascending order, (size,).

    Disjoint samples are parts of one draw of `samples` * `size` events, put into random order first: with weights, the
    events that are drawn early are others than those drawn late.

    Raises:
        ValueError: if the pool has too few events.
    """
    needed = size * samples if disjoint else size
    rng = generator(seed, "draw", size) if disjoint else generator(seed, "draw", size, sample)
    order = drawing_order(events, weights, rng, needed)
    if len(order) < needed:
        there = len(order) if weights is not None else events
        what = (
            f"{samples} disjoint samples of {size} events need {needed}" if disjoint else f"a sample has {size} events"
        )
        of_weight = " with a weight above 0" if weights is not None else ""
        raise ValueError(f"sample_sizes: {what}, but only {there} events{of_weight} are in the range of the bins.")
    if disjoint:
        order = rng.permutation(order[:needed])[sample * size : (sample + 1) * size]
    return np.sort(order[:size])


def shared_fraction(events: int, weights: Doubles | None, *, size: int, disjoint: bool) -> float:
    """Expected share of the events of a sample that are in another one of the same size as well.

    It is sum_i p_i^2 / size with the probabilities p_i that a sample has event i: size / events for a uniform draw.
    With weights p_i = 1 - exp(-w_i t), where t is such that the p_i add up to the size (exact for many events).
    """
    if disjoint:
        return 0.0
    if weights is None:
        return size / events
    from scipy.optimize import brentq

    rates = weights[weights > 0] / weights.sum()
    if size >= len(rates):
        return 1.0

    def excess(log_time: float) -> float:
        return float(-np.expm1(-rates * np.exp(log_time)).sum() - size)

    # After the time size / 1 fewer than `size` events have come on average; then double until there are enough.
    low = high = float(np.log(size))
    while excess(high) < 0:
        high += 1.0
    probability = -np.expm1(-rates * np.exp(brentq(excess, low, high, xtol=1e-12)))
    return float(np.square(probability).sum() / size)


def bin_numbers(mass: Doubles, edges: tuple[float, ...]) -> Indices:
    """Bin of each event, 0 for the lowest; the low edge belongs to a bin, the high one does not. -1: in none."""
    number = np.searchsorted(np.asarray(edges), mass, side="right") - 1
    return np.where((number >= 0) & (number < len(edges) - 1), number, -1).astype(np.int64)


def jets_of(events: Indices, jets_per_event: int) -> Indices:
    """Numbers of all jets of these events, event after event."""
    return (events[:, None] * jets_per_event + np.arange(jets_per_event)).reshape(-1)


@dataclass(frozen=True)
class Subsets:
    """Events of a pair of bins that train, validate and test; ascending, and none in two of them."""

    train: Indices
    validation: Indices
    test: Indices


def split_events(
    events: Indices, priority: Doubles, *, train: int, test: int, most_validation: int | None = None
) -> Subsets:
    """Divide events: those of the lowest priority train, the next ones test, the rest validates.

    `priority` has a random number for every event of the pool, so that a few events more leave most others where they
    were. Whole events are divided: all jets of one are in the same subset.

    Raises:
        ValueError: if there are too few events.
    """
    if len(events) < train + test:
        raise ValueError(f"{len(events)} events cannot be divided into {train} for training and {test} for the test.")
    order = events[np.argsort(priority[events], kind="stable")]
    rest = order[train + test :]
    if most_validation is not None:
        rest = rest[:most_validation]
    return Subsets(np.sort(order[:train]), np.sort(rest), np.sort(order[train : train + test]))
