"""Leptons that are chosen, the limit of the precision, padded networks, and the tasks from a skim to their figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from support.lepton_skims import columns, sample

from processors.lepton_id import SCHEMAS
from processors.lepton_id_processor import leading_columns
from processors.readers import read_root
from training import lepton_data, lepton_networks
from training.lepton_data import Leptons, divided, read_leptons, scaled
from training.lepton_id import KINDS, Settings, check, run, tasks
from training.lepton_limit import (
    ELECTRON,
    MIDDLE,
    MUON,
    baselines,
    binned,
    density,
    limit_answers,
    posterior,
    rms_with_error,
    rounding_model,
)
from training.lepton_models import load_networks, save_best
from training.lepton_networks import Task, Trained, network_of, train
from training.lepton_settings import Recipe, Scan, Steps
from training.samples import Sample
from training.stack_size import SHARE, bytes_per_replica

SMALL = Settings(
    seeds=2,
    study_leptons=400,
    representations=("pt_eta_e", "p2_minus_e2", "m2_p_eta"),
    source=Recipe(epochs=120),
    improved=Recipe(hidden=(4, 4), optimizer="adam", learning_rate=0.02, epochs=150, scaling="standard"),
    overtraining=(20, 200, 100_000),
    scan=Scan(nodes=(1, 3), recipe=Steps(learning_rate=0.02, epochs=60), seeds=2),
)


def leptons(directory: Path, number: int = 4000, **how: Any) -> Leptons:
    return read_leptons([sample(directory, "a", columns(number, **how))], Settings(), seed=3)


def test_the_halves_are_balanced_and_depend_neither_on_files_nor_on_precision(tmp_path: Path) -> None:
    one = read_leptons([sample(tmp_path / "a", "a", columns(1000))], Settings(leptons=600), seed=3)
    other = [sample(tmp_path / "b", "b", columns(1000, kind="float64"), parts=4, reverse=True)]
    again = read_leptons(other, Settings(leptons=600), seed=3)
    assert len(one) == 600
    for rows in (one.train, one.test, one.first(100)):
        assert one.label[rows].mean() == 0.5
    assert not set(one.train) & set(one.test)
    assert np.array_equal(one.train, again.train)
    assert np.array_equal(one["pt"], again["pt"].astype(np.float32))
    assert np.array_equal(one.label, again.label)
    moved = read_leptons(other, Settings(leptons=600), seed=4)
    assert not np.array_equal(moved["pt"], again["pt"])


def test_leptons_that_are_not_wanted_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many files the same leptons are taken as of one, and no more than some times as many are in memory."""
    settings = Settings(leptons=100)
    whole = read_leptons([sample(tmp_path / "a", "a", columns(4000))], settings, seed=3)
    many = [sample(tmp_path / "b", "b", columns(4000), parts=40, reverse=True)]
    sizes: list[int] = []
    first_of_each = lepton_data._first_of_each

    def watched(table: Any, most: int, seed: int) -> Any:
        sizes.append(table.num_rows)
        return first_of_each(table, most, seed)

    monkeypatch.setattr(lepton_data, "_first_of_each", watched)
    found = read_leptons(many, settings, seed=3)
    assert len(sizes) > 3
    assert max(sizes) <= lepton_data.HELD * 100 + 100
    for name in ("pt", "eta", "m2", "is_muon"):
        np.testing.assert_array_equal(found[name], whole[name])
    np.testing.assert_array_equal(found.test, whole.test)


def test_the_same_leptons_in_two_samples_are_an_error(tmp_path: Path) -> None:
    samples = [
        sample(tmp_path / "s", "ttbar_leptons", columns(400)),
        sample(tmp_path / "d", "double_ttbar_leptons", columns(400, kind="float64")),
    ]
    check(SMALL, samples, seed=3)
    with pytest.raises(ValueError, match="400 of 800 leptons of ttbar_leptons, double_ttbar_leptons are there twice"):
        check(SMALL.model_copy(update={"double_sample": None}), samples, seed=3)


def test_too_few_leptons_are_named_before_any_training(tmp_path: Path) -> None:
    few = sample(tmp_path, "few", columns(30))
    with pytest.raises(ValueError, match=r"There are \d+ electrons and \d+ muons; at least 20 of each"):
        check(Settings(), [few], seed=1)
    bare = {name: values for name, values in columns(100).items() if name != "m2"}
    with pytest.raises(ValueError, match="of sample bare has no column m2: skim again"):
        check(Settings(), [sample(tmp_path, "bare", bare)], seed=1)


def test_samples_are_divided_by_precision(tmp_path: Path) -> None:
    double = sample(tmp_path, "double_ttbar_leptons", columns(10))
    other = sample(tmp_path, "ttbar_lep", columns(10))
    assert divided([double, other], Settings()) == {"stored": [other], "double": [double]}
    assert divided([double], Settings()) == {"stored": [double]}
    assert divided([double, other], Settings(double_sample=None)) == {"stored": [double, other]}


@pytest.mark.parametrize("half", [(1.0, 1.0, 1.0), (0.3, 0.002, 5e-4), (2.0, 0.7, 0.0)])
def test_the_density_is_that_of_sums_of_uniform_errors(half: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(1)
    errors = (rng.uniform(-1, 1, (200_000, 3)) * half).sum(axis=1)
    edges = np.linspace(-sum(half) * 1.1, sum(half) * 1.1, 41)
    grid = np.linspace(edges[0], edges[-1], 40 * 200 + 1)
    middle = (grid[1:] + grid[:-1]) / 2
    values = density(middle, np.broadcast_to(half, (len(middle), 3)))
    expected = values.reshape(40, 200).mean(axis=1) * (edges[1] - edges[0])
    assert values.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=2e-3)
    counted = np.histogram(errors, edges)[0] / len(errors)
    assert np.abs(counted - expected).max() < 5e-3


def test_the_limit_in_single_and_in_double_precision(tmp_path: Path) -> None:
    edges = ((0.0, 60.0, 200.0, 14000.0), (0.0, 14000.0))
    single, double = leptons(tmp_path), leptons(tmp_path / "d", kind="float64")
    assert rounding_model(single) == "all"
    found = baselines(single, *edges)
    methods = {name: one["accuracy"] for name, one in found["methods"].items()}
    assert methods["single_mass_cut"] < methods["mass_cut"] < methods["middle_cut"] <= methods["limit"] + 0.005
    assert methods["limit"] == pytest.approx(found["expected"], abs=0.015)
    assert [one["accuracy"] == 1 for one in found["methods"]["limit"]["by_p"]] == [True, False, False]
    # Where the likelihood ratio is sure, it is right; where it says 70 %, it is right as often.
    sure = posterior(single, "all")
    near = (sure > 0.6) & (sure < 0.8)
    assert single.label[near].mean() == pytest.approx(sure[near].mean(), abs=4 * np.sqrt(0.25 / near.sum()))
    assert baselines(double, *edges)["methods"]["limit"]["accuracy"] == 1
    assert binned(double)[double.label == 1].all()


def test_the_rounding_that_the_leptons_allow(tmp_path: Path) -> None:
    only_energy = leptons(tmp_path, energy_of_stored=True)
    assert rounding_model(only_energy) == "energy"
    content = columns(1000)
    content["m2"] = content["m2"] + np.random.default_rng(1).normal(0, 0.1, 1000)  # measured, not only rounded
    measured = read_leptons([sample(tmp_path / "m", "m", content)], Settings(), seed=3)
    assert rounding_model(measured) is None
    limits = baselines(measured, (0.0, 14000.0), (0.0, 14000.0))
    assert limits["methods"]["limit"] == limits["methods"]["binned"]
    assert "expected" not in limits


def test_scaling_in_double_precision() -> None:
    table = np.array([[1e6, 1.0], [1e6 + 1e-3, 3.0], [5.0, 5.0]])
    rows = np.array([0, 1])
    assert scaled(table, rows, "mean")[:, 1] == pytest.approx([0.5, 1.5, 2.5])
    assert scaled(table, rows, "standard")[:2, 0] == pytest.approx([-1, 1], rel=1e-6)
    assert np.array_equal(scaled(np.zeros((3, 1)), rows, "mean"), np.zeros((3, 1)))


def test_the_error_of_a_root_mean_square_is_its_spread() -> None:
    rng = np.random.default_rng(2)
    found = np.array([rms_with_error(rng.normal(0, 3, 400)) for _ in range(400)])
    assert found[:, 0].std() == pytest.approx(found[:, 1].mean(), rel=0.15)
    assert rms_with_error(np.zeros(5)) == (0.0, 0.0)
    assert rms_with_error(np.array([-2.0])) == (2.0, 2.0)


def test_a_padded_network_learns_as_it_does_alone() -> None:
    rng = np.random.default_rng(1)
    wide, narrow = rng.normal(size=(300, 3)), rng.normal(size=(300, 1))
    label = (wide[:, 0] + narrow[:, 0] > 0).astype(np.int64)
    rows = np.arange(300)
    members = [
        Task(table, label, rows[:200], rows[200:], hidden, np.random.SeedSequence(9, spawn_key=(number,)))
        for number, (table, hidden) in enumerate(((wide, (4, 2)), (narrow, (1, 3)), (narrow, (2, 1))))
    ]
    # Each shape alone is compiled anew, so Adam has only that which is padded most.
    for recipe, compared in (
        (Recipe(epochs=60, learning_rate=0.1), slice(None)),
        (Recipe(epochs=60, optimizer="adam", learning_rate=0.02), slice(2, None)),
    ):
        together = train(members, recipe, keep_weights=True, threads=1)
        for member, stacked in zip(members[compared], together[compared], strict=True):
            (alone,) = train([member], recipe, keep_weights=True)
            assert stacked.history["epoch"] == alone.history["epoch"] == [50, 60]
            assert len(stacked.weights[-1]) == len(alone.weights[-1])
            assert stacked.weights[-1] == pytest.approx(alone.weights[-1], abs=2e-5)
            assert stacked.scores == pytest.approx(alone.scores, abs=2e-5)
        assert not np.allclose(together[1].weights[0], together[1].weights[1], atol=1e-4)  # it did learn
    by_cores = train(members, recipe, threads=2)
    for one, other in zip(together, by_cores, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=2e-5)


@pytest.mark.parametrize(("threads", "at_once"), [(1, 4), (1, 1), (2, 2)])
def test_networks_that_train_in_turns_learn_as_together(
    threads: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory is short: the least that `at_once` networks need on each of the threads is all there is."""
    rng = np.random.default_rng(4)
    table, rows = rng.normal(size=(300, 2)), np.arange(300)
    label = (table[:, 0] > 0).astype(np.int64)
    members = [
        Task(table, label, rows[:200], rows[200:], (3, 2), np.random.SeedSequence(9, spawn_key=(number,)))
        for number in range(7)
    ]
    recipe = Recipe(epochs=40, optimizer="adam", learning_rate=0.02)
    expected = train(members, recipe, threads=1)
    network, stacks = network_of(2, (3, 2)), []
    each = bytes_per_replica(network, 200, 200) + lepton_networks.ROW_BYTES * 300
    needed = at_once * each + lepton_networks.TABLE_BYTES * 2 * 300
    train_stack = lepton_networks._train_stack

    def noted(tasks: Any, *words: Any, **options: Any) -> Any:
        stacks.append(len(tasks))
        return train_stack(tasks, *words, **options)

    monkeypatch.setattr(lepton_networks, "_train_stack", noted)
    monkeypatch.setattr(lepton_networks, "free_memory", lambda _: threads * (int(needed / SHARE) + 1))
    found = train(members, recipe, threads=threads)
    assert sorted(stacks) == {(1, 4): [3, 4], (1, 1): [1] * 7, (2, 2): [1, 2, 2, 2]}[threads, at_once]
    for one, other in zip(found, expected, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-4)
    assert not np.allclose(found[0].scores, found[1].scores, atol=1e-3)


def test_fewer_threads_where_each_would_have_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(100)
    task = Task(np.ones((100, 1)), rows % 2, rows[:50], rows[50:], (2, 2), np.random.SeedSequence(1))
    network = network_of(1, (2, 2))
    one = bytes_per_replica(network, 50, 50) + lepton_networks.ROW_BYTES * 100 + lepton_networks.TABLE_BYTES * 100
    parts, at_once = lepton_networks._divided([task] * 4, network, 4, int(2.5 * one / SHARE))
    assert ([len(part) for part in parts], at_once) == ([2, 2], 1)
    monkeypatch.setattr(lepton_networks, "free_memory", lambda _: int(0.9 * one / SHARE))
    with pytest.raises(ValueError, match=r"one network takes about .* GB.* more memory, or let training\.leptons"):
        train([task] * 4, Recipe(epochs=5), threads=4)


def test_every_task_from_the_skim_to_its_figures(tmp_path: Path) -> None:
    samples = [
        sample(tmp_path / "s", "ttbar_leptons", columns(4000)),
        sample(tmp_path / "d", "double_ttbar_leptons", columns(4000, kind="float64")),
    ]
    planned = tasks(SMALL, seed=5)
    assert [task.kind for task in planned] == list(KINDS)
    results = {task.kind: run(task, samples, str(tmp_path / "models")) for task in planned}
    for kind, result in results.items():
        assert json.loads((tmp_path / "models" / kind / "result.json").read_text()) == json.loads(json.dumps(result))
    improved = results["improved"]["samples"]
    assert improved["double"]["p2_minus_e2"][0]["accuracy"] > 0.999
    assert improved["stored"]["p2_minus_e2"][0]["below_limit"] < 0.01
    assert abs(improved["stored"]["pt_eta_e"][0]["accuracy"] - 0.5) < 0.06
    assert set(results["source"]["samples"]) == {"stored"}
    inputs = results["limits"]["inputs"]["stored"]["improved"]
    assert inputs["pt_eta_e"]["separation"] < 1e-5 < 0.1 < inputs["p2_minus_e2"]["separation"]
    assert 0.8 < inputs["pt_eta_e"]["single_accuracy"] < inputs["pt_eta_e"]["input_accuracy"]
    assert 0.1 < improved["stored"]["pt_eta_e"][0]["largest_weight"] < 1 / inputs["pt_eta_e"]["separation"]
    saved_networks(tmp_path / "models" / "improved", samples, improved)
    history = results["history"]["members"][0]
    assert history["history"]["epoch"] == [50, 100, 120]
    assert len(history["weights"]) == 3
    assert [one["size"] for one in results["overtraining"]["members"]] == [20, 20, 200, 200]
    assert results["overtraining"]["left_out"] == [100_000]
    assert [one["nodes"] for one in results["scan"]["structures"]] == [[1, 1], [1, 3], [3, 1], [3, 3]]
    again = run(next(task for task in planned if task.kind == "scan"), samples, str(tmp_path / "again"))
    assert again["structures"] == results["scan"]["structures"]


def saved_networks(directory: Path, samples: list[Sample], improved: dict[str, Any]) -> None:
    """The files give the accuracies of the report, and the scores that were written."""
    networks = load_networks(directory)
    facts = json.loads((directory / "model.json").read_text())
    scores = pq.read_table(directory / "scores.parquet").to_pandas()
    assert set(networks) == {"stored", "double"}
    assert facts["settings"]["improved"]["hidden"] == [4, 4]
    assert "keras" in facts["versions"]
    for name, its in divided(samples, SMALL).items():
        chosen = read_leptons(its, SMALL, seed=5)
        columns_of_test = {key: values[chosen.test] for key, values in chosen.columns.items()}
        found = networks[name].predict(columns_of_test)
        own = scores[scores["sample"] == name]
        assert np.abs(found - own["score"].to_numpy()).max() < 1e-5
        assert np.array_equal(own["pt"], columns_of_test["pt"])
        described = facts["samples"][name]
        accuracies = [one["accuracy"] for one in improved[name][described["representation"]]]
        assert described["accuracy"] == accuracies[described["training"]]
        accuracy = ((found > 0.5) == (chosen.label[chosen.test] == 1)).mean()
        assert accuracy == pytest.approx(described["accuracy"], abs=1 / len(chosen.test) + 1e-12)
        assert (own["selected"] == (own["is_muon"] == 1)).mean() == pytest.approx(described["accuracy"], abs=1e-12)
        with pytest.raises(ValueError, match=r"The network needs the column\(s\) "):
            networks[name].predict({})


def test_networks_that_do_not_fit_their_description(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no model\.json"):
        load_networks(tmp_path)
    stored = leptons(tmp_path, 400)
    shapes = network_of(3, (4, 2)).shapes
    task = Task(stored.features("m2_p_eta"), stored.label, stored.train, stored.test, (4, 2), np.random.SeedSequence(1))
    layers = [np.full(shape, 0.1, np.float32) for shape in shapes]
    trained = Trained(np.full(len(stored.test), 0.4), layers=layers)
    figures = {"accuracy": 0.5, "error": 0.1, "validation_accuracy": 0.5, "validation_error": 0.1}
    found, networks = {"m2_p_eta": [figures]}, {"m2_p_eta": [(task, trained)]}
    save_best(tmp_path / "improved", {"stored": stored}, {"stored": found}, {"stored": networks}, SMALL)
    path = tmp_path / "improved" / "model.json"
    facts = json.loads(path.read_text())
    assert list(load_networks(path.parent)) == ["stored"]
    for key, value, sentence in (
        ("file", "../improved/stored.keras", "which is not in"),
        ("file", "other.keras", r"names the file other\.keras, which is not in"),
        ("features", ["m2"], "has other inputs or outputs"),
        ("scaler", {}, "does not describe networks"),
    ):
        changed = {"samples": {"stored": facts["samples"]["stored"] | {key: value}}}
        path.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=sentence):
            load_networks(path.parent)
    path.write_text(json.dumps(facts))
    (path.parent / "stored.keras").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no readable Keras model"):
        load_networks(path.parent)


def test_a_change_of_one_study_leaves_the_other_tasks_as_they_are() -> None:
    before = {task.kind: task for task in tasks(SMALL, seed=5)}
    other = SMALL.model_copy(update={"scan": Scan(nodes=(2,))})
    after = {task.kind: task for task in tasks(other, seed=5)}
    assert [kind for kind in KINDS if before[kind] != after[kind]] == ["scan"]


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValidationError, match="edges of bins must ascend"):
        Settings(p_edges=(1.0, 1.0))
    with pytest.raises(ValidationError, match="a representation is named twice"):
        Settings(representations=("mass", "mass"))
    with pytest.raises(ValidationError, match="at least one node"):
        Recipe(hidden=(3, 0))
    with pytest.raises(ValidationError, match="numbers of nodes are at least 1, and ascend"):
        Scan(nodes=(2, 2))
    assert MUON > ELECTRON


def test_a_lepton_that_could_be_either_has_the_nearer_mass(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        content = columns(4000, seed=seed, energy_of_stored=True)
        stored = read_leptons([sample(tmp_path / str(seed), "a", content)], Settings(), seed=seed)
        probability = posterior(stored, "energy")
        either = probability == 0.5
        assert 0.01 < either.mean() < 0.3
        assert np.abs(probability[~either] - 0.5).min() > 1e-5  # the rounding of sums decides nothing
        answers = limit_answers(stored, "energy")
        assert np.array_equal(answers[either], stored["m2"][either] > MIDDLE)
        assert (answers == (stored.label == 1))[~either].mean() > 0.999  # E is possible for one flavour only
        not_under_the_cut(baselines(stored, (0.0, 14000.0), (0.0, 14000.0)))


def test_the_limit_of_real_leptons_is_not_under_a_cut(test_data: Path, tmp_path: Path) -> None:
    file = test_data / "atlas-8tev" / "MC" / "skim.mc_117050.ttbar_lep.root"
    if not file.is_file():
        pytest.skip(f"no file {file}")
    chunk = read_root(str(file), "mini", SCHEMAS["mini"].branches, 0, 897, {})
    real = sample(tmp_path, "ttbar_lep", dict(leading_columns(chunk)[0]))
    for seed in (20190201, 3, 4):
        stored = read_leptons([real], Settings(), seed=seed)
        assert rounding_model(stored) == "energy"
        found = baselines(stored, (0.0, 14000.0), (0.0, 14000.0))
        not_under_the_cut(found)
        assert 0.01 < found["ties"] < 0.05
        # All that is not certain of these leptons are the ties, half of which are lost on average.
        assert found["expected"] == pytest.approx(1 - found["ties"] / 2, abs=1e-9)


def not_under_the_cut(found: dict[str, Any]) -> None:
    methods = {name: one["accuracy"] for name, one in found["methods"].items()}
    assert methods["limit"] >= methods["middle_cut"] - 1e-3
    assert methods["limit"] == pytest.approx(found["expected"], abs=4 * found["expected_error"])
