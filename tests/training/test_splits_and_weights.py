import numpy as np
import pytest
from scipy import stats

from training.splits import event_hash, exclusions, fold_of
from training.weights import effective_events, per_generated_event, training_weights

NAMES = ("ZZ", "ggH")


def events(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    sample = rng.integers(0, 2, n).astype(np.int16)
    return sample, np.full(n, 195847, np.int32), rng.integers(-(2**40), 2**40, n)


def test_folds_are_even_and_independent_of_order() -> None:
    sample, run, event = events(20000)
    folds = fold_of(NAMES, sample, run, event, seed=1, folds=5)
    assert stats.chisquare(np.bincount(folds, minlength=5)).pvalue > 1e-3
    order = np.random.default_rng(2).permutation(len(event))
    assert np.array_equal(fold_of(NAMES, sample[order], run[order], event[order], seed=1, folds=5), folds[order])


def test_consecutive_event_numbers_are_even_too() -> None:
    event = np.arange(8000)
    folds = fold_of(("ZZ",), np.zeros(8000, np.int16), np.zeros(8000, np.int32), event, seed=3, folds=4)
    assert stats.chisquare(np.bincount(folds, minlength=4)).pvalue > 1e-3
    pairs = np.bincount(folds[:-1] * 4 + folds[1:], minlength=16)
    assert stats.chisquare(pairs).pvalue > 1e-3


def test_hash_depends_on_everything_named() -> None:
    sample, run, event = events(100)
    first = event_hash(NAMES, sample, run, event, 1, "fold")
    assert not np.any(first == event_hash(NAMES, sample, run, event, 2, "fold"))
    assert not np.any(first == event_hash(NAMES, sample, run, event, 1, "validation"))
    assert not np.any(first == event_hash(NAMES, 1 - sample, run, event, 1, "fold"))
    assert not np.any(first == event_hash(NAMES, sample, run + 1, event, 1, "fold"))
    assert not np.any(first == event_hash(NAMES, sample, run, event + 1, 1, "fold"))
    # A sample keeps its hashes when others join.
    zz = sample == 0
    alone = event_hash(("ZZ",), sample[zz], run[zz], event[zz], 1, "fold")
    assert np.array_equal(alone, first[zz])


def test_every_pair_of_folds_is_excluded_once() -> None:
    outer, inner = exclusions(4)
    assert outer == [(0,), (1,), (2,), (3,)]
    assert len(inner) == 6
    assert {frozenset(pair) for pair in inner} == {frozenset((j, k)) for j in range(4) for k in range(j)}


def test_training_weights_balance_absolute_weights() -> None:
    label = np.array([1, 1, 0, 0, 0])
    weight = np.array([0.1, -0.3, 2.0, 2.0, -4.0])
    balanced = training_weights(label, weight)
    assert balanced == pytest.approx([0.625, 1.875, 0.625, 0.625, 1.25])
    assert balanced.mean() == pytest.approx(1.0)


def test_training_weights_need_both_classes() -> None:
    with pytest.raises(ValueError, match="signal events of a training set have no weight"):
        training_weights(np.array([0, 0]), np.ones(2))


def test_events_of_one_generated_event_are_not_independent() -> None:
    added = per_generated_event(np.array([1.0, 2.0, 3.0, 4.0]), np.array([7, 2, 7, 5]))
    assert sorted(added) == [2.0, 4.0, 4.0]
    assert effective_events(added) == pytest.approx(100 / 36)


def test_effective_events() -> None:
    assert effective_events(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_events(np.array([])) == 0.0
    assert effective_events(np.array([1.0, 1.0, 10.0])) == pytest.approx(144 / 102)
