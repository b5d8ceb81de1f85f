"""The verbs of `hepbatch datasets`, in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from analysis.command_options import Commands, aside, ending, request_of, run_options


@click.group(cls=Commands)
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

    request = request_of(**aside(options, "check"))
    return request is None or check_only(request)


@datasets.command("fetch")
@run_options
@click.option("--limit-files", type=click.IntRange(min=1), metavar="N", help="At most N files of each sample.")
@ending
def fetch_datasets(**options: Any) -> bool:
    """Download the public files into the cache, and verify their checksums."""
    from analysis.dataset_verbs import fetch_only

    request = request_of(**aside(options, "fetch"))
    return request is None or fetch_only(request)


@datasets.command("simulate")
@run_options
@ending
def simulate_datasets(**options: Any) -> bool:
    """Make the simulated source, as a directory that --source takes."""
    from analysis.stages import simulate_only

    request = request_of(**options)
    return request is None or simulate_only(request)
