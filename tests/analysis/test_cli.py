"""What the verbs have in common: options, and how a verb ends whose run goes on elsewhere."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from analysis import cluster_check, detached
from analysis.cli import main
from analysis.configuration import load_configuration
from cluster.settings import ClusterSettings


def _verbs(group: click.Group, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every verb that `--detach` can follow."""
    found = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += _verbs(command, (*before, name))
        elif any(option.name == "detach" for option in command.params):
            found.append((*before, name))
    return found


@pytest.mark.parametrize("verb", _verbs(main), ids=" ".join)
def test_a_verb_that_was_detached_ends_well(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def detach(directory: Path, words: list[str], settings: ClusterSettings) -> list[str]:
        asked.append(directory)
        return ["it goes on"]

    monkeypatch.setattr(detached, "detach", detach)
    words = ["ditau_mass", "file.root", "--model", "model"] if verb == ("predict",) else ["dijet_anomaly"]
    result = CliRunner().invoke(main, [*verb, *words, "--output", str(tmp_path / "out"), "--detach"])
    assert (result.exit_code, result.exception) == (0, None)
    assert result.output == "it goes on\n"
    assert asked == [tmp_path / "out"]


def test_a_check_reads_a_public_file_where_it_is_and_nothing_that_is_yet_to_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = (f"opendata.cache={tmp_path}",)
    address = cluster_check.file_to_read(load_configuration("dijet_anomaly", cache, source="opendata"))
    assert address is not None
    assert address.startswith("https://zenodo.org/")
    assert capsys.readouterr().err == ""
    assert cluster_check.file_to_read(load_configuration("dijet_anomaly", source="simulated")) is None
    assert "nothing is read: the source simulated has no files before they are simulated" in capsys.readouterr().err
