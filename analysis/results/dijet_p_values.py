"""p-values of samples with signal among those without, and their medians with bootstrap intervals.

Arrays have a value for each of S samples, NaN where there is none. Sample k with signal is compared with the samples
without but its own: these share their other events. `counts` (R, S) says how often each sample is there in each of R
replicas; a row of ones is the samples as they are. What is left out in a replica is one copy, so that as many samples
are compared with as there are in truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.results.statistics import ONE_SIGMA

Array = NDArray[np.float64]
#: Deviations below this part of the largest value are those of rounding.
ROUNDING = 1e-12
#: Numbers of one array of `global_p_values`.
CHUNK = 2_000_000


def empirical_p_values(signal: Array, null: Array, counts: Array) -> Array:
    """(R, S): (1 + number of others that are at least as large) / (1 + number of them), never below 1 / (n + 1)."""
    counts, own = _counts(counts, np.isfinite(null))
    larger = null[None, :] >= signal[:, None]
    above = counts @ larger.T - own * np.diagonal(larger)
    others = counts.sum(axis=1, keepdims=True) - own
    return np.where(np.isfinite(signal), (1 + above) / (1 + others), np.nan)


def student_p_values(signal: Array, null: Array, counts: Array) -> Array:
    """(R, S): probability of at least this value in one more normal sample whose mean and deviation n others estimate.

    (x - mean) / (s sqrt(1 + 1/n)) has Student's t distribution with n - 1 degrees of freedom. NaN for n < 2 or s = 0.
    """
    from scipy.stats import t

    others, mean, deviation = _moments(null, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = (signal - mean) / (deviation * np.sqrt(1 + 1 / others))
        p = t.sf(distance, np.maximum(others - 1, 1))
    return np.where(np.isfinite(signal) & (others >= 2) & (deviation > 0), p, np.nan)


def _counts(counts: Array, known: NDArray[np.bool_]) -> tuple[Array, Array]:
    """How often each sample is there, and the copy that is left out where it is compared with others, (R, S) each."""
    there = counts * known
    return there, np.minimum(there, 1.0)


def _moments(null: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Number, mean and standard deviation of the others of each sample, (R, S) each; deviation 0 if it is rounding."""
    known = np.isfinite(null)
    values = np.where(known, null, 0.0)
    middle = values.sum() / max(known.sum(), 1)
    x = np.where(known, values - middle, 0.0)
    counts, own = _counts(counts, known)
    others = counts.sum(axis=1, keepdims=True) - own
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = ((counts @ x)[:, None] - own * x) / others
        squares = (counts @ x**2)[:, None] - own * x**2 - others * mean**2
        deviation = np.sqrt(np.maximum(squares, 0) / (others - 1))
    return others, mean + middle, np.where(deviation > ROUNDING * np.abs(values).max(initial=0), deviation, 0.0)


def global_p_values(observed: Array, null: Array, counts: Array) -> Array:
    """(R, S): p-values of the largest excess among all P pairs, with the correlations of the pairs in the samples.

    `observed` and `null` are (S, P); a sample that lacks a pair has no p-value and is no other's. The sample and the n
    others are standardised, pair by pair, by mean and deviation of all the rest of them, so that without signal every
    rank of the observed largest value is equally likely: p = rank / (n + 1). NaN for fewer than three others.
    """
    if not observed.shape[1]:
        return np.full((len(counts), len(observed)), np.nan)
    complete = np.asarray(np.isfinite(null).all(axis=1))
    middle = null[complete].mean(axis=0) if complete.any() else np.zeros(null.shape[1])
    x, v = np.where(complete[:, None], null - middle, 0.0), observed - middle
    at_once = max(1, CHUNK // max(observed.size * len(null), 1))
    there, own = _counts(counts, complete)
    slices = (slice(start, start + at_once) for start in range(0, len(counts), at_once))
    return np.concatenate([_global(v, x, there[part], own[part]) for part in slices])


def _global(v: Array, x: Array, counts: Array, own: Array) -> Array:
    others = (counts.sum(axis=1, keepdims=True) - own)[:, :, None]
    total = (counts @ x)[:, None, :] - own[:, :, None] * x + v
    squares = (counts @ x**2)[:, None, :] - own[:, :, None] * x**2 + v**2

    def largest(row: Array, total: Array, squares: Array, others: Array) -> Array:
        """Over the pairs, of a row's distances from the mean of the others over their deviation."""
        mean = (total - row) / others
        deviation = np.sqrt(np.maximum(squares - row**2 - others * mean**2, 0) / (others - 1))
        return np.asarray(np.max((row - mean) / np.where(deviation > 0, deviation, np.inf), axis=-1))

    with np.errstate(invalid="ignore", divide="ignore"):
        of_signal = largest(v, total, squares, others)
        of_null = largest(x, total[:, :, None], squares[:, :, None], others[:, :, None])
    weight = counts[:, None, :] - own[:, :, None] * np.eye(len(x))
    above = np.sum(weight * (of_null >= of_signal[:, :, None]), axis=2)
    n = others[:, :, 0]
    return np.where(np.isfinite(v).all(axis=1) & (n >= 3), (1 + above) / (n + 1), np.nan)


def bound_p_values(observed: Array, null: Array, counts: Array) -> Array:
    """(R, S): bound of the global p-value, that of Student of the best of P pairs times the pairs, see `bonferroni`.

    `observed` and `null` are (S, P); pairs without a p-value do not count.
    """
    if not observed.shape[1]:
        return np.full((len(counts), len(observed)), np.nan)
    local = np.stack([student_p_values(*columns, counts) for columns in zip(observed.T, null.T, strict=True)])
    known = np.isfinite(local)
    smallest = np.where(known, local, 1.0).min(axis=0)
    return np.where(known.any(axis=0), bonferroni(smallest, known.sum(axis=0)), np.nan)


def bonferroni(p: Array, tests: Array) -> Array:
    """Upper bound of the p-value of the smallest of several, whatever their correlations."""
    return np.minimum(1.0, tests * p)


@dataclass(frozen=True)
class Bootstrap:
    """Sample numbers drawn with replacement, (R, S): the same ones for samples with and without signal."""

    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, samples: int, replicas: int, rng: np.random.Generator) -> Bootstrap:
        """So many replicas of so many samples."""
        return cls(rng.integers(0, samples, (replicas, samples)))

    def median(self, p_values: Callable[[Array], Array]) -> tuple[float, float, float]:
        """Median over the samples of `p_values(counts)`, which gives (R, S), and its central 68.27 % interval.

        In a replica the samples with signal and those they are compared with are drawn. NaN where no sample has a
        p-value; for a single one the interval is.
        """
        samples = self.numbers.shape[1]
        values = p_values(np.ones((1, samples)))[0]
        there = np.isfinite(values)
        if there.sum() < 2:
            return (float(values[there][0]) if there.any() else math.nan), math.nan, math.nan
        counts = np.array([np.bincount(one, minlength=samples) for one in self.numbers], np.float64)
        drawn = np.take_along_axis(p_values(counts), self.numbers, axis=1)
        medians = np.nanmedian(drawn[np.isfinite(drawn).any(axis=1)], axis=1)
        low, high = np.quantile(medians, [(1 - ONE_SIGMA) / 2, (1 + ONE_SIGMA) / 2])
        return float(np.median(values[there])), float(low), float(high)
