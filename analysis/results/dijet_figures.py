"""The figures of the dijet_anomaly report, each with its uncertainty and its name in results.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.results.dijet_p_values import (
    Bootstrap,
    bound_p_values,
    empirical_p_values,
    global_p_values,
    student_p_values,
)
from analysis.results.dijet_statistics import Power, power, spread
from analysis.results.dijet_training import DijetTraining, Ensemble
from analysis.results.quantities import Quantity, Results, format_number

Array = NDArray[np.float64]
UNKNOWN = "fewer than two samples"
WHOLE = "the samples are the whole pool"
NOT_SHARED = "how many events two samples share is not known"
BEYOND = "not reached with "
NO_FLAVOUR = "no jets of known flavour"
FLOOR = "the smallest value that so few samples can give"


@dataclass(frozen=True)
class PairFigures:
    """A pair of bins over the samples of one size: see `statistics.Spread` and the columns of the report's table."""

    entered: Quantity
    mean: Quantity
    mean_error_of_pools: Quantity
    deviation: Quantity
    independent_deviation: Quantity
    test_error: Quantity
    composition: Quantity
    tagger: Quantity


@dataclass(frozen=True)
class PValue:
    """A median of p-values with both ends of its bootstrap interval."""

    value: Quantity
    low: Quantity
    high: Quantity


@dataclass(frozen=True)
class PValues:
    """p-values of one sample with signal, medians over samples: of each touched pair, and of all pairs together."""

    empirical: Mapping[int, PValue]
    student: Mapping[int, PValue]
    overall: PValue
    bound: PValue


def pair_figures(training: DijetTraining, ensemble: Ensemble, pair: int, results: Results) -> PairFigures:
    """The figures of a pair; they are unknown where fewer than two samples entered."""
    kind = f"signal.{ensemble.size}.{ensemble.signal}" if ensemble.signal else f"null.{ensemble.size}"
    prefix = f"{kind}.{training.pair_key(pair)}"
    entered = ensemble.entered(pair)
    shared = float(ensemble.shared_of_pairs[pair])
    results.add(f"{prefix}.shared_fraction", number(shared, None, NOT_SHARED))
    found = spread(ensemble.auc[:, pair], shared)
    flags = () if found is not None else (UNKNOWN,)
    one = float(np.nanmean(ensemble.auc[:, pair])) if entered else None

    def add(name: str, value: float | None, error: float | None, more: tuple[str, ...] = ()) -> Quantity:
        return results.add(f"{prefix}.{name}", Quantity(value, error, "1", (*flags, *more)))

    relative = found.deviation_error / found.deviation if found is not None and found.deviation > 0 else 0.0
    finite = found is not None and math.isfinite(found.independent_factor)
    whole = () if finite or found is None else (WHOLE if shared >= 1 else NOT_SHARED,)
    independent = found.independent_deviation if found is not None and finite else None
    of_pools = found.mean_error_of_pools if found is not None and finite else None
    test = ensemble.auc_error[:, pair]
    return PairFigures(
        entered=results.add(f"{prefix}.samples", Quantity(entered, None, "samples")),
        mean=add("auc", one, found.mean_error if found is not None else None),
        mean_error_of_pools=add("auc_error_of_pools", of_pools, _times(of_pools, relative), whole),
        deviation=add(
            "deviation", found.deviation if found is not None else None, found.deviation_error if found else None
        ),
        independent_deviation=add("deviation_independent", independent, _times(independent, relative), whole),
        test_error=mean_quantity(results, f"{prefix}.test_error", test),
        composition=mean_quantity(results, f"{prefix}.composition_score", ensemble.composition[:, pair], NO_FLAVOUR),
        tagger=results.add(f"{prefix}.composition_tagger", tagger_composition(training, ensemble, pair)),
    )


def tagger_composition(training: DijetTraining, ensemble: Ensemble, pair: int) -> Quantity:
    """AUC between bins of a classifier of quarks against gluons, turned the right way: 1/2 + |f_u - f_l|(A - 1/2)."""
    shares = ensemble.gluons[:, pair, 1] - ensemble.gluons[:, pair, 0]
    difference, tagger = spread(shares, 0.0), spread(training.tagger, 0.0)
    if not np.isfinite(shares).any() or not len(training.tagger):
        return Quantity(None, None, "1", ("no classifier of quarks against gluons",))
    excess = float(training.tagger.mean()) - 0.5
    value = 0.5 + abs(float(np.nanmean(shares))) * excess
    if difference is None or tagger is None:
        return Quantity(value, None, "1", (UNKNOWN,))
    return Quantity(value, math.hypot(excess * difference.mean_error, difference.mean * tagger.mean_error), "1")


def power_figures(
    training: DijetTraining, size: int, pair: int, replicas: int, rng: np.random.Generator, results: Results
) -> Power:
    """Significances of all signal sizes in a pair, added to the results as they are and without shared events."""
    null, signals = training.null[size], training.signal[size]
    found = power(
        null.auc[:, pair], np.array([one.auc[:, pair] for one in signals.values()]), tuple(signals), replicas=replicas,
        rng=rng,
    )  # fmt: skip
    shared = float(null.shared_of_pairs[pair])
    factor = math.sqrt(1 - shared) if shared < 1 else None
    for signal, value, error in zip(signals, found.values, found.errors, strict=True):
        prefix = f"signal.{size}.{signal}.{training.pair_key(pair)}"
        quantity = number(float(value), float(error), UNKNOWN)
        results.add(f"{prefix}.significance", quantity)
        results.add(f"{prefix}.significance_independent", quantity.times(factor, WHOLE if shared >= 1 else NOT_SHARED))
    return found


def number(value: float, error: float | None, reason: str, unit: str = "1") -> Quantity:
    """A figure whose value or error may be NaN or infinite; then it is missing, for the value with a reason."""
    if not math.isfinite(value):
        return Quantity(None, None, unit, (reason,))
    return Quantity(value, error if error is not None and math.isfinite(error) else None, unit)


def crossing_figures(
    training: DijetTraining, size: int, pair: int, found: Power, level: float, results: Results
) -> tuple[Quantity, Quantity, Quantity]:
    """Signal events at a significance and both ends of the bootstrap interval; the error is half its length."""
    value, low, high = found.crossing(level)
    beyond = f"{BEYOND}{found.sizes[-1]:,d} signal events"
    prefix = f"signal.{size}.{training.pair_key(pair)}.events_at_{level:g}_sigma"
    reason = UNKNOWN if math.isnan(value) else beyond
    error = (high - low) / 2 if math.isfinite(low) and math.isfinite(high) else None
    return (
        results.add(prefix, number(value, error, reason, "events")),
        results.add(f"{prefix}.low", number(low, None, reason if math.isnan(low) else beyond, "events")),
        results.add(f"{prefix}.high", number(high, None, reason if math.isnan(high) else beyond, "events")),
    )


def events_text(quantity: Quantity) -> str:
    """A number of signal events for people: whole, or `above` the largest number that was tried."""
    for flag in quantity.flags:
        if quantity.value is None and flag.startswith(BEYOND):
            return f"above {flag.removeprefix(BEYOND).removesuffix(' signal events')}"
    return format_number(None if quantity.value is None else round(quantity.value))


def interval_text(low: Quantity, high: Quantity) -> str:
    """An interval of numbers of signal events for people, open above where its end was not reached."""
    if low.value is None:
        return events_text(low)
    return f"{events_text(low)} to {events_text(high)}" if high.value is not None else f"above {events_text(low)}"


def p_values(
    training: DijetTraining, size: int, signal: int, replicas: int, rng: np.random.Generator, results: Results
) -> PValues:
    """p-values of each sample with signal among the samples without, its own left out; medians over the samples.

    The global ones are over the pairs that samples without signal entered.
    """
    null, with_signal = training.null[size].auc, training.signal[size][signal].auc
    pairs = training.settings.touched_pairs
    used = np.flatnonzero(np.isfinite(null).any(axis=0))
    # A pair that signal does not touch, or in which the sample has none, is as it is without.
    observed = np.where(np.isfinite(with_signal), with_signal, null)
    observed[~np.isfinite(with_signal[:, pairs]).any(axis=1)] = np.nan
    drawn = Bootstrap.of(len(null), replicas, rng)
    prefix = f"signal.{size}.{signal}"

    def add(name: str, function: Any, values: Array, among: Array, floor: float = 0.0) -> PValue:
        value, low, high = drawn.median(lambda counts: function(values, among, counts))
        reason = "too few samples without signal"
        quantity = number(value, (high - low) / 2, reason)
        at_floor = quantity.value is not None and quantity.value <= floor * (1 + 1e-9)
        return PValue(
            results.add(f"{prefix}.{name}", quantity.flagged(FLOOR) if at_floor else quantity),
            results.add(f"{prefix}.{name}.low", number(low, None, reason)),
            results.add(f"{prefix}.{name}.high", number(high, None, reason)),
        )

    def add_local(name: str, function: Any, pair: int, floor: float = 0.0) -> PValue:
        return add(f"{training.pair_key(pair)}.{name}", function, with_signal[:, pair], null[:, pair], floor)

    floors = {pair: 1 / (max(int(np.isfinite(null[:, pair]).sum()) - 1, 0) + 1) for pair in pairs}
    complete = int(np.isfinite(null[:, used]).all(axis=1).sum())
    return PValues(
        {p: add_local("p_empirical", empirical_p_values, p, floors[p]) for p in pairs},
        {p: add_local("p_student", student_p_values, p) for p in pairs},
        add("p_global", global_p_values, observed[:, used], null[:, used], 1 / max(complete, 1)),
        add("p_global_bound", bound_p_values, observed[:, used], null[:, used]),
    )


def bin_figures(training: DijetTraining, unit: str, results: Results) -> list[list[Any]]:
    """A row per bin: events of the pool, their weighted yield, shares of gluon jets and of events by flavour."""
    rows: list[list[Any]] = []
    for index, facts in enumerate(training.pool["bins"], start=1):
        prefix = f"pool.bin{index}"
        events = int(facts["events"])
        row: list[Any] = [f"{index}: {facts['low']:g}–{facts['high']:g} GeV"]
        row.append(results.add(f"{prefix}.events", Quantity(events, None, "events")))
        yield_ = Quantity(facts["weighted"], math.sqrt(facts["weighted_squares"]), unit)
        row.append(results.add(f"{prefix}.weighted", yield_))
        for name in ("gluons", "all_gluon", "mixed", "no_gluon"):
            known = int(facts["known_jets" if name == "gluons" else "known_events"])
            row.append(results.add(f"{prefix}.{name}", _share(facts[name], known)))
        rows.append(row)
    return rows


def _share(value: float | None, of: int) -> Quantity:
    if value is None or not of:
        return Quantity(None, None, "1", (NO_FLAVOUR,))
    return Quantity(value, math.sqrt(value * (1 - value) / of), "1")


def mean_quantity(results: Results, name: str, values: Array, reason: str = UNKNOWN) -> Quantity:
    """Mean over samples with its standard error, added to the results; without the error where one sample entered."""
    found = spread(values, 0.0)
    if found is not None:
        return results.add(name, Quantity(found.mean, found.mean_error, "1"))
    there = values[np.isfinite(values)]
    return results.add(name, number(float(there.mean()) if len(there) else math.nan, None, reason))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
