"""Curves of classifiers: ROC, learning curves, score distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.results.plot_style import (
    COLOURS,
    DASHES,
    DATA,
    PlotLabel,
    add_figure_label,
    add_label,
    logarithmic_y,
    new_figure,
)
from analysis.results.statistics import poisson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

# Below this signal efficiency a ROC curve rests on few events and does not decide about the range of the axis.
SMALL_EFFICIENCY = 0.1


@dataclass(frozen=True)
class Roc:
    """A ROC curve: efficiencies of signal and background at descending thresholds."""

    title: str
    signal_efficiency: Array
    background_efficiency: Array


@dataclass(frozen=True)
class ScoreSample:
    """Scores of one class: events per bin and variance, of training events and of those the model never saw."""

    title: str
    colour: str
    train: tuple[Array, Array]
    test: tuple[Array, Array]


def draw_roc(
    curves: Sequence[Roc], label: PlotLabel, *, signal: str = "Signal", background: str = "Background"
) -> Figure:
    """Background rejection 1 - efficiency and, logarithmically, 1 / efficiency against the signal efficiency.

    `signal` and `background` are what the axes call them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5.0), layout="constrained")
    linear, logarithmic = figure.subplots(1, 2)
    highest = 10.0
    for index, curve in enumerate(curves):
        # Colour and dash have different periods: no two of 8 x 7 curves look alike.
        look = {"color": COLOURS[index % 7], "linestyle": DASHES[index % len(DASHES)]}
        x, passing = curve.signal_efficiency, curve.background_efficiency
        linear.plot(x, 1 - passing, label=curve.title, **look)
        some = passing > 0
        logarithmic.plot(x[some], 1 / passing[some], **look)
        highest = max(highest, float(np.max(1 / passing[some & (x > SMALL_EFFICIENCY)], initial=0.0)))
    x = np.linspace(0.001, 1, 200)
    linear.plot(x, 1 - x, color="0.6", linewidth=0.8, label="random choice")
    logarithmic.plot(x, 1 / x, color="0.6", linewidth=0.8)
    logarithmic_y(logarithmic)
    linear.set_ylim(0, 1.02)
    logarithmic.set_ylim(1, 2 * highest)
    titles = f"{background} rejection (1 − efficiency)", f"1 / {background.lower()} efficiency"
    for axes, title in zip((linear, logarithmic), titles, strict=True):
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"{signal} efficiency")
        axes.set_ylabel(title)
    figure.legend(*linear.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    add_figure_label(figure, label)
    return figure


def draw_scores(
    edges: Array, samples: Sequence[ScoreSample], data: Array | None, x_title: str, label: PlotLabel, note: str = ""
) -> Figure:
    """Normalised score distributions on a logarithmic axis: filled for unseen events, points for training events."""
    figure, axes = new_figure(6.4, 5.0)
    widths, centres = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    peak, floor = 0.0, np.inf
    for index, sample in enumerate(samples):
        style = DASHES[index]
        values, errors = _density(*sample.test, widths)
        axes.stairs(values, edges, color=sample.colour, fill=True, alpha=0.3, label=f"{sample.title}, test")
        axes.stairs(values, edges, color=sample.colour, linestyle=style)
        axes.errorbar(centres, values, yerr=errors, fmt="none", color=sample.colour, linewidth=1)
        trained, trained_errors = _density(*sample.train, widths)
        axes.errorbar(
            centres, np.where(trained > 0, trained, np.nan), yerr=trained_errors, fmt="sD"[index % 2], mfc="none",
            color=sample.colour, markersize=4, linewidth=1, label=f"{sample.title}, training",
        )  # fmt: skip
        peak = max(peak, float(values.max(initial=0)), float(trained.max(initial=0)))
        floor = min(floor, float(values[values > 0].min(initial=np.inf)))
    if data is not None and data.sum() > 0:
        low, high = poisson_interval(data)
        norm, filled = float(data.sum()) * widths, data > 0
        bars = np.stack([(data - low) / norm, (high - data) / norm])[:, filled]
        axes.errorbar(
            centres[filled], (data / norm)[filled], yerr=bars, fmt="o", color=DATA, label=label.data, linewidth=1
        )
        peak = max(peak, float((high / norm)[filled].max()))
    logarithmic_y(axes)
    if np.isfinite(floor) and peak > 0:
        low_end = min(max(floor / 2, peak * 1e-5), peak / 100)
        axes.set_ylim(low_end, peak * (peak / low_end) ** 0.45)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(x_title)
    axes.set_ylabel("Fraction of events / bin width")
    axes.legend(loc="upper center", ncols=2)
    add_label(axes, label, note)
    return figure


def _density(values: Array, variances: Array, widths: Array) -> tuple[Array, Array]:
    total = float(values.sum())
    if total <= 0:
        return np.zeros_like(values), np.zeros_like(values)
    return values / total / widths, np.sqrt(variances) / total / widths


def draw_learning(curves: Sequence[Mapping[str, Sequence[float] | None]], label: PlotLabel, note: str = "") -> Figure:
    """Loss and, where there is one, accuracy per epoch: a line per fold, solid for training, dashed for validation.

    Each curve has the keys `loss`, `validation_loss`, `accuracy`, `validation_accuracy`, lists or None.
    """
    from matplotlib.figure import Figure

    quantities = [q for q in ("loss", "accuracy") if any(curve.get(q) for curve in curves)]
    figure = Figure(figsize=(9.6 if len(quantities) > 1 else 6.4, 4.4), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        _draw_epochs(axes, quantity, curves)
    add_figure_label(figure, label, note)
    return figure


def _draw_epochs(axes: Axes, quantity: str, curves: Sequence[Mapping[str, Sequence[float] | None]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for key, colour, dash, title in (
        (quantity, COLOURS[0], "-", "training"),
        (f"validation_{quantity}", COLOURS[1], "--", "validation"),
    ):
        named = False
        for curve in curves:
            values = curve.get(key)
            if values:
                epochs = np.arange(1, len(values) + 1)
                axes.plot(epochs, values, color=colour, linestyle=dash, linewidth=1, label=None if named else title)
                named = True
    axes.margins(x=0.02, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Epoch")
    axes.set_ylabel(quantity.capitalize())
    axes.legend(loc="best", title="a line per fold" if len(curves) > 1 else None)
