"""Plots of the four-lepton events: mass, cutflow, N-1, correlations, scatter and box plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.results.document import Picture
from analysis.results.gaussian_fit import PeakFit, fit_peak
from analysis.results.higgs4l_events import FEATURES, LEPTONS, WINDOW, FourLeptonEvents, process_style
from analysis.results.higgs4l_settings import Settings
from analysis.results.plot_bars import draw_correlations
from analysis.results.plot_events import Points, draw_boxes, draw_scatter
from analysis.results.plot_stack import Component, Stack, StackStyle, draw_stack, fill
from analysis.results.plot_style import PlotLabel, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

M4L = r"$m_{4\ell}$ [GeV]"
FEATURE_TITLES = {
    **{f"lep{i}_pt": rf"$p_{{T}}^{{{i}}}$" for i in LEPTONS},
    **{f"lep{i}_eta": rf"$\eta_{{{i}}}$" for i in LEPTONS},
    **{f"lep{i}_phi": rf"$\phi_{{{i}}}$" for i in LEPTONS},
    "m4l": r"$m_{4\ell}$",
    "pt4l": r"$p_{T}^{4\ell}$",
    "y4l": r"$y_{4\ell}$",
    "m_z1": r"$m_{Z1}$",
    "m_z2": r"$m_{Z2}$",
    "cos_theta_star": r"$\cos\theta^{*}$",
    "cos_theta1": r"$\cos\theta_{1}$",
    "cos_theta2": r"$\cos\theta_{2}$",
    "phi": r"$\Phi$",
    "phi1": r"$\Phi_{1}$",
}


@dataclass(frozen=True)
class Gallery:
    """Where plots go and what they have in common."""

    directory: Path
    label: PlotLabel
    settings: Settings
    m4l_edges: Array
    window: tuple[float, float]

    def keep(self, figure: Figure, name: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
        """Write a figure in the formats of the settings."""
        formats = self.settings.formats
        return save(figure, self.directory, name, caption=caption, alt=alt, formats=formats, wide=wide)


@dataclass(frozen=True)
class Variable:
    """A distribution to plot: how to compute it per sample, its axis, and the cut that is left out for it."""

    name: str
    title: str
    unit: str
    edges: tuple[float, float, int]
    left_out: str
    sentence: str


N_MINUS_ONE = (
    Variable("lep2_pt", r"$p_{T}$ of the second lepton", "GeV", (0, 100, 25), "leading_pt", "Second lepton's pT"),
    Variable(
        "worst_isolation", r"largest $E_{T}^{cone20}/p_{T}$", "", (-0.2, 1.0, 24), "isolation", "Largest isolation"
    ),
    Variable(
        "worst_d0", r"largest $|d_{0}/\sigma(d_{0})|$", "", (0, 20, 25), "impact_parameter", "Largest impact parameter"
    ),
    Variable("m_z1", r"$m_{Z1}$", "GeV", (0, 130, 26), "m_z1", "Mass of the pair nearest the Z mass"),
    Variable("m_z2", r"$m_{Z2}$", "GeV", (0, 130, 26), "m_z2", "Mass of the other pair"),
)


def values_of(events: FourLeptonEvents, sample: str, name: str) -> Array:
    """A column of the skim or a quantity derived from it, one value per event."""
    table = events.tables[sample]
    if name == "worst_isolation":
        return np.asarray(np.max([table[f"lep{i}_etcone20"] / table[f"lep{i}_pt"] for i in LEPTONS], axis=0))
    if name == "worst_d0":
        return np.asarray(np.max([np.abs(table[f"lep{i}_d0_significance"]) for i in LEPTONS], axis=0))
    return np.asarray(table[name], dtype=np.float64)


def stack_of(events: FourLeptonEvents, name: str, edges: Array, masks: Mapping[str, NDArray[np.bool_]]) -> Stack:
    """The distribution of a variable over the events in `masks`: scaled weights per process, counts of data."""

    def filled(samples: Sequence[str], *, weighted: bool) -> tuple[Array, Array]:
        values = [values_of(events, sample, name)[masks[sample]] for sample in samples]
        weights = [
            events.weights(s)[masks[s]] if weighted else np.ones(len(v)) for s, v in zip(samples, values, strict=True)
        ]
        return fill(values, weights, edges)

    components = tuple(
        Component(*process_style(process), *filled(samples, weighted=True))
        for process, samples in events.processes.items()
    )
    data = events.names("data")
    return Stack(edges, components, filled(data, weighted=False)[0] if data else None)


def masks_of(events: FourLeptonEvents, cuts: tuple[str, ...]) -> dict[str, NDArray[np.bool_]]:
    """Events of every sample that pass the cuts."""
    return {sample: events.mask(sample, cuts) for sample in events.records}


def unknown_scale(events: FourLeptonEvents) -> str:
    """A warning for plots that hold samples whose yield is not known; empty when there are none."""
    names = [name for name, record in events.records.items() if record.scale is None]
    return f"Incomplete: {', '.join(names)}" if names else ""


def stack_style(events: FourLeptonEvents, gallery: Gallery, note: str) -> StackStyle:
    """Axes of a four-lepton mass plot, with the mass window marked."""
    settings = gallery.settings
    width = float(gallery.m4l_edges[1] - gallery.m4l_edges[0])
    note = ", ".join(part for part in (note, unknown_scale(events)) if part)
    return StackStyle(
        M4L,
        f"Events / {width:g} GeV",
        logarithmic=settings.log_axis,
        panel=settings.lower_panel,
        window=gallery.window,
        note=note,
    )


def mass_plots(events: FourLeptonEvents, gallery: Gallery, fit: PeakFit) -> tuple[list[Picture], dict[str, Stack]]:
    """Stacked four-lepton mass before and after the selection, and the stacks by name."""
    settings, data = gallery.settings, gallery.label.data
    edges = gallery.m4l_edges
    pictures, stacks = [], {}
    for name, note, sentence in (
        ("four_leptons", "before the selection", "with four leptons, before any other cut"),
        ("selected", "after the selection", "after all cuts but the mass window"),
    ):
        stack = stack_of(events, "m4l", edges, masks_of(events, events.selection(name).cuts))
        style = stack_style(events, gallery, note)
        more = ""
        if name == "selected" and fit.succeeded:
            x = np.linspace(*settings.fit_range, 200)
            style = replace(
                style, curve=(x, fit.density(x) * float(edges[1] - edges[0]), f"Gaussian fit to {data.lower()}")
            )
            more = " The dashed curve is the Gaussian part of the fit."
        below = f"{data.lower()} over expectation" if settings.lower_panel == "ratio" else "pulls"
        caption = (
            f"Four-lepton invariant mass of events {sentence}: {data.lower()} (points, Poisson intervals) and stacked "
            f"expectation with its statistical uncertainty (hatched). Dotted lines: the mass window. Below: {below}; "
            f"a triangle marks a point above the panel.{more}"
        )
        alt = (
            f"Stacked histogram of the four-lepton mass {note} from {edges[0]:g} to {edges[-1]:g} GeV with data points."
        )
        pictures.append(gallery.keep(draw_stack(stack, gallery.label, style), f"m4l_{name}", caption, alt))
        stacks[name] = stack
    return pictures, stacks


def peak_fit(events: FourLeptonEvents, settings: Settings) -> PeakFit:
    """Gaussian fit of the selected data around the Higgs boson mass over the expected background."""
    low, high = settings.fit_range
    edges = np.linspace(low, high, max(round((high - low) / settings.fit_bin_width), 1) + 1)
    if not events.names("data"):
        return PeakFit(reason="there is no data sample")
    unknown = [name for name in events.names("background") if events.records[name].scale is None]
    if unknown:
        return PeakFit(reason=f"the background is not known ({', '.join(unknown)})")
    masks = masks_of(events, events.selection("selected").cuts)

    def filled(samples: Sequence[str], *, weighted: bool) -> Array:
        values = [values_of(events, sample, "m4l")[masks[sample]] for sample in samples]
        weights = [
            events.weights(s)[masks[s]] if weighted else np.ones(len(v)) for s, v in zip(samples, values, strict=True)
        ]
        return fill(values, weights, edges)[0]

    background = np.maximum(filled(events.names("background"), weighted=True), 0.0)
    return fit_peak(edges, filled(events.names("data"), weighted=False), background, start=settings.higgs_mass)


def n_minus_one_plots(events: FourLeptonEvents, gallery: Gallery) -> list[Picture]:
    """Distributions of the main cut variables with every cut but their own, the mass window left out."""
    pictures = []
    for variable in N_MINUS_ONE:
        if variable.left_out not in events.cuts:
            continue
        cuts = tuple(cut for cut in events.cuts if cut not in (variable.left_out, WINDOW))
        low, high, bins = variable.edges
        edges = np.linspace(low, high, bins + 1)
        stack = stack_of(events, variable.name, edges, masks_of(events, cuts))
        unit = f" {variable.unit}" if variable.unit else ""
        title = f"{variable.title} [{variable.unit}]" if variable.unit else variable.title
        note = ", ".join(part for part in (f"all cuts but {variable.left_out}", unknown_scale(events)) if part)
        y_title = f"Events / {(high - low) / bins:g}{unit}"
        style = StackStyle(title, y_title, logarithmic=gallery.settings.log_axis, panel=None, note=note)
        caption = f"{variable.sentence} of events that pass all cuts but {variable.left_out} and the mass window."
        figure = draw_stack(stack, gallery.label, style)
        pictures.append(gallery.keep(figure, f"n_minus_one_{variable.name}", caption, f"Stacked histogram: {caption}"))
    return pictures


def correlation_plots(events: FourLeptonEvents, gallery: Gallery) -> list[Picture]:
    """Weighted linear correlations of the features for signal and background, of events with two lepton pairs."""
    cuts = events.cuts[: events.cuts.index("sfos_mass") + 1] if "sfos_mass" in events.cuts else ()
    pictures = []
    for role in ("signal", "background"):
        names = events.names(role)
        if not names:
            continue
        masks = {name: events.mask(name, cuts) for name in names}
        rows = np.stack([np.concatenate([values_of(events, n, f)[masks[n]] for n in names]) for f in FEATURES])
        weights = np.concatenate([np.abs(events.weights(n)[masks[n]]) for n in names])
        good = np.isfinite(rows).all(axis=0)
        matrix = weighted_correlations(rows[:, good], weights[good])
        titles = [FEATURE_TITLES[name] for name in FEATURES]
        note = f"{role}, {int(good.sum())} events, values in %"
        figure = draw_correlations(matrix, titles, gallery.label, note)
        caption = (
            f"Linear correlation coefficients (in per cent) between the features of {role} events through sfos_mass, "
            "weighted with absolute event weights; those below 5 % carry no number."
        )
        alt = f"Matrix of correlation coefficients of {len(FEATURES)} features for {role}."
        pictures.append(gallery.keep(figure, f"correlations_{role}", caption, alt))
    return pictures


def weighted_correlations(rows: Array, weights: Array) -> Array:
    """Correlation matrix of variables (rows) over events (columns); NaN where a variable does not vary."""
    size = len(rows)
    if rows.shape[1] < 2 or weights.sum() <= 0:
        return np.full((size, size), np.nan)
    share = weights / weights.sum()
    centred = rows - (rows @ share)[:, None]
    covariance = (centred * share) @ centred.T
    spread = np.sqrt(np.diag(covariance))
    product = np.outer(spread, spread)
    matrix: Array = np.full((size, size), np.nan)
    np.divide(covariance, product, out=matrix, where=product > 0)
    return matrix


def event_plots(events: FourLeptonEvents, gallery: Gallery) -> list[Picture]:
    """Lepton number and leading pT against the four-lepton mass, and the mass per process as a box plot."""
    label, most = gallery.label, gallery.settings.scatter_points
    high = float(gallery.m4l_edges[-1])
    limits = (0.0, 2 * high)

    def points(x: str, y: str) -> list[Points]:
        groups = []
        for process, samples in events.processes.items():
            columns = [np.concatenate([values_of(events, s, name) for s in samples]) for name in (x, y)]
            groups.append(Points(*process_style(process), *columns))
        return groups

    leptons = points("lep_n", "m4l")
    counts = np.concatenate([group.x for group in leptons]) if leptons else np.empty(0)
    spread = (float(counts.min()) - 0.6, float(counts.max()) + 0.6) if counts.size else (3.4, 4.6)
    number = draw_scatter(
        leptons, "Number of leptons", M4L, label, limits={"x": spread, "y": limits}, integer_x=True, most=most
    )
    leading = draw_scatter(
        points("lep1_pt", "m4l"), r"$p_{T}$ of the leading lepton [GeV]", M4L, label,
        limits={"x": (0.0, 250.0), "y": limits}, most=most,
    )  # fmt: skip
    boxes = []
    for process, samples in events.processes.items():
        values = np.concatenate([values_of(events, s, "m4l") for s in samples])
        if values.size:
            boxes.append((*process_style(process), values, np.concatenate([events.weights(s) for s in samples])))
    pictures = [
        gallery.keep(
            number, "scatter_lepton_number",
            "Four-lepton mass against the number of leptons of skimmed simulated events (unweighted; the points of a "
            "number are spread out sideways).",
            "Scatter plot of the four-lepton mass against the number of leptons, one colour per process.",
        ),
        gallery.keep(
            leading, "scatter_leading_pt",
            "Four-lepton mass against the leading lepton's transverse momentum of skimmed simulated events "
            "(unweighted).",
            "Scatter plot of the four-lepton mass against the leading lepton's pT, one colour per process.",
        ),
    ]  # fmt: skip
    if boxes:
        pictures.append(
            gallery.keep(
                draw_boxes(boxes, M4L, label, limits=(0.0, 1.6 * high), note="before the selection"), "m4l_boxes",
                "Four-lepton mass per process, weighted: box from the first to the third quartile, line at the median, "
                "whiskers from 5 % to 95 %.",
                "Box plot of the four-lepton mass per process.",
            )
        )  # fmt: skip
    return pictures
