"""The report of ditau_mass on real trainings with invented events, against figures worked out here."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.ditau_runs import make_ditau_run

from analysis.results.ditau_inputs import quantiles
from analysis.results.ditau_mass import Settings, produce
from processors.ditau_mass import CHANNELS

NETWORK = {"neurons": 24, "layers": 2, "epochs": 25, "batch_size": 64, "learning_rate": 3e-3, "standardise": True}
TRAINING = {
    "channels": ["inclusive", "lt"], "models": {"small": NETWORK},
    "trees": {"boosted": {"n_estimators": 15, "max_depth": 3}}, "importance_repeats": 2, "split": [0.4, 0.1, 0.5],
}  # fmt: skip
SETTINGS = Settings(formats=("png",), bootstrap=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose events' mass is in one input, so that no simple estimator knows it."""
    return make_ditau_run(tmp_path_factory.mktemp("ditau"), TRAINING)


def figures(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "results.json").read_text()))


def test_figures_are_those_of_the_predictions(run: Path) -> None:
    produce(run, SETTINGS)
    found = figures(run)
    table = pq.read_table(run / "models" / "small_inclusive" / "predictions.parquet").to_pandas()
    chosen = table[(table.gen_mass >= 540) & (table.gen_mass < 590)]
    ratio = chosen.ml_mass / chosen.gen_mass
    low, middle, high = np.quantile(ratio, [0.16, 0.5, 0.84])
    assert found["resolution.540_590.events"]["value"] == len(chosen) > 10
    assert found["resolution.540_590.ml_mass"]["value"] == pytest.approx((high - low) / 2 / middle)
    assert found["response.540_590.ml_mass.median"]["value"] == pytest.approx(middle)
    assert found["resolution.540_590.collinear_valid"]["value"] == pytest.approx(chosen.collinear_mass.notna().mean())
    visible = np.quantile(chosen.visible_mass / chosen.gen_mass, [0.16, 0.5, 0.84])
    expected = (visible[2] - visible[0]) / 2 / visible[1]
    assert found["resolution.540_590.visible_mass"]["value"] == pytest.approx(expected)
    assert found["comparison.bins"]["value"] == 15
    assert found["model.small_inclusive.rank_correlation"]["value"] > 0.98
    assert abs(found["correlation.small_inclusive.visible_mass"]["value"]) < 0.2
    assert found["efficiency.tt"]["value"] == pytest.approx(100 / 12000)
    # Evenly from 0.5 to 1.5, and to 10.5, of which most is beyond the axis; jets have nothing to be compared with.
    assert found["input.tau1_pt.median"]["value"] == pytest.approx(1.0, abs=0.01)
    assert found["input.tau1_pt.width"]["value"] == pytest.approx(0.34, abs=0.01)
    assert found["input.PuppimTtot.median"]["value"] == pytest.approx(2.5, abs=0.02)
    assert found["input.jet1_pt.median"]["value"] is None
    assert "flags" not in found["input.tau1_pt.width"]
    assert found["input.PuppimTtot.width"]["flags"] == ["at least: more than 16% of the events are beyond the axis"]
    middle_range = table[(table.gen_mass >= 150) & (table.gen_mass < 500)]
    bias = np.median(middle_range.ml_mass / middle_range.gen_mass) - 1
    assert found["model.small_inclusive.150_500.bias"]["value"] == pytest.approx(bias)
    best = max(
        (name for name in found if name.startswith("importance.small_inclusive")), key=lambda n: found[n]["value"]
    )
    assert best.endswith("PuppimTtt_reco")


def test_a_network_that_wins_is_said_to_and_one_that_does_not_is_flagged(run: Path) -> None:
    flags = produce(run, SETTINGS)
    assert figures(run)["comparison.bins_won"]["value"] + len(lost_or_unknown(flags)) == 15
    page = (run / "report.html").read_text()
    assert ranked(run, "inclusive") == ["small_inclusive", "boosted_inclusive"]
    for word in ("boosted_lt", "small_inclusive", "no Flag_eeBadScFilter", "DL_for_HTT_mass", *CHANNELS):
        assert word in page
    path = run / "models" / "small_inclusive" / "predictions.parquet"
    table = pq.read_table(path)
    swapped = table.set_column(table.schema.get_field_index("ml_mass"), "ml_mass", table["visible_mass"])
    pq.write_table(swapped, path)
    try:
        flags = produce(run, SETTINGS)
        assert ranked(run, "inclusive") == ["boosted_inclusive", "small_inclusive"]
    finally:
        pq.write_table(table, path)
    assert figures(run)["comparison.bins_won"]["value"] == 0
    assert any(flag.startswith("a simple estimator resolves better than small_inclusive in ") for flag in flags)


def test_the_best_epoch_counts_from_1_and_the_samples_are_named(run: Path) -> None:
    produce(run, SETTINGS)
    found, page = figures(run), (run / "report.html").read_text()
    history = json.loads((run / "models" / "small_inclusive" / "result.json").read_text())["history"]["val_mae"]
    assert history[int(found["training.small_inclusive.best_epoch"]["value"]) - 1] == min(history)
    assert found["training.small_inclusive.best_epoch"]["value"] <= found["training.small_inclusive.epochs"]["value"]
    assert "Trained, validated and tested on the signal samples only: HTT." in page
    assert "With inputs of the published convention" not in page


def test_the_shift_of_a_model_of_the_published_convention(run: Path) -> None:
    directory = run / "models" / "small_inclusive"
    path, facts = directory / "predictions.parquet", (directory / "result.json").read_text()
    table = pq.read_table(path)
    masses = table["ml_mass"].to_numpy()
    apart = table.append_column("ml_mass_published", [masses]).append_column("ml_mass_corrected", [masses / 1.25])
    pq.write_table(apart, path)
    (directory / "result.json").write_text(json.dumps({**json.loads(facts), "convention": "published"}))
    try:
        produce(run, SETTINGS)
    finally:
        pq.write_table(table, path)
        (directory / "result.json").write_text(facts)
    assert figures(run)["training.small_inclusive.published_shift"]["value"] == pytest.approx(0.25)
    page = (run / "report.html").read_text()
    assert "With inputs of the published convention, here and in all figures of m_ML: small_inclusive." in page


def test_quantiles_of_a_histogram() -> None:
    values = np.random.default_rng(1).normal(1, 0.2, 20000)
    counts, edges = np.histogram(values, 125, (0, 2.5))
    expected = np.quantile(values, [0.16, 0.5, 0.84])
    np.testing.assert_allclose(quantiles(edges, counts, (0.16, 0.5, 0.84)), expected, atol=2e-3)
    assert quantiles(np.arange(5.0), np.array([0, 2, 0, 2]), (0.25, 0.75)).tolist() == [1.5, 3.5]
    assert np.isnan(quantiles(edges, np.zeros(125), (0.5,))).all()


def ranked(run: Path, group: str) -> list[str]:
    """The models of a group in the order of the report's table; that of their scores, smallest first."""
    page = (run / "report.html").read_text()
    table = page.partition(f"Models of the group {group}, the best first")[2].partition("</table>")[0]
    order = sorted((f"{one}_{group}" for one in ("small", "boosted")), key=table.index)
    scores = [figures(run)[f"model.{one}.score"]["value"] for one in order]
    assert scores == sorted(scores)
    return order


def lost_or_unknown(flags: list[str]) -> list[str]:
    named = [flag.rpartition(" in ")[2].removesuffix(" GeV").split(", ") for flag in flags if flag.endswith(" GeV")]
    return [one for part in named for one in part]


def test_after_a_skim_alone_the_selection_is_shown(tmp_path: Path) -> None:
    run = make_ditau_run(tmp_path / "run", TRAINING, 100, train=False)
    assert "No model was trained in this run: the report shows the selection only." in produce(run, SETTINGS)
    assert sorted(path.name for path in (run / "plots").iterdir()) == ["efficiency.png", "inputs.png"]


def test_efficiencies_are_those_of_the_samples_that_were_learnt_from(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    histograms = json.loads((copied / "histograms.json").read_text())
    # Of another generator, whose weights are in other units, and of which nothing is selected.
    histograms["DY"] = dict.fromkeys(histograms["HTT"], histograms["HTT"]["gen_mass_all"])
    (copied / "histograms.json").write_text(json.dumps(histograms))
    produce(run, SETTINGS)
    produce(copied, SETTINGS)
    for name in ("efficiency.tt", "efficiency.all", "input.tau1_pt.events", "input.tau1_pt.median"):
        assert figures(copied)[name] == figures(run)[name]
    assert "in each channel, of HTT." in (copied / "report.html").read_text()
