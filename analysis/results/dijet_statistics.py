"""Statistics of repeated samples from one pool: spreads, significances, numbers of signal events, p-values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.results.statistics import ONE_SIGMA

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of n values from samples that share a part of their events.

    With n values x_k whose correlation r comes from shared events, the variance among them underestimates that of a
    sample of events that no other has, by the finite-population factor: E[s^2] = sigma^2 (1 - r). Their mean varies
    with sigma^2 (1 + (n - 1) r) / n from pool to pool, which is estimated by s^2 (1 / n + r / (1 - r)); s^2 / n is the
    variance of the mean for this pool alone.

    For an average over a sample's events r is the share that two samples have in common (Cochran, Sampling Techniques,
    2.6: samples of m of N events have r = m / N). Where kinds of events are drawn each on their own, as those of two
    bins and injected ones, covariance and variance are sums over them, and r is at most the largest of their shares. An
    AUC is an average to first order in the events (Hoeffding, Ann. Math. Stat. 19 (1948) 293), but it is computed on a
    part of the sample, of which two samples share less, and it varies with the initial weights, too: with the share of
    the whole samples these are upper bounds.
    """

    n: int
    mean: float
    deviation: float
    shared: float

    @property
    def deviation_error(self) -> float:
        """Standard error of the standard deviation of n values of a normal distribution: s / sqrt(2 (n - 1))."""
        return self.deviation / math.sqrt(2 * (self.n - 1))

    @property
    def mean_error(self) -> float:
        """Standard error of the mean for this pool: s / sqrt(n)."""
        return self.deviation / math.sqrt(self.n)

    @property
    def independent_factor(self) -> float:
        """1 / sqrt(1 - r): standard deviation without shared events over that seen, at most; infinite for r = 1.

        NaN where r is not known.
        """
        return math.inf if self.shared >= 1 else 1 / math.sqrt(1 - self.shared)

    @property
    def independent_deviation(self) -> float:
        """Standard deviation of samples without shared events, at most."""
        return self.deviation * self.independent_factor

    @property
    def mean_error_of_pools(self) -> float:
        """Standard error of the mean for a new pool, at most; infinite for r = 1, NaN where r is not known."""
        if self.shared >= 1:
            return math.inf
        return self.deviation * math.sqrt(1 / self.n + self.shared / (1 - self.shared))


def spread(values: Array, shared: float) -> Spread | None:
    """Mean and standard deviation (n - 1) of those `values` that are not NaN; None for fewer than two."""
    there = values[np.isfinite(values)]
    if len(there) < 2:
        return None
    return Spread(len(there), float(there.mean()), float(there.std(ddof=1)), shared)


def auc_error(auc: Array, positives: Array, negatives: Array) -> Array:
    """Standard error of an AUC from its test sample (Hanley and McNeil, Radiology 143 (1982) 29, equation 1).

    Q1 and Q2 are those of exponential scores. The jets of an event count as independent.
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return np.sqrt(np.maximum(variance, 0) / (positives * negatives))


def composition_auc(gluons_lower: Array, gluons_upper: Array, gluon_quark: Array) -> Array:
    """AUC of the upper against the lower bin if they differ in their shares of gluon jets alone.

    With shares f_u and f_l and the AUC A of gluons against quarks of the same score, pairs of equal flavour count 1/2:
    AUC = [f_u f_l + (1 - f_u)(1 - f_l)] / 2 + f_u (1 - f_l) A + (1 - f_u) f_l (1 - A) = 1/2 + (f_u - f_l)(A - 1/2).
    """
    return 0.5 + (gluons_upper - gluons_lower) * (gluon_quark - 0.5)


def significance(signal: Array, null: Array) -> float:
    """(mean with signal - mean without) / standard deviation without; NaN where that is not known. NaN is no value."""
    signal, null = signal[np.isfinite(signal)], null[np.isfinite(null)]
    if not len(signal) or len(null) < 2:
        return math.nan
    deviation = float(null.std(ddof=1))
    return float(signal.mean() - null.mean()) / deviation if deviation > 0 else math.nan


def leave_one_out(values: Array) -> Array:
    """Each value's distance from the mean of the others over their standard deviation, (n,): significance of nothing.

    NaN for a value that is NaN, and for all where fewer than three are not.
    """
    there = np.flatnonzero(np.isfinite(values))
    found = np.full(len(values), np.nan)
    for k in there if len(there) > 2 else ():
        found[k] = significance(values[[k]], np.delete(values, k))
    return found


def leave_one_out_error(z: float, n: int) -> float:
    """Standard error of one of n `leave_one_out` values from mean and deviation of the others, for normal values."""
    return math.sqrt(1 / (n - 1) + z**2 / (2 * (n - 2)))


def expected_above(level: float, n: int) -> float:
    """How many of n normal values have a `leave_one_out` above `level` on average.

    (x - mean) / (s sqrt(1 + 1 / (n - 1))) has Student's t distribution with n - 2 degrees of freedom.
    """
    from scipy.stats import t

    return n * float(t.sf(level / math.sqrt(1 + 1 / (n - 1)), n - 2))


def halves(values: Array) -> tuple[float, float]:
    """Significance of the first half of the values against the second, and its standard error; NaN for too few.

    NaN is no value. The error is that of both means and of the deviation, for normal values.
    """
    there = values[np.isfinite(values)]
    first, second = there[: len(there) // 2], there[len(there) // 2 :]
    if not len(first) or len(second) < 2:
        return math.nan, math.nan
    z = significance(first, second)
    return z, math.sqrt(1 / len(first) + 1 / len(second) + z**2 / (2 * (len(second) - 1)))


def crossing(sizes: Sequence[float], significances: Array, level: float) -> float:
    """Signal events at which the significance first reaches `level`, linear between the sizes and from 0 at 0.

    Infinite where no size reaches it; NaN where a significance before that is not known.
    """
    x = np.concatenate([[0.0], np.asarray(sizes, np.float64)])
    z = np.concatenate([[0.0], significances])
    for k in range(1, len(x)):
        if math.isnan(z[k]):
            return math.nan
        if z[k] >= level:
            return float(x[k - 1] + (level - z[k - 1]) / (z[k] - z[k - 1]) * (x[k] - x[k - 1]))
    return math.inf


@dataclass(frozen=True)
class Power:
    """Significance against signal: per signal size the value and its bootstrap error, and the replicas themselves.

    `replicas` has the shape (replicas, sizes).
    """

    sizes: tuple[int, ...]
    values: Array
    errors: Array
    replicas: Array

    def crossing(self, level: float) -> tuple[float, float, float]:
        """Signal events at `level` and the central 68.27 % bootstrap interval; infinite where it is not reached."""
        found = np.array([crossing(self.sizes, one, level) for one in self.replicas])
        found = np.sort(found[~np.isnan(found)])
        tail = (1 - ONE_SIGMA) / 2
        low, high = (
            (float(found[min(int(level_ * len(found)), len(found) - 1)]) for level_ in (tail, 1 - tail))
            if len(found)
            else (math.nan, math.nan)
        )
        return crossing(self.sizes, self.values, level), low, high


def power(null: Array, signals: Array, sizes: Sequence[int], *, replicas: int, rng: np.random.Generator) -> Power:
    """Significance of each signal size, with a bootstrap over samples.

    `null` (n,) and `signals` (sizes, n) hold the AUC of each sample without and with signal, NaN where there is none. A
    replica draws sample numbers, the same without signal and with every size of it: these share their other events.
    """
    values = np.array([significance(one, null) for one in signals])
    drawn = np.array(
        [
            [significance(one[numbers], null[numbers]) for one in signals]
            for numbers in rng.integers(0, len(null), (replicas, len(null)))
        ]
    ).reshape(replicas, len(signals))
    with np.errstate(invalid="ignore"):
        errors = np.array(
            [
                float(np.std(one[np.isfinite(one)], ddof=1)) if np.isfinite(one).sum() > 1 else math.nan
                for one in drawn.T
            ]
        )
    return Power(tuple(sizes), values, errors, drawn)


def correlations(values: Array) -> tuple[Array, Array, int]:
    """Linear correlation of the columns of (n, k), its standard error (1 - r^2) / sqrt(n - 1), and the rows used.

    Rows with NaN are left out. NaN for fewer than three rows.
    """
    rows = values[np.isfinite(values).all(axis=1)]
    k = values.shape[1]
    if len(rows) < 3:
        return np.full((k, k), np.nan), np.full((k, k), np.nan), len(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.corrcoef(rows, rowvar=False).reshape(k, k)
    return matrix, (1 - matrix**2) / math.sqrt(len(rows) - 1), len(rows)
