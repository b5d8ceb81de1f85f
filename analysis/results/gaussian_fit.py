"""A Gaussian on top of a known background, fitted to the few events of a mass peak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARAMETERS = 3


@dataclass(frozen=True)
class PeakFit:
    """Result of a peak fit: events in the peak, mean and width with uncertainties, or the reason why there is none."""

    events: tuple[float, float] | None = None
    mean: tuple[float, float] | None = None
    width: tuple[float, float] | None = None
    observed: int = 0
    reason: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the fit gave a result."""
        return not self.reason

    def density(self, x: Array) -> Array:
        """Peak events per unit of x. Raises ValueError for a fit without result."""
        from scipy.stats import norm

        if self.events is None or self.mean is None or self.width is None:
            raise ValueError(f"the fit has no result: {self.reason}")
        return np.asarray(self.events[0] * norm.pdf(x, self.mean[0], self.width[0]), dtype=np.float64)


def fit_peak(edges: Array, counts: Array, background: Array, *, start: float, width: float = 2.0) -> PeakFit:
    """Maximise the Poisson likelihood of `counts` for Gaussian peak plus `background`, bin by bin.

    `edges` [n+1] and `start`, `width` are in the unit of the mass, `background` is the expected number of other events
    per bin and fixed. Uncertainties come from the inverse of the numerical Hessian matrix of -ln L. A fit that cannot
    be made (fewer events than twice the parameters), does not converge, or runs into the ends of its range has a
    reason instead.
    """
    from scipy.optimize import minimize
    from scipy.stats import norm

    observed = int(counts.sum())
    if observed < 2 * PARAMETERS:
        return PeakFit(
            observed=observed,
            reason=f"too few events for {PARAMETERS} parameters: {observed} between {edges[0]:g} and {edges[-1]:g}",
        )

    def nll(p: Array) -> float:
        expected = p[0] * np.diff(norm.cdf(edges, p[1], p[2])) + background
        expected = np.maximum(expected, 1e-9)
        return float(np.sum(expected - counts * np.log(expected)))

    step = float(np.min(np.diff(edges)))
    bounds = [(0.0, 3.0 * observed), (float(edges[0]), float(edges[-1])), (step / 4, float(edges[-1] - edges[0]) / 2)]
    first = np.array([max(observed - float(background.sum()), 1.0), start, width])
    fit = minimize(nll, first, method="L-BFGS-B", bounds=bounds)
    if not fit.success:
        return PeakFit(observed=observed, reason=f"the fit did not converge: {fit.message}")
    best = np.asarray(fit.x, dtype=np.float64)
    names = ("number of events", "mean", "width")
    for value, (low, high), name in zip(best, bounds, names, strict=True):
        if min(value - low, high - value) < 1e-3 * (high - low):
            return PeakFit(observed=observed, reason=f"the {name} ran into the end of its range ({value:.3g})")
    try:
        covariance = np.linalg.inv(_hessian(nll, best, np.array([0.02 * max(best[0], 1), 0.02 * step, 0.02 * best[2]])))
    except np.linalg.LinAlgError:
        return PeakFit(observed=observed, reason="the likelihood is flat: no uncertainty can be given")
    variances = np.diag(covariance)
    if not np.all(variances > 0):
        return PeakFit(observed=observed, reason="the likelihood has no parabolic maximum: no uncertainty can be given")
    errors = np.sqrt(variances)
    events, mean, sigma = ((float(v), float(e)) for v, e in zip(best, errors, strict=True))
    return PeakFit(events, mean, sigma, observed)


def _hessian(function: Callable[[Array], float], point: Array, steps: Array) -> Array:
    """Central second differences."""
    size = len(point)
    matrix = np.empty((size, size))
    for i in range(size):
        for j in range(i, size):
            a, b = np.zeros(size), np.zeros(size)
            a[i], b[j] = steps[i], steps[j]
            mixed = (
                function(point + a + b) - function(point + a - b) - function(point - a + b) + function(point - a - b)
            )
            matrix[i, j] = matrix[j, i] = mixed / (4 * steps[i] * steps[j])
    return matrix
