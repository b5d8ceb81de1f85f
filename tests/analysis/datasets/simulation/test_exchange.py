"""Pairs from different hadronisations: which are independent, and the estimate of their expected number."""

import dataclasses

import numpy as np
import pytest

from analysis.datasets.simulation import exchange
from analysis.datasets.simulation.candidates import Candidates


def candidates(event: list[int], eta: list[float], probability: list[float], quark: list[int]) -> Candidates:
    n = len(event)
    blank = {f.name: np.zeros(n) for f in dataclasses.fields(Candidates)}
    flags = {name: np.zeros(n, bool) for name in ("prompt", "misidentified")}
    return Candidates(
        **{
            **blank,
            **flags,
            "event": np.array(event),
            "eta": np.array(eta),
            "probability": np.array(probability),
            "quark": np.array(quark),
            "promising": np.arange(n) % 2 == 0,
        }
    )


def test_near_pairs_and_pairs_of_one_quark_are_not_exchangeable() -> None:
    found = candidates([0, 0, 0, 0], [0.0, 0.5, 2.0, -2.0], [0.1] * 4, [5, -5, 5, 0])
    i, j = np.array([0, 0, 1, 0, 2]), np.array([1, 2, 2, 3, 3])
    assert exchange.exchangeable(found, i, j).tolist() == [False, False, True, True, True]


def test_events_with_an_exchangeable_pair() -> None:
    found = candidates([0, 0, 1, 1, 2, 3, 3, 3], [0, 0.1, 0, 2, 0, 0, 0.1, 2], [0.1] * 8, [0] * 8)
    drawn = np.arange(8)
    assert exchange.holds_exchangeable(found, drawn, 5).tolist() == [False, True, False, True, False]


def test_expected_number_of_pairs() -> None:
    """The factors add up to sum_{i<j} p_i p_j / R^2 per hadronisation, by enumeration."""
    rng = np.random.default_rng(4)
    n, records = 40, 10
    event = np.sort(rng.integers(0, records, n))
    found = candidates(
        event.tolist(),
        rng.uniform(-2, 2, n).tolist(),
        rng.uniform(0, 0.3, n).tolist(),
        rng.choice([-5, 0, 5], n).tolist(),
    )
    group = np.array([3] * 6 + [8] * 4)
    expected = np.zeros(2)
    for k, (first, last) in enumerate(((0, 6), (6, 10))):
        inside = np.flatnonzero((event >= first) & (event < last))
        i, j = (inside[x] for x in np.triu_indices(len(inside), 1))
        allowed = exchange.exchangeable(found, i, j)
        expected[k] = (found.probability[i] * found.probability[j])[allowed].sum() / (last - first)
    sums = np.zeros((400, 2))
    for trial in range(len(sums)):
        pairs = exchange.draw(found, group, rng)
        assert exchange.exchangeable(found, pairs.first, pairs.second).all()
        for k, own in enumerate((pairs.base < 6, pairs.base >= 6)):
            sums[trial, k] = pairs.factor[own].sum()
            assert ((event[pairs.first[own]] < 6) == (k == 0)).all()
            assert ((event[pairs.second[own]] < 6) == (k == 0)).all()
    errors = sums.std(axis=0) / np.sqrt(len(sums))
    assert (np.abs(sums.mean(axis=0) - expected) < 4 * errors).all()
    assert expected[0] == pytest.approx(sums[:, 0].mean(), rel=0.1)


def test_groups_without_candidates_give_no_pairs() -> None:
    found = candidates([2, 2], [0.0, 2.0], [0.1, 0.1], [0, 0])
    pairs = exchange.draw(found, np.array([0, 0, 1, 1]), np.random.default_rng(0))
    assert set(pairs.base.tolist()) <= {2, 3}
    assert len(pairs.base) > 0
