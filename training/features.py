"""Features of the classifiers: columns of the skim and quantities derived from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from training.samples import Events

Columns = Mapping[str, NDArray[Any]]

LEPTONS = (1, 2, 3, 4)
ANGLES = ("cos_theta_star", "cos_theta1", "cos_theta2", "phi", "phi1")
MOMENTA = tuple(f"lep{i}_{quantity}" for quantity in ("pt", "eta", "phi") for i in LEPTONS)

HIGGS_MASS = 125.0  # GeV
# A few times the resolution of m4l. StandardScaler takes its unit from the background, which reaches to 500 GeV: in
# that unit the peak is a thirtieth wide, and a small network cannot resolve it without this feature.
HIGGS_DISTANCE = 10.0  # GeV

# Masses, or the lepton momenta that together determine them.
_MASS = re.compile(r"^(m4l|m4l_near_higgs|m_z1|m_z2|lep[1-6]_pt)$")


@dataclass(frozen=True)
class Derived:
    """A feature computed from skim columns."""

    columns: tuple[str, ...]
    function: Callable[[Columns], NDArray[Any]]


def _higgs_distance(columns: Columns) -> NDArray[Any]:
    return np.asarray(np.tanh((columns["m4l"] - HIGGS_MASS) / HIGGS_DISTANCE))


def _number_of_electrons(columns: Columns) -> NDArray[Any]:
    return np.asarray(np.sum([np.abs(columns[f"lep{i}_type"]) == 11 for i in LEPTONS], axis=0))


def _largest_isolation(columns: Columns) -> NDArray[Any]:
    return np.asarray(np.max([columns[f"lep{i}_etcone20"] / columns[f"lep{i}_pt"] for i in LEPTONS], axis=0))


def _largest_impact(columns: Columns) -> NDArray[Any]:
    return np.asarray(np.max([np.abs(columns[f"lep{i}_d0_significance"]) for i in LEPTONS], axis=0))


DERIVED: Mapping[str, Derived] = {
    "m4l_near_higgs": Derived(("m4l",), _higgs_distance),
    "n_electrons": Derived(tuple(f"lep{i}_type" for i in LEPTONS), _number_of_electrons),
    "max_isolation": Derived(
        tuple(f"lep{i}_{quantity}" for i in LEPTONS for quantity in ("etcone20", "pt")), _largest_isolation
    ),
    "max_d0_significance": Derived(tuple(f"lep{i}_d0_significance" for i in LEPTONS), _largest_impact),
}


def required_columns(features: Iterable[str]) -> tuple[str, ...]:
    """Skim columns that `features` are made of, each once."""
    columns: dict[str, None] = {}
    for feature in features:
        for column in DERIVED[feature].columns if feature in DERIVED else (feature,):
            columns[column] = None
    return tuple(columns)


def uses_mass(features: Iterable[str]) -> bool:
    """Whether a mass, or lepton transverse momenta that with the directions give one, is among `features`."""
    return any(_MASS.match(feature) for feature in features)


def feature_matrix(columns: Columns, features: Iterable[str]) -> NDArray[np.float64]:
    """(N, F) matrix of `features`, in their order."""
    return np.column_stack(
        [
            np.asarray(DERIVED[name].function(columns) if name in DERIVED else columns[name], np.float64)
            for name in features
        ]
    )


def checked_features(events: Events, features: tuple[str, ...]) -> NDArray[np.float64]:
    """(N, F) feature matrix of selected events.

    Raises:
        ValueError: if a feature is not finite, naming it and the sample. The pair quantities are undefined only where
            no Z pair is, which the cut `sfos_mass` excludes.
    """
    matrix = feature_matrix(events.columns, features)
    bad = ~np.isfinite(matrix)
    if bad.any():
        event, feature = np.argwhere(bad)[0]
        raise ValueError(
            f"The feature {features[feature]} is not finite in {int(bad[:, feature].sum())} selected event(s), "
            f"the first of sample {events.names[events.sample[event]]}; "
            "train after a cut that excludes them, or leave the feature out."
        )
    return matrix
