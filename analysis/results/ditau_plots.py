"""Plots of ditau_mass: curves against the generated mass, prediction in two dimensions, residuals, inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.results.plot_style import COLOURS, DASHES, PlotLabel, add_figure_label, add_label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GENERATED = "Generated mass [GeV]"
PREDICTED = "$m_\\mathrm{ML}$ [GeV]"


@dataclass(frozen=True)
class Curve:
    """A figure per bin of the generated mass; NaN where it is not known. `band` is drawn around the values."""

    title: str
    values: Array
    errors: Array
    band: tuple[Array, Array] | None = None


def draw_curves(
    edges: Array, curves: Sequence[Curve], y_title: str, label: PlotLabel, *, line: float | None = None, note: str = ""
) -> Figure:
    """Points with error bars against the generated mass, those of different curves beside each other."""
    figure, axes = new_figure(7.2, 4.8)
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    if line is not None:
        axes.axhline(line, color="0.4", linewidth=0.9)
    for index, curve in enumerate(curves):
        colour = COLOURS[index % 7]
        x = centres + 0.14 * widths * (index - (len(curves) - 1) / 2)
        if curve.band is not None:
            axes.fill_between(centres, *curve.band, color=colour, alpha=0.12, linewidth=0)
        axes.errorbar(
            x, curve.values, yerr=np.nan_to_num(curve.errors), color=colour, fmt=MARKERS[index % len(MARKERS)],
            linestyle=DASHES[index % len(DASHES)], linewidth=1, elinewidth=1, markersize=4, label=curve.title,
        )  # fmt: skip
    axes.set_xlim(edges[0], edges[-1])
    axes.margins(y=0.08)
    axes.set_xlabel(GENERATED)
    axes.set_ylabel(y_title)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    add_label(axes, label, note)
    return figure


def draw_plane(mass: Array, predicted: Array, label: PlotLabel, note: str) -> Figure:
    """Prediction against generated mass, each column of the plane divided by its sum."""
    figure, axes = new_figure(6.4, 5.4)
    top = float(np.ceil(max(mass.max(), np.quantile(predicted, 0.999)) / 100) * 100)
    edges = np.linspace(0, top, 41)
    counts, *_ = np.histogram2d(mass, predicted, (edges, edges))
    total = counts.sum(axis=1, keepdims=True)
    share = np.where(counts > 0, counts / np.maximum(total, 1), np.nan)
    mesh = axes.pcolormesh(edges, edges, share.T, cmap="viridis_r", rasterized=True)
    figure.colorbar(mesh, ax=axes).set_label("Share of the events of this generated mass")
    axes.plot([0, top], [0, top], color="0.3", linewidth=1, linestyle="--")
    axes.set_xlabel(GENERATED)
    axes.set_ylabel(PREDICTED)
    add_label(axes, label, note)
    return figure


def draw_residuals(panels: Mapping[str, Mapping[str, Array]], label: PlotLabel, note: str) -> Figure:
    """Distributions of estimated over generated mass: a panel per range of the mass, a line per estimator."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(panels), 4.2), layout="constrained")
    edges = np.linspace(0, 2.5, 41)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, ratios) in zip(row, panels.items(), strict=True):
        for index, (name, ratio) in enumerate(ratios.items()):
            counts, _ = np.histogram(np.clip(ratio, edges[0], edges[-1] - 1e-9), edges)
            values = counts / max(len(ratio), 1)
            look = {"color": COLOURS[index % 7], "linestyle": DASHES[index % len(DASHES)]}
            axes.stairs(values, edges, label=name, fill=False, **look)
        axes.axvline(1, color="0.4", linewidth=0.9)
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel("Estimated / generated mass")
        axes.set_xlim(edges[0], edges[-1])
    row[0].set_ylabel("Share of the events")
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    add_figure_label(figure, label, note)
    return figure


def draw_ratios(panels: Mapping[str, tuple[Array, Array]], label: PlotLabel) -> Figure:
    """Distributions of reconstructed over generated, as edges and contents: a panel for each input."""
    from matplotlib.figure import Figure

    columns = min(5, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(2.3 * columns, 0.6 + 2.1 * lines), layout="constrained")
    places = list(figure.subplots(lines, columns, squeeze=False, sharex=True).flat)
    for axes, (title, (edges, counts)) in zip(places, panels.items(), strict=False):
        axes.stairs(counts / counts.sum(), edges, color=COLOURS[0])
        axes.axvline(1, color="0.4", linewidth=0.9)
        axes.set_title(title, fontsize=9.5)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("Reconstructed / generated", fontsize=10)
    figure.supylabel("Share of the events", fontsize=10)
    add_figure_label(figure, label, "")
    return figure


def draw_efficiency(edges: Array, efficiencies: Mapping[str, Array], label: PlotLabel) -> Figure:
    """Selection efficiency against the generated mass, a line per channel."""
    figure, axes = new_figure(6.8, 4.6)
    for index, (title, values) in enumerate(efficiencies.items()):
        axes.stairs(
            np.nan_to_num(values), edges, color=COLOURS[index % 7], linestyle=DASHES[index % len(DASHES)], label=title,
            baseline=None,
        )  # fmt: skip
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(GENERATED)
    axes.set_ylabel("Selected share of all events")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    add_label(axes, label)
    return figure
