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
from support.command import HEPBATCH, python_path
from support.http_files import Served, serving
from support.public_files import SMALL, small_analyses
from support.slurm import slurm_site

from analysis.configuration import CONFIGS, load_configuration
from analysis.datasets.catalogue import load_catalogue
from analysis.fetching import public_samples

PAGE = Path(__file__).resolve().parents[2] / "docs" / "full-dataset.md"
SCRIPTS = ("reprocess-slurm.sh", "reprocess-lxplus.sh", "reprocess-coffea-casa.sh")

pytestmark = pytest.mark.slow


def text_of(name: str) -> str:
    """A script of the page, word by word."""
    (text,) = [
        block for block in re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
        if f"\n# file: {name}\n" in block
    ]  # fmt: skip
    return str(text)


def analyses_of(name: str) -> list[str]:
    """The analyses that a script reprocesses unless it is told others."""
    found = re.search(r'^: "\$\{ANALYSES:=(.*)\}"$', text_of(name), flags=re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Served]]:
    directory = tmp_path_factory.mktemp("public")
    with serving(directory) as served:
        yield directory, served


def run(directory: Path, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (directory / name).write_text(text_of(name))
    path = os.pathsep.join([str(HEPBATCH.parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path(directory), **variables}
    return subprocess.run(
        ["bash", name], cwd=directory, env=environment, capture_output=True, text=True, timeout=1500, check=False
    )  # fmt: skip


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def complete(run_directory: Path, events: dict[str, int]) -> None:
    """All events of all samples are in the run, and it has a report."""
    assert content(run_directory / "manifest.json")["status"] == "complete"
    cutflow = content(run_directory / "cutflow.json")
    first = {name: next(iter(cuts.values()))["events"] for name, cuts in cutflow.items()}
    assert {name: first[name] for name in events} == events
    assert (run_directory / "report.html").is_file()


def test_the_scripts_name_every_analysis_that_reads_public_files() -> None:
    names = [path.stem for path in (CONFIGS / "analyses").glob("*.yaml")]
    public = [name for name in names if load_configuration(name).source == "opendata"]
    public += ["higgs4l", "lepton_id"]  # whose usual source is the simulated one, and which have files of their own
    for name in public:
        configuration = load_configuration(name)
        assert public_samples(configuration, load_catalogue(configuration.datasets)), name
    # The full-size twin of ditau_mass reads what ditau_mass_cms reads.
    assert sorted(analyses_of("reprocess-slurm.sh")) == sorted(public)
    for name in SCRIPTS[1:]:  # the jets are on Zenodo, and need a cache
        assert sorted(analyses_of(name)) == sorted(set(public) - {"dijet_anomaly_full"})
    assert set(SMALL) == set(public)


@pytest.mark.timeout(1600)
def test_the_slurm_script_fetches_plans_runs_and_publishes(
    server: tuple[Path, Served], tmp_path: Path, full_size: bool
) -> None:
    """All of its analyses at full size; else one of ATLAS and one of CMS."""
    names = tuple(analyses_of(SCRIPTS[0])) if full_size else ("higgs4l", "ditau_mass_cms")
    events = small_analyses(tmp_path, server[0] / "slurm", f"{server[1].address}/slurm", names)
    pool = {"memory": "2GiB", "start_limit": "2 min"}
    site = {
        "kind": "slurm", "scheduler": {"query_interval": 2},
        "pools": {"cpu": {"workers": 2, **pool}, "gpu": {"workers": 1, "gpus": 1, **pool}},
    }  # fmt: skip
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    variables = {
        "SITE": "site.yaml", "ANALYSES": " ".join(f"{name}.yaml" for name in events),
        "PUBLISH": str(tmp_path / "published"),
    }  # fmt: skip
    with slurm_site(tmp_path / "slurm") as slurm:
        done = run(tmp_path, SCRIPTS[0], **variables, **slurm.environment)
        assert done.returncode == 0, done.stderr[-3000:]
        assert slurm.queue() == []
    for name, of_samples in events.items():
        complete(tmp_path / "results" / name, of_samples)
        facts = content(tmp_path / "results" / name / "manifest.json")["cluster"]
        assert facts["kind"] == "slurm"
        assert facts["pools"]["cpu"]["jobs"]
        plan = content(tmp_path / "results" / "plan" / name / "plan.json")
        assert plan["entries"] == sum(of_samples.values())
        assert (tmp_path / "published" / name / "published.json").is_file()
        assert f"{name}: complete, {tmp_path}/results/{name}/report.html" in done.stdout
    listed = {name: len(samples) for name, samples in events.items() if not name.startswith("dijet")}
    assert len(list((tmp_path / "opendata").rglob("*.root"))) == sum(listed.values())


@pytest.mark.timeout(1600)
@pytest.mark.parametrize("name", SCRIPTS[1:])
def test_the_scripts_that_read_in_place_run_on_any_cluster(
    server: tuple[Path, Served], tmp_path: Path, name: str, full_size: bool
) -> None:
    names = tuple(analyses_of(name)) if full_size else ("lepton_id_cms",)
    events = small_analyses(tmp_path, server[0] / name, f"{server[1].address}/{name}", names)
    local = {"kind": "local", "pools": {"cpu": {"workers": 2}, "gpu": {"workers": 1}}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(local))
    variables = {"SITE": "site.yaml", "RESULTS": str(tmp_path / "results"), "PUBLISH": "", "USER": "jane"}
    analyses = " ".join([*(f"{one}.yaml" for one in events), "nothing.yaml"])
    done = run(tmp_path, name, **variables, ANALYSES=analyses)
    assert done.returncode == 1, done.stderr[-3000:]  # of nothing.yaml, which does not keep the others from their end
    for one, of_samples in events.items():
        complete(tmp_path / "results" / one, of_samples)
    assert "nothing: not complete" in done.stderr
    assert not list((tmp_path / "results" / "cache").rglob("*.root"))
