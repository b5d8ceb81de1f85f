"""Pseudo-data: Poisson numbers, no event twice, recorded branches, exclusive streams."""

import numpy as np
import pytest

from analysis.datasets.simulation import ntuple, pseudodata


def pool(n: int) -> ntuple.Events:
    rng = np.random.default_rng(5)
    lep_n = rng.integers(4, 6, n)
    jet_n = rng.integers(0, 3, n)
    scalars = {name: np.ones(n, kind) for name, kind in ntuple.EVENT_BRANCHES.items()}
    scalars |= {"weight": np.full(n, 0.01), "trigE": rng.random(n) < 0.6, "trigM": rng.random(n) < 0.7}
    scalars["trigM"] |= ~scalars["trigE"]
    return ntuple.Events(
        scalars,
        {name: np.ones(lep_n.sum(), kind) for name, kind in ntuple.LEPTON_BRANCHES.items()},
        lep_n,
        {name: np.ones(jet_n.sum(), kind) for name, kind in ntuple.JET_BRANCHES.items()},
        jet_n,
    )


def test_numbers_are_poisson() -> None:
    expected = np.concatenate([np.full(2000, 0.005), np.full(500, 0.02)])
    numbers = []
    picks = np.zeros(len(expected))
    for seed in range(2000):
        drawn = pseudodata.draw(expected, np.arange(len(expected)), np.random.default_rng(seed))
        assert len(np.unique(drawn)) == len(drawn)
        numbers.append(len(drawn))
        picks[drawn] += 1
    mean = expected.sum()
    assert np.mean(numbers) == pytest.approx(mean, abs=4 * np.sqrt(mean / 2000))
    assert np.var(numbers) == pytest.approx(mean, rel=0.15)
    heavy, light = picks[2000:].mean(), picks[:2000].mean()
    assert heavy / light == pytest.approx(4.0, rel=0.1)


def test_no_generated_event_gives_two() -> None:
    expected, number = np.full(3000, 0.01), np.repeat(np.arange(300), 10)
    numbers = []
    for seed in range(500):
        drawn = pseudodata.draw(expected, number, np.random.default_rng(seed))
        assert len(np.unique(number[drawn])) == len(drawn)
        numbers.append(len(drawn))
    assert np.mean(numbers) == pytest.approx(30.0, abs=1.0)


def test_too_small_pool() -> None:
    with pytest.raises(RuntimeError, match="pseudo_data_pool"):
        pseudodata.draw(np.array([50.0]), np.array([1]), np.random.default_rng(0))


def test_empty_pool() -> None:
    assert len(pseudodata.draw(np.zeros(0), np.zeros(0, np.int64), np.random.default_rng(0))) == 0


def test_large_weights_are_named(caplog: pytest.LogCaptureFixture) -> None:
    expected = np.array([0.95, 0.95, *np.full(200, 0.1)])
    pseudodata.draw(expected, np.arange(202), np.random.default_rng(1))
    assert not caplog.text
    pseudodata.draw(expected, np.array([7, 7, *range(200, 400)]), np.random.default_rng(1))
    assert "pseudo_data_pool" in caplog.text


def test_full_weight_is_the_product() -> None:
    events = pool(3).with_scalars(
        scaleFactor_ELE=np.array([0.5, 1.0, 2.0]), scaleFactor_PILEUP=np.array([2.0, 0.0, 1.0])
    )
    np.testing.assert_allclose(pseudodata.full_weight(events), [0.01, 0.0, 0.02])


def test_recorded_branches() -> None:
    events = pseudodata.as_recorded(pool(50), 100, np.random.default_rng(2))
    assert events.scalars["eventNumber"].tolist() == list(range(100, 150))
    assert set(events.scalars["runNumber"]) <= set(pseudodata.RUN_NUMBERS)
    np.testing.assert_array_equal(events.scalars["channelNumber"], events.scalars["runNumber"])
    assert not events.scalars["mcWeight"].any()
    assert not events.scalars["scaleFactor_PILEUP"].any()
    assert not events.leptons["truthMatched"].any()
    assert set(events.jets["trueflav"]) == {-99}


def test_streams_are_exclusive_and_complete() -> None:
    events = pool(400).with_scalars(eventNumber=np.arange(400))
    streams = pseudodata.streams(events)
    electron, muon = streams["DataEgamma"], streams["DataMuons"]
    assert electron.scalars["trigE"].all()
    assert muon.scalars["trigM"].all()
    assert not muon.scalars["trigE"].any()
    numbers = np.concatenate([electron.scalars["eventNumber"], muon.scalars["eventNumber"]])
    assert sorted(numbers.tolist()) == list(range(400))
