"""Results of higgs4l: from the run directory to results.json, the plots and report.html.

Works after a skim alone; then the report says that no model was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.results.document import Document, KeyFigure, Picture, Section
from analysis.results.gaussian_fit import PeakFit
from analysis.results.higgs4l_events import FourLeptonEvents, load_events, record_yields
from analysis.results.higgs4l_models import Row, comparison, stale_training
from analysis.results.higgs4l_plots import Gallery, peak_fit
from analysis.results.higgs4l_sections import (
    cutflow_section,
    distributions_section,
    models_section,
    notebook_section,
    selection_section,
)
from analysis.results.higgs4l_settings import Settings
from analysis.results.plot_style import plot_label, style
from analysis.results.quantities import Results, merge_flags
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
from analysis.results.training_results import Training, load_training

__all__ = ["Settings", "produce"]

NO_TRAINING = "No model was trained in this run: the report holds the cut-based results only."


def produce(directory: Path, settings: Settings) -> list[str]:
    """Write results.json, plots/ and report.html into a run directory.

    Gives what is incomplete or to be read with care, in sentences. Raises UserError when the skim is missing or files
    of the run directory do not belong together.
    """
    run = RunDirectory(directory)
    events = load_events(run)
    training = load_training(run)
    results = Results()
    record_yields(events, results)
    with style():
        content = _content(run, events, training, results, settings)
    document = _document(run, events, training, results, content)
    results.write(directory / "results.json")
    write_report(document, directory / "report.html")
    _remove_old_plots(directory / "plots", document)
    return list(document.flags)


@dataclass(frozen=True)
class _Content:
    sections: tuple[Section, ...]
    rows: list[Row]
    fit: PeakFit


def _content(
    run: RunDirectory, events: FourLeptonEvents, training: Training | None, results: Results, settings: Settings
) -> _Content:
    fit = peak_fit(events, settings)
    rows = comparison(events, results, training)
    gallery = _gallery(run, settings)
    sections = [
        models_section(events, training, rows, results, gallery, _luminosity(run)),
        selection_section(events, fit, results, gallery),
        cutflow_section(run, events, results, gallery),
        distributions_section(events, gallery),
    ]
    if training is not None and training.notebook is not None:
        sections.append(notebook_section(training, results, gallery))
    sections += [
        samples_section(run.manifest, results),
        failures_section(run.manifest),
        provenance_section(run.manifest, results),
    ]
    return _Content(tuple(sections), rows, fit)


def _gallery(run: RunDirectory, settings: Settings) -> Gallery:
    """Plots share the binning of the processor's histogram and its mass window."""
    from processors.higgs4l import Settings as Selection

    block = {k: v for k, v in run.manifest.configuration.get("processor", {}).items() if k in Selection.model_fields}
    window = Selection.model_validate(block).mass_window
    histograms = [named["m4l"] for named in run.histograms.values()]
    edges = np.asarray(histograms[0].axes[0].edges, dtype=np.float64)
    return Gallery(run.path / "plots", plot_label(run.manifest), settings, edges, window)


def _luminosity(run: RunDirectory) -> str:
    value = run.manifest.luminosity_ipb
    return f"{value:g} pb⁻¹" if value is not None else "the run's luminosity"


def _document(
    run: RunDirectory, events: FourLeptonEvents, training: Training | None, results: Results, content: _Content
) -> Document:
    manifest = run.manifest
    flags = run_flags(manifest)
    flags += histogram_warnings(run, events)
    if training is not None:
        flags += [*stale_training(events, results, training), *training.flags]
    else:
        flags.append(NO_TRAINING)
    if events.duplicates:
        one = events.duplicates == 1
        verbs = ("event is", "counts") if one else ("events are", "count")
        flags.append(f"{events.duplicates} data {verbs[0]} in two streams and {verbs[1]} once")
    return Document(
        title=manifest.title,
        label=label_text(manifest),
        status=status_text(manifest),
        summary=_summary(run, training, content),
        key_figures=_key_figures(results, training),
        notices=tuple(notices(manifest)),
        flags=merge_flags(flags),
        sections=content.sections,
    )


def _summary(run: RunDirectory, training: Training | None, content: _Content) -> tuple[str, ...]:
    by_name = {row.name: row for row in content.rows}
    cut = by_name["cut_based"]
    lines = [
        f"In {_luminosity(run)} the cut-based selection expects {cut.signal.text} signal and {cut.background.text} "
        f"background events in the mass window: Asimov significance {cut.asimov.text}."
    ]
    if training is not None and training.best is not None:
        best = by_name[training.best.name]
        ratio = f", {best.ratio.text} times the cut-based one" if best.ratio is not None else ""
        lines.append(
            f"The model chosen by the inner cross-validation, {best.title}, reaches {best.asimov.text}{ratio}."
        )
    if training is not None and training.best_without_mass is not None:
        other = by_name[training.best_without_mass.name]
        ratio = f", {other.ratio.text} times the cut-based one" if other.ratio is not None else ""
        lines.append(f"Without any mass feature the best model, {other.title}, reaches {other.asimov.text}{ratio}.")
    return tuple(lines)


def _key_figures(results: Results, training: Training | None) -> tuple[KeyFigure, ...]:
    wanted = [
        ("Signal S, cut-based", "yield.signal.cut_based"),
        ("Background B, cut-based", "yield.background.cut_based"),
        ("Data events, cut-based", "yield.data.cut_based"),
        ("S/√B, cut-based", "significance.s_over_sqrt_b.cut_based"),
        ("Asimov significance, cut-based", "significance.asimov.cut_based"),
    ]
    if training is not None and training.best is not None:
        name = training.best.name
        wanted += [
            ("Asimov significance, best model", f"significance.asimov.{name}"),
            ("Best model / cut-based", f"ratio.cut_based.{name}"),
            ("ROC AUC, best model", f"auc.{name}"),
        ]
    shown = [(title, results[name]) for title, name in wanted if name in results]
    return tuple(KeyFigure(title, quantity.text, quantity.flags) for title, quantity in shown)


def histogram_warnings(run: RunDirectory, events: FourLeptonEvents) -> list[str]:
    """Warnings where the processor's mass histogram and the skim disagree: then one of them lacks events."""
    cuts = events.selection("selected").cuts
    warnings = []
    for name, named in run.histograms.items():
        if name not in events.records or events.records[name].role == "data":
            continue
        weights = events.tables[name]["weight"][events.mask(name, cuts)].astype(np.float64)
        filled = float(named["m4l"].sum(flow=True).value)
        if abs(filled - weights.sum()) > 1e-9 * max(float(np.abs(weights).sum()), 1e-300):
            warnings.append(f"{name}: the m4l histogram holds {filled:.6g} events, the skim {weights.sum():.6g}")
    return warnings


def _remove_old_plots(directory: Path, document: Document) -> None:
    """Delete plots of an earlier report that this one does not have: of a model that is gone, for instance."""
    kept = {picture.path.stem for section in document.sections for picture in _pictures(section)}
    for path in directory.iterdir():
        if path.suffix in (".png", ".pdf", ".svg") and path.stem not in kept:
            path.unlink()


def _pictures(section: Section) -> list[Picture]:
    return [*section.pictures, *(picture for part in section.parts for picture in _pictures(part))]
