"""Figures, tables and plots of the higgs4l classifiers beside the cut-based selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.results.document import Cell, Table, Value, table
from analysis.results.higgs4l_events import FourLeptonEvents
from analysis.results.quantities import Quantity, Results, merge_flags
from analysis.results.run_sections import sample_flags
from analysis.results.training_results import Raw, Training, model_title, quantity

BASELINES = ("no_cuts", "cut_based")
TITLES = {"no_cuts": "No cuts", "cut_based": "Cut-based"}


@dataclass(frozen=True)
class Row:
    """A line of the comparison: a selection or a model with its yields at the threshold."""

    name: str
    title: str
    signal: Quantity
    background: Quantity
    effective: Quantity
    data: Quantity
    s_over_sqrt_b: Quantity
    asimov: Quantity
    ratio: Quantity | None
    auc: Quantity | None


def unknown_samples(events: FourLeptonEvents, role: str, included: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Why the total of a role is not known: samples of unknown scale and those that are not in `included`."""
    reasons: list[str] = []
    for name in events.names(role):
        record = events.records[name]
        if record.scale is None:
            reasons += sample_flags(name, record)
        elif included is not None and name not in included:
            reasons.append(f"{name} is not part of the training")
    return tuple(reasons)


def comparison(events: FourLeptonEvents, results: Results, training: Training | None) -> list[Row]:
    """No cuts, the cut-based selection and every model; all figures are added to the results.

    Before a training the two selections come from the skim, with uncertainties by error propagation.
    """
    baselines = training.baselines if training is not None else None
    if baselines is None:
        rows = [_skim_row(results, name) for name in BASELINES]
    else:
        rows = []
        for name in BASELINES:
            ratio = (baselines.get("ratio") or {}).get("cut_based") if name == "cut_based" else None
            rows.append(_row(events, results, name, TITLES[name], baselines[name], {"no_cuts": ratio}, None))
    for model in training.models if training is not None else ():
        raw = model.result
        rows.append(_row(events, results, model.name, model_title(model.name), raw["yields"], raw["ratio"], raw["auc"]))
    return rows


def _row(
    events: FourLeptonEvents, results: Results, name: str, title: str, yields: Raw, ratios: Raw, auc: Raw | None
) -> Row:
    included = yields.get("samples")
    unknown = {role: unknown_samples(events, role, included) for role in ("signal", "background")}
    # Cut-based yields are in the results already, from the skim; `stale_training` compares the two.
    scaled = [sample_flags(n, r) for n, r in events.records.items() if r.role != "data"]
    flags = merge_flags(yields.get("flags", ()), *scaled)
    both = merge_flags(unknown["signal"], unknown["background"])
    parts = {role: quantity(yields[role], "events", flags, unknown[role]) for role in unknown}
    if name not in BASELINES:
        for role, part in parts.items():
            results.add(f"yield.{role}.{name}", part)
    else:
        parts = {role: results[f"yield.{role}.{name}"] for role in unknown if f"yield.{role}.{name}" in results}
    effective = quantity({"value": yields["background"]["effective"]}, "events", flags, unknown["background"])
    if name in BASELINES and f"yield.data.{name}" in results:
        data = results[f"yield.data.{name}"]
    else:
        data = results.add(f"yield.data.{name}", _data_quantity(events, yields.get("data")))

    def named(key: str, raw: Raw | None) -> Quantity:
        return results.add(f"{key}.{name}", quantity(raw, "1", flags, both))

    shown = {
        baseline: results.add(f"ratio.{baseline}.{name}", quantity(raw, "1", flags, both))
        for baseline, raw in ratios.items()
        if raw is not None
    }
    return Row(
        name,
        title,
        parts["signal"],
        parts["background"],
        results.add(f"effective_background.{name}", effective),
        data,
        named("significance.s_over_sqrt_b", yields["s_over_sqrt_b"]),
        named("significance.asimov", yields["asimov"]),
        shown.get("cut_based"),
        None if auc is None else results.add(f"auc.{name}", quantity(auc, "1")),
    )


def _data_quantity(events: FourLeptonEvents, count: int | None) -> Quantity:
    flags = merge_flags(*(sample_flags(name, events.records[name]) for name in events.names("data")))
    if count is None or any(events.records[name].scale is None for name in events.names("data")):
        return Quantity(None, None, "events", flags or ("no data sample",))
    return Quantity(count, None, "events", flags)


def _skim_row(results: Results, name: str) -> Row:
    """Yields and significances of a selection straight from the skim."""
    from training.significance import asimov, asimov_uncertainty, s_over_sqrt_b

    missing = Quantity(None, None, "events", ("no sample",))
    key = {role: f"yield.{role}.{name}" for role in ("signal", "background", "data")}
    s, b, data = (results.get(key[role], missing) for role in key)
    flags = merge_flags(s.flags, b.flags)
    if s.value is None or b.value is None or s.uncertainty is None or b.uncertainty is None:
        naive = significance = Quantity(None, None, "1", flags)
    else:
        value = float(s_over_sqrt_b(s.value, b.value))
        relative = np.hypot(s.uncertainty / s.value, b.uncertainty / b.value / 2) if s.value and b.value else np.nan
        naive = Quantity(value, float(abs(value) * relative), "1", flags)
        error = asimov_uncertainty(s.value, b.value, s.uncertainty, b.uncertainty)
        significance = Quantity(float(asimov(s.value, b.value)), error, "1", flags)
    number = None
    if b.value is not None and b.uncertainty:
        number = (b.value / b.uncertainty) ** 2
    return Row(
        name,
        TITLES[name],
        s,
        b,
        results.add(f"effective_background.{name}", Quantity(number, None, "events", b.flags)),
        data,
        results.add(f"significance.s_over_sqrt_b.{name}", naive),
        results.add(f"significance.asimov.{name}", significance),
        None,
        None,
    )


def stale_training(events: FourLeptonEvents, results: Results, training: Training) -> list[str]:
    """A warning when the training's yields of the fixed selections are not those of the skim in the run directory."""
    warnings = []
    for selection in BASELINES if training.baselines is not None else ():
        for role in ("signal", "background"):
            raw = (training.baselines or {})[selection][role]["value"]
            here = results[f"yield.{role}.{selection}"].value if events.names(role) else None
            if here is not None and raw is not None and abs(raw - here) > 1e-6 * max(abs(here), abs(raw)):
                warnings.append(
                    f"the training saw {raw:.6g} {role} events with the selection {selection}, the skim has "
                    f"{here:.6g}: the skim changed after the training, train again"
                )
    return warnings


def comparison_table(rows: Sequence[Row], best: str | None, luminosity: str) -> Table:
    """All selections and models; the model chosen as best is set in bold."""
    lines: list[list[Cell | Value]] = []
    for row in rows:
        blank = Cell("–", numeric=True)
        cells: list[Cell | Value] = [
            row.signal, row.background, row.effective, row.data, row.s_over_sqrt_b, row.asimov,
            row.ratio if row.ratio is not None else blank, row.auc if row.auc is not None else blank,
        ]  # fmt: skip
        lines.append([Cell(row.title, strong=row.name == best), *cells])
    header = (
        "Selection", "Signal S", "Background B", "Effective B", "Data", "S/√B", "Asimov", "Asimov / cut-based",
        "ROC AUC",
    )  # fmt: skip
    notes = (
        f"Events expected in {luminosity}. Uncertainties: root of the sum of squared weights for S and B, where the "
        "weights of what one generated event became are added first; bootstrap or "
        "error propagation for the others (ratios with the same bootstrap replicas above and below).",
        "Effective B: (Σw)²/Σw² of the selected background, the number of unweighted events with the same relative "
        "uncertainty.",
        "Every event is judged by a model and a threshold that did not see it. Bold: the model chosen by the inner "
        "cross-validation.",
    )
    return table("Models against no cuts and the cut-based selection", header, lines, notes)


def quality_tables(results: Results, training: Training) -> list[Table]:
    """AUC on training and unseen events, Kolmogorov-Smirnov tests, confusion matrices, thresholds and scans."""
    return [
        _overtraining_table(results, training),
        _confusion_table(results, training),
        _report_table(results, training),
        _threshold_table(results, training),
        *_scan_tables(results, training),
    ]


def _overtraining_table(results: Results, training: Training) -> Table:
    rows: list[list[Cell | Value]] = []
    for model in training.models:
        raw, name = model.result, model.name
        trained = results.add(f"auc_train.{name}", quantity({"value": raw["auc"].get("train")}, "1"))
        row: list[Cell | Value] = [model_title(name), "yes" if raw["uses_mass"] else "no", len(raw["features"])]
        row += [trained, results[f"auc.{name}"]]
        for role in ("signal", "background"):
            test = raw["overtraining"].get(role) or {}
            for key in ("statistic", "p_value"):
                row.append(results.add(f"overtraining.{role}.{key}.{name}", quantity({"value": test.get(key)}, "1")))
        rows.append(row)
    header = (
        "Model", "Uses the mass", "Features", "AUC training", "AUC unseen", "KS signal", "p signal", "KS background",
        "p background",
    )  # fmt: skip
    notes = (
        "KS: distance of Kolmogorov and Smirnov between scores of training and unseen events, mean over the folds; "
        "p: median of the folds.",
    )
    return table("Training against unseen events", header, rows, notes)


def _confusion_table(results: Results, training: Training) -> Table:
    rows: list[list[Cell | Value]] = []
    for model in training.models:
        row: list[Cell | Value] = [model_title(model.name)]
        for kind in ("raw", "weighted"):
            matrix = model.result["confusion_matrix"][kind]
            for i, true in enumerate(("background", "signal")):
                for j, called in enumerate(("background", "signal")):
                    name = f"confusion_matrix.{kind}.{true}_called_{called}.{model.name}"
                    row.append(results.add(name, Quantity(matrix[i][j], None, "events")))
        rows.append(row)
    short = ("B called B", "B called S", "S called B", "S called S")
    header = ("Model", *(f"{s}, events" for s in short), *(f"{s}, weighted" for s in short))
    return table("Confusion matrices at the thresholds (B background, S signal)", header, rows)


def classification_rows(results: Results, prefix: str, values: Raw, suffix: str = "") -> list[list[Cell | Value]]:
    """A classification report: a row per class and average with precision, recall, F1 and number of events."""
    rows: list[list[Cell | Value]] = []
    for name, figures in values.items():
        if not isinstance(figures, Mapping):
            continue
        row: list[Cell | Value] = [str(name)]
        for key in ("precision", "recall", "f1-score", "support"):
            number = figures[key]
            entry = Quantity(int(number), None, "events") if key == "support" else Quantity(float(number), None, "1")
            row.append(results.add(f"{prefix}.{name.replace(' ', '_')}.{key.replace('-', '_')}{suffix}", entry))
        rows.append(row)
    return rows


def _report_table(results: Results, training: Training) -> Table:
    rows: list[list[Cell | Value]] = []
    for model in training.models:
        values = model.result["classification_report"]["values"]
        for row in classification_rows(results, "classification_report", values, f".{model.name}"):
            rows.append([model_title(model.name), *row])
        if "accuracy" in values:
            accuracy = Quantity(float(values["accuracy"]), None, "1")
            name = f"classification_report.accuracy.{model.name}"
            blank = Cell("–", numeric=True)
            rows.append([model_title(model.name), "accuracy", blank, blank, results.add(name, accuracy), blank])
    header = ("Model", "Class", "Precision", "Recall", "F1 score", "Events")
    return table("Classification reports at the thresholds (unweighted events)", header, rows)


def _threshold_table(results: Results, training: Training) -> Table:
    folds = max((len(model.result["thresholds"]) for model in training.models), default=0)
    rows: list[list[Cell | Value]] = []
    for model in training.models:
        row: list[Cell | Value] = [model_title(model.name)]
        row.append(results.add(f"inner_asimov.{model.name}", quantity({"value": model.result["inner_asimov"]}, "1")))
        for entry in model.result["thresholds"]:
            flags = ("the limit on the effective background decided",) if entry.get("constrained") else ()
            figure = quantity({"value": entry["threshold"]}, "1", flags)
            row.append(results.add(f"threshold.fold{entry['fold']}.{model.name}", figure))
        rows.append(row + [Cell("–", numeric=True)] * (folds + 2 - len(row)))
    header = ("Model", "Inner Asimov", *(f"Fold {fold}" for fold in range(folds)))
    notes = (
        "Inner Asimov: mean significance of the inner cross-validation on which thresholds and the best model are "
        "chosen; not a result.",
    )
    return table("Score thresholds per fold", header, rows, notes)


def _scan_tables(results: Results, training: Training) -> list[Table]:
    tables = []
    for model in training.models:
        scan = model.result.get("scan")
        if not scan:
            continue
        rows: list[list[Cell | Value]] = []
        for index, entry in enumerate(scan["table"]):
            figure = quantity({"value": entry["inner_asimov"], "uncertainty": entry.get("spread")}, "1")
            figure = results.add(f"scan.{index}.{model.name}", figure)
            chosen = ", ".join(str(fold) for fold in entry.get("chosen_in_folds", ())) or "–"
            rows.append([*(str(entry["parameters"][name]) for name in scan["parameters"]), figure, chosen])
        header = (*scan["parameters"], "Inner Asimov", "Chosen in folds")
        tables.append(
            table(f"Scan of {model_title(model.name)}", header, rows, ("Uncertainty: spread over the folds.",))
        )
    return tables
