"""The cutflow as tables and a plot: raw and weighted counts per sample, totals per process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.results.document import Cell, Table, Value, slug, table
from analysis.results.quantities import Quantity, Results, total
from analysis.results.run_files import CutCount, SampleRecord
from analysis.results.run_sections import sample_flags

Cutflow = Mapping[str, Mapping[str, CutCount]]
Weighted = dict[str, dict[str, Quantity]]


def raw_table(cutflow: Cutflow, results: Results) -> Table:
    """Unweighted events after each cut, as counted."""
    cuts = cut_names(cutflow)
    rows: list[list[Cell | Value]] = []
    for cut in cuts:
        row: list[Cell | Value] = [cut]
        for name, counts in cutflow.items():
            row.append(results.add(f"cutflow.{name}.{cut}.events", Quantity(counts[cut].events, None, "events")))
        rows.append(row)
    return table("Cutflow, unweighted events (cumulative)", ("Cut", *cutflow), rows)


def weighted_counts(
    cutflow: Cutflow, samples: Mapping[str, SampleRecord], spreads: Mapping[str, Mapping[str, float]], results: Results
) -> Weighted:
    """Scaled sums of weights per sample and cut; `spreads`: unscaled roots of sums of squared weights."""
    counts: Weighted = {}
    for name, record in samples.items():
        flags = sample_flags(name, record)
        counts[name] = {}
        for cut in cut_names(cutflow):
            if name in cutflow:
                spread = spreads.get(name, {}).get(cut)
                figure = Quantity(cutflow[name][cut].weighted, spread, "events", flags).times(record.scale)
            else:
                figure = Quantity(None, None, "events", flags or (f"{name}: nothing was processed",))
            counts[name][cut] = results.add(f"cutflow.{name}.{cut}.weighted", figure)
    return counts


def process_totals(weighted: Weighted, groups: Mapping[str, Sequence[str]], results: Results) -> Weighted:
    """Weighted counts per cut summed over the samples of each process."""
    totals: Weighted = {}
    for process, names in groups.items():
        cuts = weighted[names[0]]
        totals[process] = {
            cut: results.add(f"cutflow.process.{slug(process)}.{cut}", total(weighted[name][cut] for name in names))
            for cut in cuts
        }
    return totals


def weighted_table(caption: str, columns: Weighted, notes: Sequence[str] = ()) -> Table:
    """Weighted counts, one column per sample or process."""
    cuts = list(next(iter(columns.values()))) if columns else []
    rows: list[list[Cell | Value]] = [[cut, *(counts[cut] for counts in columns.values())] for cut in cuts]
    return table(caption, ("Cut", *columns), rows, notes)


def cut_names(cutflow: Cutflow) -> list[str]:
    """Cuts in order; every sample has the same."""
    return list(next(iter(cutflow.values())))
