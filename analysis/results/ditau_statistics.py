"""Response and resolution of mass estimators, with bootstrap uncertainties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Median, the central 68% and the central 95%.
_QUANTILES = (0.5, 0.16, 0.84, 0.025, 0.975)
#: Resampled values held at once.
_BLOCK = 10**7
#: Ranges of the generated mass by which models are ranked [GeV].
RANGES = ((0.0, 150.0), (150.0, 500.0), (500.0, 1000.0))


@dataclass(frozen=True)
class Response:
    """The ratio of estimated and generated mass in a bin: its median, half its central 68% over the median, its 95%.

    Each with the bootstrap's standard deviation; `replicas` (R,) are the resolutions of the resampled events.
    """

    events: int
    median: float
    median_error: float
    resolution: float
    resolution_error: float
    low: float
    high: float
    replicas: Array


def response(ratio: Array, rows: NDArray[np.int64] | None) -> Response:
    """The response of events with these ratios (at least one).

    `rows` (R, N) are the places of resampled events: equal ones for estimators that are compared on the same events.
    """
    median, q16, q84, low, high = np.quantile(ratio, _QUANTILES)
    medians, resolutions = np.empty(0), np.empty(0)
    if rows is not None and len(rows):
        step = max(1, _BLOCK // rows.shape[1])
        parts = [np.quantile(ratio[rows[k : k + step]], _QUANTILES[:3], axis=1) for k in range(0, len(rows), step)]
        medians, lower, upper = np.concatenate(parts, axis=1)
        resolutions = (upper - lower) / 2 / medians
    return Response(
        len(ratio), float(median), _spread(medians), float((q84 - q16) / 2 / median), _spread(resolutions),
        float(low), float(high), resolutions,
    )  # fmt: skip


def resampled(events: int, replicas: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(R, N) places of events drawn with replacement."""
    return rng.integers(0, events, (replicas, events))


def bin_edges(width: float, first: float, masses: Array) -> Array:
    """Edges of bins of equal width, `first` among them, that cover the masses; those at the ends may be narrower."""
    low = float(np.floor(np.min(masses) / 10) * 10)
    high = max(float(np.ceil(np.max(masses) / 10) * 10), low + 10)
    steps = np.arange(np.floor((low - first) / width), np.ceil((high - first) / width) + 1)
    edges = first + width * steps
    edges[0], edges[-1] = max(edges[0], low), min(edges[-1], high)
    return np.asarray(edges, np.float64)


def is_compared(low: float, compared: tuple[float, float]) -> bool:
    """Whether the bin that begins at a mass is one of those where models must beat simple estimators."""
    return compared[0] <= low < compared[1]


def rank_correlation(estimate: Array, mass: Array) -> float:
    """Spearman's rank correlation with the generated mass: no calibration of the estimate changes it."""
    from scipy.stats import spearmanr

    return float(spearmanr(estimate, mass).statistic) if len(mass) > 2 else float("nan")


def score(ratios: Sequence[Response | None]) -> float | None:
    """What models are ranked by: the mean over the ranges of abs(median - 1) and of half the 68% width."""
    if any(one is None for one in ratios):
        return None
    known = [one for one in ratios if one is not None]
    return float(np.mean([abs(one.median - 1) + one.resolution * one.median for one in known]))


def _spread(values: Array) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
