"""Plots of dijet_anomaly: event mass, AUC of the pairs of bins, their distributions, significance against signal."""

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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: Panels beside each other.
COLUMNS = 2


@dataclass(frozen=True)
class Spectrum:
    """A histogram of the event mass: contents and variances of its bins."""

    title: str
    values: Array
    variances: Array
    data: bool = False


def draw_spectrum(
    edges: Array, spectra: Sequence[Spectrum], bins: Sequence[float], unit: str, label: PlotLabel, *, logarithmic: bool
) -> Figure:
    """Weighted event mass with the bins of the analysis, numbered, as bands behind."""
    from matplotlib.ticker import LogLocator

    figure, axes = new_figure(7.0, 4.8)
    centres = (edges[1:] + edges[:-1]) / 2
    for index, one in enumerate(spectra):
        errors = np.sqrt(one.variances)
        if one.data:
            there = one.values > 0
            axes.errorbar(
                centres[there], one.values[there], yerr=errors[there], fmt="o", color=DATA, label=one.title, linewidth=1
            )
            continue
        colour = COLOURS[index % 6]
        axes.stairs(one.values, edges, color=colour, linestyle=DASHES[index % len(DASHES)], label=one.title)
        axes.stairs(
            one.values + errors, edges, baseline=np.maximum(one.values - errors, 0), fill=True, color=colour, alpha=0.3
        )
    filled = np.flatnonzero(np.sum([one.values for one in spectra], axis=0) > 0)
    if len(filled):
        width = edges[1] - edges[0]
        low, high = min([edges[filled[0]], *bins]), max([edges[filled[-1] + 1], *bins])
        axes.set_xlim(low - 2 * width, high + 2 * width)
    if logarithmic:
        logarithmic_y(axes)
        positive = [one.values[one.values > 0] for one in spectra]
        smallest = min((float(values.min()) for values in positive if len(values)), default=1.0)
        largest = max((float(values.max()) for values in positive if len(values)), default=10.0)
        axes.set_ylim(smallest / 2, largest * (2 * largest / smallest) ** 0.14)
        if largest < 100 * smallest:
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    else:
        axes.set_ylim(0, 1.18 * max(float((one.values + np.sqrt(one.variances)).max()) for one in spectra))
    for index in range(len(bins) - 1):
        axes.axvspan(
            bins[index], bins[index + 1], color="0.5", alpha=0.07 if index % 2 else 0.18, zorder=0, linewidth=0
        )
        middle = (bins[index] + bins[index + 1]) / 2
        axes.text(
            middle, 0.975, str(index + 1), transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=10
        )
    axes.set_xlabel("Event mass [GeV]")
    per = f"{edges[1] - edges[0]:g} GeV"
    axes.set_ylabel(f"Events / {per}" if unit == "events" else f"Cross section [{unit}] / {per}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    add_label(axes, label, "shaded: bins of the classifiers" if len(bins) else "")
    return figure


@dataclass(frozen=True)
class PairPoints:
    """Samples of a size: per pair of bins the mean AUC with its error, the standard deviation, and the expectation.

    `expected` is the AUC from the composition, with `expected_error`; NaN where something is not known.
    """

    title: str
    mean: Array
    error: Array
    deviation: Array
    expected: Array
    expected_error: Array


def draw_pairs(pairs: Sequence[str], groups: Sequence[PairPoints], label: PlotLabel) -> Figure:
    """AUC of each pair and sample size: thick bars are errors of the mean, thin ones standard deviations."""
    figure, axes = new_figure(7.4, 5.0)
    axes.axhline(0.5, color="0.4", linewidth=0.9, linestyle="--")
    step = 0.7 / max(len(groups), 1)
    for index, group in enumerate(groups):
        x = np.arange(len(pairs)) + (index - (len(groups) - 1) / 2) * step
        colour, marker = COLOURS[index % 7], MARKERS[index % len(MARKERS)]
        axes.errorbar(x, group.mean, yerr=group.deviation, fmt="none", ecolor=colour, elinewidth=0.9, capsize=3)
        axes.errorbar(
            x, group.mean, yerr=group.error, fmt=marker, color=colour, elinewidth=3, markersize=6, label=group.title
        )
        known = np.isfinite(group.expected)
        beside = x[known] + 0.3 * step
        axes.errorbar(
            beside, group.expected[known], yerr=group.expected_error[known], fmt="D", mfc="white", color="0.25",
            markersize=4.5, elinewidth=1, label="composition alone" if index == len(groups) - 1 else None,
        )  # fmt: skip
    axes.set_xticks(range(len(pairs)), pairs)
    axes.tick_params(axis="x", which="both", bottom=False, top=False)
    axes.set_xlim(-0.55, len(pairs) - 0.45)
    axes.margins(y=0.1)
    axes.set_xlabel("Pair of bins of the event mass [GeV]")
    axes.set_ylabel("AUC, upper against lower bin")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    add_label(axes, label, "no signal injected")
    return figure


def draw_null(pairs: Sequence[str], groups: Mapping[str, Array], label: PlotLabel) -> Figure:
    """Distribution of the AUC over samples, a panel per pair: `groups` are arrays (samples, pairs) by title."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = -(-len(pairs) // COLUMNS)
    columns = min(len(pairs), COLUMNS)
    figure = Figure(figsize=(4.6 * columns, 0.9 + 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).reshape(-1)
    everything = np.concatenate([values[np.isfinite(values)] for values in groups.values()] or [np.empty(0)])
    low, high = (everything.min(), everything.max()) if len(everything) else (0.45, 0.55)
    pad = 0.1 * max(high - low, 1e-3)
    most = max((int(np.isfinite(values).sum(axis=0).max()) for values in groups.values()), default=1)
    edges = np.linspace(low - pad, high + pad, int(np.clip(2 * np.sqrt(most), 6, 20)) + 1)
    histograms = {
        title: [np.histogram(one[np.isfinite(one)], edges)[0] for one in values.T] for title, values in groups.items()
    }
    highest = max(1, *(int(counts.max()) for of_pair in histograms.values() for counts in of_pair))
    for pair, axes in enumerate(panels):
        if pair >= len(pairs):
            axes.set_visible(False)
            continue
        axes.axvline(0.5, color="0.4", linewidth=0.9, linestyle="--")
        for index, (title, of_pair) in enumerate(histograms.items()):
            counts = of_pair[pair]
            look = {"color": COLOURS[index % 7], "linestyle": DASHES[index % len(DASHES)]}
            axes.stairs(counts, edges, label=title, **look)
            if index == 0:
                axes.stairs(counts, edges, color=COLOURS[0], alpha=0.15, fill=True)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.tick_params(axis="y", which="minor", left=False, right=False)
        axes.set_title(f"{pairs[pair]} GeV", fontsize=9.5)
        axes.set_xlim(edges[0] - pad, edges[-1] + pad)
        axes.set_ylim(0, 1.08 * highest)
        if pair + columns >= len(pairs):
            axes.set_xlabel("AUC")
            axes.tick_params(axis="x", labelbottom=True)
        if pair % columns == 0:
            axes.set_ylabel("Samples")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    add_figure_label(figure, label)
    return figure


@dataclass(frozen=True)
class PowerCurve:
    """Significance of a pair against the number of signal events; NaN where it is not known."""

    title: str
    sizes: Array
    values: Array
    errors: Array


def draw_power(
    panels: Mapping[str, Sequence[PowerCurve]], levels: Sequence[float], label: PlotLabel, note: str
) -> Figure:
    """Significance against signal events: a panel per sample size, a curve per pair."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6 if len(panels) == 1 else 4.2 * len(panels), 4.8), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, curves) in zip(row, panels.items(), strict=True):
        _draw_panel(axes, curves, levels)
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel("Injected events")
    row[0].set_ylabel("Significance [σ]")
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    add_figure_label(figure, label, note)
    return figure


def _draw_panel(axes: Axes, curves: Sequence[PowerCurve], levels: Sequence[float]) -> None:
    axes.axhline(0, color="0.4", linewidth=0.8)
    for index, curve in enumerate(curves):
        # Points of different curves stand beside each other.
        span = float(curve.sizes.max()) if len(curve.sizes) else 1.0
        shift = 0.012 * span * (index - (len(curves) - 1) / 2)
        x = np.concatenate([[0.0], curve.sizes])
        z = np.concatenate([[0.0], curve.values])
        colour = COLOURS[index % 7]
        axes.plot(x, z, linestyle=DASHES[index % len(DASHES)], color=colour)
        axes.errorbar(
            curve.sizes + shift, curve.values, yerr=curve.errors, fmt=MARKERS[index % len(MARKERS)], capsize=2,
            elinewidth=1.2, label=curve.title, color=colour,
        )  # fmt: skip
    axes.margins(x=0.04, y=0.1)
    for level in levels:
        axes.axhline(level, color="0.5", linewidth=0.9, linestyle=":")
        axes.annotate(
            f"{level:g}σ", (0.01, level), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", fontsize=9, color="0.3",
        )  # fmt: skip
