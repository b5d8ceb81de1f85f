"""The figures of the ditau_mass report: estimators in bins of the generated mass, and models in ranges of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.results.ditau_settings import Settings
from analysis.results.ditau_statistics import (
    RANGES,
    Response,
    bin_edges,
    is_compared,
    rank_correlation,
    resampled,
    response,
    score,
)
from analysis.results.ditau_training import SIMPLE, TrainedModel
from analysis.results.document import Picture
from analysis.results.plot_style import PlotLabel, save
from analysis.results.quantities import Quantity, Results
from analysis.results.run_files import RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
ML = "ml_mass"
COLLINEAR = "collinear_mass"


@dataclass(frozen=True)
class Report:
    """What the sections are made from, and where plots go.

    `samples` are those that the figures of the selection are from: weights of different generators do not add up.
    """

    run: RunDirectory
    results: Results
    settings: Settings
    label: PlotLabel
    seed: int
    samples: tuple[str, ...]

    @property
    def of_samples(self) -> str:
        """Which samples, in words, for a caption."""
        beside = " (each with its generator's weights)" if len(self.samples) > 1 else ""
        return f"of {', '.join(self.samples)}{beside}"

    def histograms(self, name: str) -> list[Any]:
        """One histogram of each of the samples that has it."""
        found = (self.run.histograms[sample] for sample in self.samples if sample in self.run.histograms)
        return [named[name] for named in found if name in named]

    def keep(self, figure: Figure, name: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
        """Write a figure in the formats of the settings."""
        directory: Path = self.run.path / "plots"
        return save(figure, directory, name, caption=caption, alt=alt, formats=self.settings.formats, wide=wide)

    def generator(self, *numbers: int) -> np.random.Generator:
        """Random numbers of one use: what a figure is does not depend on the figures before it."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=numbers))


@dataclass(frozen=True)
class MassBin:
    """A bin of the generated mass with the response of each estimator, None where it has too few events.

    `on_collinear` is that of the model on the events that have a collinear mass, `valid` their share.
    """

    low: float
    high: float
    events: int
    responses: Mapping[str, Response | None]
    on_collinear: Response | None
    valid: float
    compared: bool

    @property
    def title(self) -> str:
        """`90–140`."""
        return f"{self.low:g}–{self.high:g}"

    @property
    def best_simple(self) -> str | None:
        """The simple estimator with the best resolution among those that every event has."""
        return self._best([name for name in SIMPLE if name != COLLINEAR])

    @property
    def won(self) -> bool | None:
        """Whether the model resolves better than each simple estimator, on the events that have it; None: not known."""
        mine = {name: self.on_collinear if name == COLLINEAR else self.responses[ML] for name in SIMPLE}
        pairs = [(mine[name], self.responses[name]) for name in SIMPLE]
        known = [(one.resolution, other.resolution) for one, other in pairs if one is not None and other is not None]
        return all(one < other for one, other in known) if len(known) == len(pairs) else None

    def gain(self) -> tuple[float, float] | None:
        """Resolution of the model over that of the best simple estimator of all events, and its bootstrap error."""
        best = self.best_simple
        mine, other = self.responses[ML], None if best is None else self.responses[best]
        if mine is None or other is None:
            return None
        error = float(np.std(mine.replicas / other.replicas, ddof=1))
        return mine.resolution / other.resolution, error

    def _best(self, names: list[str]) -> str | None:
        known = {name: one.resolution for name in names if (one := self.responses[name]) is not None}
        return min(known, key=lambda name: known[name]) if known else None


def mass_bins(report: Report, model: TrainedModel, rows: NDArray[np.bool_] | None = None) -> list[MassBin]:
    """The bins of a model's test events (of those in the mask `rows`)."""
    settings, mass = report.settings, model.mass("gen_mass")
    keep = np.ones(len(mass), np.bool_) if rows is None else rows
    edges = bin_edges(settings.bin_width, settings.compared[0], mass)
    rng = report.generator(1)
    place = np.clip(np.searchsorted(edges, mass, side="right") - 1, 0, len(edges) - 2)
    return [
        _bin(report, model, (keep & (place == k), float(edges[k]), float(edges[k + 1])), rng)
        for k in range(len(edges) - 1)
    ]


def _bin(
    report: Report, model: TrainedModel, where: tuple[NDArray[np.bool_], float, float], rng: np.random.Generator
) -> MassBin:
    chosen, low, high = where
    events = np.flatnonzero(chosen)
    mass = model.mass("gen_mass")[events]
    ratios = {name: model.mass(name)[events] / mass for name in (ML, *SIMPLE)}
    has = np.isfinite(ratios[COLLINEAR])
    least = report.settings.least_events
    # The same resampled events for all that every event has, so that their differences have the right error.
    all_rows = resampled(len(events), report.settings.bootstrap, rng) if len(events) else None
    some_rows = resampled(int(has.sum()), report.settings.bootstrap, rng) if has.any() else None
    responses = {
        name: response(ratio, all_rows) if len(events) >= least else None
        for name, ratio in ratios.items()
        if name != COLLINEAR
    }
    enough = has.sum() >= least
    responses[COLLINEAR] = response(ratios[COLLINEAR][has], some_rows) if enough else None
    on_collinear = response(ratios[ML][has], some_rows) if enough else None
    valid = float(has.mean()) if len(events) else math.nan
    return MassBin(low, high, len(events), responses, on_collinear, valid, is_compared(low, report.settings.compared))


def quantity(value: float | None, error: float | None, unit: str, reason: str) -> Quantity:
    """A figure; missing with a reason where it is None or not finite."""
    if value is None or not math.isfinite(value):
        return Quantity(None, None, unit, (reason,))
    return Quantity(value, error if error is not None and math.isfinite(error) else None, unit)


@dataclass(frozen=True)
class ModelFigures:
    """A model in the ranges of `RANGES`: bias (median - 1) and half the 68% width of the ratio; and over all masses."""

    model: TrainedModel
    ranges: tuple[Response | None, ...]
    score: float | None
    rank_correlation: float


def model_figures(report: Report, model: TrainedModel, name: str = ML) -> ModelFigures:
    """The figures of a model, or of a simple estimator on its test events."""
    mass, estimate = model.mass("gen_mass"), model.mass(name)
    known = np.isfinite(estimate)
    ratio, rng = estimate / mass, report.generator(2)
    found: list[Response | None] = []
    for low, high in RANGES:
        events = np.flatnonzero(known & (mass >= low) & (mass < high))
        rows = resampled(len(events), report.settings.bootstrap, rng) if len(events) else None
        found.append(response(ratio[events], rows) if len(events) >= report.settings.least_events else None)
    return ModelFigures(model, tuple(found), score(found), rank_correlation(estimate[known], mass[known]))
