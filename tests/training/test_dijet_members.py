"""The samples of dijet_anomaly and the jets of each training: nothing in two subsets, signal, what samples share."""

import numpy as np
import pytest
from support.dijet_training import samples_of, settings, small_sample

from training.dijet_members import Key, Samples, jet_flavour
from training.samples import Sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return small_sample(tmp_path_factory.mktemp("skim"))


@pytest.fixture(scope="module")
def drawn(sample: Sample) -> Samples:
    return samples_of(sample)


@pytest.mark.parametrize("signal", [0, 30])
def test_no_event_is_in_two_subsets_and_labels_are_the_bins(drawn: Samples, signal: int) -> None:
    member = drawn.member(Key(1500, 1, 0, signal))
    events = [set((member.jets(subset) // 2).tolist()) for subset in ("train", "validation", "test")]
    assert not events[0] & events[1]
    assert not events[0] & events[2]
    assert not events[1] & events[2]
    assert (len(member.train), len(member.test)) == (300, 200)
    mass = drawn.pool.mass
    for subset in ("train", "validation", "test"):
        of_jets = mass[member.jets(subset) // 2]
        assert member.labels(subset).tolist() == [int(m >= 760) for m in of_jets]
        assert of_jets.min() >= 660
        assert of_jets.max() < 860
    in_sample = drawn.events(1500, 1, signal)
    wanted = [i for i in in_sample.tolist() if 660 <= mass[i] < 860]
    assert sorted(set.union(*events)) == wanted


def test_injected_events_are_new_gluons_of_the_bin(drawn: Samples) -> None:
    null, with_signal = drawn.events(1500, 2, 0), drawn.events(1500, 2, 30)
    added = np.setdiff1d(with_signal, null)
    assert len(added) == 30
    assert len(with_signal) == 1530
    assert (drawn.pool.partons[added] == 21).all()
    assert ((drawn.pool.mass[added] >= 760) & (drawn.pool.mass[added] < 860)).all()


def test_jets_without_a_known_parton_have_no_flavour(drawn: Samples) -> None:
    partons = np.array([[21, 1], [0, 21], [-3, 7]])
    pool = type(drawn.pool)(np.zeros(3), np.ones(3), np.zeros(3, int), partons)  # type: ignore[arg-type]
    assert jet_flavour(pool).tolist() == [1, 0, -1, 1, 0, -1]


def test_replacing_signal_leaves_as_many_events(sample: Sample, drawn: Samples) -> None:
    some = settings(injection={"bin": 2, "sizes": [10, 30], "mode": "replace"})
    samples = Samples(drawn.pool, some, 5)
    null, with_signal = samples.events(1500, 0, 0), samples.events(1500, 0, 30)
    bins = drawn.pool.bins
    assert np.bincount(bins[null]).tolist() == np.bincount(bins[with_signal]).tolist()
    assert len(np.setdiff1d(with_signal, null)) == len(np.setdiff1d(null, with_signal)) == 30
    gone = np.setdiff1d(null, samples.events(1500, 0, 10))
    assert set(gone.tolist()) < set(np.setdiff1d(null, with_signal).tolist())


@pytest.mark.parametrize(("signal", "mode"), [(0, "add"), (30, "add"), (30, "replace")])
def test_what_two_samples_share_is_counted(drawn: Samples, signal: int, mode: str) -> None:
    some = settings(injection={"bin": 2, "sizes": [10, 30], "mode": mode})
    samples, bins = Samples(drawn.pool, some, 5), drawn.pool.bins
    before, events = (set(samples.events(1500, k, signal).tolist()) for k in (1, 2))
    injected = events - set(samples.null(1500, 2).tolist())
    assert len(injected) == signal
    kinds = {"lower": {i for i in events if bins[i] == 0}, "upper": {i for i in events if bins[i] == 1} - injected}
    expected = {name: len(of_kind & before) / len(of_kind) for name, of_kind in kinds.items()}
    if signal:
        expected["injected"] = len(injected & before) / signal
    assert samples.shared(Key(1500, 2, 0, signal)) == pytest.approx(expected)
    assert samples.shared(Key(1500, 0, 0, signal)) == {}


def test_disjoint_samples_share_injected_events_alone(drawn: Samples) -> None:
    some = settings(sample_sizes=[1000], disjoint=True, injection={"bin": 2, "sizes": [100]})
    samples = Samples(drawn.pool, some, 5)
    assert samples.shared(Key(1000, 1, 1)) == {"lower": 0, "upper": 0}
    with_signal = samples.shared(Key(1000, 1, 1, 100))
    assert with_signal["injected"] > 0.3
    assert with_signal["upper"] == 0  # the bin above that with signal


def test_disjoint_samples_do_not_share_events(sample: Sample) -> None:
    samples = samples_of(sample, sample_sizes=[1000], disjoint=True, injection=None)
    assert len(np.unique(np.concatenate([samples.null(1000, k) for k in range(3)]))) == 3000


def test_a_draw_by_weight_prefers_heavy_events(sample: Sample) -> None:
    samples = samples_of(sample, draw="weights")
    weight = samples.pool.weight
    assert weight[samples.null(1000, 0)].mean() > weight.mean() + 0.05
