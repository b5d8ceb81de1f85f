"""What stacked networks learn from: all events, on the device; a batch is the numbers of its events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.backend import keras_module


class Pool(Protocol):
    """All events or jets, on the device; number `len(pool)` is an empty one that fills batches up."""

    def __len__(self) -> int: ...

    @property
    def arrays(self) -> list[Any]:
        """What `gather` reads."""

    @property
    def ragged(self) -> bool:
        """Whether a batch is of one replica and as large as its events are, not filled up to a capacity."""

    def capacity(self, rows: NDArray[np.integer]) -> int:
        """Size of the array that every batch (last axis of `rows`) is gathered into."""

    def usual_capacity(self, rows: NDArray[np.integer], batch: int, batches: int) -> int:
        """Capacity that is nearly always enough for so many batches of `batch` of the rows, drawn by chance."""

    def slots(self, capacity: int) -> int:
        """Events or particles, empty ones among them, that a network computes from an array of this capacity."""

    @staticmethod
    def gather(arrays: Sequence[Any], rows: Any, capacity: int | None) -> Any:
        """The network's input for rows (R, B); traced. Of a ragged pool (1, B), and the capacity is None."""


class FeaturePool:
    """Events of equal features, (N, F)."""

    ragged = False

    def __init__(self, features: NDArray[Any]) -> None:
        table = np.asarray(features, np.float32)
        self._length = len(table)
        self.arrays: list[Any] = [keras_module().ops.convert_to_tensor(np.pad(table, ((0, 1), (0, 0))))]

    def __len__(self) -> int:
        return self._length

    def capacity(self, rows: NDArray[np.integer]) -> int:
        """The batch itself."""
        return int(rows.shape[-1])

    def usual_capacity(self, rows: NDArray[np.integer], batch: int, batches: int) -> int:  # noqa: ARG002  (none differs)
        """The batch itself."""
        return batch

    def slots(self, capacity: int) -> int:
        """The events."""
        return capacity

    @staticmethod
    def gather(arrays: Sequence[Any], rows: Any, capacity: int | None) -> Any:  # noqa: ARG004  (fixed by the shape of rows)
        """(R, B, F)."""
        return keras_module().ops.take(arrays[0], rows, axis=0)
