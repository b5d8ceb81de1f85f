"""Every choice of the configuration makes a network of the ditau mass that trains."""

from itertools import zip_longest
from typing import Any, get_args

import numpy as np
import pytest

from training import ditau_network
from training.dense_outputs import first_output
from training.ditau_events import DitauEvents
from training.ditau_network import fit
from training.ditau_settings import KERAS_LOSSES, ModelSettings

CHOICES = {name: get_args(ModelSettings.model_fields[name].annotation) for name in ("optimiser", "activation")}
CHOICES |= {"initialiser": get_args(ModelSettings.model_fields["initialiser"].annotation), "loss": KERAS_LOSSES}
#: Each value of each key once, several keys at a time.
COMBINED = [
    {key: value for key, value in zip(CHOICES, values, strict=True) if value is not None}
    for values in zip_longest(*CHOICES.values())
]
OTHERS: list[dict[str, Any]] = [
    {"dropout": 0.5, "l1": 0.1, "max_norm": None},
    {"l2": 0.1, "augment": 1, "standardise": True, "max_norm": 0.5},
]


@pytest.mark.parametrize("change", COMBINED + OTHERS, ids=str)
def test_every_choice_trains(change: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    settings = ModelSettings.model_validate({"neurons": 6, "epochs": 1, "batch_size": 64, **change})
    mass, none = rng.uniform(50, 1000, 128), np.zeros(128, np.int8)
    inputs = rng.uniform(0, 100, (128, len(settings.input_names()))).astype(np.float32)
    events = DitauEvents(inputs, mass, none, none, 0)
    network, history = fit(settings, events, events, seed=1)
    assert np.isfinite(history["val_mae"]).all()
    assert np.isfinite(first_output(network, inputs)).all()
    dense = [layer for layer in network.layers if hasattr(layer, "units")]
    assert tuple(layer.units for layer in dense) == (*settings.units(), 1)
    assert {layer.activation.__name__ for layer in dense[:-1]} == {settings.activation}
    assert type(network.optimizer).__name__.lower() == settings.optimiser
    assert type(dense[1].kernel_initializer).__name__.lower() == settings.initialiser.replace("_", "")
    assert sum(type(layer).__name__ == "Dropout" for layer in network.layers) == (3 if settings.dropout else 0)
    for layer in dense[:-1]:
        largest = None if layer.kernel_constraint is None else layer.kernel_constraint.max_value
        assert largest == settings.max_norm
        penalty = layer.kernel_regularizer
        found = (0.0, 0.0) if penalty is None else (float(penalty.l1), float(penalty.l2))
        assert found == pytest.approx((settings.l1, settings.l2))
    assert dense[-1].kernel_regularizer is None


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_of_the_training_alone(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of half precision are scaled; what is left computes in single precision, with the trained weights."""
    import keras

    trained = []
    built = ditau_network.build_network

    def build(settings: ModelSettings, *others: Any) -> Any:
        trained.append(built(settings, *others))
        return trained[-1]

    monkeypatch.setattr(ditau_network, "build_network", build)
    rng = np.random.default_rng(1)
    settings = ModelSettings.model_validate(
        {"bottleneck": True, "neurons": 120, "inputs": "cartesian_no_pileup", "dropout": 0.1, "standardise": True,
         "epochs": 3, "batch_size": 64, "precision": precision, "max_norm": 0.5, "optimiser": "nadam"}
    )  # fmt: skip
    mass, none = rng.uniform(50, 1000, 256), np.zeros(256, np.int8)
    inputs = rng.uniform(0, 100, (256, len(settings.input_names()))).astype(np.float32)
    events = DitauEvents(inputs, mass, none, none, 0)
    network, history = fit(settings, events, events, seed=1)
    mixed, single = trained
    assert isinstance(mixed.optimizer, keras.optimizers.LossScaleOptimizer) == (precision == "mixed_float16")
    inner = getattr(mixed.optimizer, "inner_optimizer", mixed.optimizer)
    assert type(inner).__name__ == "Nadam"
    assert float(inner.learning_rate) == pytest.approx(settings.learning_rate)
    assert {layer.compute_dtype for layer in mixed.layers} == {"float32", precision.removeprefix("mixed_")}
    assert network is single
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    for mine, its in zip(network.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    outputs = first_output(network, inputs)
    assert np.any(outputs != first_output(mixed, inputs))
    assert np.mean(np.abs(outputs - mass)) < history["val_mae"][0]
    assert max(np.linalg.norm(layer.get_weights()[0], axis=0).max() for layer in network.layers[1:-2:2]) < 0.5 + 1e-3


def test_gradients_that_half_precision_cannot_hold_are_scaled() -> None:
    """A loss of 1e-7 of the error has gradients that are 0 in half precision; the weights move all the same."""
    rng = np.random.default_rng(1)
    settings = ModelSettings(neurons=8, layers=2, precision="mixed_float16", batch_size=64, max_norm=None)
    network = ditau_network.build_network(settings)
    inputs = rng.uniform(0, 1, (64, 27)).astype(np.float32)
    network.compile(optimizer=ditau_network._optimiser(settings), loss=lambda true, found: 1e-7 * abs(true - found))
    before = network.layers[0].get_weights()[0]
    network.fit(inputs, np.ones((64, 1), np.float32), epochs=8, batch_size=64, verbose=0)
    assert np.mean(network.layers[0].get_weights()[0] != before) > 0.5


def test_all_values_are_among_the_choices() -> None:
    for key, values in CHOICES.items():
        assert [one[key] for one in COMBINED if key in one] == list(values)
        assert len(values) > 4


@pytest.mark.parametrize(
    ("neurons", "layers", "units"),
    [(1000, 3, (1000, 500, 100)), (1000, 5, (1000, 1000, 1000, 500, 100)), (300, 3, (300, 300, 100)), (64, 1, (64,))],
)
def test_a_bottleneck_narrows_the_last_layers(neurons: int, layers: int, units: tuple[int, ...]) -> None:
    assert ModelSettings(neurons=neurons, layers=layers, bottleneck=True).units() == units
