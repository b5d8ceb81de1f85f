"""Weights of the training events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def training_weights(label: NDArray[np.integer], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) weights for a classifier of signal (label 1) against background (label 0).

    The absolute event weights, normalised so that both classes sum to N/2 and the mean is 1. The absolute value keeps
    the losses bounded below where the simulation has negative weights.

    Raises:
        ValueError: if a class has no event or no weight.
    """
    weights = np.abs(weight)
    for value, name in ((1, "signal"), (0, "background")):
        of_class = label == value
        total = weights[of_class].sum()
        if not total > 0:
            raise ValueError(
                f"The {name} events of a training set have no weight: a classifier cannot learn from them."
            )
        weights = np.where(of_class, weights * (len(weights) / 2 / total), weights)
    return weights


def per_generated_event(weight: NDArray[np.float64], generated: NDArray[np.intp]) -> NDArray[np.float64]:
    """Weights summed over the events of each generated event (equal numbers in `generated`): these are independent."""
    return np.asarray(np.bincount(np.unique(generated, return_inverse=True)[1], weight), np.float64)


def effective_events(weight: NDArray[np.float64]) -> float:
    """Number of events of equal weight with the same relative uncertainty: (sum w)^2 / sum w^2; 0 for none."""
    squares = float(np.sum(weight**2))
    return float(np.sum(weight)) ** 2 / squares if squares > 0 else 0.0
