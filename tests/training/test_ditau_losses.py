"""The losses equal plain Python, event by event; they act per event so that sample weights count."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from training.backend import keras_module
from training.ditau_losses import above_range, check_masses, make_loss
from training.ditau_settings import OWN_LOSSES

LOW, HIGH = 50.0, 1000.0


def bounded(true: float, predicted: float, power: float, above: float, below: float) -> float:
    if predicted - true >= HIGH - predicted:
        factor = above
    elif true - predicted >= predicted - LOW:
        factor = below
    else:
        factor = 1.0
    return abs((true - predicted) / true**power) * factor


def symmetric(true: float, predicted: float) -> float:
    ratio = predicted / true
    return abs(ratio - 1) + 0.03 * abs(max(0.0, ratio - 1) - max(0.0, 1 - ratio))


EXPECTED: dict[str, Callable[[float, float], float]] = {
    "mapesqrt_b": lambda t, p: bounded(t, p, 0.5, 0.0, 0.1),
    "mape_b": lambda t, p: bounded(t, p, 1.0, 0.0, 0.1),
    "mae_b": lambda t, p: bounded(t, p, 0.0, 0.0, 0.1),
    "mapesqrt_b01": lambda t, p: bounded(t, p, 0.5, 0.1, 0.1),
    "mape_sym003": symmetric,
    "mean_absolute_error": lambda t, p: abs(t - p),
}


def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    true = np.concatenate([rng.uniform(LOW, HIGH, 500), [50, 1000, 50, 1000, 500, 500, 400]])
    # The last three lie on the bounds: 750 - 500 = 1000 - 750, and 500 - 275 = 275 - 50.
    predicted = np.concatenate([rng.uniform(-300, 1500, 500), [50, 1000, 1000, 50, 750, 275, 400]])
    return true.astype(np.float32)[:, None], predicted.astype(np.float32)[:, None]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_loss_equals_a_plain_loop(name: str) -> None:
    true, predicted = pairs()
    found = keras_module().ops.convert_to_numpy(make_loss(name, LOW, HIGH)(true, predicted))
    expected = [EXPECTED[name](float(t), float(p)) for t, p in zip(true[:, 0], predicted[:, 0], strict=True)]
    assert found.shape == (len(true),)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_every_loss_of_ours_is_compared() -> None:
    assert set(OWN_LOSSES) < set(EXPECTED)


def test_a_prediction_far_above_has_neither_loss_nor_gradient() -> None:
    import tensorflow as tf

    true, predicted = np.float32([[100.0], [100.0]]), tf.Variable(np.float32([[900.0], [300.0]]))
    with tf.GradientTape() as tape:
        loss = make_loss("mapesqrt_b", LOW, HIGH)(true, predicted)
    gradient = tape.gradient(loss, predicted).numpy()[:, 0]
    assert loss.numpy() == pytest.approx([0.0, 20.0])
    assert gradient == pytest.approx([0.0, 0.1])


def test_sample_weights_act_on_events() -> None:
    keras = keras_module()
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", trainable=False)])
    network.compile(loss=make_loss("mapesqrt_b", LOW, HIGH))
    # |true - predicted| / sqrt(true) is 1 and 2.
    true, predicted = np.float32([[100.0], [400.0]]), np.float32([[110.0], [440.0]])
    for weights, expected in (((1, 1), 1.5), ((3, 1), 2.5), ((0, 2), 2.0)):
        # Keras divides by the number of events or, in later versions, by the sum of weights.
        found = network.evaluate(predicted, true, sample_weight=np.float32(weights), verbose=0)
        assert found == pytest.approx(expected) or found == pytest.approx(expected * 2 / sum(weights))


def test_a_mass_outside_the_range_is_an_error() -> None:
    check_masses(np.array([50.0, 1000.0]), LOW, HIGH)
    for mass in (49.9, 1000.1, math.nan):
        with pytest.raises(ValueError, match="1 events have a generated mass outside of 50 to 1000 GeV"):
            check_masses(np.array([100.0, mass]), LOW, HIGH)


def test_the_fraction_above() -> None:
    assert above_range(np.array([100.0, 100.0, 900.0, 900.0]), np.array([540.0, 560.0, 940.0, 960.0]), HIGH) == 0.5


def test_an_unknown_loss_is_an_error() -> None:
    with pytest.raises(ValueError, match="loss = 'mapsqrt_b' is neither one of mapesqrt_b"):
        make_loss("mapsqrt_b", LOW, HIGH)
