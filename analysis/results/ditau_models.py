"""Sections of the ditau_mass report on all models: their ranks, trainings, importances, and how to cite them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.results.ditau_figures import ModelFigures, Report, model_figures, quantity
from analysis.results.ditau_sections import FEW
from analysis.results.ditau_statistics import RANGES
from analysis.results.ditau_training import SIMPLE, DitauTraining, TrainedModel
from analysis.results.document import Cell, Section, Table, Value, table
from analysis.results.plot_bars import draw_importances
from analysis.results.plot_curves import draw_learning
from analysis.results.quantities import Quantity

Rows = list[list[Cell | Value]]
CITATION = (
    "Networks of this kind, their loss and their inputs are those of L. Torterotot, DL_for_HTT_mass "
    "(https://github.com/lucastorterotot/DL_for_HTT_mass) and DiTau_ML_mass "
    "(https://github.com/lucastorterotot/DiTau_ML_mass). Whoever uses its published models cites what its "
    "DiTau_ML_mass.bib lists; whoever uses a model of this run cites these and hepbatch (CITATION.cff)."
)
SHIFT = (
    "Shift: m_ML with the inputs of the published convention (jet list and azimuths as in the program that trained the "
    "published models) over m_ML with the usual ones, less 1: median, and half the central 68%."
)


def models_section(report: Report, training: DitauTraining) -> Section:
    """All models side by side, a table for each group of channels, with the training of each."""
    groups = list(dict.fromkeys(str(model.result["group"]) for model in training.models))
    tables = [_ranking(report, training.of_group(group), group) for group in groups]
    return Section(
        "Models",
        text=(
            "Bias is the median of the ratio of prediction and generated mass, less 1; the width is half its central "
            "68%. Models are ranked by the mean over the ranges of abs(bias) + width.",
            CITATION,
        ),
        tables=(*tables, _trainings(report, training)),
        parts=tuple(_model_part(report, model) for model in training.models),
    )


def correlation_table(report: Report, model: TrainedModel) -> Table:
    """Rank correlation with the generated mass, of the model and of simple estimators."""
    rows: Rows = []
    usable = np.isfinite(model.mass("collinear_mass"))
    for name, shown in {"ml_mass": "m_ML", **SIMPLE}.items():
        found = model_figures(report, model, name)
        key = f"correlation.{model.name}.{name}"
        share = float(usable.mean()) if name == "collinear_mass" else 1.0
        rows.append(
            [
                shown,
                report.results.add(key, quantity(found.rank_correlation, None, "1", FEW)),
                report.results.add(f"{key}.share", Quantity(share, None, "1")),
            ]
        )
    header = ("Estimator", "Rank correlation with the generated mass", "Share of the events")
    return table(f"Rank correlation, {model.name}", header, rows)


def _ranking(report: Report, models: Sequence[TrainedModel], group: str) -> Table:
    found = [model_figures(report, model) for model in models]
    found.sort(key=lambda one: (one.score is None, one.score, one.model.name))
    rows: Rows = []
    for one in found:
        rows.append([one.model.name, *_range_cells(report, one)])
    header = ["Model"]
    for low, high in RANGES:
        header += [f"Bias, {low:g}–{high:g} GeV", f"Width, {low:g}–{high:g} GeV"]
    header += ["Ranked by", "Rank correlation"]
    return table(f"Models of the group {group}, the best first", header, rows)


def _range_cells(report: Report, one: ModelFigures) -> list[Cell | Value]:
    cells: list[Cell | Value] = []
    for (low, high), found in zip(RANGES, one.ranges, strict=True):
        prefix = f"model.{one.model.name}.{low:g}_{high:g}"
        bias = None if found is None else found.median - 1
        width = None if found is None else found.resolution * found.median
        error = None if found is None else found.resolution_error * found.median
        bias_error = None if found is None else found.median_error
        cells.append(report.results.add(f"{prefix}.bias", quantity(bias, bias_error, "1", FEW)))
        cells.append(report.results.add(f"{prefix}.width", quantity(width, error, "1", FEW)))
    name = f"model.{one.model.name}"
    cells.append(report.results.add(f"{name}.score", quantity(one.score, None, "1", FEW)))
    cells.append(report.results.add(f"{name}.rank_correlation", quantity(one.rank_correlation, None, "1", FEW)))
    return cells


def _trainings(report: Report, training: DitauTraining) -> Table:
    rows: Rows = []
    for model in training.models:
        result, name = model.result, f"training.{model.name}"
        events = result["events"]
        median, width = _shift(model)
        add = report.results.add
        rows.append(
            [
                model.name,
                "network" if model.is_network else "boosted trees",
                *(add(f"{name}.{part}_events", Quantity(events[part], None, "events")) for part in events),
                add(f"{name}.epochs", Quantity(result["epochs"], None, "epochs")),
                add(f"{name}.best_epoch", Quantity(result["best_epoch"], None, "epochs")),
                add(f"{name}.test_mae", Quantity(result["test_mae"], None, "GeV")),
                add(f"{name}.above_range", Quantity(result["above_range"], None, "1")),
                add(f"{name}.seconds", Quantity(result["training_seconds"], None, "s")),
                add(f"{name}.published_shift", quantity(median, None, "1", "the skim lacks the published convention")),
                add(f"{name}.published_spread", quantity(width, None, "1", "the skim lacks the published convention")),
            ]
        )
    header = (
        "Model", "Kind", "Trained on", "Validated on", "Tested on", "Epochs or trees", "Best", "Test MAE [GeV]",
        "Above the loss' range", "Seconds", "Shift", "Its spread",
    )  # fmt: skip
    notes = (
        "Above the loss' range: the share of predictions above (highest mass + generated mass) / 2, where the loss "
        "mapesqrt_b has no gradient.",
        SHIFT,
        *_used(training),
    )
    return table("Trainings", header, rows, notes)


def _used(training: DitauTraining) -> tuple[str, ...]:
    """Which samples and which convention of the inputs the models are from."""
    samples = sorted({name for model in training.models for name in model.result["samples"]})
    found = [f"Trained, validated and tested on the signal samples only: {', '.join(samples)}."]
    published = [model.name for model in training.models if model.result["convention"] == "published"]
    if published:
        found.append(
            f"With inputs of the published convention, here and in all figures of m_ML: {', '.join(published)}."
        )
    return tuple(found)


def _shift(model: TrainedModel) -> tuple[float | None, float | None]:
    if "ml_mass_published" not in model.test or not len(model.test):
        return None, None
    # A model that was trained with the published inputs has the usual ones apart.
    usual = "ml_mass_corrected" if "ml_mass_corrected" in model.test else "ml_mass"
    ratio = model.mass("ml_mass_published") / model.mass(usual) - 1
    low, median, high = np.quantile(ratio, (0.16, 0.5, 0.84))
    return float(median), float((high - low) / 2)


def _model_part(report: Report, model: TrainedModel) -> Section:
    history = model.result["history"]
    what = "epoch" if model.is_network else "tree"
    learning = report.keep(
        draw_learning([{"loss": history["loss"], "validation_loss": history["val_loss"]}], report.label, model.name),
        f"loss_{model.name}",
        f"Loss after each {what}.",
        f"Loss of {model.name}",
    )
    entries = sorted(
        ((name, one["value"], one["uncertainty"]) for name, one in model.result["importance"].items()),
        key=lambda entry: -entry[1],
    )
    for name, value, error in entries:
        report.results.add(f"importance.{model.name}.{name}", Quantity(value, error, "1"))
    shown = entries[: report.settings.importances]
    figure = draw_importances(shown, "Growth of the mean relative error", report.label, model.name)
    importances = report.keep(
        figure,
        f"importance_{model.name}",
        "Growth of the mean of |m_ML / m − 1| on test events when an input is permuted among them.",
        f"Importances of the inputs of {model.name}",
    )
    return Section(model.name.replace("_", " "), pictures=(learning, importances))
