"""What stands beside the AUC without signal: single observables, the trainings' course, significance of nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.results.dijet_figures import UNKNOWN, mean_quantity, number
from analysis.results.dijet_statistics import expected_above, halves, leave_one_out, leave_one_out_error
from analysis.results.dijet_training import DijetTraining, Ensemble
from analysis.results.document import Cell, Section, Table, Value, table
from analysis.results.quantities import Quantity, Results
from analysis.results.run_sections import MOST_ROWS

Rows = list[list[Cell | Value]]
#: Names of the observables in tables.
TITLES = {
    "jet_pt": "Jet pT", "multiplicity": "Multiplicity", "mass": "Mass / pT", "ptd": "pTD", "width": "Width",
}  # fmt: skip
TEXT = (
    "The AUC of single observables of the same test jets, in the same samples: 0.5 where bins do not differ in "
    "one, less where the upper bin has the smaller values. Jet pT is the scalar sum of the particles' pT; "
    "classifiers see shares of it alone, so it cannot enter by itself, but multiplicity, mass and width of a jet "
    "grow or fall with it. Where the jets' pT differs between two bins (where the lower bin is at the edge of the "
    "range of pT), these differ too, and a mean AUC above 0.5 needs no signal."
)
#: What is recorded after epochs, and how a table calls it.
CURVES = {
    "loss": "Training loss", "validation_loss": "Validation loss", "validation_accuracy": "Validation accuracy",
}  # fmt: skip
LEVEL = 2.0
NOTHING = (
    "What the significance is without any injection: of each sample against the others, (AUC − mean of the others) / "
    "their standard deviation, and of the mean of the first half of the samples against the second half, as if the "
    "first had signal. A single sample exceeds two standard deviations now and then; half against half should not."
)


def observables_section(training: DijetTraining, results: Results) -> Section:
    """A table for each sample size."""
    return Section("What differs between the bins", text=(TEXT,), tables=tuple(_observables(training, results)))


def _observables(training: DijetTraining, results: Results) -> list[Table]:
    found = []
    for size, ensemble in training.null.items():
        rows: Rows = []
        for pair in range(training.settings.pairs):
            row: list[Cell | Value] = [training.pair_title(pair)]
            for name, values in ensemble.observables.items():
                key = f"null.{size}.{training.pair_key(pair)}.auc_of.{name}"
                row.append(mean_quantity(results, key, values[:, pair]))
            rows.append(row)
        header = ("Bins [GeV]", *(TITLES[name] for name in ensemble.observables))
        notes = ("Mean ± standard error over the samples.",)
        found.append(table(f"AUC of single observables, {size:,d} events", header, rows, notes))
    return found


def history_sections(training: DijetTraining, results: Results) -> list[Section]:
    """Mean losses after the epochs, a table for each sample size; nothing where classifiers have no epochs."""
    tables = [_history(one, results) for one in training.null.values() if any("loss" in its for its in one.histories)]
    return [Section("Course of the trainings", tables=tuple(tables))] if tables else []


def _history(ensemble: Ensemble, results: Results) -> Table:
    epochs = max(len(one.get("loss", ())) for one in ensemble.histories)
    found = {name: np.array([_by_epoch(one, name, epochs) for one in ensemble.histories]) for name in CURVES}
    rows: Rows = []
    for epoch in range(epochs):
        row: list[Cell | Value] = [epoch + 1]
        for name, values in found.items():
            there = bool(np.isfinite(values[:, epoch]).any())
            key = f"null.{ensemble.size}.epoch{epoch + 1}.{name}"
            row.append(mean_quantity(results, key, values[:, epoch]) if there else Cell("–", numeric=True))
        rows.append(row)
    notes = [
        "Mean ± standard error over all trainings without signal. The training loss is the mean over an epoch, while "
        "the network changes; the other figures are those after it.",
    ]
    if epochs > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of {epochs}; all of them are in results.json.")
    return table(f"After each epoch, {ensemble.size:,d} events", ("Epoch", *CURVES.values()), rows[:MOST_ROWS], notes)


def _by_epoch(history: Mapping[str, Sequence[float]], name: str, epochs: int) -> NDArray[np.float64]:
    values = np.full(epochs, np.nan)
    its = history.get(name, ())
    at = np.arange(len(its)) if name == "loss" else np.asarray(history.get("evaluated_epoch", ()), int) - 1
    values[at] = its
    return values


def validated(training: DijetTraining) -> bool:
    """Whether the validation jets were evaluated."""
    return any("validation_loss" in one for of_size in training.null.values() for one in of_size.histories)


def nothing_section(training: DijetTraining, results: Results) -> Section:
    """Significances where nothing was injected."""
    rows: Rows = []
    for size, ensemble in training.null.items():
        for pair in range(training.settings.pairs):
            rows.append([f"{size:,d}", training.pair_title(pair), *_nothing(training, ensemble, pair, results)])
    header = (
        "Events", "Bins [GeV]", "Largest of one sample", f"Samples above {LEVEL:g}", "Expected", "Half against half",
    )  # fmt: skip
    notes = (
        "Uncertainties: from mean and standard deviation of the samples compared with, for Gaussian AUC. Expected: of "
        "so many independent Gaussian samples (Student's t).",
    )
    return Section("Significance without injection", (NOTHING,), tables=(table("No signal", header, rows, notes),))


def _nothing(training: DijetTraining, ensemble: Ensemble, pair: int, results: Results) -> list[Quantity]:
    values = ensemble.auc[:, pair]
    prefix = f"null.{ensemble.size}.{training.pair_key(pair)}.significance"
    alone, entered = leave_one_out(values), ensemble.entered(pair)
    known = alone[np.isfinite(alone)]
    reason = () if len(known) else ("fewer than three samples",)
    largest = float(known.max()) if len(known) else math.nan
    error = leave_one_out_error(largest, entered) if len(known) else None
    above = int(np.count_nonzero(known > LEVEL)) if len(known) else None
    expected = expected_above(LEVEL, entered) if len(known) else None
    return [
        results.add(f"{prefix}.largest", number(largest, error, "fewer than three samples")),
        results.add(f"{prefix}.above_{LEVEL:g}.samples", Quantity(above, None, "samples", reason)),
        results.add(f"{prefix}.above_{LEVEL:g}.expected_samples", Quantity(expected, None, "samples", reason)),
        results.add(f"{prefix}.halves", number(*halves(values), UNKNOWN)),
    ]
