"""Plots of single events: scatter plots, box plots and distributions of one variable under all cuts but one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.results.plot_style import DATA, PlotLabel, add_label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
MARKERS = ("s", "^", "o", "D", "v")


@dataclass(frozen=True)
class Points:
    """Events of a process in two variables."""

    title: str
    colour: str
    x: Array
    y: Array


def draw_scatter(
    groups: Sequence[Points],
    x_title: str,
    y_title: str,
    label: PlotLabel,
    *,
    limits: Mapping[str, tuple[float, float]],
    integer_x: bool = False,
    most: int = 1500,
    note: str = "",
) -> Figure:
    """Events as points, at most `most` evenly spread ones per group; groups without events are left out.

    With `integer_x` the groups stand beside each other within a unit, spread out in a regular pattern.
    """
    figure, axes = new_figure(6.4, 5.0)
    for index, group in enumerate(groups):
        step = max(1, -(-len(group.x) // most))
        x, y = group.x[::step].astype(np.float64), group.y[::step]
        if not len(x):
            continue
        if integer_x:
            width = 0.8 / len(groups)
            pattern = (np.arange(len(x)) * 0.618034) % 1.0
            x = x - 0.4 + width * (index + 0.1 + 0.8 * pattern)
        share = f" (1 of {step})" if step > 1 else ""
        axes.scatter(
            x, y, s=9, color=group.colour, alpha=0.5, marker=MARKERS[index % len(MARKERS)], linewidths=0,
            label=f"{group.title}{share}", rasterized=True,
        )  # fmt: skip
    if "x" in limits:
        axes.set_xlim(*limits["x"])
    if "y" in limits:
        axes.set_ylim(*limits["y"])
    if integer_x:
        low, high = axes.get_xlim()
        axes.set_xticks(range(int(np.ceil(low)), int(np.floor(high)) + 1))
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4, markerscale=2)
    add_label(axes, label, note)
    return figure


def draw_boxes(
    groups: Sequence[tuple[str, str, Array, Array]],
    y_title: str,
    label: PlotLabel,
    *,
    limits: tuple[float, float],
    note: str = "",
) -> Figure:
    """Weighted box plots of (title, colour, values, weights): quartiles and median, whiskers from 5 % to 95 %."""
    figure, axes = new_figure(6.4, 4.6)
    boxes = []
    for title, _, values, weights in groups:
        low, first, median, third, high = weighted_quantiles(values, weights, (0.05, 0.25, 0.5, 0.75, 0.95))
        boxes.append(
            {"label": title, "whislo": low, "q1": first, "med": median, "q3": third, "whishi": high, "fliers": []}
        )
    drawn = axes.bxp(boxes, patch_artist=True, widths=0.5, medianprops={"color": DATA, "linewidth": 2})
    for patch, (_, colour, _, _) in zip(drawn["boxes"], groups, strict=True):
        patch.set_facecolor(colour)
        patch.set_alpha(0.65)
    axes.set_ylim(*limits)
    axes.tick_params(axis="x", which="both", bottom=False, top=False)
    axes.set_ylabel(y_title)
    add_label(axes, label, note)
    return figure


def weighted_quantiles(values: Array, weights: Array, levels: Sequence[float]) -> list[float]:
    """Smallest values below which the shares `levels` of the sum of absolute weights lie; NaN for no events."""
    if not len(values):
        return [float("nan")] * len(levels)
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(np.abs(weights[order]))
    index = np.searchsorted(cumulative, np.asarray(levels) * cumulative[-1])
    return [float(v) for v in values[order][np.minimum(index, len(values) - 1)]]
