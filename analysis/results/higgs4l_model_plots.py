"""Plots of the higgs4l classifiers: comparison, ROC, scores, importances, learning curves, the mass after a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.results.data_overlap import cross_stream_overlap
from analysis.results.document import Picture
from analysis.results.higgs4l_events import FourLeptonEvents, process_style
from analysis.results.higgs4l_models import Row
from analysis.results.higgs4l_plots import FEATURE_TITLES, Gallery, stack_style
from analysis.results.plot_bars import draw_comparison, draw_confusion, draw_importances
from analysis.results.plot_curves import Roc, ScoreSample, draw_learning, draw_roc, draw_scores
from analysis.results.plot_stack import Component, Stack, draw_stack, fill
from analysis.results.run_files import ModelFiles
from analysis.results.tables import EventTable
from analysis.results.training_results import Raw, Training, model_title

Array = NDArray[np.float64]

SIGNAL_COLOUR, BACKGROUND_COLOUR = "#0072b2", "#d55e00"


def comparison_plot(rows: Sequence[Row], gallery: Gallery) -> Picture:
    """Asimov significance, its ratio to the cut-based one where known, and S/sqrt(B) of every selection."""
    panels = [
        ("Asimov significance", [row.asimov for row in rows]),
        (r"$S$/√$B$", [row.s_over_sqrt_b for row in rows]),
    ]
    figure = draw_comparison([row.title for row in rows], panels, gallery.label, reference=rows[1].title)
    caption = (
        "Significance of every model at its thresholds beside no cuts and the cut-based selection (square and dashed "
        "line), with statistical uncertainties of the simulated events."
    )
    return gallery.keep(figure, "significance", caption, "Points with error bars: significance per model.", wide=True)


def roc_plot(training: Training, gallery: Gallery) -> Picture:
    """ROC curves of all models on events they did not see."""
    curves: list[Roc] = []
    for model in training.models:
        roc = model.result["roc"]
        title = f"{model_title(model.name)} (AUC {model.result['auc']['value']:.3f})"
        curves.append(Roc(title, np.asarray(roc["signal_efficiency"]), np.asarray(roc["background_efficiency"])))
    caption = (
        "Background rejection against signal efficiency of every model, weighted, on events the model did not see."
    )
    return gallery.keep(draw_roc(curves, gallery.label), "roc", caption, "ROC curves of all models.", wide=True)


def score_plots(training: Training, gallery: Gallery) -> list[Picture]:
    """Score distributions with training and unseen events on top of each other, one plot per model."""
    pictures = []
    for model in training.models:
        raw = model.result["scores"]
        samples = [
            ScoreSample(title, colour, _histogram(raw[title]["train"]), _histogram(raw[title]["test"]))
            for title, colour in (("background", BACKGROUND_COLOUR), ("signal", SIGNAL_COLOUR))
        ]
        data = raw.get("data")
        counts = None if data is None else np.asarray(data["values"], dtype=np.float64)
        title = model_title(model.name)
        figure = draw_scores(np.asarray(raw["edges"]), samples, counts, "Score", gallery.label, title)
        caption = (
            f"Score of {title}: unseen events (filled) and training events (open symbols), normalised to one; "
            "a difference between the two is overtraining."
        )
        pictures.append(gallery.keep(figure, f"scores_{model.name}", caption, f"Score distributions of {title}."))
    return pictures


def _histogram(raw: Raw) -> tuple[Array, Array]:
    return np.asarray(raw["values"], dtype=np.float64), np.asarray(raw["variances"], dtype=np.float64)


def importance_plots(training: Training, gallery: Gallery) -> list[Picture]:
    """Loss of AUC when a feature is shuffled, for every model of more than one feature."""
    pictures = []
    for model in training.models:
        entries: list[Raw] = (model.result.get("importance") or {}).get("permutation") or []
        if len(entries) < 2:
            continue
        names = [str(entry["feature"]) for entry in entries]
        bars = [
            (FEATURE_TITLES.get(name, name), float(entry["value"]), entry.get("uncertainty"))
            for name, entry in zip(names, entries, strict=True)
        ]
        title = model_title(model.name)
        figure = draw_importances(bars, "Loss of AUC when the feature is shuffled", gallery.label, title)
        caption = f"Permutation importance of the features of {title}, on events the model did not see."
        alt = f"Bars: importance per feature of {title}; the largest is {names[0]}."
        pictures.append(gallery.keep(figure, f"importance_{model.name}", caption, alt))
    return pictures


def learning_plots(training: Training, gallery: Gallery) -> list[Picture]:
    """Loss and accuracy against the epoch for every model that is trained in epochs."""
    pictures = []
    for model in training.models:
        folds, title = model.result.get("curves"), model_title(model.name)
        if not folds:
            continue
        figure = draw_learning(folds, gallery.label, title)
        quantities = "Loss and accuracy" if any(fold.get("accuracy") for fold in folds) else "Loss"
        caption = f"{quantities} of {title} against the epoch, one line per fold."
        pictures.append(gallery.keep(figure, f"learning_{model.name}", caption, f"Learning curves of {title}."))
    return pictures


def notebook_plots(notebook: Raw, gallery: Gallery) -> list[Picture]:
    """Confusion matrix and loss curve of the notebook's network."""
    pictures = [confusion_plot(notebook, gallery)]
    if notebook.get("loss_curve"):
        figure = draw_learning([{"loss": notebook["loss_curve"]}], gallery.label, "notebook")
        caption = "Loss of the notebook's network on its training events against the epoch."
        pictures.append(gallery.keep(figure, "notebook_loss", caption, "Loss against the epoch."))
    return pictures


def confusion_plot(notebook: Raw, gallery: Gallery) -> Picture:
    """The notebook's confusion matrix."""
    raw = notebook["confusion_matrix"]
    matrix = np.asarray(raw["raw"], dtype=np.float64)
    figure = draw_confusion(matrix, raw["labels"], gallery.label, "test events")
    caption = "Confusion matrix of the notebook's network on its test events (unweighted)."
    return gallery.keep(
        figure, "notebook_confusion", caption, "Confusion matrix: true class in rows, predicted in columns."
    )


def model_mass_plots(events: FourLeptonEvents, model: ModelFiles, gallery: Gallery, *, weighted: bool) -> list[Picture]:
    """Four-lepton mass of the events a model selects and, with `weighted`, of all events weighted with their score."""
    scores = model.scores
    if scores is None:
        return []
    title, edges, data = model_title(model.name), gallery.m4l_edges, gallery.label.data
    style = stack_style(events, gallery, title)
    hint = " The model uses the mass, so that its selection shapes the background." if model.result["uses_mass"] else ""
    selected = score_stack(events, scores.where(scores["selected"].astype(bool)), edges, by_score=False)
    caption = (
        f"Four-lepton mass of the events that {title} selects in the outer folds: {data.lower()} and stacked "
        f"expectation.{hint}"
    )
    figure = draw_stack(selected, gallery.label, style)
    pictures = [gallery.keep(figure, f"m4l_{model.name}", caption, f"Stacked four-lepton mass after {title}.")]
    if weighted:
        style = replace(style, y_title=f"Score-weighted {style.y_title[0].lower()}{style.y_title[1:]}")
        figure = draw_stack(score_stack(events, scores, edges, by_score=True), gallery.label, style)
        caption = (
            f"Four-lepton mass of all classified events, each weighted with its score by {title}; error bars of the "
            f"{data.lower()} are roots of the sum of squared scores.{hint}"
        )
        alt = f"Stacked four-lepton mass weighted with the score of {title}."
        pictures.append(gallery.keep(figure, f"m4l_score_weighted_{model.name}", caption, alt))
    return pictures


def score_stack(events: FourLeptonEvents, scores: EventTable, edges: Array, *, by_score: bool) -> Stack:
    """Four-lepton mass from a table of scores; data events of two streams count once."""

    def part(sample: str) -> EventTable:
        return scores.where(scores["sample"] == sample)

    def filled(parts: Sequence[EventTable]) -> tuple[Array, Array]:
        weights = [p["weight"] * p["score"] if by_score else p["weight"] for p in parts]
        return fill([p["m4l"] for p in parts], weights, edges)

    components = tuple(
        Component(*process_style(process), *filled([part(sample) for sample in samples]))
        for process, samples in events.processes.items()
    )
    if not events.names("data"):
        return Stack(edges, components, None)
    streams = {name: part(name) for name in events.names("data")}
    overlap = cross_stream_overlap(streams)
    values, variances = filled([streams[name].where(keep) for name, keep in overlap.keep.items()])
    return Stack(edges, components, values, variances if by_score else None)
