"""Captions of lepton_id follow the numbers: what is not so is not said."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.results import lepton_captions as captions
from analysis.results.lepton_report import load_training
from training.lepton_id import Settings
from training.lepton_limit import MUON


def members(*accuracies: float, train: float = 0.9, **more: Any) -> list[dict[str, Any]]:
    return [{"accuracy": one, "train_accuracy": train, **more} for one in accuracies]


def test_spectra_that_differ_and_spectra_that_do_not() -> None:
    rng = np.random.default_rng(1)
    muon = np.arange(2000) % 2 == 1
    same, other = rng.normal(size=2000), np.where(muon, 1.0, 0.0)
    text = captions.distributions({"pt": ("pT", same), "m2": ("E² − p²", other)}, muon)
    places = text.split("distributions: ")[1], text.split(", ")[2], text.split("below ")[1]
    first, second, chance = (float(part.split()[0]) for part in places)
    assert first < 2 * chance < second == 1
    assert chance == pytest.approx(1.358 * np.sqrt(2 / 1000), rel=2e-2)
    assert "one flavour only" in captions.distributions({"pt": ("pT", same)}, np.ones(2000, bool))


def test_the_mass_cut() -> None:
    p = np.array([10.0, 20.0, 300.0, 30.0])
    muon = np.array([False, True, True, False])
    assert "no lepton wrong" in captions.mass(p, muon, muon)
    assert "25 % of all leptons wrong; their median momentum is 300 GeV, that of the others 20 GeV" in captions.mass(
        p, np.array([False, True, False, False]), muon
    )
    assert "calls 25 % of the muons electrons and 0 % of the electrons muons" in captions.confusion([[4, 0], [1, 3]])


def test_bins_with_few_leptons_are_not_quoted() -> None:
    bins = [{"low": low, "high": low + 10, "leptons": number} for low, number in ((0, 500), (10, 200), (20, 3))]
    text = captions.along_bins(bins, [("limit", [0.99, 0.7, 1.0]), ("other", [0.5, None, None])], "p")
    assert "from 0–10 GeV to 10–20 GeV" in text
    assert "limit, 0.990 to 0.700." in text
    assert "other" not in text
    assert "fewer than two bins" in captions.along_bins(bins[2:], [("limit", [1.0])], "p")


def test_errors_that_grow_as_the_square_of_p() -> None:
    p = np.linspace(10, 1000, 100)
    text = captions.errors(p, 1e-7 * p**2)
    wrong = 1e-7 * p**2 > MUON / 2
    assert "to the power 2.0" in text
    assert f"For {100 * wrong.mean():.2g} % of the leptons" in text
    assert "No error exceeds" in captions.errors(p, 0 * p)


def test_overtraining_is_named_where_it_is() -> None:
    assert "no sign of overtraining" in captions.gap(members(0.9, 0.91), 1000, 1000)
    assert "0.0050 below" in captions.gap(members(0.91, 0.9), 1000, 1000)
    assert "more than chance explains" in captions.gap(members(0.8, 0.8), 1000, 1000)
    text = captions.overtraining({20: members(0.7, 0.8), 400: members(0.9, 0.9)})
    assert "With 20 training leptons the two accuracies differ by 0.150" in text
    assert (
        "With 400 training leptons the two accuracies differ by 0.000 on average, and the test accuracies are 0.900."
        in text
    )


def test_weights_that_grow() -> None:
    curves = np.array([[1.0, -1.0], [2.0, 2.0], [3.0, 3.0], [5.0, -5.0]])
    assert "1.00 at epoch 50, 3.00 at epoch 150 and 5.00 at the end" in captions.weights(curves, [50, 100, 150, 200])


def test_scan_and_comparison_name_what_is_best_and_worst() -> None:
    text = captions.scan([(1, 1), (1, 3), (3, 1)], np.array([0.5, 0.95, 0.949]), np.array([0.2, 0.0, 0.1]))
    assert "2 of 3 structures" in text
    assert "0.950 (1-3)" in text
    assert "0.500 ± 0.200 (1-1)" in text
    its = {"mass": members(0.96, 0.96), "pt_eta_e": members(0.51, 0.5)}
    assert captions.representations([("improved", its, 0.965)]) == (
        "Improved: mass within 0.01 of the limit; pt_eta_e no better than a coin (0.5 ± 0.05)."
    )
    assert "none within 0.01 of the limit" in captions.representations([("improved", its, 1.0)])
    assert "between 0.500 (pt_eta_e) and 0.990 (mass)" in captions.roc({"mass": 0.99, "pt_eta_e": 0.5})


def test_why_a_representation_fails_is_said_only_of_those_whose_flavours_are_close() -> None:
    its = {"mass": members(0.96, largest_weight=9.0), "p2_e2": members(0.5, 0.51, largest_weight=3.25)}
    inputs = {
        "mass": {"separation": 1.0, "input_accuracy": 0.96, "single_accuracy": 0.96},
        "p2_e2": {"separation": 6e-7, "input_accuracy": 0.95, "single_accuracy": 0.94},
    }
    text = captions.why("improved training", its, inputs)
    assert text is not None
    assert "Improved training: networks with p2_e2 have an accuracy of 0.505." in text
    assert "flavours are 6.0×10⁻⁷ of the spread apart, 10 times the rounding" in text
    assert "accuracy of 0.950 in double and 0.940 in single precision" in text
    assert "weights of about 2,000,000, " in text
    assert "the largest weight of these trainings is 3.2" in text
    assert captions.why("x", {"mass": its["mass"]}, inputs) is None


def test_a_training_of_another_version_is_named() -> None:
    settings = Settings().model_dump(mode="json")
    settings["scan"]["recipe"]["hidden"] = [5, 5]
    files = SimpleNamespace(directory=Path("models/scan"), result={"task": "scan", "settings": settings})
    with pytest.raises(UserError, match=r"result\.json was made by another version \(scan\.recipe\.hidden\): train"):
        load_training(SimpleNamespace(models=(files,)))  # type: ignore[arg-type]
