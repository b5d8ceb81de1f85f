"""Losses for the regression of a mass between two ends of the training range, element by element.

Events at the ends of the range pull predictions towards its middle: an event there has neighbours on one side only.
`mapesqrt_b` therefore drops or weakens an event whose error is larger than the distance of its prediction to the end
(L. Torterotot, DL_for_HTT_mass).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module
from training.ditau_settings import OWN_LOSSES

#: Weight of the term that makes `mape_sym003` nearly symmetric in over- and underestimation.
_SYMMETRY = 0.03
#: Factors above and below the range, by the loss' name.
_FACTORS = {"mapesqrt_b": (0.0, 0.1), "mape_b": (0.0, 0.1), "mae_b": (0.0, 0.1), "mapesqrt_b01": (0.1, 0.1)}
_POWERS = {"mapesqrt_b": 0.5, "mapesqrt_b01": 0.5, "mape_b": 1.0, "mae_b": 0.0}


def make_loss(name: str, min_mass: float, max_mass: float) -> Callable[[Any, Any], Any]:
    """The loss of a name: a function of (y_true, y_pred), which averages over the last axis only.

    So sample weights act on the events. Other names are Keras' own losses.

    Raises:
        ValueError: if neither this module nor Keras knows the name.
    """
    if name in _FACTORS:
        return _bounded(*_FACTORS[name], _POWERS[name], min_mass, max_mass)
    if name == "mape_sym003":
        return _symmetric
    try:
        found: Callable[[Any, Any], Any] = keras_module().losses.get(name)
    except (ValueError, TypeError) as error:
        raise ValueError(f"loss = {name!r} is neither one of {', '.join(OWN_LOSSES)} nor a loss of Keras.") from error
    return found


def check_masses(mass: NDArray[np.floating], min_mass: float, max_mass: float) -> None:
    """Raises ValueError unless every true mass [GeV] lies in the range of the loss, ends included."""
    outside = ~((mass >= min_mass) & (mass <= max_mass))
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} events have a generated mass outside of {min_mass:g} to {max_mass:g} GeV "
            f"(the first: {float(mass[outside][0]):g} GeV): min_mass and max_mass must hold all of the training sample."
        )


def above_range(mass: NDArray[np.floating], predicted: NDArray[np.floating], max_mass: float) -> float:
    """The fraction of predictions above (max_mass + true mass) / 2, which have neither loss nor gradient."""
    return float(np.mean(predicted >= (max_mass + mass) / 2)) if len(mass) else 0.0


def _bounded(above: float, below: float, power: float, min_mass: float, max_mass: float) -> Callable[[Any, Any], Any]:
    def loss(y_true: Any, y_pred: Any) -> Any:
        ops = keras_module().ops
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        high = y_pred - y_true >= max_mass - y_pred
        low = y_true - y_pred >= y_pred - min_mass
        factor = ops.where(high, above, ops.where(low, below, 1.0))
        return ops.mean(ops.abs((y_true - y_pred) / ops.power(y_true, power)) * factor, axis=-1)

    return loss


def _symmetric(y_true: Any, y_pred: Any) -> Any:
    ops = keras_module().ops
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    over = ops.maximum(0.0, y_pred / y_true - 1.0)
    under = ops.maximum(0.0, 1.0 - y_pred / y_true)
    return ops.mean(ops.abs((y_true - y_pred) / y_true) + _SYMMETRY * ops.abs(over - under), axis=-1)
