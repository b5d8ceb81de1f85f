"""The sections of the higgs4l report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.results import cutflow_section as cutflows
from analysis.results.document import Cell, Picture, Section, Table, Value, table
from analysis.results.gaussian_fit import PeakFit
from analysis.results.higgs4l_events import SKIMMED, FourLeptonEvents, process_style
from analysis.results.higgs4l_model_plots import (
    comparison_plot,
    importance_plots,
    learning_plots,
    model_mass_plots,
    notebook_plots,
    roc_plot,
    score_plots,
)
from analysis.results.higgs4l_models import Row, classification_rows, comparison_table, quality_tables
from analysis.results.higgs4l_plots import (
    Gallery,
    correlation_plots,
    event_plots,
    mass_plots,
    n_minus_one_plots,
)
from analysis.results.plot_bars import draw_cutflow
from analysis.results.plot_stack import Stack
from analysis.results.quantities import Quantity, Results, total
from analysis.results.run_files import RunDirectory
from analysis.results.statistics import agreement
from analysis.results.training_results import Raw, Training

CAUTION = "One inverse femtobarn holds about one signal event: the fit is an exercise and no measurement of a mass."


def models_section(
    events: FourLeptonEvents,
    training: Training | None,
    rows: list[Row],
    results: Results,
    gallery: Gallery,
    luminosity: str,
) -> Section:
    """The comparison of all models with the cut-based selection, and how good the models are."""
    best = training.best.name if training is not None and training.best is not None else None
    comparison = comparison_table(rows, best, luminosity)
    significance = comparison_plot(rows, gallery)
    if training is None or not training.models:
        text = ("No model was trained; the table holds the selections without a model.",)
        return Section("Significance", text, (significance,), (comparison,))
    mass: list[Picture] = []
    for model, weighted in ((training.best, True), (training.best_without_mass, False)):
        if model is not None and (weighted or model is not training.best):
            mass += model_mass_plots(events, model, gallery, weighted=weighted)
    overtraining, *others = quality_tables(results, training)
    scores = tuple(score_plots(training, gallery))
    parts = (
        Section("The four-lepton mass after the models", pictures=tuple(mass)),
        Section("Scores of training and unseen events", pictures=scores, tables=(overtraining,)),
        Section("Importance of the features", pictures=tuple(importance_plots(training, gallery))),
        Section("Learning curves", pictures=tuple(learning_plots(training, gallery))),
        Section("Confusion matrices, classification reports and thresholds", tables=tuple(others)),
    )
    pictures = (significance, roc_plot(training, gallery))
    return Section("Significance", pictures=pictures, tables=(comparison,), parts=parts)


def selection_section(events: FourLeptonEvents, fit: PeakFit, results: Results, gallery: Gallery) -> Section:
    """Four-lepton mass before and after the selection, yields, agreement with data and the Gaussian fit."""
    pictures, stacks = mass_plots(events, gallery, fit)
    tables = [_yield_table(events, results)]
    text = [f"Mass window: {gallery.window[0]:g} to {gallery.window[1]:g} GeV."]
    if events.names("data"):
        tables.append(_agreement_table(stacks, results))
    sentence, fit_table = _fit_result(fit, results, gallery)
    around = f"{gallery.label.data.lower()} around {gallery.settings.higgs_mass:g} GeV"
    text.append(f"Gaussian fit of the selected {around}: {sentence} {CAUTION}")
    text.append(f"Data events found in two streams and counted once: {results['cross_stream_duplicates'].text}.")
    return Section("Selection and four-lepton mass", tuple(text), tuple(pictures), (*tables, *fit_table))


def _yield_table(events: FourLeptonEvents, results: Results) -> Table:
    header = ("Sample", *(selection.title for selection in events.selections))
    rows: list[list[Cell | Value]] = []
    for name in events.records:
        rows.append([name, *(results[f"yield.{name}.{selection.name}"] for selection in events.selections)])
    for role in ("signal", "background", "data"):
        if events.names(role):
            figures = [results[f"yield.{role}.{selection.name}"] for selection in events.selections]
            rows.append([Cell(f"Total {role}", strong=True), *figures])
    notes = (
        "Simulated samples: expected events ± root of the sum of squared weights; where no simulated event is left "
        "(0 ± 0) the uncertainty of the expectation is not known. Data: observed events, those of two streams once.",
    )
    return table("Yields", header, rows, notes)


def _agreement_table(stacks: dict[str, Stack], results: Results) -> Table:
    rows: list[list[Cell | Value]] = []
    for name, title in (("four_leptons", "Before the selection"), ("selected", "After the selection")):
        stack = stacks[name]
        if stack.data is None:
            continue
        test = agreement(stack.data, stack.expected, stack.variance)
        flags = (test.reason,) if test.reason else ()
        row: list[Cell | Value] = [title]
        row += [results.add(f"agreement.{name}.chi2", Quantity(test.chi2, None, "1", flags))]
        row += [results.add(f"agreement.{name}.ndf", Quantity(test.ndf, None, "1"))]
        row += [results.add(f"agreement.{name}.p_value", Quantity(test.p_value, None, "1", flags))]
        rows.append(row)
    notes = ("Bins are merged until five events are expected in each; the simulated events' uncertainty is included.",)
    return table(
        "Data against expectation in the four-lepton mass", ("Distribution", "χ²", "Bins", "p-value"), rows, notes
    )


def _fit_result(fit: PeakFit, results: Results, gallery: Gallery) -> tuple[str, list[Table]]:
    flags = () if fit.succeeded else (fit.reason,)
    rows: list[list[Cell | Value]] = []
    for key, title, pair, unit in (
        ("events", "Events in the peak", fit.events, "events"),
        ("mean", "Mean [GeV]", fit.mean, "GeV"),
        ("width", "Width [GeV]", fit.width, "GeV"),
    ):
        value, spread = pair if pair is not None else (None, None)
        rows.append([title, results.add(f"gaussian_fit.{key}", Quantity(value, spread, unit, flags))])
    if not fit.succeeded:
        return f"no result, {fit.reason}.", []
    low, high = gallery.settings.fit_range
    notes = (
        f"{fit.observed} events between {low:g} and {high:g} GeV; the expected background is part of the fit, fixed.",
    )
    return "see the table.", [table("Gaussian fit", ("Parameter", "Value"), rows, notes)]


def cutflow_section(run: RunDirectory, events: FourLeptonEvents, results: Results, gallery: Gallery) -> Section:
    """Cutflow tables and plot."""
    cutflow = run.cutflow
    simulated = {name: record for name, record in events.records.items() if record.role != "data"}
    weighted = cutflows.weighted_counts(cutflow, simulated, _spreads(events), results)
    totals = cutflows.process_totals(weighted, events.processes, results)
    cuts = cutflows.cut_names(cutflow)
    data = _data_counts(run, events, results)
    columns = totals | ({gallery.label.data: data} if data else {})
    tables = [
        cutflows.raw_table(cutflow, results),
        cutflows.weighted_table("Cutflow, expected events per sample (cumulative)", weighted),
        cutflows.weighted_table(
            "Cutflow, expected events per process and data (cumulative)", columns,
            ("Data events of two streams count once from four_leptons on.",) if data else (),
        ),
    ]  # fmt: skip
    lines = {process_style(p)[0]: _numbers(counts, cuts) for p, counts in totals.items()}
    colours = {process_style(p)[0]: process_style(p)[1] for p in totals}
    if data:
        lines[gallery.label.data] = _numbers(data, cuts)
    figure = draw_cutflow(cuts, lines, colours, gallery.label.data if data else None, gallery.label)
    caption = "Expected events per process and data after each cut (cumulative, logarithmic)."
    picture = gallery.keep(figure, "cutflow", caption, "Lines: events of each process after each cut.", wide=True)
    return Section("Cutflow", (), (picture,), tuple(tables))


def _numbers(counts: dict[str, Quantity], cuts: list[str]) -> NDArray[np.float64]:
    return np.array([np.nan if (v := counts[cut].value) is None else float(v) for cut in cuts])


def _spreads(events: FourLeptonEvents) -> dict[str, dict[str, float]]:
    """Root of the sum of squared weights per sample after each cut from `four_leptons` on (not scaled)."""
    spreads: dict[str, dict[str, float]] = {}
    for name in events.records:
        weights = events.tables[name]["weight"].astype(np.float64)
        keep = np.ones(len(weights), dtype=bool)
        spreads[name] = {SKIMMED: float(np.sqrt(np.sum(weights**2)))}
        for cut in events.cuts:
            keep &= events.mask(name, (cut,))
            spreads[name][cut] = float(np.sqrt(np.sum(weights[keep] ** 2)))
    return spreads


def _data_counts(run: RunDirectory, events: FourLeptonEvents, results: Results) -> dict[str, Quantity]:
    """Data events after each cut over all streams; from the skim on, events of two streams count once."""
    names = events.names("data")
    if not names:
        return {}
    counts: dict[str, Quantity] = {}
    applied: tuple[str, ...] = ()
    for cut in cutflows.cut_names(run.cutflow):
        if cut == SKIMMED or cut in events.cuts:
            applied += (cut,) if cut in events.cuts else ()
            figure = total(events.expected(name, applied) for name in names)
        else:
            figure = total(_read(run, events, name, cut) for name in names)
        counts[cut] = results.add(f"cutflow.data.{cut}", Quantity(figure.value, None, "events", figure.flags))
    return counts


def _read(run: RunDirectory, events: FourLeptonEvents, name: str, cut: str) -> Quantity:
    if name not in run.cutflow or events.records[name].scale is None:
        return Quantity(None, None, "events", (f"{name}: yield not known",))
    return Quantity(run.cutflow[name][cut].events, None, "events")


def distributions_section(events: FourLeptonEvents, gallery: Gallery) -> Section:
    """N-1 plots, correlations, scatter and box plots."""
    parts = []
    if gallery.settings.n_minus_one:
        pictures = n_minus_one_plots(events, gallery)
        parts.append(Section("Variables with all cuts but their own", pictures=tuple(pictures)))
    parts.append(Section("Correlations of the features", pictures=tuple(correlation_plots(events, gallery))))
    parts.append(Section("Simulated events", pictures=tuple(event_plots(events, gallery))))
    return Section("Distributions", parts=tuple(parts))


def notebook_section(training: Training, results: Results, gallery: Gallery) -> Section:
    """The notebook's network on the mass alone, as it prints it."""
    raw = training.notebook
    if raw is None:
        raise ValueError("the training has no notebook task")
    accuracy = results.add("notebook.accuracy", Quantity(float(raw["accuracy"]), None, "1"))
    matrix = raw["confusion_matrix"]
    labels = matrix["labels"]
    rows: list[list[Cell | Value]] = []
    for true, counts in zip(labels, matrix["raw"], strict=True):
        figures = [
            results.add(f"notebook.confusion_matrix.{true}_called_{called}", Quantity(int(count), None, "events"))
            for called, count in zip(labels, counts, strict=True)
        ]
        rows.append([true, *figures])
    layers = "-".join(str(size) for size in raw["layer_sizes"])
    train, test = raw["events"]["train"], raw["events"]["test"]
    text = (
        f"A multilayer perceptron ({layers}) on the four-lepton mass alone, unweighted, with one random split into "
        f"{train:,d} training and {test:,d} test events, as in the notebook: accuracy {accuracy.text}. Accuracy says "
        "little here: the classes are of very different size, and the mass is the whole of the input.",
    )
    report = classification_rows(results, "notebook", raw["classification_report"]["values"])
    tables = (
        table("Confusion matrix (test events)", ("True class", *(f"called {label}" for label in labels)), rows),
        table("Classification report (test events)", ("Class", "Precision", "Recall", "F1 score", "Events"), report),
        _weights_table(raw, results),
    )
    return Section("The notebook's network", text, tuple(notebook_plots(raw, gallery)), tables)


def _weights_table(raw: Raw, results: Results) -> Table:
    rows: list[list[Cell | Value]] = []
    width = max(len(matrix) for matrix in raw["weights"])
    for layer, (matrix, biases) in enumerate(zip(raw["weights"], raw["biases"], strict=True), start=1):
        for neuron, bias in enumerate(biases):
            row: list[Cell | Value] = [f"Layer {layer}, neuron {neuron + 1}"]
            row.append(results.add(f"notebook.bias.{layer}.{neuron}", Quantity(float(bias), None, "1")))
            for source, weights in enumerate(matrix):
                name = f"notebook.weight.{layer}.{source}.{neuron}"
                row.append(results.add(name, Quantity(float(weights[neuron]), None, "1")))
            rows.append(row + [Cell("–", numeric=True)] * (width + 2 - len(row)))
    header = ("Neuron", "Bias", *(f"Weight of input {source + 1}" for source in range(width)))
    return table("Weights and biases of the network", header, rows)
