"""The output of a regression network for any number of events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module

#: Events that are computed at once. Products of matrices go through their rows in steps of 24 or 48 (three registers of
#: AVX2 or AVX-512), and what is left at the end may be rounded otherwise: nothing is left of a multiple of 48.
BLOCK = 1536


def first_output(network: Any, matrix: NDArray[Any]) -> NDArray[np.float64]:
    """(N,) first output of a Keras network for events of shape (N, inputs).

    Blocks of one shape, padded: the rounding of a product depends on its shape, and so would an event's output on how
    many others come with it, and on its place among them.
    """
    ops = keras_module().ops
    parts = []
    for start in range(0, len(matrix), BLOCK):
        rows = np.asarray(matrix[start : start + BLOCK], np.float32)
        block = rows if len(rows) == BLOCK else np.pad(rows, ((0, BLOCK - len(rows)), (0, 0)))
        parts.append(ops.convert_to_numpy(network(block, training=False))[: len(rows), 0])
    return np.concatenate([*parts, np.empty(0)]).astype(np.float64)
