"""Sections of the ditau_mass report on one model: resolution against simple estimators, response, channels, planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.results.ditau_figures import COLLINEAR, ML, MassBin, Report, mass_bins, quantity
from analysis.results.ditau_plots import Curve, draw_curves, draw_plane, draw_residuals
from analysis.results.ditau_statistics import RANGES, Response
from analysis.results.ditau_training import SIMPLE, TrainedModel
from analysis.results.document import Cell, Picture, Section, Table, Value, table
from analysis.results.quantities import Quantity
from training.ditau_events import CHANNELS

Array = NDArray[np.float64]
Rows = list[list[Cell | Value]]
NAMES = {ML: "m_ML", **SIMPLE}
FEW = "too few test events"
DEFINITION = (
    "Of the ratio of estimated and generated mass in bins of the generated mass: the response is the median, the "
    "relative resolution half the distance between its 16% and 84% quantiles, divided by the median. Uncertainties "
    "are from bootstrap replicas of the test events."
)
SHRINKAGE = (
    "A regression draws its answers towards masses that are frequent in its training, which narrows the ratio in a bin "
    "of the generated mass, most at the ends of the range. The rank correlation of estimate and generated mass over "
    "all test events does not gain by that, nor by any calibration: it is the last table."
)


def comparison_section(report: Report, model: TrainedModel, bins: Sequence[MassBin]) -> Section:
    """Response and resolution of the model and of simple estimators on the same events."""
    edges = np.array([*(one.low for one in bins), bins[-1].high])
    pictures = (
        _picture(
            report,
            "resolution",
            draw_curves_of(edges, bins, "resolution", "Relative resolution", report, None),
            "Relative resolution against the generated mass; lower is better.",
        ),
        _picture(
            report,
            "response",
            draw_curves_of(edges, bins, "median", "Median of estimated / generated mass", report, 1.0),
            "Response against the generated mass; the band holds 95% of the model's test events.",
        ),
    )
    return Section(
        "Resolution against simple estimators",
        text=(DEFINITION, _verdict(report, model, bins), SHRINKAGE),
        pictures=pictures,
        tables=(_table(report, bins), _response_table(report, bins)),
    )


def draw_curves_of(
    edges: Array, bins: Sequence[MassBin], figure: str, title: str, report: Report, line: float | None
) -> object:
    """Curves of `median` or `resolution` of all estimators."""
    curves = []
    for name, shown in NAMES.items():
        found = [one.responses[name] for one in bins]
        band = (_values(found, "low"), _values(found, "high")) if name == ML and figure == "median" else None
        curves.append(Curve(shown, _values(found, figure), _values(found, f"{figure}_error"), band))
    return draw_curves(edges, curves, title, report.label, line=line)


def channel_section(report: Report, model: TrainedModel) -> Section | None:
    """The model in each channel; None where its group has one channel only."""
    channels = [k for k in range(len(CHANNELS)) if np.any(model.test["channel"] == k)]
    if len(channels) < 2:
        return None
    rows: Rows = []
    curves: dict[str, list[Curve]] = {"median": [], "resolution": []}
    edges = np.empty(0)
    for number in channels:
        name = CHANNELS[number]
        bins = mass_bins(report, model, model.test["channel"] == number)
        edges = np.array([*(one.low for one in bins), bins[-1].high])
        found = [one.responses[ML] for one in bins]
        for key, list_ in curves.items():
            list_.append(Curve(name, _values(found, key), _values(found, f"{key}_error")))
        for one in bins:
            if one.responses[ML] is not None:
                rows.append([name, one.title, *_cells(report, f"channel.{name}.{_key(one)}", one.responses[ML])])
    pictures = tuple(
        _picture(report, f"channels_{key}", draw_curves(edges, curves[key], title, report.label, line=line), caption)
        for key, title, line, caption in (
            ("resolution", "Relative resolution", None, "Relative resolution of m_ML in each channel."),
            ("median", "Median of m_ML / generated mass", 1.0, "Response of m_ML in each channel."),
        )
    )
    header = ("Channel", "Generated mass [GeV]", "Test events", "Response", "Relative resolution", "95% of the ratios")
    notes = ("Bins with fewer test events than the least number are left out.",)
    return Section(
        "Channels", pictures=pictures, tables=(table("Response and resolution by channel", header, rows, notes),)
    )


def plane_section(report: Report, model: TrainedModel) -> Section:
    """Prediction against generated mass, and the distributions of the ratio."""
    mass, predicted = model.mass("gen_mass"), model.mass(ML)
    plane = report.keep(
        draw_plane(mass, predicted, report.label, f"{len(mass):,d} test events"),
        "prediction",
        "Prediction against generated mass; each column is divided by its sum.",
        "Two-dimensional histogram of prediction and generated mass",
    )
    panels = {}
    for low, high in RANGES:
        chosen = (mass >= low) & (mass < high)
        panels[f"{low:g}–{high:g} GeV"] = {
            shown: (ratio := model.mass(name)[chosen] / mass[chosen])[np.isfinite(ratio)]
            for name, shown in NAMES.items()
        }
    residuals = report.keep(
        draw_residuals(panels, report.label, ""),
        "residuals",
        "Estimated over generated mass. What lies beyond the axis is in the last bin.",
        "Histograms of the ratio of estimated and generated mass",
        wide=True,
    )
    return Section("Predictions", pictures=(plane, residuals))


def beaten(bins: Sequence[MassBin]) -> tuple[list[MassBin], list[MassBin], list[MassBin]]:
    """Of the bins that are compared: where the model wins, where it does not, and where too few events say neither."""
    compared = [one for one in bins if one.compared]
    return (
        [one for one in compared if one.won],
        [one for one in compared if one.won is False],
        [one for one in compared if one.won is None],
    )


def _verdict(report: Report, model: TrainedModel, bins: Sequence[MassBin]) -> str:
    won, lost, unknown = beaten(bins)
    total = len(won) + len(lost) + len(unknown)
    report.results.add("comparison.bins", Quantity(total, None, "bins"))
    report.results.add("comparison.bins_won", Quantity(len(won), None, "bins"))
    low, high = report.settings.compared
    text = (
        f"{model.name} resolves better than each of the simple estimators in {len(won)} of {total} bins from "
        f"{low:g} to {high:g} GeV"
    )
    if lost:
        text += f"; not in {', '.join(one.title for one in lost)} GeV"
    if unknown:
        text += f"; too few test events in {', '.join(one.title for one in unknown)} GeV"
    return (
        f"{text}. Each comparison is on the same events: all test events for the visible mass and mTtot, for the "
        "collinear mass those that have one."
    )


def _table(report: Report, bins: Sequence[MassBin]) -> Table:
    rows: Rows = []
    for one in bins:
        prefix = f"resolution.{_key(one)}"
        gain, gain_error = one.gain() or (None, None)
        cells = [_resolution(report, f"{prefix}.{name}", one.responses[name]) for name in NAMES if name != COLLINEAR]
        ratio = quantity(gain, gain_error, "1", FEW)
        rows.append(
            [
                one.title,
                report.results.add(f"{prefix}.events", Quantity(one.events, None, "events")),
                *cells,
                report.results.add(f"{prefix}.over_best_simple", ratio),
                report.results.add(f"{prefix}.collinear_valid", quantity(one.valid, None, "1", FEW)),
                _resolution(report, f"{prefix}.{COLLINEAR}", one.responses[COLLINEAR]),
                _resolution(report, f"{prefix}.ml_mass_where_collinear", one.on_collinear),
                "–" if not one.compared else {True: "yes", False: "no", None: "unknown"}[one.won],
            ]
        )
    header = (
        "Generated mass [GeV]", "Test events", "m_ML", "Visible mass", "mTtot", "m_ML / best of these",
        "Collinear mass: valid share", "Collinear mass", "m_ML on those events", "m_ML best",
    )  # fmt: skip
    notes = (
        "The collinear approximation has a solution for a share of the events only; the two columns after that share "
        "are of these events.",
    )
    return table("Relative resolution", header, rows, notes)


def _response_table(report: Report, bins: Sequence[MassBin]) -> Table:
    rows: Rows = []
    for one in bins:
        for name, shown in NAMES.items():
            found = one.responses[name]
            if found is not None:
                rows.append([one.title, shown, *_cells(report, f"response.{_key(one)}.{name}", found)])
    header = ("Generated mass [GeV]", "Estimator", "Events", "Response", "Relative resolution", "95% of the ratios")
    return table("Response", header, rows)


def _cells(report: Report, prefix: str, found: Response | None) -> list[Cell | Value]:
    if found is None:
        return ["–"] * 4
    add = report.results.add
    interval = Cell(f"{found.low:.2f} to {found.high:.2f}", numeric=True)
    for end, value in (("low", found.low), ("high", found.high)):
        add(f"{prefix}.{end}_95", Quantity(value, None, "1"))
    return [
        add(f"{prefix}.events", Quantity(found.events, None, "events")),
        add(f"{prefix}.median", quantity(found.median, found.median_error, "1", FEW)),
        add(f"{prefix}.resolution", quantity(found.resolution, found.resolution_error, "1", FEW)),
        interval,
    ]


def _resolution(report: Report, name: str, found: Response | None) -> Quantity:
    value = None if found is None else found.resolution
    return report.results.add(name, quantity(value, None if found is None else found.resolution_error, "1", FEW))


def _values(found: Sequence[Response | None], figure: str) -> Array:
    return np.array([np.nan if one is None else getattr(one, figure) for one in found], np.float64)


def _key(one: MassBin) -> str:
    return f"{one.low:g}_{one.high:g}"


def _picture(report: Report, name: str, figure: object, caption: str) -> Picture:
    return report.keep(figure, name, caption, caption, wide=True)  # type: ignore[arg-type]
