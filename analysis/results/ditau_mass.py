"""Results of ditau_mass: from the run directory to results.json, the plots and report.html.

Works after a skim alone; then the report says that nothing was trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.results.cutflow_section import raw_table
from analysis.results.ditau_figures import MassBin, Report, mass_bins
from analysis.results.ditau_inputs import inputs_section
from analysis.results.ditau_models import correlation_table, models_section
from analysis.results.ditau_plots import draw_efficiency
from analysis.results.ditau_sections import beaten, channel_section, comparison_section, plane_section
from analysis.results.ditau_settings import Settings
from analysis.results.ditau_training import DitauTraining, load_training
from analysis.results.document import Cell, Document, KeyFigure, Picture, Section, Table, Value, table
from analysis.results.plot_style import plot_label, style
from analysis.results.quantities import Quantity, Results, merge_flags
from analysis.results.report import write_report
from analysis.results.run_files import RunDirectory
from analysis.results.run_sections import (
    failures_section,
    label_text,
    notices,
    provenance_section,
    run_flags,
    samples_section,
    status_text,
)
from training.ditau_events import CHANNELS

__all__ = ["Settings", "produce"]

NO_TRAINING = "No model was trained in this run: the report shows the selection only."
#: Share of predictions without a gradient that is worth a remark; events near the upper end always have some.
MANY = 0.1


def produce(directory: Path, settings: Settings) -> list[str]:
    """Write results.json, plots/ and report.html into a run directory.

    Gives what is incomplete or to be read with care, in sentences. Raises UserError when the skim is missing or files
    of the run directory do not belong together.
    """
    run = RunDirectory(directory)
    run.require_skim()
    manifest, training, results = run.manifest, load_training(run), Results()
    seed = int(manifest.configuration.get("seed", 0))
    samples = tuple(run.histograms) if training is None else tuple(training.chosen.result["samples"])
    report = Report(run, results, settings, plot_label(manifest), seed, samples)
    bins: list[MassBin] = []
    sections: list[Section] = []
    with style():
        if training is not None and len(training.chosen.test):
            model = training.chosen
            bins = mass_bins(report, model)
            first = comparison_section(report, model, bins)
            sections.append(_with_table(first, correlation_table(report, model)))
            channels = channel_section(report, model)
            sections += [plane_section(report, model), *([channels] if channels is not None else [])]
            sections.append(models_section(report, training))
        sections.append(_selection(report))
        inputs = inputs_section(report)
        sections += [] if inputs is None else [inputs]
    sections += [samples_section(manifest, results), failures_section(manifest), provenance_section(manifest, results)]
    document = Document(
        title=manifest.title,
        label=label_text(manifest),
        status=status_text(manifest),
        summary=_summary(training, bins, results),
        key_figures=_key_figures(bins, results),
        notices=tuple(notices(manifest)),
        flags=merge_flags(run_flags(manifest), _flags(training, bins)),
        sections=tuple(sections),
    )
    results.write(directory / "results.json")
    write_report(document, directory / "report.html")
    _remove_old_plots(directory / "plots", document)
    return list(document.flags)


def _with_table(section: Section, one: Table) -> Section:
    return Section(section.title, section.text, section.pictures, (*section.tables, one), section.parts)


def _selection(report: Report) -> Section:
    """Efficiency against the generated mass, what stood in for what, and the cutflow."""
    edges, efficiencies = _efficiencies(report)
    picture = report.keep(
        draw_efficiency(edges, efficiencies, report.label),
        "efficiency",
        f"Share of all events with a generated mass that end in each channel, {report.of_samples}.",
        "Selection efficiency against the generated mass",
        wide=True,
    )
    rows: list[list[Cell | Value]] = []
    for sample, found in report.run.notes.items():
        rows += [[sample, sentence, entries] for sentence, entries in found.items()]
    tables = [raw_table(report.run.cutflow, report.results)]
    if rows:
        tables.append(table("What stood in for what, or was not there", ("Sample", "What", "Entries"), rows))
    return Section("Selection", pictures=(picture,), tables=tuple(tables))


def _efficiencies(report: Report) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    sums: dict[str, np.ndarray] = {}
    edges = np.array([0.0, 1.0])
    for name in ("all", *CHANNELS):
        for histogram in report.histograms(f"gen_mass_{name}"):
            edges = np.asarray(histogram.axes[0].edges, np.float64)
            sums[name] = sums.get(name, np.zeros(len(edges) - 1)) + np.asarray(histogram.values())
    whole = sums.pop("all", np.zeros(len(edges) - 1))
    divisor = np.where(whole > 0, whole, 1.0)
    shares = {name: np.where(whole > 0, values / divisor, np.nan) for name, values in sums.items()}
    total = sum(sums.values(), np.zeros(len(whole)))
    for name, values in (*sums.items(), ("all", total)):
        share = float(values.sum() / whole.sum()) if whole.sum() > 0 else None
        flags = () if share is not None else ("no event has a generated mass",)
        report.results.add(f"efficiency.{name}", Quantity(share, None, "1", flags))
    return edges, {"all": np.where(whole > 0, total / divisor, np.nan), **shares}


def _flags(training: DitauTraining | None, bins: list[MassBin]) -> list[str]:
    if training is None:
        return [NO_TRAINING]
    flags = []
    _, lost, unknown = beaten(bins)
    if lost:
        where = ", ".join(one.title for one in lost)
        flags.append(f"a simple estimator resolves better than {training.chosen.name} in {where} GeV")
    if unknown:
        where = ", ".join(one.title for one in unknown)
        flags.append(f"too few test events for a comparison in {where} GeV")
    without = max(int(model.result["without_mass"]) for model in training.models)
    if without:
        flags.append(f"{without:,d} selected events have no generated mass: no training used them")
    several = sorted(model.name for model in training.models if model.result["above_range"] > MANY)
    if several:
        flags.append(f"more than {100 * MANY:g} % of the predictions are above the loss' range: {', '.join(several)}")
    return flags


def _summary(training: DitauTraining | None, bins: list[MassBin], results: Results) -> tuple[str, ...]:
    if training is None or not bins:
        return (NO_TRAINING,)
    won = results["comparison.bins_won"].value
    total = results["comparison.bins"].value
    return (
        f"{training.chosen.name} was chosen among the models of its channels by its validation MAE.",
        f"It resolves the mass better than the visible mass, mTtot and the collinear mass in {won:g} of {total:g} bins "
        "of the generated mass.",
    )


def _key_figures(bins: list[MassBin], results: Results) -> tuple[KeyFigure, ...]:
    shown = []
    for one in bins:
        if one.compared:
            found = results[f"resolution.{one.low:g}_{one.high:g}.ml_mass"]
            shown.append(KeyFigure(f"Relative resolution at {one.title} GeV", found.text, found.flags))
    return tuple(shown)


def _remove_old_plots(directory: Path, document: Document) -> None:
    """Delete plots of an earlier report that this one does not have."""
    kept = {picture.path.stem for section in document.sections for picture in _pictures(section)}
    for path in directory.iterdir():
        if path.suffix in (".png", ".pdf", ".svg") and path.stem not in kept:
            path.unlink()


def _pictures(section: Section) -> list[Picture]:
    return [*section.pictures, *(picture for part in section.parts for picture in _pictures(part))]
