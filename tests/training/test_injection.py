"""Signal events: gluons alone, of the bin, none twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.injection import gluon_events, inject, signal_events


def test_gluon_events_are_those_with_gluons_alone() -> None:
    partons = np.array([[21, 21], [21, 1], [-21, 21], [0, 21], [21, 21], [2, -2]])
    assert gluon_events(partons).tolist() == [True, False, False, False, True, False]


def _pool(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bins, gluons = rng.integers(0, 3, 300), rng.random(300) < 0.4
    return bins, gluons, np.sort(rng.permutation(300)[:150])


@given(st.integers(0, 1000), st.integers(0, 2), st.integers(1, 15))
def test_signal_is_of_gluons_in_the_bin_and_new(seed: int, bin_: int, number: int) -> None:
    bins, gluons, sample = _pool(seed)
    candidates = [i for i in range(300) if gluons[i] and bins[i] == bin_ and i not in set(sample.tolist())]
    for weights in (None, np.linspace(0.5, 2, 300)):
        rng = np.random.default_rng(seed)
        arguments = {"bin_": bin_, "weights": weights}
        if number > len(candidates):
            with pytest.raises(ValueError, match=f"only {len(candidates)} events of gluons"):
                signal_events(sample, bins, gluons, number=number, rng=rng, **arguments)  # type: ignore[arg-type]
            continue
        signal = signal_events(sample, bins, gluons, number=number, rng=rng, **arguments)  # type: ignore[arg-type]
        assert len(set(signal.tolist())) == number
        assert set(signal.tolist()) <= set(candidates)


def test_a_larger_signal_contains_a_smaller_one() -> None:
    bins, gluons, sample = _pool(3)
    few, many = (
        signal_events(sample, bins, gluons, bin_=1, number=n, weights=None, rng=np.random.default_rng(8))
        for n in (4, 9)
    )
    assert set(few.tolist()) < set(many.tolist())


def test_added_signal_enlarges_the_bin() -> None:
    bins, gluons, sample = _pool(4)
    signal = signal_events(sample, bins, gluons, bin_=1, number=10, weights=None, rng=np.random.default_rng(8))
    after = inject(sample, bins, signal, bin_=1, mode="add", rng=np.random.default_rng(1))
    assert sorted([*sample.tolist(), *signal.tolist()]) == after.tolist()


def test_replacing_signal_keeps_the_number_of_events_in_every_bin() -> None:
    bins, gluons, sample = _pool(4)
    signal = signal_events(sample, bins, gluons, bin_=1, number=10, weights=None, rng=np.random.default_rng(8))
    after = inject(sample, bins, signal, bin_=1, mode="replace", rng=np.random.default_rng(1))
    assert np.bincount(bins[after]).tolist() == np.bincount(bins[sample]).tolist()
    assert set(signal.tolist()) <= set(after.tolist())
    assert len(set(after.tolist())) == len(sample)


def test_replacing_more_than_the_bin_has_is_an_error() -> None:
    bins = np.array([0, 0, 1, 1, 1, 1])
    with pytest.raises(ValueError, match="3 events of bin 1 are to be replaced, but a sample of 2 has only 1"):
        inject(np.array([0, 2]), bins, np.array([3, 4, 5]), bin_=0, mode="replace", rng=np.random.default_rng(1))
