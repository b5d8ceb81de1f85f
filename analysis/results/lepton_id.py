"""Results of lepton_id: from the run directory to results.json, the plots and report.html.

Works after a skim alone; then the report says that nothing was trained.
"""

from __future__ import annotations

from pathlib import Path

from analysis.results.document import Document, KeyFigure, Section
from analysis.results.lepton_networks import (
    best_section,
    history_section,
    overtraining_section,
    representations_section,
    scan_section,
)
from analysis.results.lepton_report import DOUBLE, SAMPLE_TITLES, STORED, Report, Settings, Training, load_training
from analysis.results.lepton_sections import leptons_section, limit_section, mass_section
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
from training.lepton_limit import binomial_error

__all__ = ["Settings", "produce"]

NO_TRAINING = "No network was trained in this run: the report shows the leptons only."
#: Fewer test leptons are mentioned: an accuracy near 0.95 has an error of more than half a per cent.
FEW_LEPTONS = 2000
#: The networks are to be so near to the limit.
TOLERANCE = 0.002


def produce(directory: Path, settings: Settings) -> list[str]:
    """Write results.json, plots/ and report.html into a run directory.

    Gives what is incomplete or to be read with care, in sentences. Raises UserError when the skim is missing or files
    of the run directory do not belong together.
    """
    run = RunDirectory(directory)
    run.require_skim()
    manifest, training, results = run.manifest, load_training(run), Results()
    report = Report(run, training, results, settings, plot_label(manifest))
    with style():
        sections = [leptons_section(report)]
        if training is not None:
            sections += _trained(report, training)
    sections += [samples_section(manifest, results), failures_section(manifest), provenance_section(manifest, results)]
    document = Document(
        title=manifest.title,
        label=label_text(manifest),
        status=status_text(manifest),
        summary=_summary(training, results),
        key_figures=_key_figures(results),
        notices=tuple(notices(manifest, "Pythia 8, without a detector")),
        flags=merge_flags(run_flags(manifest), _flags(training, results)),
        sections=tuple(sections),
    )
    results.write(directory / "results.json")
    write_report(document, directory / "report.html")
    _remove_old_plots(directory / "plots", document)
    return list(document.flags)


def _trained(report: Report, training: Training) -> list[Section]:
    """The sections of the tasks that are there, in the order of the page."""
    tasks, sections = training.tasks, []
    if "limits" in tasks:
        sections += [mass_section(report, training, tasks["limits"]), limit_section(report, tasks["limits"])]
    if "improved" in tasks:
        sections.append(best_section(report, training))
    if "improved" in tasks or "source" in tasks:
        sections.append(representations_section(report, training))
    if "history" in tasks:
        sections.append(history_section(report, training))
    if "overtraining" in tasks:
        sections.append(overtraining_section(report, training))
    if "scan" in tasks:
        sections.append(scan_section(report, training))
    return sections


def _summary(training: Training | None, results: Results) -> tuple[str, ...]:
    if training is None:
        return (NO_TRAINING,)
    lines = []
    for sample, where in ((STORED, "as the leptons are stored"), (DOUBLE, "on the same leptons in double precision")):
        if f"best.{sample}.accuracy" in results and f"limit.{sample}.accuracy" in results:
            lines.append(
                f"The best network reaches {results[f'best.{sample}.accuracy'].text} {where}; the precision allows "
                f"{results[f'limit.{sample}.accuracy'].text} (difference, paired: "
                f"{results[f'best.{sample}.below_limit'].text})."
            )
    return tuple(lines)


def _key_figures(results: Results) -> tuple[KeyFigure, ...]:
    shown = {
        "Accuracy of the mass cut": "baseline.accuracy",
        "Limit of the stored precision": f"limit.{STORED}.accuracy",
        "Best network": f"best.{STORED}.accuracy",
        "Limit − best network": f"best.{STORED}.below_limit",
        "Best network, double precision": f"best.{DOUBLE}.accuracy",
        "ROC AUC of the best network": f"best.{STORED}.auc",
    }
    return tuple(KeyFigure(title, results[name].text) for title, name in shown.items() if name in results)


def _flags(training: Training | None, results: Results) -> list[str]:
    if training is None:
        return [NO_TRAINING]
    flags = [f"the task {kind} is not done, and its figures are missing" for kind in training.missing]
    flags += [
        f"the task {kind} was done with other settings than the configuration has now: train again"
        for kind in training.changed
    ]
    first = next(iter(training.tasks.values()))["leptons"]
    if first[STORED]["test"] < FEW_LEPTONS:
        worst = binomial_error(0.5, first[STORED]["test"])
        flags.append(f"{first[STORED]['test']} test leptons: the error of an accuracy is up to {worst:.3f}")
    if DOUBLE not in first:
        flags.append("no sample has the same leptons in double precision: the effect of the storage is not measured")
    for sample in (STORED, DOUBLE):
        name = f"best.{sample}.below_limit"
        if name in results and (results[name].value or 0.0) > TOLERANCE:
            flags.append(
                f"the best network ({SAMPLE_TITLES[sample]}) is {results[name].text} below the limit of the precision"
            )
    if "limits" in training.tasks and training.tasks["limits"]["samples"][STORED]["model"] is None:
        flags.append("the leptons fit no rounding of the stored numbers: the limit is the fine-binned estimate")
    return flags


def _remove_old_plots(directory: Path, document: Document) -> None:
    """Delete plots of an earlier report that this one does not have."""
    kept = {picture.path.stem for section in document.sections for picture in section.pictures}
    if directory.is_dir():
        for path in directory.iterdir():
            if path.suffix in (".png", ".pdf", ".svg") and path.stem not in kept:
                path.unlink()
