"""The threshold on a classifier's score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.significance import asimov


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it was chosen on.

    Events with score >= `value` are selected; `asimov` and `effective_background` belong to the events it was chosen
    on; `constrained` is false where no threshold keeps the required background (then `value` keeps every event).
    """

    value: float
    asimov: float
    effective_background: float
    constrained: bool


def best_threshold(
    score: NDArray[np.float64],
    label: NDArray[np.integer],
    weight: NDArray[np.float64],
    *,
    minimum_effective: float,
    scale: float = 1.0,
) -> Threshold:
    """The threshold of the largest Asimov significance among those with enough simulated background.

    Args:
        score: (N,) scores.
        label: (N,) 1 for signal, 0 for background.
        weight: (N,) signed event weights.
        minimum_effective: least (sum w)^2 / sum w^2 of the selected background.
        scale: factor from these events' yields to the full ones, where they are a part of the sample.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    of_signal = label[order] == 1
    weights = weight[order] * scale
    signal = np.cumsum(np.where(of_signal, weights, 0.0))
    background = np.cumsum(np.where(of_signal, 0.0, weights))
    squares = np.cumsum(np.where(of_signal, 0.0, weights**2))
    # Equal scores are selected together.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    s, b = signal[last], background[last]
    effective = np.divide(b**2, squares[last], out=np.zeros_like(b), where=squares[last] > 0)
    z = asimov(s, b)
    allowed = (effective >= minimum_effective) & np.isfinite(z)
    if not allowed.any():
        lowest = len(last) - 1
        return Threshold(float(ranked[-1]), _number(z[lowest]), float(effective[lowest]), False)
    best = int(np.argmax(np.where(allowed, z, -np.inf)))
    value = float(ranked[last[best]])
    if best + 1 < len(last):
        value = (value + float(ranked[last[best + 1]])) / 2
    return Threshold(value, float(z[best]), float(effective[best]), True)


def _number(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0
