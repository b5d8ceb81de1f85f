"""Statistics of weighted and of observed event counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.results.quantities import Quantity

Array = NDArray[np.float64]

ONE_SIGMA = math.erf(1 / math.sqrt(2))


def weighted_yield(weights: NDArray[np.floating], scale: float | None = 1.0, flags: tuple[str, ...] = ()) -> Quantity:
    """Expected events: sum of weights ± root of the sum of squared weights, both times `scale` (None: not known)."""
    weights = weights.astype(np.float64)
    return Quantity(float(weights.sum()), float(np.sqrt(np.square(weights).sum())), "events", flags).times(
        scale, "no yield: part of the sample is missing and its scale is unknown"
    )


def per_generated_event(
    weights: NDArray[np.floating], run: NDArray[np.integer], event: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Weights summed over the events of a sample that share run and event number: made of one generated event."""
    from training.weights import per_generated_event as add

    if not len(weights):
        return np.zeros(0)
    keys = np.unique(np.column_stack([run, event]).astype(np.int64), axis=0, return_inverse=True)[1].reshape(-1)
    return add(weights.astype(np.float64), keys)


def observed_yield(count: int, flags: tuple[str, ...] = ()) -> Quantity:
    """A number of data events: exact, without an uncertainty (that of its mean is `poisson_interval`)."""
    return Quantity(count, None, "events", flags)


def effective_events(weights: NDArray[np.floating]) -> float:
    """(sum w)^2 / sum w^2: how many unweighted events have the same relative uncertainty; 0 for none."""
    squares = float(np.square(weights.astype(np.float64)).sum())
    return float(weights.sum(dtype=np.float64)) ** 2 / squares if squares > 0 else 0.0


def poisson_interval(counts: Array, coverage: float = ONE_SIGMA) -> tuple[Array, Array]:
    """Central Poisson confidence interval of each mean, for observed counts (Garwood, Biometrika 28 (1936) 437).

    For no event the lower end is 0 and the upper one is that of the central interval (1.84 at one sigma).
    """
    from scipy.stats import chi2

    tail = (1 - coverage) / 2
    lower = np.where(counts > 0, chi2.ppf(tail, 2 * np.maximum(counts, 1)) / 2, 0.0)
    upper = chi2.isf(tail, 2 * (counts + 1)) / 2
    return np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)


def pulls(observed: Array, expected: Array, variance: Array) -> Array:
    """(observed - expected) / sqrt(expected + variance of the expectation); NaN where nothing is expected.

    The Poisson variance of the observation is taken from the expectation, so that an empty bin has a pull as well.
    """
    spread = np.sqrt(np.maximum(expected, 0) + variance)
    return np.divide(observed - expected, spread, out=np.full_like(expected, np.nan), where=spread > 0)


@dataclass(frozen=True)
class Agreement:
    """Pearson chi2 of data and expectation over `ndf` merged bins with its p-value; None where it means nothing."""

    chi2: float | None
    ndf: int
    p_value: float | None
    reason: str = ""


def agreement(observed: Array, expected: Array, variance: Array, minimum: float = 5.0) -> Agreement:
    """Compare a histogram with its expectation.

    Neighbouring bins are merged until at least `minimum` events are expected in each, below which the chi2
    distribution does not describe the statistic; the expectation's own variance is added to the Poisson one.
    """
    from scipy.stats import chi2

    groups = _merged_bins(expected, minimum)
    if len(groups) < 2:
        total = float(expected.sum())
        return Agreement(None, len(groups), None, f"{total:.2g} events expected: too few for two bins of {minimum:g}")
    o, e, v = (np.add.reduceat(a, groups) for a in (observed, expected, variance))
    value = float(np.sum((o - e) ** 2 / (e + v)))
    return Agreement(value, len(groups), float(chi2.sf(value, len(groups))))


def _merged_bins(expected: Array, minimum: float) -> list[int]:
    """First bin of each group of neighbours that expects at least `minimum`; the rest joins the last group."""
    starts: list[int] = []
    start, content = 0, 0.0
    for index, value in enumerate(expected):
        content += float(value)
        if content >= minimum:
            starts.append(start)
            start, content = index + 1, 0.0
    return starts
