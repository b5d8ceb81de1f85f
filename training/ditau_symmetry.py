"""Copies of ditau events that are as likely as the events: turned about the beam, and reflected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.ditau_events import DitauEvents
from training.ditau_lists import COVARIANCE, check_turnable, component


def check_azimuths(events: DitauEvents, copies: int) -> None:
    """Raises ValueError where events are to be turned whose azimuths are folded."""
    if copies and events.convention == "published":
        raise ValueError(
            f"augment: {copies} needs azimuths that can be turned, but the skim has those of the processor's "
            "convention: published, which lie between -pi/2 and pi/2: set augment to 0, or convention to corrected"
        )


def augmented(events: DitauEvents, names: Sequence[str], copies: int, *, seed: int) -> DitauEvents:
    """The events, and so many turned copies of each; raises as `turned` and `check_azimuths`."""
    check_azimuths(events, copies)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    inputs = np.concatenate([events.inputs, *(turned(events.inputs, names, rng) for _ in range(copies))])
    many = np.tile(np.arange(len(events)), 1 + copies)
    return DitauEvents(inputs, events.mass[many], events.channel[many], events.part[many], 0)


def turned(inputs: NDArray[np.float32], names: Sequence[str], rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, inputs) each event turned by an angle of its own about the beam, half of them reflected in y, half in z.

    Azimuths stay in (-pi, pi]; those of absent objects (pT 0) stay 0. The mass does not change.

    Raises:
        ValueError: if a part of the covariance, or px or py, is among the inputs and the others are not.
    """
    check_turnable(names)
    out, number = inputs.copy(), len(inputs)
    angle = rng.uniform(-np.pi, np.pi, number)
    y, z = (rng.choice((-1.0, 1.0), number) for _ in range(2))
    place = {name: k for k, name in enumerate(names)}
    for name, k in place.items():
        there = inputs[:, place[size]] > 0 if (size := _size(name)) in place else np.ones(number, np.bool_)
        if "_phi" in name:
            phi = y * inputs[:, k].astype(np.float64) + angle
            out[:, k] = np.where(there, np.pi - np.mod(np.pi - phi, 2 * np.pi), 0.0)
        elif "_eta" in name:
            out[:, k] = z * inputs[:, k]
        elif (split := component(name)) is not None:
            if split[1] == "pz":
                out[:, k] = z * inputs[:, k]
            elif split[1] == "px":
                other = place[f"{split[0]}_py_reco"]
                px, py = inputs[:, k].astype(np.float64), y * inputs[:, other].astype(np.float64)
                out[:, k] = np.cos(angle) * px - np.sin(angle) * py
                out[:, other] = np.sin(angle) * px + np.cos(angle) * py
    if COVARIANCE[0] in place:
        xx, xy, yy = (inputs[:, place[name]].astype(np.float64) for name in COVARIANCE)
        for name, values in zip(COVARIANCE, _turned_covariance(xx, y * xy, yy, angle), strict=True):
            out[:, place[name]] = values
    return out


def _size(name: str) -> str:
    """The input that says whether an object is there."""
    return name.replace("_phi_", "_pt_").replace("_eta_", "_pt_")


def _turned_covariance(xx: Any, xy: Any, yy: Any, angle: Any) -> tuple[Any, Any, Any]:
    cos, sin = np.cos(angle), np.sin(angle)
    return (
        cos**2 * xx - 2 * cos * sin * xy + sin**2 * yy,
        cos * sin * (xx - yy) + (cos**2 - sin**2) * xy,
        sin**2 * xx + 2 * cos * sin * xy + cos**2 * yy,
    )
