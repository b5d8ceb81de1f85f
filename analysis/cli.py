"""The command line: verbs in the order of the pipeline; each checks its configuration, then calls the library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click

from analysis.cli_datasets import datasets
from analysis.command_options import (
    Commands,
    aside,
    cluster_options,
    ending,
    publish_option,
    request_of,
    run_options,
    source_options,
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hepbatch")
def main() -> None:
    """Reprocess LHC Open Data in batch: skim, train, report."""


@main.command()
@run_options
@source_options
@publish_option
@ending
def run(**options: Any) -> bool:
    """Everything: skim, train and report."""
    from analysis.stages import run_all

    request = request_of(**options)
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

    request = request_of(**options)
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

    request = request_of(**options)
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
    request = request_of(**options)
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

    request = request_of(**aside(options, "plan", "results"))
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

    request = request_of(**options)
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


main.add_command(datasets)


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
