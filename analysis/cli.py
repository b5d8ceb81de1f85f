"""The command line: verbs in the order of the pipeline; each checks its configuration, then calls the library."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from analysis.errors import Interrupted, UserError

WRONG_INPUT, WITH_FAILURES = 2, 1


class Commands(click.Group):
    """Verbs in the order they are defined, which is that of the pipeline."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click passes it)
        """Names of the verbs."""
        return list(self.commands)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hepbatch")
def main() -> None:
    """Reprocess LHC Open Data in batch: skim, train, report."""


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every verb of a run has."""
    output = click.option("--output", type=click.Path(path_type=Path), help="Run directory [results/ANALYSIS].")
    return click.argument("analysis")(output(cluster_options(command)))


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb that uses a cluster."""
    options = [
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the configuration."
        ),
        click.option("--cluster", default="local", show_default=True, metavar="NAME|FILE", help="Where it runs."),
        click.option("--workers", type=click.IntRange(min=1), help="Number of cpu workers."),
        click.option("--retry-failed", is_flag=True, help="Take up again what failed before."),
        click.option("--detach", is_flag=True, help="Go on without this terminal; see 'hepbatch cancel'."),
    ]
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of verbs that read a source."""
    options = [
        click.option("--source", metavar="NAME|PATH", help="simulated, opendata, a directory, or a YAML file."),
        click.option("--complete", metavar="NAME|PATH", help="Second source, for samples that the first one lacks."),
        click.option("--fresh", is_flag=True, help="Remove what earlier runs left in the run directory first."),
        click.option("--limit-files", type=click.IntRange(min=1), metavar="N", help="At most N files of each sample."),
    ]
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def publish_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option of verbs that finish a run."""
    return click.option("--publish", metavar="URL", help="Copy the finished run there (root://, s3://, ...).")(command)


def ending(command: Callable[..., bool]) -> Callable[..., None]:
    """Turns the outcome of a verb into the exit status: 0 complete, 1 with failures, 2 wrong input (one sentence)."""

    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        try:
            complete = command(**options)
        except UserError as error:
            click.echo(f"hepbatch: {error}", err=True)
            raise SystemExit(WRONG_INPUT) from None
        except Interrupted as stopped:
            click.echo(f"hepbatch: {stopped}", err=True)
            raise SystemExit(128 + stopped.number) from None
        except KeyboardInterrupt:
            click.echo("hepbatch: interrupted before anything was begun", err=True)
            raise SystemExit(128 + signal.SIGINT) from None
        raise SystemExit(0 if complete else WITH_FAILURES)

    return wrapped


@main.command()
@run_options
@source_options
@publish_option
@ending
def run(**options: Any) -> bool:
    """Everything: skim, train and report."""
    from analysis.stages import run_all

    request = _request(**options)
    if request is None:
        return True
    complete = run_all(request)
    click.echo(f"report: {request.directory / 'report.html'}")
    return _published(request, complete)


@main.command()
@run_options
@source_options
@publish_option
@ending
def skim(**options: Any) -> bool:
    """Skim the source: cutflow, histograms, Parquet."""
    from analysis.stages import skim_only

    request = _request(**options)
    if request is None:
        return True
    complete = skim_only(request)
    click.echo(f"skim: {request.directory / 'skim'}")
    return _published(request, complete)


@main.command()
@run_options
@publish_option
@ending
def train(**options: Any) -> bool:
    """Train on the skim of an earlier run."""
    from analysis.stages import train_only

    request = _request(**options)
    if request is None:
        return True
    complete = train_only(request)
    click.echo(f"models: {request.directory / 'models'}")
    return _published(request, complete)


@main.command()
@run_options
@publish_option
@click.option("--from", "origin", metavar="URL", help="A published run: it is brought here first.")
@ending
def report(origin: str | None, **options: Any) -> bool:
    """Figures, tables and the page of an earlier run."""
    from analysis.published_run import check_address
    from analysis.stages import report_only

    if origin is not None:
        check_address(origin)
    request = _request(**options)
    if request is None:
        return True
    if origin is not None:
        from analysis.published_run import fetch_run

        fetch_run(origin, request.directory)
    complete = report_only(request)
    click.echo(f"report: {request.directory / 'report.html'}")
    return _published(request, complete)


@main.command()
@click.argument("analysis")
@click.option("--output", type=click.Path(path_type=Path), help="Run directory [results/ANALYSIS].")
@ending
def status(analysis: str, output: Path | None) -> bool:
    """What of an earlier run is done, missing, failed."""
    from rich.console import Console

    from analysis.configuration import load_configuration
    from analysis.driver_jobs import driver_lines
    from analysis.run_status import show_status

    name = load_configuration(analysis).name
    directory = output or Path("results") / name
    waiting = driver_lines(directory)
    for line in waiting:
        click.echo(line)
    if waiting and not (directory / "manifest.json").exists():
        return False
    console = Console(highlight=False, soft_wrap=True)
    return show_status(directory, name, console, terminal=sys.stdout.isatty())


@main.command()
@click.argument("analysis")
@click.option("--output", type=click.Path(path_type=Path), help="Run directory [results/ANALYSIS].")
@ending
def cancel(analysis: str, output: Path | None) -> bool:
    """End a run that goes on elsewhere, and its batch jobs."""
    from analysis import detached
    from analysis.configuration import load_configuration

    directory = output or Path("results") / load_configuration(analysis).name
    for line in detached.cancel(directory):
        click.echo(line)
    return True


@main.command()
@run_options
@click.option("--source", metavar="NAME|PATH", help="opendata, a directory, or a YAML file.")
@click.option("--complete", metavar="NAME|PATH", help="Second source, for samples that the first one lacks.")
@click.option("--limit-files", type=click.IntRange(min=1), metavar="N", help="At most N files of each sample.")
@click.option(
    "--like", type=click.Path(path_type=Path), help="A run that has trained: trainings are not tried, but as there."
)
@click.option("--skim-only", is_flag=True, help="Trainings are neither tried nor predicted.")
@ending
def plan(like: Path | None, skim_only: bool, **options: Any) -> bool:
    """Try a few work items and trainings, and say what the whole run takes: time, bytes, memory, hours of GPUs."""
    from analysis.foresight import plan_only

    request = _request(**_aside(options, "plan", "results"))
    return request is None or plan_only(request, like, skim_only=skim_only)


@main.command()
@click.argument("analysis")
@click.argument("files", nargs=-1, required=True)
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Directory of a trained model.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Directory of the predictions.")
@click.option(
    "--format", "kind", type=click.Choice(["root", "parquet"]), default="root", show_default=True,
    help="root: friend trees, an entry for each; parquet: selected events only.",
)  # fmt: skip
@click.option("--ntuple", type=click.Path(path_type=Path), metavar="FILE", help="YAML with the names in flat ntuples.")
@cluster_options
@ending
def predict(
    files: tuple[str, ...], model: Path, kind: Literal["root", "parquet"], ntuple: Path | None, **options: Any
) -> bool:
    """Apply a trained regression to FILES: one file of predictions for each."""
    from analysis.predicting import Wanted
    from analysis.predicting import predict as apply

    request = _request(**options)
    if request is None:
        return True
    complete = apply(request, Wanted(model, files, kind, ntuple))
    click.echo(f"predictions: {request.directory}")
    return complete


@main.command("export")
@click.argument("analysis")
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Directory of a trained network.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The ONNX file to write.")
@ending
def export_model(analysis: str, model: Path, output: Path) -> bool:
    """Write a trained network as ONNX, and check that it gives the same."""
    from analysis.exporting import export

    click.echo(f"{output}: the largest relative difference is {export(analysis, model, output):.2g}")
    return True


@main.group()
def datasets() -> None:
    """The samples of an analysis."""


@datasets.command("list")
@click.argument("analysis")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the configuration.")
@ending
def list_datasets(analysis: str, overrides: tuple[str, ...]) -> bool:
    """The samples: roles, cross sections, and of the public files number, events, bytes, licence."""
    from analysis.configuration import load_configuration
    from analysis.dataset_verbs import describe

    for line in describe(load_configuration(analysis, overrides)):
        click.echo(line)
    return True


@datasets.command("pin")
@click.argument("analysis")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the configuration.")
@click.option("--output", type=click.Path(path_type=Path), help="Directory of the copy [results/datasets/pin/NAME].")
@ending
def pin_datasets(analysis: str, overrides: tuple[str, ...], output: Path | None) -> bool:
    """Ask the CERN Open Data portal which files its records list today, and write a catalogue with them."""
    from analysis.configuration import load_configuration
    from analysis.pinning import pin

    configuration = load_configuration(analysis, overrides)
    return pin(configuration, output or Path("results/datasets/pin") / configuration.name)


@datasets.command("check")
@run_options
@click.option("--source", default="opendata", show_default=True, metavar="NAME|PATH", help="Whose files are opened.")
@click.option("--limit-files", type=click.IntRange(min=1), metavar="N", help="At most N files of each sample.")
@ending
def check_datasets(**options: Any) -> bool:
    """Open every file of the source where it is, and say which are missing, unreadable or of another schema."""
    from analysis.dataset_verbs import check_only

    request = _request(**_aside(options, "check"))
    return request is None or check_only(request)


@datasets.command("fetch")
@run_options
@click.option("--limit-files", type=click.IntRange(min=1), metavar="N", help="At most N files of each sample.")
@ending
def fetch_datasets(**options: Any) -> bool:
    """Download the public files into the cache, and verify their checksums."""
    from analysis.dataset_verbs import fetch_only

    request = _request(**_aside(options, "fetch"))
    return request is None or fetch_only(request)


@datasets.command("simulate")
@run_options
@ending
def simulate_datasets(**options: Any) -> bool:
    """Make the simulated source, as a directory that --source takes."""
    from analysis.stages import simulate_only

    request = _request(**options)
    return request is None or simulate_only(request)


@main.group()
def cluster() -> None:
    """Where it runs."""


@cluster.command("check")
@click.argument("name")
@click.option("--analysis", help="Read one file of this analysis' source from the workers.")
@click.option("--source", metavar="PATH", help="The source of the analysis, where it is not the usual one.")
@click.option("--set", "overrides", multiple=True, metavar="cluster.KEY=VALUE", help="Change a key of the cluster.")
@click.option("--output", type=click.Path(path_type=Path), help="Directory for logs [results/cluster-check/NAME].")
@ending
def check_cluster(
    name: str, analysis: str | None, source: str | None, overrides: tuple[str, ...], output: Path | None
) -> bool:
    """Start one worker of each pool, run a task on each, say what it found."""
    from analysis import cluster_check
    from analysis.cluster_choice import load_cluster
    from analysis.configuration import load_configuration

    settings = load_cluster(name, tuple(text.removeprefix("cluster.") for text in overrides))
    path = cluster_check.file_to_read(load_configuration(analysis, source=source)) if analysis else None
    return cluster_check.check_cluster(settings, name, output or Path("results/cluster-check") / Path(name).stem, path)


def _published(request: Any, complete: bool) -> bool:
    """Copies the finished run where the user wants it; passes on whether it is complete."""
    if request.publish is not None:
        from analysis.publishing import publish_run

        publish_run(request.directory, request.publish)
    return complete


def _aside(options: dict[str, Any], verb: str, below: str = "results/datasets") -> dict[str, Any]:
    """The options with a directory of its own, so that a verb leaves what an earlier run left in its directory."""
    if options["output"] is not None:
        return options
    from analysis.configuration import load_configuration

    return {**options, "output": Path(below) / verb / load_configuration(options["analysis"]).name}


def _request(
    analysis: str,
    output: Path | None,
    overrides: tuple[str, ...],
    cluster: str,
    workers: int | None,
    source: str | None = None,
    complete: str | None = None,
    fresh: bool = False,
    limit_files: int | None = None,
    retry_failed: bool = False,
    detach: bool = False,
    publish: str | None = None,
) -> Any:
    """The checked request; None where it was handed to a process of its own."""
    from analysis.cluster_choice import load_cluster
    from analysis.configuration import load_configuration
    from analysis.driver_jobs import check_place
    from analysis.stages import make_request

    of_cluster = tuple(text for text in overrides if text.startswith("cluster."))
    others = tuple(text for text in overrides if not text.startswith("cluster."))
    configuration = load_configuration(analysis, others, source=source, complete=complete)
    settings = load_cluster(cluster, tuple(text.removeprefix("cluster.") for text in of_cluster), workers)
    request = make_request(
        configuration, settings, cluster, output, fresh=fresh, limit_files=limit_files, retry_failed=retry_failed,
        publish=publish,
    )  # fmt: skip
    if not detach:
        check_place(settings)
        return request
    from analysis import detached

    words = [word for word in sys.argv[1:] if word != "--detach"]
    for line in detached.detach(request.directory, words, settings):
        click.echo(line)
    return None
