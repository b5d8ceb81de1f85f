"""Drawing candidates: the probabilities against enumeration of all subsets."""

import itertools

import numpy as np
import pytest

from analysis.datasets.simulation import combinations


def enumerate_subsets(probability: list[float], sizes: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    out = {}
    for size in sizes:
        for subset in itertools.combinations(range(len(probability)), size):
            out[subset] = float(
                np.prod([p if i in subset else 1 - p for i, p in enumerate(probability)]),
            )
    return out


def test_symmetric_polynomials() -> None:
    table = combinations.symmetric_polynomials(np.array([[2.0, 3.0, 5.0]]), 3)
    np.testing.assert_allclose(table[-1, 0], [1, 10, 31, 30])
    np.testing.assert_allclose(table[2, 0], [1, 5, 6, 0])


@pytest.mark.parametrize("needed", [0, 1, 2, 3])
def test_frequencies_follow_the_binomial_products(needed: int) -> None:
    probability = [0.3, 0.05, 0.6, 0.15]
    expected = enumerate_subsets(probability, (needed, needed + 1))
    n = 40_000
    event = np.repeat(np.arange(n), 4)
    drawn, total = combinations.draw(np.tile(probability, n), event, np.full(n, needed), np.random.default_rng(needed))
    np.testing.assert_allclose(total, sum(expected.values()), rtol=1e-12)
    counts: dict[tuple[int, ...], int] = {}
    for row in drawn.reshape(n, 4):
        subset = tuple(np.flatnonzero(row).tolist())
        counts[subset] = counts.get(subset, 0) + 1
    assert set(counts) <= set(expected)
    for subset, p in expected.items():
        mean = n * p / sum(expected.values())
        assert abs(counts.get(subset, 0) - mean) < 5 * np.sqrt(mean + 1)


def test_too_few_candidates_have_no_probability() -> None:
    event = np.array([0, 0, 2])
    drawn, total = combinations.draw(np.array([0.1, 0.2, 0.3]), event, np.array([3, 1, 1]), np.random.default_rng(0))
    assert total[0] == 0
    assert total[1] == 0
    assert total[2] == pytest.approx(0.3)
    assert drawn.tolist() == [False, False, True]


def test_no_events() -> None:
    drawn, total = combinations.draw(
        np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64), np.random.default_rng(0)
    )
    assert len(drawn) == len(total) == 0
