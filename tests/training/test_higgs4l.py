import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.skims import make_skims, write_sample

from training.higgs4l import FEATURE_SETS, Settings, TrainingTask, run, tasks
from training.model_files import load_model
from training.samples import Sample

SMALL: dict[str, Any] = {
    "folds": 3,
    "bootstrap": 50,
    "importance_events": 400,
    "importance_repeats": 2,
    "notebook": {"max_iter": 60},
    "models": {
        "mlp": {
            "kind": "mlp",
            "features": ["full"],
            "parameters": {"hidden_layer_sizes": [6], "max_iter": 40, "n_iter_no_change": 40},
        },
        "boosted_trees": {"kind": "boosted_trees", "features": ["full", "no_mass"], "parameters": {"max_iter": 30}},
        "forest": {"kind": "forest", "parameters": {"n_estimators": 20}},
        "svm": {"kind": "svm", "parameters": {"max_training_events": 600}},
        "network": {"kind": "network", "parameters": {"hidden_units": [12], "epochs": 9, "batch_size": 256}},
        "scan": {
            "kind": "boosted_trees",
            "features": "m4l",
            "parameters": {"max_iter": [1, 20], "max_leaf_nodes": [2, 8]},
        },
    },
}
MODELS = (
    "mlp_full",
    "boosted_trees_full",
    "boosted_trees_no_mass",
    "forest_full",
    "svm_full",
    "network_full",
    "scan_m4l",
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_skims(tmp_path_factory.mktemp("skims"), np.random.default_rng(1), 1500)


def task(name: str, settings: Settings | None = None) -> TrainingTask:
    return next(its for its in tasks(settings or Settings(**SMALL), seed=7) if its.name == name)


@pytest.fixture(scope="module")
def done(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Every task of SMALL, run once."""
    directory = tmp_path_factory.mktemp("models")
    return directory, {its.name: run(its, samples, str(directory)) for its in tasks(Settings(**SMALL), seed=7)}


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "seconds"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_result_of_a_model(done: tuple[Path, dict[str, dict[str, Any]]], name: str) -> None:
    directory, results = done
    result = results[name]
    assert json.loads((directory / name / "result.json").read_text()) == result
    assert result["auc"]["value"] > (0.55 if name == "boosted_trees_no_mass" else 0.85)
    assert len(result["auc"]["folds"]) == len(result["thresholds"]) == 3
    raw = np.array(result["confusion_matrix"]["raw"])
    yields, events = result["yields"], result["events"]
    assert raw.sum(axis=1).tolist() == [events["background"]["events"], events["signal"]["events"]]
    assert raw[:, 1].tolist() == [yields["background"]["events"], yields["signal"]["events"]]
    weighted = result["confusion_matrix"]["weighted"]
    assert weighted[1][1] == pytest.approx(yields["signal"]["value"])
    assert weighted[0][1] == pytest.approx(yields["background"]["value"])
    assert result["ratio"]["cut_based"]["value"] == pytest.approx(
        yields["asimov"]["value"] / result["baselines"]["cut_based"]["asimov"]["value"]
    )
    assert result["baselines"]["no_cuts"]["asimov"] == results["baselines"]["no_cuts"]["asimov"]
    for label in ("signal", "background"):
        for part in ("train", "test"):
            total = sum(result["scores"][label][part]["values"])
            assert total == pytest.approx(events[label]["value"], rel=1e-9), (label, part)
    assert {its["feature"] for its in result["importance"]["permutation"]} == set(result["features"])
    assert (result["importance"]["impurity"] is not None) == (name == "forest_full")
    assert all(its["inner_effective_background"] >= 25 for its in result["thresholds"] if its["constrained"])


@pytest.mark.slow
def test_mass_is_most_important_and_no_mass_is_worse(done: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    _, results = done
    assert results["boosted_trees_full"]["importance"]["permutation"][0]["feature"].startswith("m4l")
    assert results["boosted_trees_no_mass"]["uses_mass"] is False
    assert results["boosted_trees_no_mass"]["auc"]["value"] < results["boosted_trees_full"]["auc"]["value"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_scores_and_reloaded_model(
    done: tuple[Path, dict[str, dict[str, Any]]], samples: list[Sample], name: str
) -> None:
    directory, results = done
    result = results[name]
    scores = pq.read_table(directory / name / "scores.parquet").to_pandas()
    simulated = scores[scores.label >= 0]
    assert set(scores["sample"]) == {sample.name for sample in samples}
    assert set(simulated.fold) == {0, 1, 2}
    assert (scores[scores.label == -1].fold == -1).all()
    assert np.isfinite(scores.score).all()
    assert (scores.selected == (scores.score >= scores.threshold)).all()
    chosen = simulated[simulated.selected & (simulated.label == 0)]
    assert chosen.weight.sum() == pytest.approx(result["yields"]["background"]["value"])

    stored = load_model(directory / name)
    assert stored.features == tuple(result["features"])
    assert list(stored.thresholds) == [its["threshold"] for its in result["thresholds"]]
    columns = {
        column: np.concatenate([pq.read_table(file)[column].to_numpy() for its in samples for file in its.files])
        for column in {*stored.columns, "run", "event", "entry"}
    }
    names = np.concatenate([np.full(len(pq.read_table(file)), its.name) for its in samples for file in its.files])
    passed = np.concatenate(
        [
            np.all([pq.read_table(file)[f"pass_{cut}"].to_numpy() for cut in Settings().cuts], axis=0)
            for its in samples
            for file in its.files
        ]
    )
    again = stored.predict({column: values[passed] for column, values in columns.items()})
    keys = zip(names[passed], columns["event"][passed], columns["entry"][passed], strict=True)
    by_event = dict(zip(keys, again, strict=True))
    data = scores[scores.label == -1]
    found = np.array([by_event[key] for key in zip(data["sample"], data.event, data.entry, strict=True)])
    assert np.array_equal(found, data.score.to_numpy())


@pytest.mark.slow
def test_notebook_and_baselines(done: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    directory, results = done
    notebook = results["notebook"]
    assert [np.shape(matrix) for matrix in notebook["weights"]] == [(1, 3), (3, 3), (3, 3), (3, 1)]
    assert [len(vector) for vector in notebook["biases"]] == [3, 3, 3, 1]
    assert notebook["events"] == {"signal": 3000, "background": 3000, "train": 4500, "test": 1500}
    matrix = np.array(notebook["confusion_matrix"]["raw"])
    assert matrix.sum() == 1500
    assert notebook["accuracy"] == pytest.approx(np.trace(matrix) / 1500)
    assert notebook["accuracy"] > 0.8
    assert "precision" in notebook["classification_report"]["text"]
    assert len(notebook["loss_curve"]) == notebook["iterations"]
    assert load_model(directory / "notebook").features == ("m4l",)
    baselines = results["baselines"]
    assert baselines["cuts"]["no_cuts"] == ["four_leptons", "mass_window"]
    assert baselines["cut_based"]["signal"]["value"] < baselines["no_cuts"]["signal"]["value"]


@pytest.mark.slow
def test_scan_table(done: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    _, results = done
    scan = results["scan_m4l"]["scan"]
    assert scan["parameters"] == ["max_iter", "max_leaf_nodes"]
    assert [row["parameters"] for row in scan["table"]] == [
        {"max_iter": trees, "max_leaf_nodes": leaves} for trees in (1, 20) for leaves in (2, 8)
    ]
    assert sorted(fold for row in scan["table"] for fold in row["chosen_in_folds"]) == [0, 1, 2]
    assert scan["table"][0]["chosen_in_folds"] == []
    assert results["forest_full"]["scan"] is None


@pytest.mark.slow
def test_network_curves(done: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    _, results = done
    curves = results["network_full"]["curves"]
    assert [its["fold"] for its in curves] == [0, 1, 2]
    for its in curves:
        assert len(its["loss"]) == len(its["validation_accuracy"]) <= 9
        assert its["best_epoch"] == int(np.argmin(its["validation_loss"]))
        assert its["loss"][-1] < its["loss"][0]
    assert curves[0]["loss"] != curves[1]["loss"]
    assert results["mlp_full"]["curves"][0]["validation_loss"] is None
    assert results["boosted_trees_full"]["curves"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network_full", "boosted_trees_full", "mlp_full", "forest_full", "notebook"])
def test_same_seed_same_result_in_any_order(
    done: tuple[Path, dict[str, dict[str, Any]]], samples: list[Sample], tmp_path: Path, name: str
) -> None:
    directory, results = done
    rng = np.random.default_rng(2)
    shuffled = []
    for sample in reversed(samples):
        tables = [pq.read_table(file) for file in sample.files]
        columns = {c: np.concatenate([t[c].to_numpy() for t in tables]) for c in tables[0].column_names}
        order = rng.permutation(len(columns["run"]))
        columns = {column: values[order] for column, values in columns.items()}
        shuffled.append(replace(write_sample(tmp_path / "skim", sample.name, columns, files=3), scale=sample.scale))
    again = run(task(name), shuffled, str(tmp_path))
    assert timeless(again) == timeless(results[name])
    if name != "notebook":
        first, second = (pq.read_table(where / name / "scores.parquet") for where in (directory, tmp_path))
        assert first.equals(second)
    other = run(replace(task(name), seed=8), samples, str(tmp_path))
    assert timeless(other) != timeless(again)


def test_scale_of_a_sample_scales_its_yield(samples: list[Sample], tmp_path: Path) -> None:
    first = run(task("baselines"), samples, str(tmp_path / "a"))
    doubled = [replace(its, scale=2.0) if its.name == "ZZ" else its for its in samples]
    second = run(task("baselines"), doubled, str(tmp_path / "b"))
    for name in ("no_cuts", "cut_based"):
        zz = first[name]["samples"]["ZZ"]["value"]
        assert second[name]["samples"]["ZZ"]["value"] == pytest.approx(2 * zz)
        assert second[name]["background"]["value"] == pytest.approx(first[name]["background"]["value"] + zz)


def test_a_model_that_learned_nothing_is_flagged(samples: list[Sample], tmp_path: Path) -> None:
    stump = {"kind": "boosted_trees", "parameters": {"max_iter": 1, "min_samples_leaf": 100000}}
    settings = Settings(**SMALL | {"models": {"stump": stump}})
    result = run(task("stump_full", settings), samples, str(tmp_path))
    assert "the model(s) of fold(s) 0, 1, 2 give every event the same score" in result["flags"]
    assert result["auc"]["value"] == pytest.approx(0.5, abs=0.05)
    assert json.loads((tmp_path / "stump_full" / "result.json").read_text()) == result


def test_no_signal_is_one_sentence(samples: list[Sample], tmp_path: Path) -> None:
    background = [its for its in samples if its.role != "signal"]
    with pytest.raises(ValueError, match="needs signal events, but none are left"):
        run(task("forest_full"), background, str(tmp_path))


@pytest.mark.slow
def test_features_of_six_leptons(tmp_path: Path) -> None:
    samples = make_skims(tmp_path, np.random.default_rng(3), 500, leptons=6)
    six = tuple(f"lep{i}_{quantity}" for i in (5, 6) for quantity in ("pt", "eta", "phi"))
    settings = Settings(
        **SMALL
        | {
            "features": {"six": FEATURE_SETS["full"] + six},
            "models": {"network": SMALL["models"]["network"] | {"features": "six"}},
        }
    )
    result = run(task("network_six", settings), samples, str(tmp_path))
    assert len(result["features"]) == len(FEATURE_SETS["full"]) + 6
    assert result["auc"]["value"] > 0.7
