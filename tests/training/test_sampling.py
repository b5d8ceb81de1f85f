"""Drawing without replacement, bins, seeds and the division of events, against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sampling import (
    bin_numbers,
    draw_sample,
    drawing_order,
    generator,
    jets_of,
    seed_sequence,
    shared_fraction,
    split_events,
)

EDGES = (660.0, 760.0, 860.0, 1160.0)


@given(st.integers(1, 60), st.data())
def test_a_sample_has_every_event_at_most_once(events: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, events))
    sample = draw_sample(
        events, None, size=size, sample=0, samples=1, disjoint=False, seed=data.draw(st.integers(0, 9))
    )
    assert len(sample) == len(set(sample.tolist())) == size
    assert sorted(sample.tolist()) == sample.tolist()
    assert 0 <= sample[0] <= sample[-1] < events


def test_a_uniform_draw_takes_each_event_alike() -> None:
    events, size, trials = 20, 5, 4000
    counts = np.zeros(events)
    for sample in range(trials):
        counts[draw_sample(events, None, size=size, sample=sample, samples=trials, disjoint=False, seed=5)] += 1
    expected = trials * size / events
    assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)


def test_a_weighted_draw_is_one_after_another_in_proportion_to_the_weights() -> None:
    """The probability of every ordered pair is w_i / sum * w_j / (sum - w_i)."""
    weights = np.array([1.0, 2.0, 0.0, 4.0])
    trials = 20_000
    counts: dict[tuple[int, int], int] = {}
    for trial in range(trials):
        first, second = drawing_order(4, weights, np.random.default_rng(trial), 2).tolist()
        counts[first, second] = counts.get((first, second), 0) + 1
    total = weights.sum()
    for i in (0, 1, 3):
        for j in {0, 1, 3} - {i}:
            expected = trials * weights[i] / total * weights[j] / (total - weights[i])
            assert abs(counts.pop((i, j)) - expected) < 5 * math.sqrt(expected)
    assert not counts  # no event of weight 0


@given(st.integers(1, 50), st.integers(1, 60), st.booleans())
def test_the_first_of_an_order_are_those_of_the_whole_one(events: int, most: int, weighted: bool) -> None:
    weights = np.linspace(0.0, 3.0, events) if weighted else None
    whole = drawing_order(events, weights, np.random.default_rng(1))
    assert drawing_order(events, weights, np.random.default_rng(1), most).tolist() == whole[:most].tolist()


@pytest.mark.parametrize("weighted", [False, True])
def test_disjoint_samples_share_nothing_and_are_alike(weighted: bool) -> None:
    weights = np.linspace(0.1, 10.0, 1000) if weighted else None
    drawn = [draw_sample(1000, weights, size=150, sample=k, samples=5, disjoint=True, seed=4) for k in range(5)]
    assert len(np.unique(np.concatenate(drawn))) == 750
    if weights is not None:  # the last one is drawn with the weights as well as the first one
        means = [weights[sample].mean() for sample in drawn]
        assert max(means) - min(means) < 5 * weights.std() * math.sqrt(2 / 150)


@pytest.mark.parametrize(
    ("events", "weights", "disjoint", "sentence"),
    [
        (99, None, False, "a sample has 100 events, but only 99 events are in the range"),
        (100, np.r_[np.zeros(1), np.ones(99)], False, "only 99 events with a weight above 0"),
        (299, None, True, "3 disjoint samples of 100 events need 300, but only 299"),
        (200, np.r_[-1.0, np.ones(199)], False, "use draw: uniform"),
        (200, np.r_[np.nan, np.ones(199)], False, "use draw: uniform"),
    ],
)
def test_a_draw_that_is_not_possible_says_why(
    events: int, weights: np.ndarray | None, disjoint: bool, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        draw_sample(events, weights, size=100, sample=0, samples=3, disjoint=disjoint, seed=1)


def test_the_shared_fraction_is_what_samples_share() -> None:
    weights = np.random.default_rng(3).exponential(1.0, 600)
    for given_weights in (None, weights):
        drawn = [
            set(draw_sample(600, given_weights, size=120, sample=k, samples=40, disjoint=False, seed=2).tolist())
            for k in range(40)
        ]
        shares = [len(a & b) / 120 for i, a in enumerate(drawn) for b in drawn[:i]]
        expected = shared_fraction(600, given_weights, size=120, disjoint=False)
        assert np.mean(shares) == pytest.approx(expected, abs=0.01)
    assert shared_fraction(600, None, size=120, disjoint=False) == 0.2
    assert shared_fraction(600, np.full(600, 7.0), size=120, disjoint=False) == pytest.approx(0.2, rel=1e-9)
    assert shared_fraction(600, weights, size=600, disjoint=False) == 1.0
    assert shared_fraction(600, None, size=120, disjoint=True) == 0.0


@given(st.lists(st.floats(600, 1200), max_size=40))
def test_bins_are_those_of_a_loop(masses: list[float]) -> None:
    expected = []
    for mass in masses:
        found = [k for k in range(3) if EDGES[k] <= mass < EDGES[k + 1]]
        expected.append(found[0] if found else -1)
    assert bin_numbers(np.array(masses, float), EDGES).tolist() == expected


def test_the_edges_are_those_of_the_configuration() -> None:
    assert bin_numbers(np.array([660.0, 760.0, 1159.999, 1160.0, 659.999]), EDGES).tolist() == [0, 1, 2, -1, -1]


def test_every_use_of_random_numbers_has_its_own() -> None:
    keys = [("draw", (5, 1)), ("draw", (5, 2)), ("draw", (6, 1)), ("split", (5, 1)), ("draw", (5,))]
    states = {tuple(seed_sequence(1, purpose, *numbers).generate_state(4)) for purpose, numbers in keys}
    assert len(states) == len(keys)
    assert generator(1, "draw", 5, 1).random() == generator(1, "draw", 5, 1).random()
    assert generator(1, "draw", 5, 1).random() != generator(2, "draw", 5, 1).random()


@given(st.integers(1, 3), st.sets(st.integers(0, 199), min_size=30, max_size=90), st.integers(0, 50))
def test_whole_events_are_divided(per_event: int, chosen: set[int], seed: int) -> None:
    events = np.array(sorted(chosen))
    parts = split_events(events, np.random.default_rng(seed).random(200), train=17, test=8)
    assert (len(parts.train), len(parts.test)) == (17, 8)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(together.tolist()) == events.tolist()
    jets = [
        set((jets_of(part, per_event) // per_event).tolist()) for part in (parts.train, parts.validation, parts.test)
    ]
    assert not jets[0] & jets[1]
    assert not jets[0] & jets[2]
    assert not jets[1] & jets[2]
    assert len(jets_of(parts.train, per_event)) == 17 * per_event


def test_a_few_events_more_leave_most_others_in_their_subset() -> None:
    priority = np.random.default_rng(7).random(2000)
    before = split_events(np.arange(1000), priority, train=500, test=200)
    after = split_events(np.arange(1020), priority, train=500, test=200)
    assert len(np.intersect1d(before.train, after.train)) > 480


def test_too_few_events_to_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match="10 events cannot be divided into 8 for training and 3"):
        split_events(np.arange(10), np.zeros(10), train=8, test=3)


def test_validation_can_be_limited() -> None:
    parts = split_events(np.arange(100), np.random.default_rng(1).random(100), train=50, test=20, most_validation=4)
    assert len(parts.validation) == 4
