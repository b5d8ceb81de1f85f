"""Horizontal bars with uncertainties, cutflow curves, and matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from analysis.results.quantities import Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

SMALLEST = 0.05


def draw_cutflow(
    cuts: Sequence[str], events: Mapping[str, Array], colours: Mapping[str, str], data: str | None, label: PlotLabel
) -> Figure:
    """Events after each cut on a logarithmic axis, one line per process, points for `data`."""
    figure, axes = new_figure(7.4, 4.8)
    positions = np.arange(len(cuts))
    for index, (title, counts) in enumerate(events.items()):
        shown = np.where(counts > 0, counts, np.nan)
        if title == data:
            axes.plot(positions, shown, "o", color=DATA, label=title)
            continue
        axes.stairs(
            shown,
            np.arange(len(cuts) + 1) - 0.5,
            color=colours[title],
            linestyle=DASHES[index % len(DASHES)],
            label=title,
            linewidth=2,
            baseline=None,
        )
    logarithmic_y(axes)
    axes.set_xticks(positions, cuts, rotation=45, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlim(-0.5, len(cuts) - 0.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.2)
    axes.set_ylabel("Events")
    axes.legend(loc="upper right", ncols=2)
    add_label(axes, label)
    return figure


def draw_comparison(
    names: Sequence[str],
    panels: Sequence[tuple[str, Sequence[Quantity]]],
    label: PlotLabel,
    reference: str | None = None,
) -> Figure:
    """One row per name, one panel per figure, points with error bars; `reference` is drawn as a line with a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.0 + 2.9 * len(panels), 1.6 + 0.3 * len(names)), layout="constrained")
    axes_row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rows = np.arange(len(names))
    for axes, (title, quantities) in zip(axes_row, panels, strict=True):
        for row, quantity in enumerate(quantities):
            if quantity.value is None:
                axes.text(
                    0.5, row, "no value", transform=axes.get_yaxis_transform(), ha="center", va="center", color="0.4"
                )
                continue
            is_reference = names[row] == reference
            colour = COLOURS[1] if is_reference else COLOURS[0]
            axes.errorbar(
                quantity.value, row, xerr=quantity.uncertainty, fmt="s" if is_reference else "o", color=colour
            )
            if is_reference:
                axes.axvline(quantity.value, color=colour, linestyle="--", linewidth=1)
        axes.set_xlabel(title)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.tick_params(axis="y", which="both", left=False, right=False)
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
    axes_row[0].set_yticks(rows, names)
    add_figure_label(figure, label)
    return figure


def draw_importances(
    entries: Sequence[tuple[str, float, float | None]], x_title: str, label: PlotLabel, note: str = ""
) -> Figure:
    """Horizontal bars with error bars, the largest on top."""
    figure, axes = new_figure(6.4, 1.5 + 0.21 * max(len(entries), 4))
    rows = np.arange(len(entries))
    errors = [entry[2] or 0.0 for entry in entries]
    values = [entry[1] for entry in entries]
    axes.barh(rows, values, xerr=errors, color=COLOURS[5], ecolor="0.2", height=0.7)
    axes.set_yticks(rows, [entry[0] for entry in entries], fontsize=9)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_xlabel(x_title)
    add_label(axes, label, note)
    return figure


def draw_correlations(matrix: Array, names: Sequence[str], label: PlotLabel, note: str) -> Figure:
    """A matrix of correlation coefficients from -1 to 1 with the values in per cent from 5 on; NaN is left blank."""
    size = max(4.8, 1.9 + 0.27 * len(names))
    figure, axes = new_figure(size + 0.9, size)
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    colorbar = figure.colorbar(image, ax=axes, shrink=0.85)
    colorbar.set_label("Linear correlation coefficient")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(which="both", top=False, right=False, bottom=False, left=False)
    for (row, column), value in np.ndenumerate(matrix):
        # Small coefficients stay blank: their noise would bury the others.
        if np.isfinite(value) and abs(value) >= SMALLEST:
            text = f"{100 * value:.0f}"
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=colour)
    add_label(axes, label, note)
    return figure


def draw_confusion(matrix: Array, names: Sequence[str], label: PlotLabel, note: str) -> Figure:
    """A confusion matrix of counts, coloured by the share of the true class (rows)."""
    figure, axes = new_figure(6.4, 4.4)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")
    axes.tick_params(which="both", top=False, right=False, bottom=False, left=False)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if share[row, column] > 0.6 else "black"
        text = f"{value:,.0f}\n({100 * share[row, column]:.1f} % of {names[row]})"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xlabel("Predicted")
    axes.set_ylabel("True")
    add_label(axes, label, note)
    return figure
