"""What the user can set right is one sentence and exit status 2, before any worker starts."""

from pathlib import Path

import pytest
from support.command import hepbatch, make_source, python_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "higgs4l", "--set", "chunk_sise=5"), "did you mean 'chunk_size'?"),
        (("run", "higgs4l", "--source", "nowhere"), "the source nowhere is neither"),
        (("run", "higgs4l", "--source", "empty"), "holds no sample of this analysis"),
        (("run", "higgs4l", "--source", "partial"), "--complete simulated would fill it"),
        (("run", "ditau_mass", "--source", "taus"), "lacks HTT, which the training needs; --complete simulated would"),
        (("run", "higgs4l_13tev", "--source", "newer"), "--complete DIR would take it from another source"),
        (("skim", "higgs4l", "--source", "unknown"), "the sample Wgamma"),
        (("run", "higs4l"), "did you mean 'higgs4l'?"),
        (("run", "higgs4l", "--cluster", "moon"), "unknown cluster 'moon'"),
        (("run", "higgs4l", "--output", "a-file"), "the output a-file exists and is not a directory"),
        (("train", "higgs4l", "--output", "empty"), "'hepbatch skim higgs4l' makes one"),
        (("status", "higgs4l", "--output", "empty"), "there is no run in empty"),
        (("run", "higgs4l", "--workers", "0"), "0 is not in the range x>=1"),
        (("run", "higgs4l", "--complete", "nowhere", "--source", "partial"), "the source nowhere is neither"),
        (("run", "higgs4l", "--set", "training.models.mlp.parameters.alfa=1"), "alpha"),
        (("run", "higgs4l", "--set", "simulation.scale=0"), "simulation.scale = 0"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").touch()
    make_source(tmp_path / "partial", ("ZZ", "Zee"), events=1)
    make_source(tmp_path / "unknown", ("ZZ",), events=1)
    (tmp_path / "taus").mkdir()
    (tmp_path / "taus" / "GluGluHToTauTau_M125_1.root").touch()
    (tmp_path / "newer" / "Data").mkdir(parents=True)
    (tmp_path / "newer" / "Data" / "data_A.4lep.root").touch()
    (tmp_path / "unknown" / "MC" / "skim.mc_999999.Wgamma.root").touch()
    done = hepbatch(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    # Errors of click come with a line of usage above them; ours are a line.
    assert len(done.stderr.strip().splitlines()) <= (1 if done.stderr.startswith("hepbatch") else 4)
    assert not (tmp_path / "results").exists()


def test_help_answers_without_heavy_imports(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "heavy = {'tensorflow', 'keras', 'coffea', 'sklearn', 'matplotlib', 'uproot', 'distributed', 'pandas'}\n"
        "atexit.register(lambda: print('loaded:', sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
    )
    done = hepbatch("--help", cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert done.returncode == 0
    assert "loaded: []" in done.stderr
