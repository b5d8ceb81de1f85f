"""The stages of a run and their order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from analysis.configuration import Configuration
from analysis.datasets.catalogue import Catalogue, load_catalogue
from analysis.datasets.samples import Sample
from analysis.datasets.sources import Resolved, resolve
from analysis.engine.items import Failure
from analysis.engine.ledger import Ledger
from analysis.engine.lock import run_lock
from analysis.engine.stopping import Stopped, stop_request
from analysis.errors import Interrupted, UserError
from analysis.fetching import public_samples
from analysis.files import remove_temporaries
from analysis.manifest import Manifest
from analysis.preconditions import check_before, room_may_end
from analysis.progress import console, on_terminal, say
from analysis.run import Run
from analysis.run_status import MOST_AT_THE_END, interruption, show_status
from cluster.settings import ClusterSettings

# What the stages write into a run directory, and --fresh removes; nothing else there is ours.
OURS = (
    "simulated", "ledger", "skim", "models", "plots", "manifest.json", "cutflow.json", "histograms.json",
    "histograms.root", "notes.json", "results.json", "report.html",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What the user asked for, checked as far as it can be without opening a data file."""

    configuration: Configuration
    catalogue: Catalogue
    directory: Path
    cluster: ClusterSettings
    cluster_name: str
    fresh: bool = False
    limit_files: int | None = None
    retry_failed: bool = False
    publish: str | None = None


def run_all(request: Request) -> bool:
    """Everything: simulate or download where asked, skim, train, report. True when the run is complete."""
    for block in ("training", "results"):
        request.configuration.module(block)  # said before anything runs
    resolved = resolved_source(request)
    _check_complete(request, resolved)
    with started(request) as run:
        complete = _skim(request, run, resolved)
        lacking = _roles_without_events(run)
        if lacking:
            say(f"the run stops after the skim: no events with a known yield in the role {' and '.join(lacking)}")
            return settle(run, complete=False)
        complete = _train(run) and complete
        return _finish(run, complete)


def skim_only(request: Request) -> bool:
    """Simulate or download where asked, and skim what the source has."""
    resolved = resolved_source(request)
    if resolved.absent:
        say(f"absent from the source: {', '.join(resolved.absent)}")
    with started(request) as run:
        return settle(run, _skim(request, run, resolved))


def train_only(request: Request) -> bool:
    """Train on the skim of an earlier run."""
    manifest = _earlier(request, "skim")
    with _cluster(request, manifest) as run:
        lacking = _roles_without_events(run)
        if lacking:
            raise UserError(f"the skim in {request.directory} has no events of the role {' and '.join(lacking)}")
        return settle(run, _train(run))


def report_only(request: Request) -> bool:
    """Figures and report of an earlier run."""
    manifest = _earlier(request, "skim")
    with room_may_end(request.directory), run_lock(request.directory):
        _report(request.configuration, request.directory, manifest)
        complete = manifest.settle()
        manifest.save()
    return complete


def simulate_only(request: Request) -> bool:
    """Make the simulated source as a directory that `--source` takes."""
    from analysis.simulating import simulate

    with started(request) as run:
        names = tuple(name for name, entry in request.catalogue.samples.items() if entry.simulated)
        _, failures = simulate(run, names, request.directory)
        run.record_cluster(request.cluster_name)
        complete = settle(run, not failures)
        say(f"the simulated source is in {request.directory}")
        return complete


@contextmanager
def started(request: Request) -> Iterator[Run]:
    """A run that begins with the first stages, in the directory of the request; leaving it ends its cluster."""
    manifest = Manifest.begin(request.directory, request.configuration, request.catalogue)
    if request.fresh:
        with run_lock(request.directory):
            clear(request.directory)
    with _cluster(request, manifest) as run:
        yield run


@contextmanager
def _cluster(request: Request, manifest: Manifest) -> Iterator[Run]:
    from analysis.published_run import becomes_own

    directory = request.directory
    check_before(request.cluster, directory)
    try:
        with room_may_end(directory), run_lock(directory) as lock:
            becomes_own(directory)
            for one in (directory, directory / "plots"):
                remove_temporaries(one)
            with (
                Ledger(directory / "ledger") as ledger,
                stop_request() as stop,
                Run(
                    request.configuration, request.catalogue, directory, manifest, request.cluster, ledger, stop,
                    lock, request.retry_failed,
                ) as run,
            ):  # fmt: skip
                yield run
    except Stopped as stopped:
        raise Interrupted(stopped.number, interruption(directory, stopped)) from None


def _skim(request: Request, run: Run, resolved: Resolved) -> bool:
    from analysis.skimming import skim

    samples = dict(resolved.samples)
    failures: list[Failure] = []
    if resolved.to_fetch:
        from analysis.fetching import fetch

        fetched, failures = fetch(run, resolved.to_fetch, request.limit_files)
        samples |= fetched
    if resolved.to_simulate:
        from analysis.simulating import simulate

        made, failed = simulate(run, resolved.to_simulate, request.directory / "simulated")
        samples |= made
        failures += failed
    ordered: dict[str, Sample] = {name: samples[name] for name in request.catalogue.samples if name in samples}
    ordered |= {name: sample for name, sample in samples.items() if name not in ordered}
    complete = skim(run, ordered, request.limit_files) and not failures
    run.record_cluster(request.cluster_name)
    run.manifest.save()
    run.release("cpu")
    return complete


def _train(run: Run) -> bool:
    from analysis.training_stage import train

    complete = train(run)
    run.record_cluster(run.manifest.content["cluster"].get("name", run.cluster.kind))
    run.manifest.save()
    run.release("gpu")
    return complete


def _finish(run: Run, complete: bool) -> bool:
    _report(run.configuration, run.directory, run.manifest)
    return settle(run, complete)


def _report(configuration: Configuration, directory: Path, manifest: Manifest) -> None:
    with manifest.stage("report") as facts:
        manifest.settle()  # the page says how the run ended
        manifest.save()
        for flag in configuration.module("results").produce(directory, configuration.settings("results")):
            say(f"note: {flag}")
    say(f"report in {facts['seconds']:.0f} s")


def settle(run: Run, complete: bool) -> bool:
    """Ends a run: the manifest has its status, and the user sees how it stands. True when it is complete."""
    complete = run.manifest.settle() and complete
    run.manifest.save()
    return _show_end(run) and complete


def _show_end(run: Run) -> bool:
    name = run.configuration.name
    return show_status(run.directory, name, console(), terminal=on_terminal(), most=MOST_AT_THE_END)


def resolved_source(request: Request) -> Resolved:
    """What the request's sources have of every sample, before anything is opened, made or downloaded."""
    configuration = request.configuration
    public = public_samples(configuration, request.catalogue)
    resolved = resolve(request.catalogue, configuration.source, configuration.complete, public)
    if resolved.to_simulate:
        from analysis.simulating import check_generator

        check_generator(configuration.module("simulation"))
    return resolved


def _check_complete(request: Request, resolved: Resolved) -> None:
    samples = request.catalogue.samples
    needed = [name for name in resolved.absent if samples[name].role != "data" and not samples[name].optional]
    if needed:
        can = request.configuration.simulation is not None and all(samples[name].simulated for name in needed)
        raise UserError(
            f"the source {request.configuration.source} lacks {', '.join(needed)}, which the training needs; "
            + ("--complete simulated would fill it" if can else "--complete DIR would take it from another source")
        )


def _earlier(request: Request, stage: str) -> Manifest:
    """The manifest of an earlier run, whose stage is finished and was made with the present configuration."""
    name = request.configuration.name
    manifest = Manifest.load(request.directory, name)
    if stage not in manifest.content["stages"]:
        raise UserError(f"the {stage} in {request.directory} is not finished: run 'hepbatch {stage} {name}' first")
    made, present = manifest.content["configuration"], request.configuration.model_dump(mode="json")
    for key in ("processor", "luminosity", "datasets"):
        if made[key] != present[key]:
            raise UserError(
                f"the {stage} in {request.directory} was made with {key} = {made[key]}, the configuration says "
                f"{present[key]}: run 'hepbatch {stage} {name}' again"
            )
    manifest.content["configuration"] = {**present, "source": made["source"], "complete": made["complete"]}
    return manifest


def _roles_without_events(run: Run) -> list[str]:
    from analysis.training_stage import roles_without_events

    return roles_without_events(run)


def clear(directory: Path) -> None:
    """Removes what earlier runs left in a run directory (--fresh)."""
    for name in OURS:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def make_request(
    configuration: Configuration,
    cluster: ClusterSettings,
    cluster_name: str,
    output: Path | None,
    *,
    fresh: bool = False,
    limit_files: int | None = None,
    retry_failed: bool = False,
    publish: str | None = None,
) -> Request:
    """A request; the run directory is results/<analysis> where none is given."""
    directory = output or Path("results") / configuration.name
    if directory.exists() and not directory.is_dir():
        raise UserError(f"the output {directory} exists and is not a directory")
    catalogue = load_catalogue(configuration.datasets)
    if publish is not None:
        from analysis.published_run import Place, check_apart

        check_apart(Place(publish, writing=True), directory)  # what is wrong with it is said before anything runs
    return Request(
        configuration, catalogue, directory, cluster, cluster_name, fresh, limit_files, retry_failed, publish
    )
