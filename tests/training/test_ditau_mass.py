"""Training of the ditau mass: parts, weights, groups of channels; a small network learns what is in its inputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from processors.ditau_mass import CHANNELS as SKIM_CHANNELS
from processors.ditau_mass import INPUTS
from training import ditau_events, ditau_mass
from training.backend import keras_module
from training.ditau_events import CHANNELS, flattening_weights, read_ditau
from training.ditau_mass import FULL, INPUT_LISTS, ModelSettings, Settings
from training.ditau_network import build_network, predict, start_below
from training.samples import Sample

SMALL = {"neurons": 24, "layers": 2, "epochs": 60, "batch_size": 64, "learning_rate": 3e-3}


def skim(path: Path, number: int = 3000, seed: int = 1, files: int = 2, **changes: Any) -> Sample:
    """A skim whose visible mass is 0.6 of the generated one, within 5%."""
    rng = np.random.default_rng(seed)
    mass = rng.uniform(50, 1000, number)
    columns: dict[str, Any] = {name: rng.normal(0, 1, number).astype("f4") for name in INPUTS}
    columns["PuppimTtt_reco"] = (0.6 * mass * (1 + 0.05 * rng.standard_normal(number))).astype("f4")
    columns |= {
        "run": np.ones(number, "u4"), "luminosityBlock": rng.integers(1, 9, number).astype("u4"),
        "event": np.arange(number, dtype="u8"), "entry": np.arange(number),
        "channel": rng.integers(0, 6, number).astype("i1"), "gen_mass": mass,
    }  # fmt: skip
    columns |= changes
    path.mkdir(parents=True, exist_ok=True)
    names = []
    for index, rows in enumerate(np.array_split(rng.permutation(number), files)):
        names.append(str(path / f"{index}.parquet"))
        pq.write_table(pa.table({name: values[rows] for name, values in columns.items()}), names[-1])
    return Sample("HTT", "signal", "HTT", tuple(names))


def test_the_names_are_those_of_the_skim() -> None:
    assert FULL == INPUTS
    assert CHANNELS == SKIM_CHANNELS
    assert [len(names) for names in INPUT_LISTS.values()] == [27, 24, 24, 23, 23, 26, 26]


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
    assert np.abs(predict(network, inputs)).max() > 525
    start_below(network, inputs, settings)
    assert np.abs(predict(network, inputs)).max() == pytest.approx(262.5, rel=1e-3)


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
    assert stored["best_epoch"] == int(np.argmin(history))
    assert len(history) == stored["epochs"] <= 60
    table = pq.read_table(target / "predictions.parquet").to_pydict()
    mass, predicted = np.array(table["gen_mass"]), np.array(table["ml_mass"])
    assert np.mean(np.abs(predicted - mass)) == pytest.approx(stored["test_mae"])
    assert stored["test_mae"] < 60 < np.mean(np.abs(mass - np.median(mass))) / 2
    assert stored["above_range"] < 0.05
    network = keras_module().saving.load_model(target / "model.keras", compile=False)
    test = read_ditau([sample], FULL, "inclusive", seed=11).of("test")
    np.testing.assert_allclose(predict(network, test.inputs), predicted, rtol=1e-5)
    for layer in network.layers[:-1]:
        assert np.linalg.norm(layer.get_weights()[0], axis=0).max() <= 3 + 1e-4
    assert json.loads((target / "model.json").read_text())["features"] == list(FULL)


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
        ({"inputs": "ful"}, "inputs: 'ful' is none of full"),
        ({"inputs": []}, "the list is empty"),
        ({"neurons": [1000, 500]}, "2 numbers for 3 layers"),
        ({"min_mass": 1000}, "min_mass: 1000 must be below"),
        ({"activation": "softmax"}, "activation"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ModelSettings.model_validate(settings)


def test_a_bottleneck_and_a_list_of_inputs() -> None:
    settings = ModelSettings(inputs=("tau1_pt_reco", "PuppimTtot_reco"), neurons=(1000, 500, 100), dropout=0.1)
    network = build_network(settings)
    assert network.input_shape == (None, 2)
    assert [layer.units for layer in network.layers if hasattr(layer, "units")] == [1000, 500, 100, 1]
    assert ditau_events.GROUPS["ll"] == ("em", "mm", "ee")
