"""Plots of lepton_id: distributions of the flavours, histories, studies of networks, and what precision does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.results.plot_style import COLOURS, DASHES, PlotLabel, add_figure_label, add_label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Curves = Mapping[str, Sequence[float]]
FLAVOURS = (("electrons", COLOURS[0], "-"), ("muons", COLOURS[1], "--"))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def draw_flavours(
    panels: Sequence[tuple[str, Array, Sequence[Array]]], label: PlotLabel, *, cut: float | None = None
) -> Figure:
    """One panel per quantity (axis title, edges, values of electrons and of muons), each flavour normalised to 1."""
    from matplotlib.figure import Figure

    columns = len(panels) if len(panels) < 3 else 4
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1.2 + (3.6 if columns < 4 else 3.2) * columns, 0.7 + 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, edges, values) in zip(grid, panels, strict=False):
        for (name, colour, dash), its in zip(FLAVOURS, values, strict=True):
            counts = np.histogram(its, edges)[0] / max(len(its), 1)
            axes.stairs(counts, edges, color=colour, linestyle=dash, label=name)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        axes.margins(y=0.15)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel(title)
        axes.set_ylabel("Fraction of leptons")
        if cut is not None:
            axes.axvline(cut, color="0.4", linewidth=1, linestyle=":", label=f"cut at {cut:g} GeV")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    if len(panels) < len(grid):
        grid[-1].legend(*grid[0].get_legend_handles_labels(), loc="center", fontsize="large")
    else:
        grid[0].legend(loc="best")
    add_figure_label(figure, label)
    return figure


def draw_histories(histories: Mapping[str, Sequence[Curves]], label: PlotLabel, limit: float | None) -> Figure:
    """Accuracy (left; solid for training, dashed for test) and training loss against the epoch, a colour per name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for number, (name, curves) in enumerate(histories.items()):
        colour = COLOURS[number % len(COLOURS)]
        for repeat, curve in enumerate(curves):
            first = name if repeat == 0 else None
            accuracy.plot(curve["epoch"], curve["train_accuracy"], color=colour, label=first, linewidth=1)
            accuracy.plot(curve["epoch"], curve["test_accuracy"], color=colour, linestyle="--", linewidth=1)
            loss.plot(curve["epoch"], curve["loss"], color=colour, linewidth=1)
            loss.plot(curve["epoch"], curve["test_loss"], color=colour, linestyle="--", linewidth=1)
    if limit is not None:
        accuracy.axhline(limit, color="0.4", linewidth=1, linestyle=":", label="limit of the precision")
    for axes, title in ((accuracy, "Accuracy"), (loss, "Cross-entropy")):
        axes.set_xlabel("Epoch")
        axes.set_ylabel(title)
        axes.margins(x=0.02, y=0.08)
    # A network that begins with the flavours exchanged climbs from below: what matters is above a coin's 0.5.
    accuracy.set_ylim(bottom=max(accuracy.get_ylim()[0], 0.45))
    accuracy.legend(loc="best", title="solid: training, dashed: test", title_fontsize="small")
    add_figure_label(figure, label)
    return figure


def draw_weights(epochs: Sequence[float], groups: Sequence[tuple[str, Array]], label: PlotLabel) -> Figure:
    """One panel per layer's kernel and bias: every entry (epochs, entries) against the epoch."""
    from matplotlib.figure import Figure

    columns = 2
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(9.6, 0.7 + 2.4 * rows), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(rows, columns, squeeze=False).ravel(), groups, strict=False):
        for number in range(values.shape[1]):
            axes.plot(epochs, values[:, number], linewidth=0.9, color=COLOURS[number % len(COLOURS)])
        axes.set_xlabel("Epoch")
        axes.set_ylabel(title)
        axes.margins(x=0.02, y=0.08)
    add_figure_label(figure, label)
    return figure


def draw_comparison(
    names: Sequence[str], groups: Sequence[tuple[str, Sequence[tuple[float, float | None]]]],
    limits: Sequence[tuple[str, float]], label: PlotLabel,
) -> Figure:  # fmt: skip
    """Accuracy with its spread per representation, a marker per group, and limits as lines."""
    figure, axes = new_figure(7.4, 1.8 + 0.42 * len(names))
    for number, (title, values) in enumerate(groups):
        rows = np.arange(len(names)) + (number - (len(groups) - 1) / 2) * 0.22
        means = [value for value, _ in values]
        spreads = [spread or 0.0 for _, spread in values]
        axes.errorbar(
            means, rows, xerr=spreads, fmt=MARKERS[number], color=COLOURS[number], label=title, linewidth=1, capsize=2
        )
    for number, (title, value) in enumerate(limits):
        axes.axvline(value, color="0.35", linestyle=DASHES[1 + number], linewidth=1, label=title)
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("Accuracy on test leptons")
    axes.set_xlim(0.45, 1.02)
    axes.legend(loc="center left", bbox_to_anchor=(0.2, 0.25))
    add_label(axes, label)
    return figure


def draw_scan(nodes: Sequence[int], mean: Array, spread: Array, label: PlotLabel) -> Figure:
    """Mean accuracy of each structure (h1 down, h2 across) as a map with its spread, and as a surface."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.8), layout="constrained")
    flat, high = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="3d")
    image = flat.imshow(mean, cmap="viridis", interpolation="nearest", aspect="auto")
    figure.colorbar(image, ax=flat, shrink=0.85).set_label("Mean accuracy")
    middle = (float(mean.min()) + float(mean.max())) / 2
    for (row, column), value in np.ndenumerate(mean):
        colour = "white" if value < middle else "black"
        text = f"{value:.3f}\n±{spread[row, column]:.3f}"
        flat.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    for axes in (flat, high):
        axes.set_xticks(range(len(nodes)), [str(one) for one in nodes])
        axes.set_yticks(range(len(nodes)), [str(one) for one in nodes])
        axes.set_xlabel("Nodes of the second layer")
        axes.set_ylabel("Nodes of the first layer")
    flat.tick_params(which="both", top=False, right=False, bottom=False, left=False)
    x, y = np.meshgrid(range(len(nodes)), range(len(nodes)))
    high.plot_surface(x, y, mean, cmap="viridis", edgecolor="0.3", linewidth=0.3)
    high.tick_params(labelsize="small")
    add_figure_label(figure, label)
    return figure


def draw_bins(
    bins: Sequence[Mapping[str, Any]],
    curves: Sequence[tuple[str, Sequence[float | None]]],
    title: str,
    label: PlotLabel,
) -> Figure:
    """Accuracy with its binomial interval per bin of a momentum, a marker per curve, side by side in a bin.

    Bins are as wide as each other, their limits written.
    """
    figure, axes = new_figure(7.4, 4.6)
    places = np.arange(len(bins), dtype=np.float64)
    for number, (name, values) in enumerate(curves):
        filled = [
            (place, value, *_errors(value, one["leptons"]))
            for place, value, one in zip(places, values, bins, strict=True)
            if value is not None
        ]
        x, y, *error = np.array(filled).reshape(-1, 4).T
        axes.errorbar(
            x + (number - (len(curves) - 1) / 2) * 0.09, y, yerr=error, marker=MARKERS[number], capsize=1.5,
            color=COLOURS[number % 8], linestyle=DASHES[number], linewidth=1, label=name,
        )  # fmt: skip
    names = [f"{one['low']:g}–{one['high']:g}\n({one['leptons']:,d})" for one in bins]
    axes.set_xticks(places, names, fontsize=8)
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlabel(title)
    axes.set_ylabel("Accuracy")
    axes.margins(x=0.05, y=0.08)
    axes.legend(loc="best")
    add_label(axes, label)
    return figure


def _errors(share: float, number: int) -> tuple[float, float]:
    """Distances of a share to the ends of Wilson's interval of 68.3 %, which stays between 0 and 1."""
    from scipy.stats import binomtest

    interval = binomtest(round(share * number), number).proportion_ci(confidence_level=0.683, method="wilson")
    return max(share - float(interval.low), 0.0), max(float(interval.high) - share, 0.0)


def draw_separation(points: Mapping[str, Sequence[tuple[str, float, float, float]]], label: PlotLabel) -> Figure:
    """Accuracy of networks, and of what their inputs still hold, against the separation of the flavours.

    `points`: by training, (representation, separation, accuracy, accuracy left in the inputs).
    """
    figure, axes = new_figure(7.4, 5.6)
    for number, (title, its) in enumerate(points.items()):
        x = [one[1] for one in its]
        axes.plot(x, [one[2] for one in its], MARKERS[number], color=COLOURS[number], label=f"{title}: network")
        axes.plot(
            x, [one[3] for one in its], MARKERS[number], mfc="none", color=COLOURS[number], label=f"{title}: inputs"
        )
    for middle, names in _clusters([one[:2] for its in points.values() for one in its]):
        axes.text(
            middle, 0.64, "\n".join(names), rotation=90, ha="center", va="center", fontsize=7, color="0.35", zorder=1
        )
    axes.set_xscale("log")
    axes.set_xlabel("Difference of muon and electron / standard deviation of the input")
    axes.set_ylabel("Accuracy on test leptons")
    axes.margins(0.08)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    add_label(axes, label)
    return figure


def _clusters(points: Sequence[tuple[str, float]]) -> list[tuple[float, list[str]]]:
    """Names of points (name, x) that lie within a factor of 2.5 of their neighbours, and their middle."""
    found: list[list[tuple[str, float]]] = []
    for name, x in sorted(points, key=lambda point: point[1]):
        if found and x < 2.5 * found[-1][-1][1]:
            found[-1].append((name, x))
        else:
            found.append([(name, x)])
    return [
        (float(np.exp(np.mean(np.log([x for _, x in its])))), list(dict.fromkeys(name for name, _ in its)))
        for its in found
    ]


def draw_errors(p: Array, error: Array, masses: tuple[float, float], label: PlotLabel) -> Figure:
    """|m^2 - true m^2| of every lepton against p, and the squared mass of a muon that it must be compared with."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = new_figure(6.4, 4.6)
    some = (error > 0) & (p > 0)
    axes.plot(p[some], error[some], ".", markersize=1.2, color=COLOURS[0], rasterized=True, label="leptons")
    axes.axhline(masses[1], color=COLOURS[1], label="squared muon mass")
    axes.axhline(masses[0], color=COLOURS[2], linestyle="--", label="squared electron mass")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("p [GeV]")
    axes.set_ylabel("Error of E² − p² [GeV²]")
    axes.legend(loc="lower right", markerscale=6)
    add_label(axes, label)
    return figure
