"""Weighted yields and significances of selections, and of the two that every model is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.samples import Events
from training.significance import (
    asimov,
    asimov_uncertainty,
    bootstrap_figure,
    bootstrap_replicas,
    s_over_sqrt_b,
)
from training.weights import effective_events, per_generated_event

# Below this many effective background events the uncertainty of B, and so of the significance, is itself unreliable.
FEW_EFFECTIVE = 25.0


@dataclass(frozen=True)
class Evaluation:
    """Yields of several selections of the same events; `replicas` has the (R,) bootstrapped Asimov significances."""

    yields: Mapping[str, dict[str, Any]]
    replicas: Mapping[str, NDArray[np.float64]]

    def ratio(self, numerator: str, denominator: str) -> dict[str, Any]:
        """Ratio of two Asimov significances, its uncertainty from paired bootstrap replicas."""
        value = _ratio(self.yields[numerator]["asimov"]["value"], self.yields[denominator]["asimov"]["value"])
        top, bottom = self.replicas[numerator], self.replicas[denominator]
        return bootstrap_figure(value, np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0))


def evaluate(
    events: Events,
    selections: Mapping[str, NDArray[np.bool_]],
    *,
    replicas: int,
    seed: int,
) -> Evaluation:
    """Signal and background yields of every selection, with uncertainties.

    Args:
        events: simulated and data events; the replicas are of the simulated ones, in the order given.
        selections: name to (N,) mask.
        replicas: bootstrap replicas; the same for every selection, so that ratios are paired.
        seed: of the replicas.

    Returns:
        For every selection the yields with sqrt(sum w^2), S/sqrt(B) and the Asimov significance.
    """
    label = events.label
    simulated = label >= 0
    weights = events.weight[simulated]
    names = list(selections)
    columns = []
    for name in names:
        chosen = selections[name][simulated]
        for value in (1, 0):
            columns.append(np.where(chosen & (label[simulated] == value), weights, 0.0))
    # Generated events are drawn, with all that was made of them.
    group = np.unique(events.generated[simulated], return_inverse=True)[1]
    matrix = np.column_stack([np.bincount(group, column) for column in columns])
    drawn = np.array([draw @ matrix for draw in bootstrap_replicas(len(matrix), replicas, seed)])
    drawn = drawn.reshape(replicas, len(names), 2)
    results: dict[str, dict[str, Any]] = {}
    significances: dict[str, NDArray[np.float64]] = {}
    for position, name in enumerate(names):
        s, b = drawn[:, position, 0], drawn[:, position, 1]
        significances[name] = asimov(s, b)
        results[name] = _yields(events, selections[name], significances[name], s_over_sqrt_b(s, b))
    return Evaluation(results, significances)


def simulated_yield(weight: NDArray[np.float64], generated: NDArray[np.intp]) -> dict[str, Any]:
    """Sum of weights with its uncertainty sqrt(sum w^2), the raw and the effective number of events.

    Events of one generated event (equal numbers in `generated`) are not independent: their weights are added first.
    """
    independent = per_generated_event(weight, generated)
    return {
        "value": float(np.sum(weight)),
        "uncertainty": float(np.sqrt(np.sum(independent**2))),
        "events": len(weight),
        "effective": effective_events(independent),
    }


def yields_by_role(events: Events, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Yields of signal, background, every simulated sample, and the number of data events, of the `chosen` events."""
    label, generated = events.label, events.generated

    def expected(mask: NDArray[np.bool_]) -> dict[str, Any]:
        return simulated_yield(events.weight[chosen & mask], generated[chosen & mask])

    return {
        "signal": expected(label == 1),
        "background": expected(label == 0),
        "samples": {
            name: expected(events.sample == number)
            for number, (name, role) in enumerate(zip(events.names, events.roles, strict=True))
            if role != "data"
        },
        "data": data_events(events, chosen),
    }


def data_events(events: Events, chosen: NDArray[np.bool_]) -> int | None:
    """Number of chosen data events, those in two trigger streams counted once; None without a data sample."""
    if "data" not in events.roles:
        return None
    data = chosen & (events.label == -1)
    return len(np.unique(np.column_stack([events["run"][data], events["event"][data]]).astype(np.int64), axis=0))


def few_effective_flag(effective: float) -> list[str]:
    """A flag if the background rests on fewer than 25 effective events."""
    if effective >= FEW_EFFECTIVE:
        return []
    return [f"the background rests on {effective:.1f} effective simulated events, fewer than {FEW_EFFECTIVE:.0f}"]


def evaluate_baselines(events: Events, cuts: Mapping[str, Sequence[str]], *, replicas: int, seed: int) -> Evaluation:
    """Yields of cut-based selections; `cuts` maps a selection's name to the cuts that must be passed."""
    return evaluate(events, {name: events.passed(its) for name, its in cuts.items()}, replicas=replicas, seed=seed)


def _yields(
    events: Events,
    chosen: NDArray[np.bool_],
    significances: NDArray[np.float64],
    ratios: NDArray[np.float64],
) -> dict[str, Any]:
    result = yields_by_role(events, chosen)
    signal, background = result["signal"], result["background"]
    s, b = signal["value"], background["value"]
    error = asimov_uncertainty(s, b, signal["uncertainty"], background["uncertainty"])
    undefined = int(np.sum(~np.isfinite(significances)))
    flags = few_effective_flag(background["effective"])
    if undefined:
        flags.append(f"{undefined} of {len(significances)} bootstrap replicas have no background and are left out")
    return result | {
        "s_over_sqrt_b": bootstrap_figure(float(s_over_sqrt_b(s, b)), ratios),
        "asimov": bootstrap_figure(float(asimov(s, b)), significances),
        "asimov_analytic_uncertainty": error if np.isfinite(error) else None,
        "flags": flags,
    }


def _ratio(top: float | None, bottom: float | None) -> float:
    return top / bottom if top is not None and bottom else float("nan")
