"""Which properties of jets differ between neighbouring bins: the AUC of single observables."""

from __future__ import annotations

from analysis.results.dijet_figures import mean_quantity
from analysis.results.dijet_training import DijetTraining
from analysis.results.document import Cell, Section, Table, Value, table
from analysis.results.quantities import Results

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


def observables_section(training: DijetTraining, results: Results) -> Section:
    """A table for each sample size."""
    return Section("What differs between the bins", text=(TEXT,), tables=tuple(_tables(training, results)))


def _tables(training: DijetTraining, results: Results) -> list[Table]:
    found = []
    for size, ensemble in training.null.items():
        rows: list[list[Cell | Value]] = []
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
