"""The dijet_anomaly report from real trainings: a signal that is found, a null that stays null, what is left out."""

import json
import math
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dijet_runs import edit_members, make_dijet_run, members, results_of
from support.runs import edit_json

from analysis.errors import UserError
from analysis.results.dijet_anomaly import Settings, produce
from analysis.results.dijet_report import Report
from analysis.results.dijet_statistics import auc_error
from analysis.results.dijet_training import load_training
from analysis.results.document import Picture
from analysis.results.run_files import RunDirectory

# The signal's bin is between two others: both pairs are touched by it. With 650 beside about 870 events there, of
# gluons alone in a place with 16 % of such events, the signal is overwhelming; with 60 it is not.
TRAINING: dict[str, Any] = {
    "sample_sizes": [2500], "samples": 9, "bin_edges": [660, 760, 860, 960, 1060], "min_events": 300,
    "train_jets": 900, "test_jets": 600, "validation_jets": 20, "classifier": "trees", "composition_trainings": 2,
    "injection": {"bin": 2, "sizes": [60, 650], "samples": 6},
    "trees": {
        "observables": ["multiplicity", "mass", "ptd", "width"],
        "parameters": {"max_iter": 15, "max_leaf_nodes": 4, "min_samples_leaf": 30},
    },
}  # fmt: skip
PAIRS = ("660_760_860", "760_860_960", "860_960_1060")
TOUCHED = PAIRS[:2]
QUICK = Settings(formats=("png",), bootstrap=60)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with trainings, without a report."""
    return make_dijet_run(tmp_path_factory.mktemp("run"), TRAINING, events=24_000)


@pytest.fixture(scope="module")
def finished(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    directory = tmp_path_factory.mktemp("finished") / "run"
    shutil.copytree(template, directory)
    return directory, produce(directory, Settings(bootstrap=200))


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw every plot but write an empty file instead of rendering it."""

    def keep(self: Report, figure: object, name: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
        directory = self.run.path / "plots"
        directory.mkdir(exist_ok=True)
        (directory / f"{name}.png").write_bytes(b"")
        return Picture(directory / f"{name}.png", caption, alt, wide)

    monkeypatch.setattr(Report, "keep", keep)


def test_a_null_stays_null_and_a_signal_is_found(finished: tuple[Path, list[str]]) -> None:
    results = results_of(finished[0])
    for pair in PAIRS:
        mean, of_pools = results[f"null.2500.{pair}.auc"], results[f"null.2500.{pair}.auc_error_of_pools"]
        assert abs(mean["value"] - 0.5) < 4 * of_pools["value"]
        assert abs(results[f"null.2500.{pair}.composition_score"]["value"] - 0.5) < 0.02
        assert abs(results[f"null.2500.{pair}.composition_tagger"]["value"] - 0.5) < 0.02
    for pair in TOUCHED:
        small, large = (results[f"signal.2500.{size}.{pair}.significance"] for size in (60, 650))
        assert large["value"] > 5
        assert large["value"] > 3 * abs(small["value"])
        three, five = (results[f"signal.2500.{pair}.events_at_{level}_sigma"] for level in (3, 5))
        assert 0 < three["value"] < 650
        assert five["value"] is None or five["value"] > three["value"]
        low, high = (results[f"signal.2500.{pair}.events_at_3_sigma.{end}"]["value"] for end in ("low", "high"))
        assert low <= three["value"] <= (high or math.inf)
        # 8 others without signal: 1/9 is as far as counting goes.
        assert results[f"signal.2500.650.{pair}.p_empirical"]["value"] == pytest.approx(1 / 9)
        assert "smallest value" in results[f"signal.2500.650.{pair}.p_empirical"]["flags"][0]
        assert results[f"signal.2500.650.{pair}.p_student"]["value"] < 0.01
    assert results["signal.2500.650.p_global"]["value"] == pytest.approx(1 / 9)
    assert results["signal.2500.650.p_global_bound"]["value"] < 0.01
    assert results["signal.2500.60.p_global_bound"]["value"] > 0.01
    assert not any(name.startswith("signal.2500") and PAIRS[2] in name for name in results)


def test_without_injection_there_is_no_significance(finished: tuple[Path, list[str]]) -> None:
    """Each sample against the others, and half of them against the other half, in a plain loop."""
    results = results_of(finished[0])
    null = members(finished[0], "null_")
    for number, pair in enumerate(PAIRS):
        by_sample = {one["sample"]: one["auc"] for one in null if one["pair"] == number}
        values = [by_sample[sample] for sample in range(9)]
        alone = []
        for k, value in enumerate(values):
            others = values[:k] + values[k + 1 :]
            alone.append((value - statistics.mean(others)) / statistics.stdev(others))
        prefix = f"null.2500.{pair}.significance"
        assert results[f"{prefix}.largest"]["value"] == pytest.approx(max(alone))
        assert results[f"{prefix}.above_2.samples"]["value"] == sum(z > 2 for z in alone)
        assert 0 < results[f"{prefix}.above_2.expected_samples"]["value"] < 1
        z = (statistics.mean(values[:4]) - statistics.mean(values[4:])) / statistics.stdev(values[4:])
        assert results[f"{prefix}.halves"]["value"] == pytest.approx(z)
        assert abs(z) < 2
        assert max(alone) < 5
    page = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert "Significance without injection" in page
    assert "Course of the trainings" not in page  # trees have no epochs


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("validates", [True, False])
def test_what_validated_the_networks_is_told_with_their_course(copy: Path, validates: bool) -> None:
    """Of networks; the trees' results stand in for them, with a history as networks have it."""

    def network(result: dict[str, Any]) -> None:
        result["settings"].update(classifier="pfn", network={"epochs": 3, "evaluate_every": 2})
        for number, member in enumerate(result["members"]):
            member["history"] = {"loss": [0.7, 0.6, 0.5 + 0.01 * (number % 2)]}
            if validates:
                member["history"] |= {
                    "validation_loss": [0.65, 0.6], "validation_accuracy": [0.6, 0.7], "evaluated_epoch": [2.0, 3.0],
                }  # fmt: skip

    edit_members(copy, "", network)
    edit_json(copy / "manifest.json", lambda m: m["configuration"]["training"].update(
        classifier="pfn", network={"epochs": 3, "evaluate_every": 2}
    ))  # fmt: skip
    produce(copy, QUICK)
    page, results = (copy / "report.html").read_text(encoding="utf-8"), results_of(copy)
    assert ("At most 3,000 of the rest validate after every 2 epochs and the last." in page) == validates
    assert ("The rest is not used." in page) != validates
    assert results["null.2500.epoch3.loss"]["value"] == pytest.approx(0.505, abs=0.001)
    assert ("null.2500.epoch3.validation_loss" in results) == validates
    assert "null.2500.epoch1.validation_loss" not in results
    if validates:
        assert results["null.2500.epoch2.validation_accuracy"]["value"] == pytest.approx(0.6)


def test_the_composition_predicts_the_lift_of_a_gluon_signal(finished: tuple[Path, list[str]]) -> None:
    """The invented jets differ by flavour alone, and so does the signal: the prediction must hold."""
    results = results_of(finished[0])
    for pair in TOUCHED:
        prefix = f"signal.2500.650.{pair}"
        auc, predicted = results[f"{prefix}.auc"], results[f"{prefix}.composition_score"]
        assert auc["value"] > 0.55
        error = math.hypot(auc["uncertainty"], predicted["uncertainty"])
        assert auc["value"] == pytest.approx(predicted["value"], abs=4 * error)


def test_figures_are_those_of_the_trainings(finished: tuple[Path, list[str]]) -> None:
    directory, results = finished[0], results_of(finished[0])
    null, signal = members(directory, "null_"), members(directory, "signal_650")
    for number, pair in enumerate(PAIRS):
        aucs = {one["sample"]: one["auc"] for one in null if one["pair"] == number}
        values = np.array(list(aucs.values()))
        assert results[f"null.2500.{pair}.samples"]["value"] == len(values) == 9
        assert results[f"null.2500.{pair}.auc"]["value"] == pytest.approx(values.mean())
        assert results[f"null.2500.{pair}.auc"]["uncertainty"] == pytest.approx(values.std(ddof=1) / 3)
        assert results[f"null.2500.{pair}.deviation"]["value"] == pytest.approx(values.std(ddof=1))
        assert results[f"null.2500.{pair}.deviation"]["uncertainty"] == pytest.approx(values.std(ddof=1) / 4)
        counted = np.array([one["observables"]["multiplicity"] for one in null if one["pair"] == number])
        entry = results[f"null.2500.{pair}.auc_of.multiplicity"]
        assert (entry["value"], entry["uncertainty"]) == pytest.approx((counted.mean(), counted.std(ddof=1) / 3))
        parts = [one["shared"] for one in null if one["pair"] == number and one["shared"]]
        assert len(parts) == 8  # all but the first sample
        shared = max(np.mean([part[of_bin] for part in parts]) for of_bin in ("lower", "upper"))
        assert results[f"null.2500.{pair}.shared_fraction"]["value"] == pytest.approx(shared)
        independent = values.std(ddof=1) / math.sqrt(1 - shared)
        assert results[f"null.2500.{pair}.deviation_independent"]["value"] == pytest.approx(independent)
        for sample, auc in aucs.items():
            entry = results[f"null.2500.{pair}.auc.sample{sample + 1}"]
            tested = next(one for one in null if (one["sample"], one["pair"]) == (sample, number))["jets"]["test"]
            expected = auc_error(*(np.array([float(x)]) for x in (auc, tested[1], tested[0])))
            assert (entry["value"], entry["uncertainty"]) == (auc, pytest.approx(float(expected[0])))
        with_signal = [one["auc"] for one in signal if one["pair"] == number]
        if pair in TOUCHED:
            expected_z = (np.mean(with_signal) - values.mean()) / values.std(ddof=1)
            assert results[f"signal.2500.650.{pair}.significance"]["value"] == pytest.approx(expected_z)
            assert results[f"signal.2500.650.{pair}.samples"]["value"] == 6
            common = [one["shared"]["injected"] for one in signal if one["pair"] == number and one["shared"]]
            assert results[f"signal.2500.650.{pair}.shared_fraction"]["value"] == pytest.approx(np.mean(common))
            expected_z = (np.mean(with_signal) - values.mean()) * math.sqrt(1 - shared) / values.std(ddof=1)
            found_z = results[f"signal.2500.650.{pair}.significance_independent"]["value"]
            assert found_z == pytest.approx(expected_z)
    pool = json.loads((directory / "models" / "null_2500_000" / "result.json").read_text())["pool"]
    share = results["null.2500.shared_fraction"]["value"]
    assert share == pytest.approx(2500 / pool["events"])
    assert shared == pytest.approx(share, rel=0.1)
    assert results["pool.bin1.weighted"]["uncertainty"] > 0


def test_every_figure_has_an_uncertainty_where_it_is_measured(finished: tuple[Path, list[str]]) -> None:
    exact = ("samples", "shared_fraction", ".low", ".high", "events", "weighted", "seconds", "files", "left_out")
    for name, entry in results_of(finished[0]).items():
        assert set(entry) - {"flags"} == {"value", "uncertainty", "unit"}
        measured = name.startswith(("null.", "signal.")) and not name.endswith(exact)
        if measured and entry["value"] is not None:
            assert entry["uncertainty"] is not None, name


def test_the_page_has_the_plots_and_says_what_was_done(finished: tuple[Path, list[str]]) -> None:
    directory, flags = finished
    names = {"event_mass", "auc_pairs", "null_distributions", "significance"}
    assert {path.name for path in (directory / "plots").iterdir()} == {
        f"{n}.{s}" for n in names for s in ("png", "pdf")
    }
    page = (directory / "report.html").read_text(encoding="utf-8")
    for sentence in (
        "9 samples of each size were drawn without replacement", "each event was equally likely",
        "Two samples of one pool share events", "two samples have many of those injected in common: on average",
        "every sample entered every pair", "look-elsewhere", "Student&#39;s t",
        "Bonferroni", "All jets of an event are in the same subset", "as many of each bin as chance gives",
        "n = S − 1 of the S samples without signal", "GeV), before the look-elsewhere effect.",
    ):  # fmt: skip
        assert sentence.lower() in page.lower(), sentence
    assert any("known to 25 % at best" in flag for flag in flags)
    assert "[nb]" in page


@pytest.mark.usefixtures("no_plots")
def test_the_report_is_the_same_every_time(copy: Path) -> None:
    produce(copy, QUICK)
    first = (copy / "results.json").read_bytes()
    produce(copy, QUICK)
    assert (copy / "results.json").read_bytes() == first


@pytest.mark.usefixtures("no_plots")
def test_samples_left_out_are_counted(copy: Path) -> None:
    """Two samples lack events in bin 2, another lacks jets: as the training records it."""

    def change(result: dict[str, Any]) -> None:
        lacks = {
            1: ("events in bin 2", 290, 300),
            4: ("events in bin 2", 280, 300),
            6: ("jets in the pair", 1500, 1520),
        }
        kept = []
        for member in result["members"]:
            if member["pair"] == 1 and member["sample"] in lacks:
                lack = dict(zip(("of", "found", "needed"), lacks[member["sample"]], strict=True))
                key = {name: member[name] for name in ("size", "sample", "pair", "signal")}
                result["left_out"].append(key | {"lack": lack})
            else:
                kept.append(member)
        result["members"] = kept

    edit_members(copy, "null_", change)
    flags = produce(copy, QUICK)
    results = results_of(copy)
    assert results[f"null.2500.{PAIRS[1]}.left_out"]["value"] == 3
    assert results[f"null.2500.{PAIRS[1]}.samples"]["value"] == 6
    assert "3 of 9 samples of 2,500 events have no AUC for 760–860 | 860–960 GeV" in flags
    assert not any("missing" in flag for flag in flags)
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "fewer than 300 events in bin 2 (280 to 290)" in page
    assert "fewer than 1,520 jets in the pair (1,500)" in page
    assert "6 of 9" in page


@pytest.mark.usefixtures("no_plots")
def test_a_failed_training_is_a_flag_and_the_rest_is_reported(copy: Path) -> None:
    shutil.rmtree(copy / "models" / "signal_650_in_2500_000")
    shutil.rmtree(copy / "models" / "composition")
    flags = produce(copy, QUICK)
    assert "14 trainings are missing: see the failures" in flags
    results = results_of(copy)
    assert results[f"signal.2500.650.{PAIRS[0]}.significance"]["value"] is None
    assert results[f"null.2500.{PAIRS[0]}.composition_tagger"]["value"] is None
    assert results[f"signal.2500.60.{PAIRS[0]}.significance"]["value"] is not None
    assert results["signal.2500.60.p_global"]["value"] is not None


@pytest.mark.usefixtures("no_plots")
def test_a_pair_that_no_sample_entered_leaves_the_others(copy: Path) -> None:
    def change(result: dict[str, Any]) -> None:
        result["members"] = [member for member in result["members"] if member["pair"] != 2]

    edit_members(copy, "null_", change)
    produce(copy, QUICK)
    results = results_of(copy)
    assert results[f"null.2500.{PAIRS[2]}.auc"]["value"] is None
    assert results["signal.2500.650.p_global"]["value"] == pytest.approx(1 / 9)


@pytest.mark.usefixtures("no_plots")
def test_without_training_there_is_the_event_mass(tmp_path: Path) -> None:
    directory = make_dijet_run(tmp_path, TRAINING, events=400, train=False, luminosity=2300.0)
    flags = produce(directory, QUICK)
    assert any("No classifier was trained" in flag for flag in flags)
    results = results_of(directory)
    assert results["cutflow.QCD_300.events_mass.events"]["value"] == 280
    assert results["cutflow.QCD_300.events_mass.weighted"]["unit"] == "events"
    assert [path.name for path in (directory / "plots").iterdir()] == ["event_mass.png"]


@pytest.mark.usefixtures("no_plots")
def test_trainings_of_another_configuration_are_refused(copy: Path) -> None:
    edit_json(
        copy / "manifest.json", lambda m: m["configuration"]["training"].update(bin_edges=[600, 760, 860, 960, 1060])
    )
    with pytest.raises(UserError, match="other bins or another classifier: train again"):
        produce(copy, QUICK)
    edit_json(copy / "models" / "composition" / "result.json", lambda result: result.update(task="model"))
    with pytest.raises(UserError, match="is no training of dijet_anomaly"):
        produce(copy, QUICK)


@pytest.mark.usefixtures("no_plots")
def test_the_report_tells_the_settings_of_the_trainings_not_those_of_now(copy: Path) -> None:
    """A configuration that was changed after the training: what is told stays true, and the change is a flag."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["configuration"]["seed"] = 6
        training = manifest["configuration"]["training"]
        training.update(draw="weights", disjoint=True, train_jets=800, threads=1, stack=3)
        training["injection"].update(bin=3, mode="replace")

    produce(copy, QUICK)
    before = json.loads((copy / "results.json").read_text())
    edit_json(copy / "manifest.json", change)
    flags = produce(copy, QUICK)
    page = (copy / "report.html").read_text(encoding="utf-8")
    for sentence in ("each event was equally likely", "are added to the events of bin 2", "900 jets"):
        assert sentence in page, sentence
    assert "The samples of one size are disjoint" not in page
    told = [flag.split(",")[0] for flag in flags if flag.startswith("the trainings were done with")]
    assert set(told) == {
        "the trainings were done with " + one
        for one in (
            "seed = 5", "draw = uniform", "disjoint = False", "train_jets = 900", "injection.bin = 2",
            "injection.mode = add",
        )
    }  # fmt: skip
    after = json.loads((copy / "results.json").read_text())
    assert {name: one for name, one in after.items() if name.endswith(".auc")} == {
        name: one for name, one in before.items() if name.endswith(".auc")
    }
    one = copy / "models" / "null_2500_000" / "result.json"
    edit_json(one, lambda result: result["settings"].update(draw="weights"))
    with pytest.raises(UserError, match="was trained with another draw than others: train again"):
        produce(copy, QUICK)
    edit_json(one, lambda result: result.pop("settings"))
    with pytest.raises(UserError, match="was trained by an earlier version"):
        produce(copy, QUICK)


@pytest.mark.parametrize("added", ["observables", "shared"])
def test_trainings_of_an_earlier_version_are_refused(copy: Path, added: str) -> None:
    (one, *_) = sorted((copy / "models").glob("null_*"))
    edit_json(one / "result.json", lambda result: result["members"][0].pop(added))
    with pytest.raises(UserError, match=r"null_.* was trained by an earlier version: train again"):
        produce(copy, QUICK)


@pytest.mark.usefixtures("no_plots")
def test_without_partons_there_is_no_expectation_from_the_composition(copy: Path) -> None:
    """As for recorded data: the AUC are there."""

    def change(result: dict[str, Any]) -> None:
        for member in result["members"]:
            member["auc_gluon_quark"] = None
            for one in member["bins"]:
                one["gluons"] = None

    edit_members(copy, "null_", change)
    training = load_training(RunDirectory(copy))
    assert training is not None
    assert np.isnan(training.null[2500].composition).all()
    assert np.isfinite(training.null[2500].auc).all()
    produce(copy, QUICK)
    results = results_of(copy)
    assert results[f"null.2500.{PAIRS[0]}.composition_score"]["flags"] == ["no jets of known flavour"]
    assert results[f"null.2500.{PAIRS[0]}.auc"]["value"] is not None
