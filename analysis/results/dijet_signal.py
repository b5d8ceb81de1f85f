"""Section of the dijet_anomaly report on injected signal."""

from __future__ import annotations

import numpy as np

from analysis.results.dijet_figures import (
    NOT_SHARED,
    PValue,
    crossing_figures,
    events_text,
    interval_text,
    number,
    p_values,
    pair_figures,
    power_figures,
)
from analysis.results.dijet_plots import PowerCurve, draw_power
from analysis.results.dijet_report import Report
from analysis.results.dijet_statistics import Power
from analysis.results.dijet_training import DijetTraining
from analysis.results.document import Cell, Picture, Section, Table, Value, table
from analysis.results.quantities import MISSING, Quantity, format_number

Rows = list[list[Cell | Value]]


def signal_section(report: Report, training: DijetTraining) -> Section:
    """Injected signal: AUC and significance, signal events at three and five sigma, p-values."""
    injection = training.settings.injection
    assert injection is not None  # noqa: S101  (the caller asks only where there is one)
    replicas = report.settings.bootstrap
    powers = {
        (size, pair): power_figures(training, size, pair, replicas, report.generator(1, size, pair), report.results)
        for size in training.signal
        for pair in training.settings.touched_pairs
    }
    low, high = training.settings.bin_edges[injection.bin - 1 : injection.bin + 1]
    verb = "are added to the events of" if injection.mode == "add" else "replace as many events of"
    text = (
        f"Events whose jets all stem from gluons {verb} bin {injection.bin} ({low:g}–{high:g} GeV). They come from the "
        "pool's events in that bin that are not in the sample, and a larger signal contains the smaller ones.",
        "Significance: (mean AUC with signal − mean AUC without) / standard deviation without. It is that of one "
        "sample in one pair; errors and intervals are bootstraps over the samples, which keep together what the "
        "samples with and without signal share.",
        *_overlap(report, training),
    )
    return Section(
        "Injected signal",
        text=text,
        pictures=(_power_picture(report, training, powers),),
        tables=(_crossing_table(report, training, powers), _signal_table(report, training)),
        parts=(_look_elsewhere(report, training),),
    )


def _overlap(report: Report, training: DijetTraining) -> list[str]:
    """How many injected events the samples have in common, and what the errors leave out."""
    shares = []
    for size, of_size in training.signal.items():
        for signal, one in of_size.items():
            name = f"signal.{size}.{signal}.injected.shared_fraction"
            quantity = report.results.add(name, number(one.shared_signal, None, NOT_SHARED))
            if quantity.value is not None:
                shares.append(f"{100 * quantity.value:.3g} % of {signal:,d} events in samples of {size:,d}")
    if not shares:
        return []
    return [
        "The pool has few such events, so two samples have many of those injected in common: on average "
        f"{', '.join(shares)}. Errors and intervals are those for this pool; with a new one the mean AUC with signal "
        "varies by up to the last column of the table."
    ]


def _power_picture(report: Report, training: DijetTraining, powers: dict[tuple[int, int], Power]) -> Picture:
    panels = {
        f"{size:,d} events in a sample": [
            PowerCurve(
                f"{training.pair_title(pair)} GeV",
                np.array(one.sizes, np.float64),
                one.values,
                np.nan_to_num(one.errors),
            )
            for (of_size, pair), one in powers.items()
            if of_size == size
        ]
        for size in training.signal
    }
    injection = training.settings.injection
    assert injection is not None  # noqa: S101
    verb = "added to" if injection.mode == "add" else "replacing events of"
    figure = draw_power(panels, report.settings.levels, report.label, f"gluon events {verb} bin {injection.bin}")
    caption = "Significance against the number of injected events, in the pairs that touch the bin; errors: bootstrap."
    return report.keep(figure, "significance", caption, "Significance against signal events", wide=True)


def _crossing_table(report: Report, training: DijetTraining, powers: dict[tuple[int, int], Power]) -> Table:
    rows: Rows = []
    for (size, pair), found in powers.items():
        row: list[Cell | Value] = [f"{size:,d}", training.pair_title(pair)]
        for level in report.settings.levels:
            value, low, high = crossing_figures(training, size, pair, found, level, report.results)
            flags = value.flags if events_text(value) == MISSING else ()
            row += [Cell(events_text(value), True, flags), Cell(interval_text(low, high), True)]
        rows.append(row)
    header = ["Events", "Bins [GeV]"]
    for level in report.settings.levels:
        header += [f"Signal at {level:g}σ", "68 % interval"]
    notes = ("Linear between the signal sizes, and from 0 without signal. Interval: bootstrap over the samples.",)
    return table("Injected events at a significance", header, rows, notes)


def _p_cell(p: PValue) -> Cell:
    """Two significant digits; the ends of the interval where there are some."""

    def text(quantity: Quantity) -> str:
        return format_number(quantity.value, digits=2)

    interval = f" ({text(p.low)} to {text(p.high)})" if p.low.value is not None else ""
    return Cell(f"{text(p.value)}{interval}", True, p.value.flags)


def _signal_table(report: Report, training: DijetTraining) -> Table:
    rows: Rows = []
    for size, of_size in training.signal.items():
        for signal, ensemble in of_size.items():
            for pair in training.settings.touched_pairs:
                one = pair_figures(training, ensemble, pair, report.results)
                prefix = f"signal.{size}.{signal}.{training.pair_key(pair)}"
                rows.append(
                    [
                        f"{size:,d}", training.pair_title(pair), signal, one.entered, one.mean, one.deviation,
                        report.results[f"{prefix}.significance"], report.results[f"{prefix}.significance_independent"],
                        one.composition, one.mean_error_of_pools,
                    ]
                )  # fmt: skip
    header = (
        "Events", "Bins [GeV]", "Signal", "Samples", "Mean AUC", "Std. deviation", "Significance",
        "With new events (≥)", "Composition, this score", "Error of mean, new pool (≤)",
    )  # fmt: skip
    notes = (
        "With new events: the significance over the largest standard deviation of samples without signal that share no "
        "events. Error of mean, new pool: s √(1/n + r/(1 − r)) with the deviation s and the largest share r that two "
        "samples have in common, of the events of a bin or of the injected ones.",
    )
    return table("AUC and significance with signal", header, rows, notes)


def _look_elsewhere(report: Report, training: DijetTraining) -> Section:
    rows: Rows = []
    touched = training.settings.touched_pairs
    for size, of_size in training.signal.items():
        for signal in of_size:
            rng = report.generator(2, size, signal)
            one = p_values(training, size, signal, report.settings.bootstrap, rng, report.results)
            row: list[Cell | Value] = [f"{size:,d}", signal]
            for pair in touched:
                row += [_p_cell(one.empirical[pair]), _p_cell(one.student[pair])]
            rows.append([*row, _p_cell(one.overall), _p_cell(one.bound)])
    titles = [training.pair_title(pair) for pair in touched]
    header = ["Events", "Signal"]
    for title in titles:
        header += [f"{title}: counted", f"{title}: extrapolated"]
    pairs = training.settings.pairs
    text = (
        f"A search looks at {pairs} pairs at once, so the largest of {pairs} fluctuations counts. Global: for each "
        f"sample with signal, how often the largest standardised AUC among all {pairs} pairs is as large in samples "
        "without signal, with the correlations of the pairs as they are in the samples. A sample is compared with "
        "n = S − 1 of the S samples without signal, all but its own: counted p-values cannot be smaller than "
        "1/(n + 1) = 1/S.",
        "Beyond that there is only the extrapolation by a Gaussian: Student's t with n − 1 degrees of freedom and the "
        "factor √(1 + 1/n), since mean and deviation are estimated from n samples; the global bound is the smallest of "
        f"these times the {pairs} pairs (Bonferroni). It holds as far as the AUC are Gaussian, which n samples do not "
        "show that far out. Sample sizes and signal sizes are not counted as places looked at.",
    )
    notes = (
        "Medians over the samples with signal, each compared with the other samples' AUC without signal; "
        "in brackets the 68 % interval of the median (bootstrap over the samples, with and without signal together).",
    )
    caption = "p-values of one sample with signal"
    header += ["Global: counted", "Global bound: extrapolated"]
    return Section("Look-elsewhere effect", text=text, tables=(table(caption, header, rows, notes),))
