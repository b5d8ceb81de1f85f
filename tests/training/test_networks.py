"""Parts of the stacked networks that are written for XLA, against the plain operations."""

import keras
import numpy as np
import pytest

from training.backend import with_gradients
from training.networks import _narrow_product, dense_layers

ops = keras.ops


def test_a_narrow_product_has_the_values_and_gradients_of_a_product() -> None:
    rng = np.random.default_rng(1)
    x, kernel, seen = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 50, 4), (2, 4, 7), (2, 50, 7)))

    def found(product: object) -> list[np.ndarray]:
        def loss(both: list) -> tuple:
            out = product(*both)
            return ops.sum(ops.sin(out) * seen), out

        out, gradients = with_gradients(loss, [ops.convert_to_tensor(x), ops.convert_to_tensor(kernel)])
        return [ops.convert_to_numpy(array) for array in (out, *gradients)]

    for ours, plain in zip(found(_narrow_product), found(ops.matmul), strict=True):
        assert np.allclose(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["relu", "tanh", None])
def test_activations_are_those_of_keras_also_at_zero_and_infinity(name: str | None) -> None:
    x = np.array([-np.inf, -2.0, -0.0, 0.0, 1e-30, 3.0, np.inf, np.nan], np.float32)
    weights = [ops.ones((1, 1, 1)), ops.zeros((1, 1))]

    def found(activation: object) -> list[np.ndarray]:
        def loss(its: list) -> tuple:
            out = activation(its[0])
            return ops.sum(out), out

        out, gradients = with_gradients(loss, [ops.convert_to_tensor(x[None, :, None])])
        return [ops.convert_to_numpy(array) for array in (out, *gradients)]

    ours = found(lambda its: dense_layers(its, weights, "relu", last=name))
    theirs = found(keras.activations.get(name))
    assert np.array_equal(ours[0], theirs[0], equal_nan=True)
    number = ~np.isnan(x)
    assert np.array_equal(ours[1][0, number], theirs[1][0, number])
