"""The peak fit: right where it can be, and open about where it cannot."""

import numpy as np
import pytest

from analysis.results.gaussian_fit import fit_peak

EDGES = np.linspace(110, 140, 13)


def test_recovers_a_peak_on_a_background() -> None:
    rng = np.random.default_rng(7)
    peak = rng.normal(124.3, 2.2, 400)
    background = rng.uniform(110, 140, 240)
    counts = np.histogram(np.concatenate([peak, background]), EDGES)[0].astype(float)
    fit = fit_peak(EDGES, counts, np.full(12, 20.0), start=125.0)
    assert fit.succeeded
    assert fit.events is not None
    assert fit.mean is not None
    assert fit.width is not None
    for (value, error), truth in ((fit.events, 400), (fit.mean, 124.3), (fit.width, 2.2)):
        assert abs(value - truth) < 3 * error
    # The uncertainty of the mean is at least that of the same events without a background, and not much larger.
    assert 2.2 / 20 < fit.mean[1] < 2 * 2.2 / 20
    x = np.linspace(90, 160, 2000)
    assert np.trapezoid(fit.density(x), x) == pytest.approx(fit.events[0], rel=1e-3)


def test_too_few_events_are_no_fit() -> None:
    counts = np.zeros(12)
    counts[5] = 1
    fit = fit_peak(EDGES, counts, np.zeros(12), start=125.0)
    assert not fit.succeeded
    assert fit.mean is None
    assert "too few events for 3 parameters: 1 between 110 and 140" in fit.reason
    with pytest.raises(ValueError, match="too few"):
        fit.density(EDGES)


def test_no_peak_is_a_failed_fit_with_a_reason() -> None:
    """All events are background: the peak's number of events runs to zero."""
    fit = fit_peak(EDGES, np.full(12, 3.0), np.full(12, 6.0), start=125.0)
    assert not fit.succeeded
    assert fit.reason


def test_a_peak_in_one_bin_has_no_width() -> None:
    counts = np.zeros(12)
    counts[6] = 30
    fit = fit_peak(EDGES, counts, np.zeros(12), start=125.0)
    assert not fit.succeeded
    assert fit.reason
