"""What the dijet_anomaly report says of figures that are made up: shares of flavour, and signal at a significance."""

import math
from typing import Any

import numpy as np
import pytest

from analysis.results.dijet_anomaly import Settings, _key_figures, _summary
from analysis.results.dijet_figures import BEYOND, bin_figures
from analysis.results.dijet_training import DijetTraining, Ensemble
from analysis.results.quantities import Quantity, Results
from training.dijet_anomaly import Settings as TrainingSettings

NAME = "signal.2500.{}.events_at_{}_sigma{}"


def made_training(**pool: Any) -> DijetTraining:
    """Three pairs, signal in the second bin."""
    settings = TrainingSettings.model_validate(
        {"sample_sizes": [2500], "bin_edges": [660, 760, 860, 960, 1060], "injection": {"bin": 2, "sizes": [60, 650]}}
    )
    nothing = np.full((2, 3), np.nan)
    one = Ensemble(2500, 0, nothing, nothing, nothing, np.full((2, 3, 2), np.nan), 0.1, np.full(3, 0.1))
    return DijetTraining(settings, {2500: one}, {2500: {60: one, 650: one}}, np.empty(0), 0, pool)


def made_results(crossings: dict[tuple[str, int], tuple[float | None, float | None, float | None]]) -> Results:
    results = Results()
    for pair in ("660_760_860", "760_860_960", "860_960_1060"):
        results.add(f"null.2500.{pair}.auc", Quantity(0.5, 0.01, "1"))
    for (pair, level), values in crossings.items():
        for end, value in zip(("", ".low", ".high"), values, strict=True):
            flags = (f"{BEYOND}650 signal events",) if value is None else ()
            results.add(NAME.format(pair, level, end), Quantity(value, None, "events", flags))
    return results


def test_shares_have_the_error_of_the_jets_whose_parton_is_known() -> None:
    facts = {
        "events": 1000, "known_events": 40, "known_jets": 90, "low": 660, "high": 760, "weighted": 2.0,
        "weighted_squares": 0.04, "gluons": 0.4, "all_gluon": 0.2, "mixed": 0.5, "no_gluon": None,
    }  # fmt: skip
    results = Results()
    bin_figures(made_training(jets_per_event=2, bins=[facts]), "nb", results)
    assert results["pool.bin1.gluons"].uncertainty == pytest.approx(math.sqrt(0.4 * 0.6 / 90))
    assert results["pool.bin1.mixed"].uncertainty == pytest.approx(math.sqrt(0.5 * 0.5 / 40))
    assert results["pool.bin1.no_gluon"].value is None
    assert results["pool.bin1.weighted"].uncertainty == pytest.approx(0.2)


def test_the_headline_has_the_interval_and_says_that_it_is_local() -> None:
    results = made_results(
        {
            ("660_760_860", 3): (212.4, 150.2, 301.0),
            ("760_860_960", 3): (180.0, 140.0, None),
            ("660_760_860", 5): (None, 600.0, None),
            ("760_860_960", 5): (None, None, None),
        }
    )
    training = made_training()
    assert _summary(training, results, Settings())[1:] == (
        "3σ takes about 180 injected events (68 % interval: above 140) in samples of 2,500, in one pair "
        "(760–860 | 860–960 GeV), before the look-elsewhere effect.",
    )
    shown = {one.name: one.text for one in _key_figures(training, results, Settings())[3:]}
    title = "Injected events at {}σ in one pair, before the look-elsewhere effect, {} GeV, 2,500 events"
    assert shown == {
        title.format(3, "660–760 | 760–860"): "212 (68 %: 150 to 301)",
        title.format(5, "660–760 | 760–860"): "above 650 (68 %: above 600)",
        title.format(3, "760–860 | 860–960"): "180 (68 %: above 140)",
        title.format(5, "760–860 | 860–960"): "above 650",
    }
