"""Sections of a report that say what was run, where and how completely; the same for every analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.results.document import Cell, Section, Table, table
from analysis.results.quantities import Quantity, Results, format_number
from analysis.results.run_files import Manifest, SampleRecord

MOST_ROWS = 200
GIB = 2**30


def sample_flags(name: str, sample: SampleRecord) -> tuple[str, ...]:
    """What is to be said about every figure that contains this sample; empty when it was processed as a whole."""
    flags = []
    share = f"{sample.processed:,d} of {sample.entries:,d}" if sample.entries is not None else f"{sample.processed:,d}"
    if sample.scale is None:
        flags.append(f"{name}: yield not known, {share} entries processed")
    elif sample.role == "data" and (sample.entries is None or sample.processed < sample.entries):
        flags.append(f"{name}: {share} entries processed, the events of the others are missing")
    elif sample.scaled or (sample.scale != 1 and sample.processed != sample.entries):
        flags.append(f"{name}: {share} entries processed, yields scaled by {sample.scale:.4g}")
    elif sample.incomplete:
        flags.append(f"{name}: {share} entries processed")
    return (*flags, *(flag if flag.startswith(name) else f"{name}: {flag}" for flag in sample.flags))


def run_flags(manifest: Manifest) -> list[str]:
    """What the box at the top of the report and the end of the log say: failures first, then samples."""
    flags = []
    if manifest.failures:
        count = len(manifest.failures)
        stages = ", ".join(dict.fromkeys(failure.stage for failure in manifest.failures))
        flags.append(f"{count} item{'s' if count > 1 else ''} failed ({stages}): see the table of failures")
    for name, sample in manifest.samples.items():
        flags += sample_flags(name, sample)
    return list(dict.fromkeys(flags))


def notices(manifest: Manifest, simulation: str = "Pythia 8 and a parametrised detector") -> list[str]:
    """One sentence per kind of sample about where it came from, for the box below the title.

    `simulation` says what simulated samples were made with.
    """
    simulated = [name for name, sample in manifest.samples.items() if sample.simulated]
    data = [name for name, sample in manifest.samples.items() if sample.simulated and sample.role == "data"]
    others = [name for name in manifest.samples if name not in simulated]
    lines = []
    if simulated:
        lines.append(f"Simulated with {simulation}: {', '.join(simulated)}.")
    if data:
        lines.append(f"{', '.join(data)}: pseudo-data, simulated like the other samples; no collision was recorded.")
    if others and simulated:
        lines.append(f"From files: {', '.join(others)}.")
    return lines


def status_text(manifest: Manifest) -> str:
    """Complete or not, in a few words."""
    failures = len(manifest.failures)
    if failures:
        return f"finished with {failures} failed item{'s' if failures > 1 else ''}"
    return manifest.status or "unknown"


def label_text(manifest: Manifest) -> str:
    """Label, energy and luminosity of the run as plain text."""
    parts = [f"{manifest.data_label}, for education only" if manifest.label else "For education only"]
    if manifest.sqrt_s_tev is not None:
        parts.append(f"√s = {manifest.sqrt_s_tev:g} TeV")
    if manifest.luminosity_ipb is not None:
        parts.append(f"{manifest.luminosity_ipb:g} pb⁻¹")
    return ", ".join(parts)


def samples_section(manifest: Manifest, results: Results) -> Section:
    """Which sample came from where, how much of it was processed, and its normalisation."""
    files: dict[str, int] = {}
    for entry in manifest.inputs:
        files[entry.sample] = files.get(entry.sample, 0) + 1
    rows = []
    for name, sample in manifest.samples.items():
        flags = sample_flags(name, sample)

        def figure(key: str, value: float | None, unit: str, name: str = name, flags: tuple[str, ...] = flags) -> Cell:
            quantity = results.add(f"sample.{name}.{key}", Quantity(value, None, unit, flags))
            return Cell(_constant(quantity.value), numeric=True, flags=flags if value is None else ())

        blank = Cell("–", numeric=True)
        data = sample.role == "data"
        rows.append(
            (
                name,
                sample.role,
                sample.process or "–",
                f"{sample.source} (simulated)" if sample.simulated and sample.source != "simulated" else sample.source,
                results.add(f"sample.{name}.files", Quantity(files.get(name, 0), None, "files")),
                figure("entries", sample.entries, "entries"),
                figure("processed", sample.processed, "entries"),
                figure("scale", sample.scale, "1"),
                blank if data else figure("xsec", sample.xsec_pb, "pb"),
                blank if data else figure("sumw", sample.sumw, "1"),
                blank if data else figure("reduction_efficiency", sample.reduction_efficiency, "1"),
            )
        )
    header = (
        "Sample", "Role", "Process", "Source", "Files", "Entries", "Processed", "Scale", "Cross section [pb]",
        "Sum of weights", "Reduction eff.",
    )  # fmt: skip
    notes = ("Scale: factor on the yields for entries that were not processed; n/a where it is not known.",)
    return Section("Samples", tables=(table("Samples and where they came from", header, rows, notes),))


def failures_section(manifest: Manifest) -> Section:
    """Every failed item with file, range and error."""
    if not manifest.failures:
        return Section("Failures", text=("No item failed.",))
    rows = [
        (
            failure.stage,
            failure.sample or "–",
            failure.file or "–",
            "–" if failure.start is None else f"{failure.start}–{failure.stop}",
            failure.error,
        )
        for failure in manifest.failures[:MOST_ROWS]
    ]
    return Section(
        "Failures",
        tables=(table("Failed items", ("Stage", "Sample", "File", "Entries", "Error"), rows, _cut(manifest.failures)),),
    )


def provenance_section(manifest: Manifest, results: Results) -> Section:
    """What ran where: command, revision, versions, cluster, time and memory, inputs."""
    revision = (manifest.git.revision or "unknown") + (", with uncommitted changes" if manifest.git.dirty else "")
    facts = [
        ("Command", manifest.command or "–"),
        ("Started", manifest.started or "–"),
        ("Code revision", revision),
        ("Cluster", " ".join(filter(None, (manifest.cluster.name, _bracketed(manifest.cluster.kind)))) or "–"),
        *((f"Pool {name}", _described(pool)) for name, pool in manifest.cluster.pools.items()),
    ]
    tables = [table("The run", ("What", "Value"), facts), _stages(manifest, results)]
    if manifest.workers:
        tables.append(_workers(manifest, results))
    if manifest.inputs:
        tables.append(_inputs(manifest))
    if manifest.versions:
        tables.append(table("Versions of packages", ("Package", "Version"), sorted(manifest.versions.items())))
    return Section("What was run where", tables=tuple(tables))


def _stages(manifest: Manifest, results: Results) -> Table:
    rows = []
    for name, stage in manifest.stages.items():
        seconds = stage.get("seconds")
        time = results.add(f"stage.{name}.seconds", Quantity(seconds, None, "s")) if seconds is not None else None
        rest = {key: value for key, value in stage.items() if key not in ("started", "seconds")}
        rows.append((name, str(stage.get("started", "–")), time, _described(rest)))
    return table("Time per stage", ("Stage", "Started", "Seconds", "Counts"), rows)


def _workers(manifest: Manifest, results: Results) -> Table:
    rows = []
    for worker in manifest.workers[:MOST_ROWS]:
        memory = None
        if worker.peak_memory_bytes is not None:
            quantity = Quantity(worker.peak_memory_bytes / GIB, None, "GiB")
            memory = results.add(f"worker.{worker.name}.peak_memory", quantity)
        rows.append((worker.name, worker.pool, worker.host, worker.tasks, memory))
    header = ("Worker", "Pool", "Host", "Tasks", "Peak memory [GiB]")
    return table("Workers", header, rows, _cut(manifest.workers))


def _inputs(manifest: Manifest) -> Table:
    rows = [
        (entry.path, entry.sample, entry.uuid or "–", entry.size, entry.entries)
        for entry in manifest.inputs[:MOST_ROWS]
    ]
    return table("Input files", ("File", "Sample", "UUID", "Bytes", "Entries"), rows, _cut(manifest.inputs))


def _constant(value: float | None) -> str:
    """A constant in full: nine digits, without zeros that say nothing."""
    text = format_number(value, digits=9)
    number, times, power = text.partition("×")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + times + power


def _cut(rows: tuple[object, ...]) -> tuple[str, ...]:
    if len(rows) <= MOST_ROWS:
        return ()
    return (f"The first {MOST_ROWS} of {len(rows)}; all of them are in manifest.json.",)


def _bracketed(text: str) -> str:
    return f"({text})" if text else ""


def _described(values: Mapping[str, Any]) -> str:
    """`name: value` pairs of a flat mapping; bytes become GiB, empty values and nested mappings are left out."""
    parts = []
    for key, value in values.items():
        if value is None or isinstance(value, dict) or value in ("", [], ()):
            continue
        if key.endswith("_bytes") and isinstance(value, (int, float)):
            parts.append(f"{key.removesuffix('_bytes').replace('_', ' ')}: {Quantity(value / GIB).text} GiB")
        else:
            shown = (
                Quantity(value).text if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
            )
            parts.append(f"{key.replace('_', ' ')}: {shown}")
    return ", ".join(parts) or "–"
