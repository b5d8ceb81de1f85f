"""The scripts of docs/full-dataset.md run as they stand in the page, against servers and a Slurm of the tests."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import HEPBATCH, NAMES
from support.http_files import Served, serving
from support.mini_files import EventMaker, write_mini
from support.slurm import slurm_site

from analysis.configuration import CONFIGS
from analysis.datasets.catalogue import load_catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "full-dataset.md"
SAMPLES = tuple(NAMES)
EVENTS = 300

pytestmark = pytest.mark.slow


def script(directory: Path, name: str) -> Path:
    """A script of the page, word by word."""
    (text,) = [
        block for block in re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
        if f"\n# file: {name}\n" in block
    ]  # fmt: skip
    (directory / name).write_text(text)
    return directory / name


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with stand-ins at the public paths."""
    directory = tmp_path_factory.mktemp("public")
    catalogue = load_catalogue("higgs4l")
    for seed, name in enumerate(SAMPLES):
        (listed,) = catalogue.publication(name).files
        write_mini(directory / listed.path, EventMaker(seed).events(EVENTS), basket=64)
    with serving(directory) as served:
        yield served


def small_analysis(directory: Path, server: str) -> Path:
    """higgs4l with the stand-ins' server, whose files have other sizes than the public ones, and one quick training."""
    catalogue = yaml.safe_load((CONFIGS / "datasets" / "higgs4l.yaml").read_text())
    for entry in catalogue["samples"].values():
        (listed,) = entry["published"]["files"]
        entry["published"]["files"] = [{"path": listed["path"]}]
    (directory / "catalogue.yaml").write_text(yaml.safe_dump(catalogue))
    content = yaml.safe_load((CONFIGS / "analyses" / "higgs4l.yaml").read_text())
    content["datasets"] = str(directory / "catalogue.yaml")
    content["chunk_size"] = 100
    content["training"] |= {"folds": 3, "bootstrap": 20, "models": {"trees": {"kind": "boosted_trees"}}}
    content["opendata"]["servers"] = [server]
    (directory / "small.yaml").write_text(yaml.safe_dump(content))
    return directory / "small.yaml"


def run(directory: Path, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(HEPBATCH.parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", str(script(directory, name))], cwd=directory, env={**os.environ, "PATH": path, **variables},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def complete(run_directory: Path) -> None:
    """All events of all samples are in the run, and it has a report."""
    assert content(run_directory / "manifest.json")["status"] == "complete"
    cutflow = content(run_directory / "cutflow.json")
    assert {name: cuts["all"]["events"] for name, cuts in cutflow.items()} == dict.fromkeys(SAMPLES, EVENTS)
    assert (run_directory / "report.html").is_file()


def test_the_slurm_script_fetches_plans_runs_and_publishes(public: Served, tmp_path: Path) -> None:
    pool = {"memory": "2GiB", "start_limit": "2 min"}
    site = {
        "kind": "slurm", "scheduler": {"query_interval": 2},
        "pools": {"cpu": {"workers": 2, **pool}, "gpu": {"workers": 1, "gpus": 1, **pool}},
    }  # fmt: skip
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    small_analysis(tmp_path, public.address)
    variables = {"SITE": "site.yaml", "ANALYSES": "small.yaml", "PUBLISH": str(tmp_path / "published")}
    with slurm_site(tmp_path / "slurm") as slurm:
        done = run(tmp_path, "reprocess-slurm.sh", **variables, **slurm.environment)
        assert done.returncode == 0, done.stderr[-3000:]
        assert slurm.queue() == []
    complete(tmp_path / "results" / "small")
    facts = content(tmp_path / "results" / "small" / "manifest.json")["cluster"]
    assert facts["kind"] == "slurm"
    assert facts["pools"]["cpu"]["jobs"]
    assert len(list((tmp_path / "opendata").rglob("*.root"))) == len(SAMPLES)
    assert content(tmp_path / "results" / "plan" / "small" / "plan.json")["entries"] == EVENTS * len(SAMPLES)
    assert (tmp_path / "published" / "small" / "published.json").is_file()
    assert f"small: complete, {tmp_path}/results/small/report.html" in done.stdout


@pytest.mark.parametrize("name", ["reprocess-lxplus.sh", "reprocess-coffea-casa.sh"])
def test_the_scripts_that_read_in_place_run_on_any_cluster(public: Served, tmp_path: Path, name: str) -> None:
    small_analysis(tmp_path, public.address)
    local = {"kind": "local", "pools": {"cpu": {"workers": 2}, "gpu": {"workers": 1}}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(local))
    variables = {"SITE": "site.yaml", "RESULTS": str(tmp_path / "results"), "PUBLISH": "", "USER": "jane"}
    done = run(tmp_path, name, **variables, ANALYSES="small.yaml nothing.yaml")
    assert done.returncode == 1  # of nothing.yaml, which does not keep the other one from its end
    complete(tmp_path / "results" / "small")
    assert "nothing: not complete" in done.stderr
    assert not list((tmp_path / "results" / "cache").rglob("*.root"))
