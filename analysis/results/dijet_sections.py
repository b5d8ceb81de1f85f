"""Sections of the dijet_anomaly report: the event mass and the samples without signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.results.dijet_checks import history_sections, nothing_section, observables_section, validated
from analysis.results.dijet_figures import (
    PairFigures,
    bin_figures,
    pair_figures,
)
from analysis.results.dijet_plots import (
    PairPoints,
    Spectrum,
    draw_null,
    draw_pairs,
    draw_spectrum,
)
from analysis.results.dijet_report import Report
from analysis.results.dijet_statistics import correlations
from analysis.results.dijet_training import DijetTraining, Ensemble
from analysis.results.document import Cell, Picture, Section, Table, Value, table
from analysis.results.quantities import Quantity
from analysis.results.run_sections import MOST_ROWS, sample_flags
from training.dijet_anomaly import Settings as TrainingSettings

CLASSIFIERS = {"pfn": "particle flow networks", "trees": "gradient-boosted trees on observables of the jets"}
BLANK = Cell("–", numeric=True)
Rows = list[list[Cell | Value]]


def mass_section(report: Report) -> Section:
    """The event mass, the bins, and the cutflow."""
    bins = report.training.settings.bin_edges if report.training is not None else ()
    edges, spectra = _spectra(report)
    figure = draw_spectrum(edges, spectra, bins, report.unit, report.label, logarithmic=report.settings.log_axis)
    caption = "Event mass, with the weights of the sub-datasets; bands: statistical uncertainty of the simulation."
    picture = report.keep(figure, "event_mass", caption, "Histogram of the event mass", wide=True)
    tables = []
    if report.training is not None:
        header = ("Bin", "Events", f"Weighted [{report.unit}]", "Gluon jets", "gg", "qg", "qq")
        notes = (
            "Events that samples are drawn from. Shares: of gluons among the jets and of event types (gg: all jets "
            "from gluons, qq: none), among those whose parton is known, without weights. Uncertainties are binomial: "
            "the jets of an event are taken as independent.",
        )
        tables.append(
            table("Bins of the event mass", header, bin_figures(report.training, report.unit, report.results), notes)
        )
    return Section("Event mass", pictures=(picture,), tables=(*tables, _cutflow(report)))


def _spectra(report: Report) -> tuple[Any, list[Spectrum]]:
    samples = report.run.manifest.samples
    groups: dict[bool, list[Any]] = {}
    edges = None
    for name, named in report.run.histograms.items():
        scale = samples[name].scale if name in samples else None
        if "mjj" not in named or scale is None:
            continue
        histogram = named["mjj"]
        edges = np.asarray(histogram.axes[0].edges, np.float64)
        values, variances = np.asarray(histogram.values()) * scale, np.asarray(histogram.variances()) * scale**2
        groups.setdefault(samples[name].role == "data", []).append((values, variances))
    if edges is None:
        return np.array([0.0, 1.0]), [Spectrum("nothing was processed", np.zeros(1), np.zeros(1))]
    return edges, [
        Spectrum(report.label.data if data else "Simulation", sum(v for v, _ in parts), sum(e for _, e in parts), data)
        for data, parts in sorted(groups.items())
    ]


def _cutflow(report: Report) -> Table:
    cutflow, rows = report.run.cutflow, []
    for cut in next(iter(cutflow.values()), {}):
        row: list[Cell | Value] = [cut]
        for name, counts in cutflow.items():
            row.append(
                report.results.add(f"cutflow.{name}.{cut}.events", Quantity(counts[cut].events, None, "entries"))
            )
            record = report.run.manifest.samples.get(name)
            weighted = Quantity(counts[cut].weighted, None, report.unit, sample_flags(name, record) if record else ())
            scaled = weighted.times(record.scale if record else None)
            row.append(report.results.add(f"cutflow.{name}.{cut}.weighted", scaled))
        rows.append(row)
    header = ["Cut", *(text for name in cutflow for text in (name, f"{name} [{report.unit}]"))]
    notes = ("Cumulative. Up to the selection jets are counted, from `events` on events.",)
    return table("Cutflow", header, rows, notes)


def null_section(report: Report, training: DijetTraining) -> Section:
    """Samples without signal: AUC of the pairs, their distributions, who was left out, correlations."""
    figures = {
        size: [pair_figures(training, one, pair, report.results) for pair in range(training.settings.pairs)]
        for size, one in training.null.items()
    }
    parts = [Section("Distributions", pictures=(_null_picture(report, training),))]
    parts.append(observables_section(training, report.results))
    parts.append(nothing_section(training, report.results))
    parts += history_sections(training, report.results)
    tables = tuple(_correlation_table(report, training, one) for one in training.null.values())
    parts.append(Section("Correlations of the pairs", text=(CORRELATED,), tables=tables))
    parts.append(
        Section(
            "AUC of every sample", tables=tuple(_auc_table(report, training, one) for one in training.null.values())
        )
    )
    return Section(
        "Samples without signal",
        text=(*_how_drawn(training), *_overlap(report, training)),
        pictures=(_pairs_picture(report, training, figures),),
        tables=(_pair_table(training, figures), _left_out_table(report, training)),
        parts=tuple(parts),
    )


CORRELATED = "Neighbouring pairs share a bin: their AUC fluctuate together, and the global p-values below keep that."


def _how_drawn(training: DijetTraining) -> list[str]:
    one = training.settings
    how = "each event was equally likely" if one.draw == "uniform" else "events were drawn by their weights"
    part = "" if one.fraction == 1 else f" (a share of {one.fraction:g} of the data set)"
    lines = [
        f"{one.samples} samples of each size were drawn without replacement from {training.pool['events']:,d} "
        f"events{part}; {how}. For each pair of neighbouring bins {CLASSIFIERS[one.classifier]} learn from "
        f"{one.train_jets:,d} jets, as many of each bin as chance gives; the AUC is that of {one.test_jets:,d} "
        "others. All jets of an event are in the same subset.",
    ]
    if one.classifier == "pfn":
        lines[0] += f" {_validation(one, validated=validated(training))}"
    if one.draw == "weights":
        lines.append(
            "Without replacement, heavy events run out: a sample's composition is between that of the weights and that "
            "of the pool."
        )
    return lines


def _validation(settings: TrainingSettings, *, validated: bool) -> str:
    """What became of the jets that are left."""
    if not validated:
        return "The rest is not used."
    most, network = settings.most_validation_jets, settings.network
    jets = "The rest validates" if most is None else f"At most {most:,d} of the rest validate"
    every = network.schedule().evaluate_every or network.epochs
    when = "the last epoch" if every >= network.epochs else f"every {every} epochs and the last"
    use = "" if network.patience is None else ", and each network is that of its smallest validation loss"
    return f"{jets} after {'every epoch' if every == 1 else when}{use}."


def _overlap(report: Report, training: DijetTraining) -> list[str]:
    if training.settings.disjoint:
        return ["The samples of one size are disjoint."]
    shares = []
    for size, one in training.null.items():
        quantity = report.results.add(f"null.{size}.shared_fraction", Quantity(one.shared, None, "1"))
        if quantity.value is not None:
            shares.append(f"{100 * quantity.value:.3g} % at {size:,d} events")
    if not shares:
        return []
    return [
        f"Two samples of one pool share events: on average {', '.join(shares)}. That makes the AUC of different "
        "samples alike: the standard deviation among them is smaller than among samples of new events, by at most "
        "√(1 − r) with the shared part r, and the error of the mean s/√n is that for this pool alone; for a new "
        "pool it is at most s √(1/n + r/(1 − r)). Both bounds are in the table, with r as counted in the bins of "
        "each pair."
    ]


def _pair_table(training: DijetTraining, figures: dict[int, list[PairFigures]]) -> Table:
    rows: Rows = []
    for size, of_size in figures.items():
        for pair, one in enumerate(of_size):
            entered = f"{one.entered.value:g} of {training.null[size].samples}"
            rows.append(
                [
                    f"{size:,d}", training.pair_title(pair), Cell(entered, numeric=True), one.mean, one.deviation,
                    one.test_error, one.independent_deviation, one.mean_error_of_pools, one.composition, one.tagger,
                ]
            )  # fmt: skip
    header = (
        "Events", "Bins [GeV]", "Samples", "Mean AUC", "Std. deviation", "From test jets", "Deviation, new events (≤)",
        "Error of mean, new pool (≤)", "Composition, this score", "Composition, quark/gluon",
    )  # fmt: skip
    notes = (
        "Mean AUC ± standard error s/√n; standard deviation ± s/√(2(n − 1)). From test jets: what an AUC of "
        "independent test jets alone fluctuates by (Hanley and McNeil).",
        "Composition: ½ + (f_upper − f_lower)(A − ½) with the shares f of gluon jets in the samples: the AUC of "
        "bins that differ in nothing but their shares of quarks and gluons. A is the AUC of gluons against quarks, "
        "in the first column that of the classifier's own score on its test jets, in the second that of a "
        "classifier trained for it with as many jets, and with |f_upper − f_lower|: what composition alone could "
        "give to a classifier that knew it.",
    )
    return table("AUC without signal", header, rows, notes)


def _left_out_table(report: Report, training: DijetTraining) -> Table:
    rows: Rows = []
    for size, one in training.null.items():
        for pair, lacks in sorted(one.left_out.items()):
            count = sum(len(found) for found in lacks.values())
            name = f"null.{size}.{training.pair_key(pair)}.left_out"
            report.results.add(name, Quantity(count, None, "samples"))
            for (of, needed), found in lacks.items():
                span = f"{min(found):,d}" if min(found) == max(found) else f"{min(found):,d} to {max(found):,d}"
                rows.append(
                    [f"{size:,d}", training.pair_title(pair), len(found), f"fewer than {needed:,d} {of} ({span})"]
                )
    if not rows:
        rows = [["–", "–", 0, "every sample entered every pair"]]
    return table("Samples that were left out", ("Events", "Bins [GeV]", "Samples", "Why"), rows)


def _correlation_table(report: Report, training: DijetTraining, one: Ensemble) -> Table:
    matrix, errors, complete = correlations(one.auc)
    titles = [training.pair_title(pair) for pair in range(training.settings.pairs)]
    rows: Rows = []
    for i, title in enumerate(titles):
        row: list[Cell | Value] = [title]
        for j in range(len(titles)):
            if j >= i:
                row.append(Cell("1", numeric=True) if i == j else BLANK)
                continue
            known = np.isfinite(matrix[i, j])
            quantity = Quantity(
                float(matrix[i, j]) if known else None, float(errors[i, j]) if known else None, "1",
                () if known else ("too few complete samples",),
            )  # fmt: skip
            name = f"null.{one.size}.correlation.{training.pair_key(j)}.{training.pair_key(i)}"
            row.append(report.results.add(name, quantity))
        rows.append(row)
    caption = f"Correlation of the AUC, {one.size:,d} events ({complete} samples with every pair)"
    return table(caption, ("Bins [GeV]", *titles), rows)


def _auc_table(report: Report, training: DijetTraining, one: Ensemble) -> Table:
    rows: Rows = []
    for sample in range(one.samples):
        row: list[Cell | Value] = [str(sample + 1)]
        for pair in range(training.settings.pairs):
            auc, error = float(one.auc[sample, pair]), float(one.auc_error[sample, pair])
            if not np.isfinite(auc):
                row.append(BLANK)
                continue
            name = f"null.{one.size}.{training.pair_key(pair)}.auc.sample{sample + 1}"
            row.append(report.results.add(name, Quantity(auc, error, "1")))
        rows.append(row)
    notes = ["Uncertainty: from the test jets (Hanley and McNeil)."]
    if len(rows) > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of {len(rows)}; all of them are in results.json.")
    header = ("Sample", *(training.pair_title(pair) for pair in range(training.settings.pairs)))
    return table(f"AUC of every sample of {one.size:,d} events", header, rows[:MOST_ROWS], notes)


def _pairs_picture(report: Report, training: DijetTraining, figures: dict[int, list[PairFigures]]) -> Picture:
    groups = [
        PairPoints(
            f"{size:,d} events",
            _values([one.mean for one in of_size]),
            _errors([one.mean for one in of_size]),
            _values([one.deviation for one in of_size], missing=0.0),
            _values([one.composition for one in of_size]),
            _errors([one.composition for one in of_size]),
        )
        for size, of_size in figures.items()
    ]
    caption = (
        "Mean AUC without signal. Thick bars: standard error for this pool; thin bars: standard deviation of the "
        "samples. Diamonds: what the shares of quarks and gluons alone predict for this score."
    )
    figure = draw_pairs(_stacked_titles(training), groups, report.label)
    return report.keep(figure, "auc_pairs", caption, "AUC of each pair of bins and sample size", wide=True)


def _null_picture(report: Report, training: DijetTraining) -> Picture:
    groups = {f"{size:,d} events": one.auc for size, one in training.null.items()}
    titles = [training.pair_title(pair) for pair in range(training.settings.pairs)]
    figure = draw_null(titles, groups, report.label)
    caption = "AUC of the samples without signal, for each pair of bins."
    return report.keep(figure, "null_distributions", caption, "Histograms of the AUC of each pair", wide=True)


def _stacked_titles(training: DijetTraining) -> list[str]:
    return [training.pair_title(pair).replace(" | ", "\n") for pair in range(training.settings.pairs)]


def _values(quantities: Sequence[Quantity], missing: float = float("nan")) -> Any:
    return np.array([missing if one.value is None else one.value for one in quantities], np.float64)


def _errors(quantities: Sequence[Quantity]) -> Any:
    return np.array([0.0 if one.uncertainty is None else one.uncertainty for one in quantities], np.float64)
