"""What the verbs of the command line share: their options, how they end, and the checked request of a run."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from analysis.errors import Interrupted, UserError

WRONG_INPUT, WITH_FAILURES = 2, 1


class Commands(click.Group):
    """Verbs in the order they are defined, which is that of the pipeline."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click passes it)
        """Names of the verbs."""
        return list(self.commands)


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


def aside(options: dict[str, Any], verb: str, below: str = "results/datasets") -> dict[str, Any]:
    """The options with a directory of its own, so that a verb leaves what an earlier run left in its directory."""
    if options["output"] is not None:
        return options
    from analysis.configuration import load_configuration

    return {**options, "output": Path(below) / verb / load_configuration(options["analysis"]).name}


def request_of(
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
