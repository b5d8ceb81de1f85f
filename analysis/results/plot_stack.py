"""Stacked expectation with data points and a ratio or pull panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.results.plot_style import DATA, PlotLabel, add_label, logarithmic_y
from analysis.results.statistics import poisson_interval, pulls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Panel = Literal["ratio", "pull"]

# Ends of the lower panels. A ratio or a pull far beyond them comes from an expectation near zero.
RATIO_LIMIT = 3.0
PULL_LIMIT = 5.0


@dataclass(frozen=True)
class Component:
    """One process of a stack: expected events per bin and their variance."""

    title: str
    colour: str
    values: Array
    variances: Array


@dataclass(frozen=True)
class Stack:
    """A distribution: bin edges, processes from bottom to top, and data per bin (None: no data sample).

    Data are event counts with Poisson intervals, unless `data_variance` says that they are sums of weights.
    """

    edges: Array
    components: tuple[Component, ...]
    data: Array | None
    data_variance: Array | None = None

    @property
    def data_interval(self) -> tuple[Array, Array]:
        """Lower and upper ends of the error bars of data. Raises ValueError without data."""
        if self.data is None:
            raise ValueError("a stack without data has no error bars")
        if self.data_variance is None:
            return poisson_interval(self.data)
        return self.data - np.sqrt(self.data_variance), self.data + np.sqrt(self.data_variance)

    @property
    def expected(self) -> Array:
        """Sum of the processes per bin."""
        return np.sum([c.values for c in self.components], axis=0) if self.components else np.zeros(len(self.edges) - 1)

    @property
    def variance(self) -> Array:
        """Variance of the sum per bin."""
        return np.sum([c.variances for c in self.components], axis=0) if self.components else 0 * self.expected


@dataclass(frozen=True)
class StackStyle:
    """Axis titles and options; `window` [unit of x] is marked, `curve` (x, events per bin, label) is drawn."""

    x_title: str
    y_title: str
    logarithmic: bool = False
    panel: Panel | None = "ratio"
    window: tuple[float, float] | None = None
    curve: tuple[Array, Array, str] | None = None
    note: str = ""


def draw_stack(stack: Stack, label: PlotLabel, options: StackStyle) -> Figure:
    """The stack above, the comparison of data with the expectation below (left out without data)."""
    from matplotlib.figure import Figure

    with_panel = stack.data is not None and options.panel is not None
    figure = Figure(figsize=(6.4, 5.8 if with_panel else 4.8), layout="constrained")
    if not with_panel:
        main = bottom = figure.add_subplot()
    else:
        grid = figure.add_gridspec(2, 1, height_ratios=(3, 1), hspace=0.02)
        main = figure.add_subplot(grid[0])
        bottom = figure.add_subplot(grid[1], sharex=main)
        main.tick_params(labelbottom=False)
        _draw_panel(bottom, stack, label, options)
    _draw_main(main, stack, label, options)
    bottom.set_xlabel(options.x_title)
    return figure


def _draw_main(axes: Axes, stack: Stack, label: PlotLabel, options: StackStyle) -> None:
    import mplhep

    edges, expected = stack.edges, stack.expected
    if stack.components:
        mplhep.histplot(
            [c.values for c in stack.components],
            bins=edges,
            stack=True,
            histtype="fill",
            color=[c.colour for c in stack.components],
            label=[c.title for c in stack.components],
            edgecolor="black",
            linewidth=0.4,
            flow="none",
            ax=axes,
        )
        spread = np.sqrt(stack.variance)
        _band(axes, edges, expected - spread, expected + spread, "Simulation stat. unc.")
    highest = float(np.max(expected + np.sqrt(stack.variance), initial=0.0))
    if stack.data is not None:
        highest = max(highest, _draw_data(axes, stack, label.data))
    if options.curve is not None:
        axes.plot(*options.curve[:2], color="#007a53", linestyle="--", label=options.curve[2])
    if options.window is not None:
        for position in options.window:
            axes.axvline(position, color="0.35", linewidth=0.9, linestyle=":")
    axes.set_xlim(edges[0], edges[-1])
    positive = expected[expected > 0]
    if options.logarithmic and positive.size:
        logarithmic_y(axes)
        low = min(max(float(positive.min()) / 3, highest * 1e-5), highest / 100)
        axes.set_ylim(low, highest * (highest / low) ** 0.35)
    else:
        axes.set_ylim(0, 1.35 * highest if highest > 0 else 1)
    axes.set_ylabel(options.y_title)
    handles, titles = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], titles[::-1], loc="upper right", ncols=2)
    add_label(axes, label, options.note)


def _draw_data(axes: Axes, stack: Stack, title: str) -> float:
    """Data points with error bars, none for empty bins; gives the upper end of the highest bar."""
    low, high = stack.data_interval
    counts = np.zeros_like(low) if stack.data is None else stack.data
    filled = counts > 0
    bars = np.stack([counts - low, high - counts])[:, filled]
    centres = _centres(stack.edges)[filled]
    axes.errorbar(centres, counts[filled], yerr=bars, fmt="o", color=DATA, label=title, linewidth=1.1)
    return float(np.max(high[filled], initial=0.0))


def _draw_panel(axes: Axes, stack: Stack, label: PlotLabel, options: StackStyle) -> None:
    low, high = stack.data_interval
    data = np.zeros_like(low) if stack.data is None else stack.data
    expected, centres = stack.expected, _centres(stack.edges)
    axes.tick_params(axis="y", which="minor", left=False, right=False)
    if options.panel == "pull":
        values = pulls(data, expected, stack.variance)
        axes.axhline(0, color="0.35", linewidth=0.9)
        axes.axhspan(-1, 1, color="0.88", linewidth=0)
        axes.bar(
            centres, np.clip(np.nan_to_num(values), -PULL_LIMIT, PULL_LIMIT), width=np.diff(stack.edges), color="0.45"
        )
        _mark_beyond(axes, centres, values > PULL_LIMIT, PULL_LIMIT)
        axes.set_ylim(-PULL_LIMIT, PULL_LIMIT)
        axes.set_ylabel("Pull")
        return
    shown = (expected > 0) & (data > 0)
    safe = np.where(expected > 0, expected, 1.0)
    spread = np.where(expected > 0, np.sqrt(stack.variance) / safe, 0.0)
    _band(axes, stack.edges, 1 - spread, 1 + spread, "")
    ratio = data / safe
    bars = np.stack([(data - low) / safe, (high - data) / safe])[:, shown]
    axes.axhline(1, color="0.35", linewidth=0.9)
    axes.errorbar(centres[shown], ratio[shown], yerr=bars, fmt="o", color=DATA, linewidth=1.1)
    _mark_beyond(axes, centres, shown & (ratio > RATIO_LIMIT), RATIO_LIMIT)
    axes.set_ylim(0, RATIO_LIMIT)
    axes.set_ylabel(f"{label.data} / exp.", fontsize="medium")


def _mark_beyond(axes: Axes, centres: Array, beyond: NDArray[np.bool_], limit: float) -> None:
    """Triangles at the panel's upper edge: a value out of sight must not look like none."""
    height = np.full(int(beyond.sum()), 0.94 * limit)
    axes.plot(centres[beyond], height, "^", color=DATA, markersize=6, clip_on=False)


def _band(axes: Axes, edges: Array, low: Array, high: Array, title: str) -> None:
    axes.stairs(
        high, edges, baseline=low, fill=True, facecolor="none", edgecolor="0.25", hatch="//////", linewidth=0,
        label=title or None,
    )  # fmt: skip


def _centres(edges: Array) -> Array:
    return np.asarray((edges[1:] + edges[:-1]) / 2, dtype=np.float64)


def fill(values: Sequence[Array], weights: Sequence[Array], edges: Array) -> tuple[Array, Array]:
    """Sum of weights and sum of squared weights per bin of several arrays; the last edge belongs to no bin."""
    x, w = np.concatenate([np.empty(0), *values]), np.concatenate([np.empty(0), *weights])
    inside = (x >= edges[0]) & (x < edges[-1])
    index = np.searchsorted(edges, x[inside], side="right") - 1
    bins = len(edges) - 1
    kept = w[inside].astype(np.float64)
    sums = (np.bincount(index, kept, bins), np.bincount(index, kept * kept, bins))
    return sums[0].astype(np.float64), sums[1].astype(np.float64)
