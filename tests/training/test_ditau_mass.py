"""Training of the ditau mass: parts, weights, groups of channels; a small network learns what is in its inputs."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from support.ditau_models import make_model
from support.ditau_skims import skim

from processors.ditau_mass import CHANNELS as SKIM_CHANNELS
from processors.ditau_mass import INPUTS
from training import ditau_events, ditau_mass
from training.backend import keras_module
from training.dense_outputs import first_output
from training.ditau_events import CHANNELS, flattening_weights, read_ditau
from training.ditau_mass import FULL, INPUT_LISTS, ModelSettings, Settings, TreesSettings
from training.ditau_model import load_mass_model, ml_mass
from training.ditau_network import build_network, start_below

SMALL = {"neurons": 24, "layers": 2, "epochs": 60, "batch_size": 64, "learning_rate": 3e-3}


def test_the_names_are_those_of_the_skim() -> None:
    assert FULL == INPUTS
    assert CHANNELS == SKIM_CHANNELS
    assert [len(names) for names in INPUT_LISTS.values()] == [27, 24, 24, 23, 23, 26, 26] * 2


def test_parts_are_fixed_by_the_event_and_the_seed(tmp_path: Path) -> None:
    one, other = skim(tmp_path / "a"), skim(tmp_path / "b", files=7)
    first, second = (read_ditau([sample], FULL, "inclusive", seed=3) for sample in (one, other))
    assert np.array_equal(first.inputs, second.inputs)
    assert np.array_equal(first.part, second.part)
    shares = np.bincount(first.part) / len(first)
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    assert not np.array_equal(first.part, read_ditau([one], FULL, "inclusive", seed=4).part)
    group = read_ditau([one], FULL, "lt", seed=3)
    assert set(group.channel) == {1, 2}
    chosen = np.isin(first.channel, [1, 2])
    assert np.array_equal(group.part, first.part[chosen]), "an event has one part in every group"


def test_events_without_generated_mass_are_counted(tmp_path: Path) -> None:
    mass = np.full(100, 125.0)
    mass[:7] = np.nan
    events = read_ditau([skim(tmp_path, 100, gen_mass=mass)], FULL, "inclusive", seed=1)
    assert (len(events), events.without_mass) == (93, 7)


def test_weights_flatten_the_spectrum_in_steps_of_2_gev() -> None:
    rng = np.random.default_rng(5)
    mass = 50 + rng.exponential(200, 5000)
    weight = flattening_weights(mass)
    assert weight.mean() == pytest.approx(1)
    sums: dict[int, float] = {}
    for one, its in zip(mass, weight, strict=True):
        sums[int(one // 2)] = sums.get(int(one // 2), 0.0) + its
    assert np.ptp(list(sums.values())) < 1e-9
    assert len(flattening_weights(np.empty(0))) == 0


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_the_networks_are_those_published(activation: str) -> None:
    name = {"softplus": "DNN1", "relu": "DNN2"}[activation]
    settings = Settings().models[name]
    network = build_network(settings)
    assert [layer.units for layer in network.layers] == [1000, 1000, 1000, 1]
    assert {layer.activation.__name__ for layer in network.layers[:-1]} == {activation}
    assert network.layers[-1].activation.__name__ == "linear"
    for layer in network.layers[:-1]:
        assert layer.kernel_constraint.get_config() == {"max_value": 3.0, "axis": 0}
    assert network.layers[-1].kernel_constraint is None
    initial = {"DNN1": "GlorotUniform", "DNN2": "GlorotNormal"}[name]
    assert [type(layer.kernel_initializer).__name__ for layer in network.layers[1:]] == [initial] * 3
    assert type(network.layers[0].kernel_initializer).__name__ == "GlorotUniform"
    assert (settings.loss, settings.batch_size, settings.epochs, settings.patience) == ("mapesqrt_b", 2048, 500, 20)


def test_a_start_above_the_range_is_brought_below() -> None:
    keras_module().utils.set_random_seed(1)
    settings = ModelSettings(neurons=32)
    network = build_network(settings)
    inputs = np.abs(np.random.default_rng(1).normal(0, 3000, (200, 27))).astype(np.float32)
    assert np.abs(first_output(network, inputs)).max() > 525
    start_below(network, inputs, settings)
    assert np.abs(first_output(network, inputs)).max() == pytest.approx(262.5, rel=1e-3)


def test_a_training_learns_and_leaves_its_files(tmp_path: Path) -> None:
    sample = skim(tmp_path / "skim")
    settings = Settings(channels=("lt", "inclusive"), models={"small": ModelSettings(**SMALL)})
    first, second = ditau_mass.tasks(settings, seed=11)
    assert (first.name, second.name) == ("small_inclusive", "small_lt")
    ditau_mass.check(settings, [sample], seed=11)
    results = [ditau_mass.run(first, [sample], str(tmp_path / run)) for run in ("one", "two")]
    target = tmp_path / "one" / "small_inclusive"
    stored = json.loads((target / "result.json").read_text())
    assert stored == results[0]
    assert results[0]["history"] == results[1]["history"], "the seed fixes a training"
    assert sum(stored["events"].values()) == 3000
    history = stored["history"]["val_mae"]
    assert 1 <= stored["best_epoch"] <= stored["epochs"]
    assert history[stored["best_epoch"] - 1] == min(history)
    assert stored["samples"] == ["HTT"]
    assert len(history) == stored["epochs"] <= 60
    table = pq.read_table(target / "predictions.parquet").to_pydict()
    mass, predicted = np.array(table["gen_mass"]), np.array(table["ml_mass"])
    assert np.mean(np.abs(predicted - mass)) == pytest.approx(stored["test_mae"])
    assert stored["test_mae"] < 60 < np.mean(np.abs(mass - np.median(mass))) / 2
    assert stored["above_range"] < 0.1
    network = keras_module().saving.load_model(target / "model.keras", compile=False)
    test = read_ditau([sample], FULL, "inclusive", seed=11).of("test")
    np.testing.assert_allclose(first_output(network, test.inputs), predicted, rtol=1e-5)
    found = load_mass_model(target).predict(test.columns)
    np.testing.assert_array_equal(found, first_output(network, test.inputs))
    assert max(stored["importance"], key=lambda name: stored["importance"][name]["value"]) == "PuppimTtt_reco"
    for layer in network.layers[:-1]:
        assert np.linalg.norm(layer.get_weights()[0], axis=0).max() <= 3 + 1e-4
    assert json.loads((target / "model.json").read_text())["features"] == list(FULL)


def test_only_the_signal_is_trained_on(tmp_path: Path) -> None:
    signal = skim(tmp_path / "signal", 300)
    far = skim(tmp_path / "background", 300, gen_mass=np.full(300, 1001.0))
    others = [replace(far, name=name, role=role) for name, role in (("DYJetsToLL", "background"), ("Run", "data"))]
    alone, all_of_them = (read_ditau(samples, FULL, "inclusive", seed=1) for samples in ([signal], [*others, signal]))
    np.testing.assert_array_equal(alone.inputs, all_of_them.inputs)
    settings = Settings(trees={"few": TreesSettings(n_estimators=2)})
    ditau_mass.check(settings, [*others, signal], seed=1)
    task = ditau_mass.tasks(settings, seed=1)[-1]
    assert ditau_mass.run(task, [*others, signal], str(tmp_path / "models"))["samples"] == ["HTT"]


def test_the_signal_that_is_learnt_may_be_chosen(tmp_path: Path) -> None:
    one = skim(tmp_path / "one", 300)
    other = replace(skim(tmp_path / "other", 300, gen_mass=np.full(300, 125.0)), name="H125")
    settings = Settings(trees={"few": TreesSettings(n_estimators=2)}, samples=["HTT"])
    ditau_mass.check(settings, [one, other], seed=1)
    task = ditau_mass.tasks(settings, seed=1)[-1]
    result = ditau_mass.run(task, [one, other], str(tmp_path / "models"))
    alone = read_ditau([one], FULL, "inclusive", seed=1)
    assert (result["samples"], sum(result["events"].values())) == (["HTT"], len(alone))
    with pytest.raises(ValueError, match=r"training.samples: there is no signal 'H25' \(there is: HTT, H125\)"):
        ditau_mass.check(Settings(samples=["H25"]), [one, other], seed=1)


def test_published_inputs_change_no_simple_estimator(tmp_path: Path) -> None:
    usual = skim(tmp_path / "usual", 400)
    columns = {name: np.concatenate([pq.read_table(file)[name].to_numpy() for file in usual.files])
               for name in pq.read_schema(usual.files[0]).names}  # fmt: skip
    angles = {name: np.linspace(-3, 3, 400).astype("f4") * sign
              for sign, name in ((1, "tau1_phi_reco"), (-1, "tau2_phi_reco"))}  # fmt: skip
    folded = {name: np.arcsin(np.sin(values)) for name, values in angles.items()}
    corrected = skim(
        tmp_path / "corrected", 400, **{**columns, **angles, **{f"published_{k}": v for k, v in folded.items()}}
    )
    published = skim(
        tmp_path / "published", 400, **{**columns, **folded, **{f"corrected_{k}": v for k, v in angles.items()}}
    )
    few = TreesSettings(n_estimators=5, inputs=("tau1_phi_reco", "tau2_phi_reco"))
    task = ditau_mass.tasks(Settings(trees={"few": few}), seed=1)[-1]
    tables, conventions = [], []
    for sample in (corrected, published):
        target = tmp_path / sample.files[0].split("/")[-2]
        conventions.append(ditau_mass.run(task, [sample], str(target))["convention"])
        assert ditau_mass.predictor_convention(str(target / task.name)) == conventions[-1]
        tables.append(pq.read_table(target / task.name / "predictions.parquet"))
    assert conventions == ["corrected", "published"]
    for name in ("event", "visible_mass", "collinear_mass", "total_transverse_mass"):
        np.testing.assert_array_equal(tables[0][name].to_numpy(), tables[1][name].to_numpy())
    assert "ml_mass_corrected" not in tables[0].column_names
    np.testing.assert_array_equal(tables[1]["ml_mass"], tables[1]["ml_mass_published"])
    assert not np.allclose(tables[1]["ml_mass_corrected"], tables[1]["ml_mass"])

    turning = Settings(models={"turning": ModelSettings(**SMALL, augment=2)})
    ditau_mass.check(turning, [corrected], seed=1)
    with pytest.raises(ValueError, match=r"the model turning: augment: 2 needs .* convention: published"):
        ditau_mass.check(turning, [published], seed=1)
    (task,) = ditau_mass.tasks(turning, seed=1)
    with pytest.raises(ValueError, match="augment: 2 needs azimuths"):
        ditau_mass.run(task, [published], str(tmp_path / "no"))


def test_trees_learn_and_load_from_a_file_without_code(tmp_path: Path) -> None:
    sample = skim(tmp_path / "skim")
    content = {"models": {"m": SMALL}, "trees": {"boosted": {"n_estimators": 80, "max_depth": 3}}}
    task = ditau_mass.tasks(Settings.model_validate(content), seed=5)[1]
    result = ditau_mass.run(task, [sample], str(tmp_path / "models"))
    assert (task.name, result["method"], result["task"]) == ("boosted_inclusive", "trees", "ditau_mass")
    assert result["test_mae"] < 40
    losses = result["history"]["val_loss"]
    assert min(losses) < losses[0]
    assert losses[result["best_epoch"] - 1] == min(losses)
    model = load_mass_model(tmp_path / "models" / "boosted_inclusive")
    test = read_ditau([sample], FULL, "inclusive", seed=5).of("test")
    stored = pq.read_table(tmp_path / "models" / "boosted_inclusive" / "predictions.parquet")
    np.testing.assert_allclose(model.predict(test.columns), stored["ml_mass"].to_numpy(), rtol=1e-6)
    assert result["importance"]["PuppimTtt_reco"]["value"] > 0.1
    path = tmp_path / "models" / "boosted_inclusive" / "model.ubj"
    whole = path.read_bytes()
    for damaged in (b"", b"PK" + bytes(50), whole[: len(whole) // 2], b"{}"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.ubj is no readable XGBoost model"):
            load_mass_model(path.parent)


def test_events_beyond_the_training_are_counted_input_by_input(tmp_path: Path) -> None:
    model = load_mass_model(make_model(tmp_path / "m", {"tau1_pt_reco": (0, 60), "tau2_pt_reco": (0, 50)}))
    events = ak.Array({name: np.ones(3) for name in FULL})
    events["tau1_pt_reco"], events["tau2_pt_reco"] = [60.0, 61.0, -1.0], [50.0, 50.0, 51.0]
    outside = model.extrapolated(events)
    assert outside is not None
    assert outside.tolist() == [0, 1, 2]
    assert len(ml_mass(events, model)) == 3
    with pytest.raises(ValueError, match=r"needs the input\(s\) jet1_eta_reco"):
        model.predict(events[[name for name in FULL if name != "jet1_eta_reco"]])
    events["jet1_eta_reco"] = [0.0, np.nan, 0.0]
    with pytest.raises(ValueError, match="jet1_eta_reco is not finite"):
        model.predict(events)


def test_other_peoples_absent_objects_and_turns_change_no_mass(tmp_path: Path) -> None:
    model = load_mass_model(make_model(tmp_path / "m"))
    rng = np.random.default_rng(8)
    ours = {name: rng.uniform(-3, 3, 20) for name in FULL}
    ours["jet2_pt_reco"], ours["jet2_phi_reco"] = np.zeros(20), np.zeros(20)
    theirs = {name: values + 2 * np.pi if "phi" in name else values for name, values in ours.items()}
    theirs["jet2_pt_reco"], theirs["jet2_phi_reco"] = np.full(20, -10.0), np.full(20, -10.0)
    expected = model.predict(ours)
    np.testing.assert_array_equal(ml_mass(ours, model), expected)
    for events in (theirs, ak.Array(theirs)):
        np.testing.assert_allclose(ml_mass(events, model), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="must be one number per event"):
        ml_mass({**ours, "jet1_pt_reco": ak.Array([[1.0], []] * 10)}, model)
    with pytest.raises(ValueError, match=r"needs the input\(s\) jet1_pt_reco"):
        ml_mass({name: values for name, values in ours.items() if name != "jet1_pt_reco"}, model)


def test_a_channel_that_the_model_has_not_seen_counts_as_extrapolated(tmp_path: Path) -> None:
    model = load_mass_model(make_model(tmp_path / "m", group="lt"))
    events = {name: np.ones(4) for name in FULL}
    for columns, expected in ((events, [0, 0, 0, 0]), (events | {"channel": np.array([0, 1, 2, -1])}, [1, 0, 0, 0])):
        found = model.extrapolated(columns)
        assert found is not None
        assert found.tolist() == expected
    assert load_mass_model(make_model(tmp_path / "all")).channels is None


@pytest.mark.parametrize(("layers", "neurons"), [(2, 16), (3, 300)])
def test_an_event_has_one_mass_whatever_comes_with_it(tmp_path: Path, layers: int, neurons: int) -> None:
    model = load_mass_model(make_model(tmp_path / "m", layers=layers, neurons=neurons))
    events = {name: np.random.default_rng(k).uniform(0, 100, 4000) for k, name in enumerate(FULL)}
    whole = model.predict(events)
    ends = (0, 3, 1200, 1533, 2900, 4000)
    parts = [model.predict({name: values[first:last] for name, values in events.items()})
             for first, last in pairwise(ends)]  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda d: (d / "model.json").unlink(), "there is neither model.json nor inputs_for"),
        (lambda d: (d / "model.keras").unlink(), "names the file model.keras, which is not in"),
        (lambda d: (d / "model.keras").write_bytes(b"PK" + bytes(50)), "model.keras is no readable Keras model"),
        (lambda d: rewrite(d, features=list(FULL[:-1])), "model.keras has 27 inputs, but .*model.json lists 26"),
        (lambda d: rewrite(d, group="tm"), "does not describe a regression of the ditau mass"),
        (lambda d: rewrite(d, kind="other"), "does not describe a regression of the ditau mass"),
        (lambda d: rewrite(d, versions={"keras": "2.3.1"}), "was written with keras 2.3.1, but"),
        (lambda d: rewrite(d, files=["../other.keras"]), "names the file ../other.keras, which is not in"),
    ],
)
def test_a_damaged_model_is_one_sentence(tmp_path: Path, damage: Any, sentence: str) -> None:
    directory = make_model(tmp_path / "m")
    damage(directory)
    with pytest.raises(ValueError, match=sentence):
        load_mass_model(directory)


def rewrite(directory: Path, **changes: Any) -> None:
    facts = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps({**facts, **changes}))


def test_a_list_of_values_makes_a_scan() -> None:
    content = {
        "models": {
            "a": {"dropout": [0.0, 0.2], "activation": ["relu", "softplus"], "neurons": 8},
            "b": {"neurons": [[8, 8, 8], [16, 8, 4]], "inputs": ["full", "no_pileup"]},
            "c": {"neurons": [8, 4, 2], "inputs": ["tau1_pt_reco", "tau2_pt_reco"]},
        }
    }
    settings = Settings.model_validate(content)
    assert list(settings.models) == [
        "a-dropout=0.0-activation=relu", "a-dropout=0.0-activation=softplus",
        "a-dropout=0.2-activation=relu", "a-dropout=0.2-activation=softplus",
        "b-neurons=8x8x8-inputs=full", "b-neurons=8x8x8-inputs=no_pileup",
        "b-neurons=16x8x4-inputs=full", "b-neurons=16x8x4-inputs=no_pileup", "c",
    ]  # fmt: skip
    assert settings.models["b-neurons=16x8x4-inputs=full"].units() == (16, 8, 4)
    assert settings.models["c"].input_names() == ("tau1_pt_reco", "tau2_pt_reco")
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_what_cannot_be_trained_is_said_before(tmp_path: Path) -> None:
    narrow = Settings(models={"m": ModelSettings(max_mass=500)})
    with pytest.raises(ValueError, match="outside of 50 to 500 GeV"):
        ditau_mass.check(narrow, [skim(tmp_path / "a", 300)], seed=1)
    none = skim(tmp_path / "b", 300, channel=np.zeros(300, "i1"))
    with pytest.raises(ValueError, match="model DNN1 has no event of the group mm"):
        ditau_mass.check(Settings(channels=("mm",)), [none], seed=1)
    with pytest.raises(ValueError, match=r"0\.parquet of sample HTT has no column other"):
        read_ditau([none], ["other"], "inclusive", seed=1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"inputs": "ful"}, "it is none of full, no_met_covariance"),
        ({"inputs": []}, "the list is empty"),
        ({"neurons": [1000, 500]}, "2 numbers for 3 layers"),
        ({"min_mass": 1000}, "min_mass: 1000 must be below"),
        ({"activation": "softmax"}, "activation"),
        ({"loss": "mapsqrt_b"}, "known are mapesqrt_b, .*mse"),
        ({"bottleneck": 2}, "bottleneck"),
        ({"l1": -1}, "l1"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ModelSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("neurons", "layers", "units"),
    [(1000, 3, (1000, 500, 100)), (1000, 5, (1000, 1000, 1000, 500, 100)), (300, 3, (300, 300, 100)), (64, 1, (64,))],
)
def test_a_bottleneck_narrows_the_last_layers(neurons: int, layers: int, units: tuple[int, ...]) -> None:
    assert ModelSettings(neurons=neurons, layers=layers, bottleneck=True).units() == units


def test_a_bottleneck_and_a_list_of_inputs() -> None:
    settings = ModelSettings(inputs=("tau1_pt_reco", "PuppimTtot_reco"), neurons=(1000, 500, 100), dropout=0.1)
    network = build_network(settings)
    assert network.input_shape == (None, 2)
    assert [layer.units for layer in network.layers if hasattr(layer, "units")] == [1000, 500, 100, 1]
    assert ditau_events.GROUPS["ll"] == ("em", "mm", "ee")
