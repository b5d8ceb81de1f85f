"""`hepbatch run lepton_id` from files to the report: simulated leptons in both precisions, and real ones of ATLAS."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.command import hepbatch
from support.lepton_files import lepton, write_nano_leptons

from training.lepton_limit import MIDDLE
from training.lepton_models import load_networks

# Fewer steps than the shipped configuration; every task still has its part.
REDUCED = (
    "--set", "training.seeds=2", "--set", "training.study_leptons=400", "--set", "training.source.epochs=150",
    "--set", "training.improved.epochs=200", "--set", "training.improved.learning_rate=0.02",
    "--set", "training.representations=[pt_eta_e, p2_minus_e2, mass]", "--set", "training.overtraining=[20, 200]",
    "--set", "training.scan.nodes=[1, 3]", "--set", "training.scan.seeds=2",
    "--set", "training.scan.recipe.epochs=100", "--set", "results.formats=[png]",
)  # fmt: skip
# The improved network as shipped, of the representations that may be the best.
ONE_STUDY = (
    *REDUCED, "--set", "training.improved.epochs=600", "--set", "training.improved.learning_rate=0.01",
    "--set", "training.representations=[p2_minus_e2, m2_p_eta]",
)  # fmt: skip
#: How far the best network may be below the limit of the precision, on the same test leptons.
TOLERANCE = 0.002
#: A full-size run takes minutes, on a busy machine several times as many.
LONG = 1700
PLOTS = (
    "accuracy_p", "accuracy_pt", "confusion", "distributions", "history", "m2_error", "mass", "overtraining",
    "representations", "roc", "scan", "separation", "weights",
)  # fmt: skip

pytestmark = pytest.mark.slow


def results(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "results.json").read_text())
    return found


def without_uncertainty(found: dict[str, Any]) -> list[str]:
    """Figures that are measured with leptons and have no uncertainty."""
    # Counts and what the run took; the separation is calculated, for the spectra that the leptons have.
    exact = ("cutflow.", "dropped.", "sample.", "stage.", "worker.", "run.")
    return [
        name for name, entry in found.items()
        if not name.startswith(exact) and not name.endswith(".separation")
        and entry["value"] is not None and entry["uncertainty"] is None
    ]  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("pythia8mc") is None, reason="the extra `simulation` is not installed")
@pytest.mark.timeout(LONG + 60)
def test_simulated_leptons_in_both_precisions(tmp_path: Path, full_size: bool) -> None:
    reduced = () if full_size else ("--set", "simulation.events=4000", *REDUCED)
    done = hepbatch("run", "lepton_id", "--output", tmp_path / "out", *reduced, cwd=tmp_path, seconds=LONG)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "out")
    # Of the reduced run's 650 test leptons, six are a per cent.
    assert found["best.double.accuracy"]["value"] >= (0.999 if full_size else 0.99)
    assert found["best.stored.below_limit"]["value"] <= (TOLERANCE if full_size else 0.02)
    assert without_uncertainty(found) == []
    assert found["limit.double.accuracy"]["value"] == 1
    assert 0.9 < found["limit.stored.accuracy"]["value"] < 1
    assert set(load_networks(tmp_path / "out" / "models" / "improved")) == {"stored", "double"}
    assert abs(found["representation.pt_eta_e.improved.double.accuracy"]["value"] - 0.5) < 0.1
    single, double = (found[f"cutflow.{name}.finite.events"]["value"] for name in
                      ("ttbar_leptons", "double_ttbar_leptons"))  # fmt: skip
    assert single == double > 1000
    page = (tmp_path / "out" / "report.html").read_text()
    assert "weights of about" in page  # why the naive representations fail
    assert "√s" not in page  # samples of different energies
    assert "Simulated with Pythia 8, without a detector" in page
    assert sorted(path.stem for path in (tmp_path / "out" / "plots").glob("*.png")) == sorted(PLOTS)


@pytest.mark.timeout(LONG + 60)
def test_the_best_network_reaches_the_limit_of_the_file(test_data: Path, tmp_path: Path, full_size: bool) -> None:
    file = test_data / "simulated" / "ttbar_leptons.root"
    if not file.is_file():
        pytest.skip(f"no file {file}")
    source = tmp_path / "source"
    source.mkdir()
    (source / file.name).symlink_to(file.resolve())
    reduced = () if full_size else ONE_STUDY
    done = hepbatch("run", "lepton_id", "--source", source, "--output", tmp_path / "out", *reduced, cwd=tmp_path,
                    seconds=LONG)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "out")
    limit = found["limit.stored.accuracy"]
    # That of all leading leptons of this file, see the description of the analysis.
    assert limit["value"] == pytest.approx(0.9635, abs=3 * limit["uncertainty"])
    expected = found["limit.stored.expected"]
    assert limit["value"] == pytest.approx(expected["value"], abs=4 * expected["uncertainty"])
    assert found["best.stored.below_limit"]["value"] <= TOLERANCE
    assert found["best.stored.below_limit"]["uncertainty"] < TOLERANCE


def test_real_leptons_of_atlas_alone(test_data: Path, tmp_path: Path) -> None:
    done = hepbatch("run", "lepton_id", "--source", test_data / "atlas-8tev", "--output", tmp_path / "out", *REDUCED,
                    cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "out")
    assert found["cutflow.ttbar_lep.finite.events"]["value"] == 897
    assert found["limit.stored.accuracy"]["value"] > 0.97
    assert found["limit.stored.accuracy"]["value"] >= found["middle_cut.stored.accuracy"]["value"] - 1e-3
    assert 0 < found["limit.stored.ties"]["value"] < 0.05
    assert without_uncertainty(found) == []
    limits = json.loads((tmp_path / "out" / "models" / "limits" / "result.json").read_text())
    some = [one for one in limits["samples"]["stored"]["methods"]["mass_cut"]["by_p"] if 0 < (one["accuracy"] or 0) < 1]
    assert some
    for one in some:
        error = math.sqrt(one["accuracy"] * (1 - one["accuracy"]) / one["leptons"])
        name = f"mass_cut.p_{one['low']:g}_{one['high']:g}.accuracy"
        assert found[name]["uncertainty"] == pytest.approx(error)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "only E was rounded" in page
    assert "could be electrons as well as muons" in page
    assert "no sample has the same leptons in double precision" in page
    # The settings of the file are others: the report still shows what was done, and says so.
    again = hepbatch(
        "report", "lepton_id", "--output", tmp_path / "out", "--set", "results.formats=[png]", cwd=tmp_path
    )
    assert again.returncode == 0, again.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "the task scan was done with other settings than the configuration has now" in page
    assert "mean and standard deviation of 2 trainings" in page


def test_nanoaod_of_cms(tmp_path: Path) -> None:
    """Electrons with masses as the detector smears them; muons with the one that NanoAOD packs."""
    rng, size = np.random.default_rng(4), 1500
    pt, eta, muon = 15 + rng.exponential(45, size), rng.uniform(-2.4, 2.4, size), rng.integers(0, 2, size)
    mass = np.where(muon, 0.10571289, np.abs(rng.normal(0, 0.017, size)))
    values = zip(pt.tolist(), eta.tolist(), muon.tolist(), mass.tolist(), strict=True)
    events = [[(*lepton(one_pt, one_eta, 0.3, kind, one_mass), 1)] for one_pt, one_eta, kind, one_mass in values]
    (tmp_path / "source").mkdir()
    write_nano_leptons(tmp_path / "source" / "TTToSemiLeptonic_1.root", events)
    done = hepbatch("run", "lepton_id_cms", "--source", tmp_path / "source", "--output", tmp_path / "out", *REDUCED,
                    cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "out")
    assert found["cutflow.TTToSemiLeptonic.finite.events"]["value"] == 1500
    assert 0.85 < found["limit.stored.accuracy"]["value"] < 1  # of E in single precision
    assert "one event in" not in (tmp_path / "out" / "report.html").read_text()
    thin = hepbatch("report", "lepton_id_cms", "--output", tmp_path / "out", "--set", "results.most_leptons=400",
                    "--set", "results.formats=[png]", cwd=tmp_path)  # fmt: skip
    assert thin.returncode == 0, thin.stderr
    assert "those of one event in 4 of each file are drawn" in (tmp_path / "out" / "report.html").read_text()
    double = hepbatch("skim", "lepton_id_cms", "--source", tmp_path / "source", "--output", tmp_path / "double",
                      "--set", "processor.energy=double", cwd=tmp_path)  # fmt: skip
    assert double.returncode == 0, double.stderr
    for directory, share in (("out", (0.85, 0.999)), ("double", (1.0, 1.0))):
        table = pq.read_table(tmp_path / directory / "skim").to_pandas()
        right = ((table["m2"] > MIDDLE) == (table["is_muon"] == 1)).mean()
        assert share[0] <= right <= share[1], directory
