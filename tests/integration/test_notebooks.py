"""The notebooks of docs/notebooks run from the first cell to the last, on a small run of theirs, also as published."""

import json
import math
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command import HEPBATCH, make_source
from support.http_files import serving
from support.lepton_files import lepton, write
from support.mod_files import jet_tables, write_jets
from support.nano_files import write_nano

from analysis.publishing import publish_run
from processors.lepton_mass import ELECTRON_MASS, MUON_MASS

NOTEBOOKS = Path(__file__).resolve().parents[2] / "docs" / "notebooks"

pytestmark = pytest.mark.slow


def make_jets(directory: Path) -> Path:
    """Jets of one sub-dataset, more of them of gluons than of quarks."""
    directory.mkdir()
    tables = jet_tables(1, 8000)
    tables["hard_pid"][np.random.default_rng(1).random(len(tables["hard_pid"])) < 0.6] = 21
    write_jets(directory / "SIM300_0.h5", tables, 1, least=1)
    return directory


def make_leptons(directory: Path) -> Path:
    """The same leptons in single and in double precision."""
    directory.mkdir()
    rng = np.random.default_rng(1)
    pt, eta, phi = 15 + rng.exponential(50, 1200), rng.uniform(-2.5, 2.5, 1200), rng.uniform(-math.pi, math.pi, 1200)
    events: list[list[tuple[float, ...]]] = [
        [lepton(*momentum, number % 2, MUON_MASS if number % 2 else ELECTRON_MASS)]
        for number, momentum in enumerate(zip(pt, eta, phi, strict=True))
    ]
    write(directory / "ttbar_leptons.root", "worldTree", events, "float32")
    write(directory / "double_ttbar_leptons.root", "worldTree", events, "float64")
    return directory


def make_taus(directory: Path) -> Path:
    """Events of NanoAOD in which pairs of all channels are found."""
    directory.mkdir()
    write_nano(directory / "HTT.root", 1, 12_000)
    return directory


@dataclass(frozen=True)
class Notebook:
    """What a notebook reads, the settings that make its run a small one, what its cells say, and how much they draw.

    Lines that begin with one of `once` are there a single time, however the trainings are divided into tasks.
    """

    source: Callable[[Path], Path]
    settings: tuple[str, ...]
    says: tuple[str, ...]
    pictures: int
    once: tuple[str, ...] = ()


EACH = {
    "higgs4l": Notebook(
        make_source,
        ("training.folds=3", "training.bootstrap=20", "training.models={trees: {kind: boosted_trees}}"),
        ("ggH125_ZZ4lep", "from 120 to 130 GeV", "trees_full: area under the curve "),
        1,
    ),
    "dijet_anomaly": Notebook(
        make_jets,
        (
            "training.sample_sizes=[700]", "training.samples=3", "training.bin_edges=[660, 800, 960, 1160]",
            "training.min_events=50", "training.train_jets=120", "training.test_jets=80", "training.validation_jets=10",
            "training.composition_trainings=1", "training.stack=4",
            "training.network={phi_units: [8], f_units: [8], learning_rate: 0.001, batch_size: 20, epochs: 2}",
            "training.injection={bin: 1, mode: replace, sizes: [30], sample_sizes: [700]}", "results.bootstrap=100",
        ),
        ("events_n_jets", " gluon jets", "700 events, 30 of them signal: areas under the curve 0."),
        3,
        once=("700 events: areas", "700 events, 30 of them signal: areas"),
    ),
    "lepton_id": Notebook(
        make_leptons,
        (
            "training.seeds=2", "training.study_leptons=200", "training.source.epochs=100",
            "training.improved.epochs=200", "training.improved.learning_rate=0.02",
            "training.representations=[pt_eta_e, p2_minus_e2]", "training.overtraining=[20, 100]",
            "training.scan.nodes=[1, 2]", "training.scan.seeds=2", "training.scan.recipe.epochs=50",
        ),
        ("known_flavour", "muon          600, median of m² +0.0111",
         "double: accuracies pt_eta_e 0.", "p2_minus_e2 1."),
        3,
    ),
    "ditau_mass": Notebook(
        make_taus,
        (
            "training.models={small: {neurons: 8, layers: 2, standardise: true, batch_size: 64, epochs: 3}}",
            "training.trees={boosted: {n_estimators: 10, max_depth: 3}}", "training.importance_repeats=1",
            "results.bootstrap=20",
        ),
        ("third_lepton", "median of mTtot over the generated mass", "small_inclusive: ", "boosted_inclusive: "),
        2,
    ),
}  # fmt: skip


def test_each_notebook_has_a_test() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(EACH)


def executed(name: str, directory: Path, variables: dict[str, str], cells: int | None = None) -> Any:
    """A notebook after its first cells, or all of them, were executed in a directory."""
    nbformat = pytest.importorskip("nbformat", reason="the extra `dev` is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra `dev` is not installed")
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "a notebook is kept without its outputs"
    notebook.cells = notebook.cells[:cells]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(HEPBATCH.parent), os.environ["PATH"]]))
        for variable, value in variables.items():
            patch.setenv(variable, value)
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(directory)}}).execute()
    return notebook


def shows_its_run(name: str, notebook: Any) -> None:
    """What the cells after the first one, which makes or brings the run, say and draw is there."""
    one = EACH[name]
    _, *others = (cell for cell in notebook.cells if cell.cell_type == "code")
    said = "".join(output.get("text", "") for cell in others for output in cell.outputs)
    for words_of_a_cell in one.says:
        assert words_of_a_cell in said
    for words_of_a_line in one.once:
        assert [line.startswith(words_of_a_line) for line in said.splitlines()].count(True) == 1, said
    assert len([1 for cell in others for output in cell.outputs if _is_picture(output)]) == one.pictures


@pytest.mark.parametrize("name", EACH)
def test_a_notebook_runs_and_shows_what_is_in_its_run_also_once_that_is_published(
    name: str, tmp_path: Path, full_size: bool
) -> None:
    run = tmp_path / "run"
    settings = ("results.formats=[png]", *EACH[name].settings)
    words = ["--source", str(EACH[name].source(tmp_path / "source")), "--workers", "2"]
    words += [word for key in settings for word in ("--set", key)]
    notebook = executed(name, tmp_path, {"HEPBATCH_RUN": str(run), "HEPBATCH_OPTIONS": shlex.join(words)})
    shows_its_run(name, notebook)
    assert (run / "report.html").is_file()
    if name == "higgs4l" or full_size:  # all begin alike
        opens_a_published_run_as_it_stands(name, run, tmp_path)


def test_all_notebooks_begin_alike() -> None:
    first = [
        next("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code")
        .replace(path.stem, "NAME") for path in NOTEBOOKS.glob("*.ipynb")
    ]  # fmt: skip
    assert len(set(first)) == 1


def opens_a_published_run_as_it_stands(name: str, run: Path, tmp_path: Path) -> None:
    """At an address, and in a directory of this machine; nothing is run."""
    publish_run(run, f"file://{tmp_path}/published")
    nothing = {"HEPBATCH_OPTIONS": "--source nothing-is-run"}
    with serving(tmp_path / "published") as served:
        notebook = executed(name, tmp_path, {"HEPBATCH_PUBLISHED": served.address, **nothing})
    shows_its_run(name, notebook)
    brought = tmp_path / "results" / f"{name}-published"
    assert (brought / "manifest.json").read_bytes() == (run / "manifest.json").read_bytes()
    assert not (brought / "ledger").exists()
    there = {"HEPBATCH_PUBLISHED": str(tmp_path / "published"), **nothing}
    *_, cutflow = executed(name, tmp_path, there, cells=4).cells
    (same,) = [cell for cell in notebook.cells if cell.id == cutflow.id]
    assert cutflow.outputs == same.outputs != []
    assert [path.name for path in (tmp_path / "results").iterdir()] == [brought.name]


def _is_picture(output: Any) -> bool:
    """Whether an output is a drawing with something in it: an empty frame is a few kB."""
    return len(output.get("data", {}).get("image/png", "")) > 10_000
