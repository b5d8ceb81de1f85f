"""Results of dijet_anomaly: from the run directory to results.json, the plots and report.html.

Works after a skim alone; then the report says that nothing was trained.
"""

from __future__ import annotations

from pathlib import Path

from analysis.results.dijet_figures import events_text, interval_text
from analysis.results.dijet_report import Report, Settings
from analysis.results.dijet_sections import mass_section, null_section
from analysis.results.dijet_signal import signal_section
from analysis.results.dijet_training import DijetTraining, load_training
from analysis.results.document import Document, KeyFigure, Picture, Section
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

__all__ = ["Settings", "produce"]

NO_TRAINING = "No classifier was trained in this run: the report shows the event mass only."
#: Below so many samples the standard deviation is not known to better than a fifth.
FEW_SAMPLES = 14


def produce(directory: Path, settings: Settings) -> list[str]:
    """Write results.json, plots/ and report.html into a run directory.

    Gives what is incomplete or to be read with care, in sentences. Raises UserError when the skim is missing or files
    of the run directory do not belong together.
    """
    run = RunDirectory(directory)
    run.require_skim()
    manifest, training, results = run.manifest, load_training(run), Results()
    unit = "events" if manifest.luminosity_ipb is not None else "nb"
    seed = int(manifest.configuration.get("seed", 0))
    report = Report(run, training, results, settings, plot_label(manifest), unit, seed)
    with style():
        sections = [mass_section(report)]
        if training is not None:
            sections.append(null_section(report, training))
            if training.signal:
                sections.append(signal_section(report, training))
    sections += [samples_section(manifest, results), failures_section(manifest), provenance_section(manifest, results)]
    document = Document(
        title=manifest.title,
        label=label_text(manifest),
        status=status_text(manifest),
        summary=_summary(training, results, settings),
        key_figures=_key_figures(training, results, settings),
        notices=tuple(notices(manifest)),
        flags=merge_flags(run_flags(manifest), _flags(training)),
        sections=tuple(sections),
    )
    results.write(directory / "results.json")
    write_report(document, directory / "report.html")
    _remove_old_plots(directory / "plots", document)
    return list(document.flags)


def _flags(training: DijetTraining | None) -> list[str]:
    if training is None:
        return [NO_TRAINING]
    flags = [
        f"the trainings were done with {key} = {made}, which the configuration now has as {now}: the report tells the "
        "former; train again for the latter"
        for key, made, now in training.changed
    ]
    if training.missing:
        one = training.missing == 1
        flags.append(
            f"{training.missing} training{'' if one else 's'} {'is' if one else 'are'} missing: see the failures"
        )
    for size, ensemble in training.null.items():
        for pair in range(training.settings.pairs):
            left = ensemble.samples - ensemble.entered(pair)
            if left:
                flags.append(
                    f"{left} of {ensemble.samples} samples of {size:,d} events have no AUC for "
                    f"{training.pair_title(pair)} GeV"
                )
        if ensemble.shared >= 1:
            flags.append(f"samples of {size:,d} events are the whole pool: they differ in their trainings alone")
    if training.settings.samples < FEW_SAMPLES:
        relative = (2 * max(training.settings.samples - 1, 1)) ** -0.5
        flags.append(
            f"{training.settings.samples} samples of each size: standard deviations, and all significances, are "
            f"known to {100 * relative:.0f} % at best"
        )
    return flags


def _summary(training: DijetTraining | None, results: Results, settings: Settings) -> tuple[str, ...]:
    if training is None:
        return (NO_TRAINING,)
    lines = []
    for size in training.null:
        found = [results[f"null.{size}.{training.pair_key(pair)}.auc"] for pair in range(training.settings.pairs)]
        known = [one.value for one in found if one.value is not None]
        if known:
            lines.append(
                f"Without signal the mean AUC of neighbouring bins is {min(known):.3f} to {max(known):.3f} in "
                f"samples of {size:,d} events."
            )
    for size in training.signal:
        for level in settings.levels:
            best = _best_crossing(training, results, size, level)
            if best is not None:
                lines.append(
                    f"{level:g}σ takes about {best[0]:,.0f} injected events (68 % interval: {best[1]}) in samples of "
                    f"{size:,d}, in one pair ({best[2]} GeV), before the look-elsewhere effect."
                )
    return tuple(lines)


def _best_crossing(training: DijetTraining, results: Results, size: int, level: float) -> tuple[float, str, str] | None:
    """The fewest signal events at a significance among the pairs, their interval and the pair.

    None where none reaches it.
    """
    found = []
    for pair in training.settings.touched_pairs:
        name = f"signal.{size}.{training.pair_key(pair)}.events_at_{level:g}_sigma"
        value = results[name].value
        if value is not None:
            interval = interval_text(results[f"{name}.low"], results[f"{name}.high"])
            found.append((value, interval, training.pair_title(pair)))
    return min(found, default=None)


def _key_figures(training: DijetTraining | None, results: Results, settings: Settings) -> tuple[KeyFigure, ...]:
    if training is None:
        return ()
    largest = max(training.null)
    shown: list[KeyFigure] = []
    for pair in range(training.settings.pairs):
        title = f"Mean AUC without signal, {training.pair_title(pair)} GeV, {largest:,d} events"
        auc = results[f"null.{largest}.{training.pair_key(pair)}.auc"]
        shown.append(KeyFigure(title, auc.text, auc.flags))
    if training.signal:
        size = max(training.signal)
        for pair in training.settings.touched_pairs:
            for level in settings.levels:
                title = (
                    f"Injected events at {level:g}σ in one pair, before the look-elsewhere effect, "
                    f"{training.pair_title(pair)} GeV, {size:,d} events"
                )
                name = f"signal.{size}.{training.pair_key(pair)}.events_at_{level:g}_sigma"
                low, high = results[f"{name}.low"], results[f"{name}.high"]
                interval = f" (68 %: {interval_text(low, high)})" if low.value is not None else ""
                shown.append(KeyFigure(title, events_text(results[name]) + interval))
    return tuple(shown)


def _remove_old_plots(directory: Path, document: Document) -> None:
    """Delete plots of an earlier report that this one does not have."""
    kept = {picture.path.stem for section in document.sections for picture in _pictures(section)}
    for path in directory.iterdir():
        if path.suffix in (".png", ".pdf", ".svg") and path.stem not in kept:
            path.unlink()


def _pictures(section: Section) -> list[Picture]:
    return [*section.pictures, *(picture for part in section.parts for picture in _pictures(part))]
