import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pfn
from benchmarks.pfn_contestants import Clock, Stacks, Training
from benchmarks.pfn_cost import DEVICES, Device, Work, predicted
from benchmarks.pfn_jets import auc, made_jets, sample
from training.jets import Jets
from training.networks import ParticleFlowNetwork

WORK = Work(
    ParticleFlowNetwork(), trainings=600, stack=200, batch=500, steps=240, slots=25_000, rows=3125, particles=22_500
)


def test_the_error_of_the_auc_is_that_of_resampled_jets() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 1500)
    first = label + rng.normal(0, 1.2, 1500)
    scores = np.round(np.stack([first, first + rng.normal(0, 0.8, 1500)]), 1)  # with ties
    values, covariance = auc(label, scores)
    assert values == pytest.approx([roc_auc_score(label, its) for its in scores])
    resampled = []
    for _ in range(400):
        rows = rng.integers(0, 1500, 1500)
        resampled.append(auc(label[rows], scores[:, rows])[0])
    assert covariance == pytest.approx(np.cov(np.transpose(resampled)), rel=0.3)


def test_made_jets_are_of_two_classes_and_padded_in_order() -> None:
    found = sample([], 300, 100)
    counts = np.diff(found.offsets)
    assert counts.mean() == pytest.approx(45, abs=4)
    assert counts[found.label == 1].mean() / counts[found.label == 0].mean() == pytest.approx(1.4, abs=0.15)
    table = found.padded()
    assert table.shape == (400, 160, 4)
    assert np.array_equal(table[7, : counts[7]], found.particles[found.offsets[7] : found.offsets[8]])
    assert not table[7, counts[7] :].any()
    assert isinstance(found.jets, Jets)
    assert all(np.array_equal(a, b) for a, b in zip(made_jets(20), made_jets(20), strict=True))


def test_quarks_and_gluons_of_a_file(test_data: Path) -> None:
    files = sorted((test_data / "mod").glob("*.h5"))
    found = sample(files, 800, 200)
    assert len(found.label) == 1000
    counts = np.diff(found.offsets)
    assert counts[found.label == 1].mean() > counts[found.label == 0].mean()  # gluons radiate more
    assert found.particles[: counts[0], 0].sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(SystemExit, match=r"fewer than the 10000000 asked for"):
        sample(files, 9_000_000, 1_000_000)


def test_arithmetic_is_counted_per_particle_and_per_jet() -> None:
    phi, f = 4 * 100 + 100 * 100 + 100 * 128, 128 * 100 + 2 * 100 * 100 + 100 * 2
    one = 22_500 * (6 * phi - 2 * 400) + 500 * 6 * f
    assert WORK.useful == 600 * 240 * one
    assert WORK.executed == 600 * 240 * (25_000 * (6 * phi - 2 * 400) + 500 * 6 * f)
    as_product = replace(WORK, network=ParticleFlowNetwork(add="matmul"))
    assert as_product.executed - WORK.executed == 600 * 240 * 4 * 3125 * 500 * 128
    assert as_product.useful == WORK.useful


def test_the_prediction_scales_as_the_formula() -> None:
    device = Device("", peak=1e14, bandwidth=1e12, launch=1e-6)
    terms = predicted(WORK, device, compile_=3)
    faster = predicted(WORK, Device("", 2e14, 4e12, 5e-7), compile_=3)
    assert [terms[name] / faster[name] for name in ("arithmetic", "memory", "launches")] == pytest.approx([2, 4, 2])
    assert faster["compile"] == 3
    assert predicted(WORK, device, fraction=0.8)["arithmetic"] == pytest.approx(terms["arithmetic"] / 2)
    assert predicted(replace(WORK, stack=100), device)["launches"] == 2 * terms["launches"]
    # A stack neither saves nor costs arithmetic or traffic.
    assert predicted(replace(WORK, stack=1), device)["memory"] == terms["memory"]
    assert sum(predicted(WORK, DEVICES["H200"]).values()) < sum(predicted(WORK, DEVICES["A100"]).values())


def test_other_devices_are_predicted_with_the_rows_of_a_gpu() -> None:
    source = pfn.source_work(replace(WORK, batch=250, trainings=2, stack=2), 27_000, 3375)
    assert (source.slots, source.rows, source.network.add) == (27_000, 3375, "matmul")
    assert (source.trainings, source.steps) == (600, 480)


def test_what_is_missed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, 1000)
    good, bad = label + rng.normal(0, 1, 1000), rng.normal(0, 1, 1000)

    def training(seconds: float, scores: np.ndarray) -> list[Training]:
        """Rounds on a machine that becomes slower."""
        return [
            Training(Clock(slow * seconds, 2 * slow * seconds), Clock(slow * seconds / 2, slow * seconds / 2), scores)
            for slow in (1, 1.5, 3)
        ]

    def missed(theirs: list[Training], spread: float = 0.0) -> list[str]:
        trained = {"hepbatch": training(1.0, good), "EnergyFlow": theirs}
        return pfn.report_trainings(trained, label, spread, busy=False, whole=True)

    assert missed(training(4.5, good + rng.normal(0, 0.1, 1000))) == []
    assert missed(training(3.5, good)) == ["one training is 3.50 times as fast as EnergyFlow's, not 4"]
    (sentence,) = missed(training(5.0, bad))
    assert sentence.startswith("the AUC differs from that of EnergyFlow")
    assert missed(training(5.0, bad), spread=1.0) == []
    clocks = [Clock(1.0, 2.0), Clock(1.2, 1.9)]
    assert pfn.report_turns((clocks, clocks), busy=False) == []
    slower = [Clock(1.1, 1.9), Clock(1.32, 2.0)]
    assert len(pfn.report_turns((clocks, slower), busy=False)) == 1
    assert pfn.report_turns((clocks, slower), busy=True) == []
    assert pfn.mean_ratio([2.0, 2.0], [1.0, 4.0]) == pytest.approx((1.0, math.log(2)))
    device = Device("this GPU", 1e14, 1e12, 1e-6)
    for seconds, sentences in ((59.0, []), (61.0, ["600 trainings take 61 s, not 60"])):
        stacks = Stacks(Clock(seconds, 1.0), [Clock(seconds, 1.0)], 1, 2.0, np.empty((0, 0)), WORK, (2, 1), device)
        assert pfn.report_stacks(stacks, gpu=True, whole=True) == sentences
        assert pfn.report_stacks(stacks, gpu=False, whole=True) == []
    assert "what takes most of it: memory" in capsys.readouterr().out


def test_wrong_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pfn.parsed(["--rounds", "1"])
    assert "--rounds must be at least 2" in capsys.readouterr().err
