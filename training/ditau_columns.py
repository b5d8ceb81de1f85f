"""From columns of events to the matrix of a model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.ditau_lists import component


def input_matrix(columns: Mapping[str, Any], names: Sequence[str]) -> NDArray[np.float32]:
    """(N, inputs) in single precision; px, py and pz that are no columns are worked out from pT, eta and phi.

    Raises:
        ValueError, TypeError: if a column is not one number per event.
    """
    return np.stack([_values(columns, name).astype(np.float32) for name in names], axis=1)


def _values(columns: Mapping[str, Any], name: str) -> NDArray[Any]:
    split = component(name)
    present = columns.fields if hasattr(columns, "fields") else columns
    if split is None or name in present:
        return np.asarray(columns[name])
    thing, part = split
    pt, angle = (
        np.asarray(columns[f"{thing}_{one}_reco"]).astype(np.float64)
        for one in ("pt", "eta" if part == "pz" else "phi")
    )
    return np.asarray(pt * {"px": np.cos, "py": np.sin, "pz": np.sinh}[part](angle))
