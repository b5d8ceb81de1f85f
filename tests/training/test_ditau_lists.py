"""Lists of inputs by name and from files, momenta in Cartesian components, and how models use both."""

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import vector
from support.ditau_skims import skim

from training import ditau_mass
from training.ditau_columns import input_matrix
from training.ditau_events import as_published, read_ditau
from training.ditau_lists import FULL, INPUT_LISTS, columns_of, read_list
from training.ditau_mass import ModelSettings, Settings
from training.ditau_model import inputs_of, load_mass_model, ml_mass

CARTESIAN = INPUT_LISTS["cartesian"]


def test_cartesian_lists_have_the_components_of_each_object() -> None:
    assert CARTESIAN[:3] == ("tau1_px_reco", "tau1_py_reco", "tau1_pz_reco")
    assert [name for name in CARTESIAN if name.startswith("PuppiMET")] == ["PuppiMET_px_reco", "PuppiMET_py_reco"]
    assert len(CARTESIAN) == 27
    assert not any(part in name for name in CARTESIAN for part in ("_pt_", "_eta_", "_phi_"))
    assert set(columns_of(CARTESIAN)) == set(FULL)
    assert len(INPUT_LISTS["cartesian_no_met_covariance"]) == 24
    assert not any("jet2" in name for name in INPUT_LISTS["cartesian_no_second_jet"])


def test_components_are_those_of_the_momenta() -> None:
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(-2, 2, 50) for name in FULL}
    columns |= {name: rng.uniform(0, 100, 50) for name in FULL if "_pt_" in name}
    matrix = input_matrix(columns, CARTESIAN)
    for thing in ("tau1", "jet2", "remaining_jets"):
        momentum = vector.array({part: columns[f"{thing}_{part}_reco"] for part in ("pt", "eta", "phi")})
        for part in ("x", "y", "z"):
            found = matrix[:, CARTESIAN.index(f"{thing}_p{part}_reco")]
            np.testing.assert_allclose(found, getattr(momentum, f"p{part}" if part != "z" else "pz"), rtol=1e-6)
    ready = input_matrix({**columns, "tau1_px_reco": np.full(50, 7.0)}, ["tau1_px_reco"])
    assert (ready == 7).all(), "a column of that name comes first"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("inputs.py", '"""List."""\ninputs = ["tau1_pt_reco", "PuppimTtot_reco"]\n'),
        ("list.txt", "# a list\ntau1_pt_reco\n\nPuppimTtot_reco  # the last\n"),
        ("list.yaml", "[tau1_pt_reco, PuppimTtot_reco]\n"),
    ],
)
def test_a_file_lists_inputs(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    settings = ModelSettings(inputs=str(tmp_path / name))
    assert settings.input_names() == ("tau1_pt_reco", "PuppimTtot_reco")
    assert settings.model_dump(mode="json")["inputs"] == ["tau1_pt_reco", "PuppimTtot_reco"], "a changed file is seen"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", None, "list of inputs .*a.txt cannot be read: No such file"),
        ("a.py", None, "list of inputs .*a.py cannot be read: No such file"),
        ("a.py", "import os\n", "a.py, line 1: only the assignment of a list of names"),
        ("a.yaml", "x: 1\n", "a.yaml must hold a list of names"),
        ("a.yaml", "[1, 2\n", "a.yaml is no YAML"),
        ("a.txt", "# nothing\n", "the list is empty"),
        ("a.txt", "x\nx\n", "a column is there twice"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, name: str, text: str | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        ModelSettings(inputs=str(tmp_path / name))


def test_files_and_names_make_a_scan(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"tau1_pt_reco\njet_{name}\n")
    files = [str(tmp_path / f"{name}.txt") for name in ("one", "two")]
    settings = Settings.model_validate({"models": {"m": {"inputs": files}, "n": {"inputs": ["cartesian", files[0]]}}})
    assert list(settings.models) == ["m-inputs=one", "m-inputs=two", "n-inputs=cartesian", "n-inputs=one"]
    assert settings.models["m-inputs=two"].input_names() == ("tau1_pt_reco", "jet_two")
    assert read_list(Path(files[0])) == ("tau1_pt_reco", "jet_one")


def test_augmenting_needs_both_components() -> None:
    with pytest.raises(ValueError, match="tau1_py_reco cannot be turned without tau1_px_reco, tau1_py_reco"):
        ModelSettings(inputs=("tau1_py_reco",), augment=1)
    with pytest.raises(ValueError, match="MET_covXX_reco cannot be turned without"):
        ModelSettings(inputs=("MET_covXX_reco",), augment=1)
    assert ModelSettings(inputs=("tau1_py_reco",)).input_names() == ("tau1_py_reco",)


def test_a_cartesian_model_takes_pt_eta_and_phi(tmp_path: Path) -> None:
    sample = skim(tmp_path / "skim", 600)
    model = {"inputs": "cartesian", "neurons": 8, "layers": 2, "epochs": 2, "augment": 1, "standardise": True}
    (task,) = ditau_mass.tasks(Settings.model_validate({"models": {"c": model}}), seed=5)
    result = ditau_mass.run(task, [sample], str(tmp_path / "models"))
    target = tmp_path / "models" / "c_inclusive"
    assert result["features"] == list(CARTESIAN)
    assert set(inputs_of(target)) == set(FULL)
    events = read_ditau([sample], FULL, "inclusive", seed=5).of("test")
    same = read_ditau([sample], CARTESIAN, "inclusive", seed=5).of("test")
    np.testing.assert_array_equal(input_matrix(events.columns, CARTESIAN), same.inputs)
    mass = ml_mass(ak.Array({name: events.columns[name] for name in FULL}), target)
    components = {name: same.inputs[:, k] for k, name in enumerate(CARTESIAN)}
    np.testing.assert_array_equal(ml_mass(components, target), mass)
    loaded = load_mass_model(target)
    outside = loaded.extrapolated({**events.columns, "tau1_pt_reco": np.full(len(events), 1e5)})
    assert outside is not None
    assert (outside > 0).all()
    with pytest.raises(ValueError, match=r"needs the input\(s\) tau2_pt_reco"):
        loaded.predict({name: values for name, values in events.columns.items() if name != "tau2_pt_reco"})
    # In the other convention the components are those of its azimuths.
    columns = {**events.columns, "published_tau1_phi_reco": events.columns["tau1_phi_reco"] + np.float32(np.pi)}
    other = as_published(columns, CARTESIAN)
    assert other is not None
    np.testing.assert_allclose(other[:, 0], -same.inputs[:, 0], rtol=1e-4, atol=1e-3)
    assert json.loads((target / "model.json").read_text())["parameters"]["inputs"] == "cartesian"
