"""`hepbatch predict ditau_mass`: friend trees and Parquet from real and made files, whatever interrupts it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
from support.command import HEPBATCH, hepbatch
from support.ditau_models import make_model, make_published
from support.independent_ditau import select
from support.nano_files import write_nano

from analysis.engine.ledger import read_ledger
from processors.ditau_mass import CHANNELS
from training.ditau_model import load_mass_model

pytestmark = pytest.mark.slow

TREE = "Friends"
IDENTITY = ("run", "luminosityBlock", "event")
#: Of each file with its friend: the entries, those whose friend is of the same event, and those with a mass.
WITH_ROOT = """
import json, sys
import ROOT
name, *paths = sys.argv[1:]
counts = []
for source, friend in zip(paths[: len(paths) // 2], paths[len(paths) // 2 :]):
    file = ROOT.TFile.Open(source)
    tree = file.Get("Events")
    tree.AddFriend(name, friend)
    same = " && ".join(f"{key} == {name}.{key}" for key in ("run", "luminosityBlock", "event"))
    counts.append([int(tree.GetEntries()), int(tree.GetEntries(same)), int(tree.GetEntries("ml_mass > 0"))])
print(json.dumps(counts))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose first leg's pT is known up to 60 GeV."""
    return make_model(tmp_path_factory.mktemp("models") / "small", {"tau1_pt_reco": (0.0, 60.0)})


def test_real_files_of_several_versions(test_data: Path, model: Path, tmp_path: Path) -> None:
    source = test_data / "cms-nanoaod"
    names = ("nano_dy", "nano_dimuon", "nano_tt_v15", "nano_tree")
    out = tmp_path / "out"
    done = hepbatch(
        "predict", "ditau_mass", "--model", model, "--output", out, *(source / f"{name}.root" for name in names),
        cwd=tmp_path,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "nano_tree.root: the tree 'Events' has no branch 'Tau_idDeepTau2017v2p1VSjet'" in said
    assert "Traceback" not in said
    assert not (out / "nano_tree.ml_mass.root").exists()
    for name in names[:3]:
        with uproot.open(source / f"{name}.root") as theirs, uproot.open(out / f"{name}.ml_mass.root") as ours:
            tree = ours[TREE].arrays(library="np")
            for key in IDENTITY:
                np.testing.assert_array_equal(tree[key], theirs["Events"][key].array(library="np"))
        counts = json.loads((out / f"{name}.ml_mass.root.json").read_text())
        chosen = tree["channel"] >= 0
        assert np.array_equal(tree["ml_mass"] != -1, chosen)
        assert (counts["entries"], counts["selected"]) == (len(chosen), int(chosen.sum()))
    assert "note: DeepTau 2018v2p5 in place of 2017v2p1" in said


@pytest.mark.skipif(find_spec("ROOT") is None, reason="the package `root` (extra `dev`) has no wheel for this machine")
def test_root_reads_the_friends(test_data: Path, model: Path, tmp_path: Path) -> None:
    names, out = ("nano_dy", "nano_dimuon", "nano_tt_v15"), tmp_path / "out"
    sources = [str(test_data / "cms-nanoaod" / f"{name}.root") for name in names]
    friends = [str(out / f"{name}.ml_mass.root") for name in names]
    done = hepbatch("predict", "ditau_mass", "--model", model, "--output", out, *sources, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # In a process of its own: ROOT's libraries and TensorFlow's need not bear each other.
    words = [sys.executable, "-c", WITH_ROOT, TREE, *sources, *friends]
    counted = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert counted.returncode == 0, counted.stderr
    found = dict(zip(names, json.loads(counted.stdout.splitlines()[-1]), strict=True))
    for name, friend in zip(names, friends, strict=True):
        with uproot.open(friend) as file:
            masses = file[TREE]["ml_mass"].array(library="np")
        entries, same, positive = found[name]
        assert same == entries == len(masses)
        assert positive == int(np.sum(masses > 0))
        # Of the few events of nano_tt_v15 none is selected.
        assert (positive > 0) == (name != "nano_tt_v15")


def test_predictions_are_those_of_the_model_on_the_skim(model: Path, tmp_path: Path) -> None:
    files = [write_nano(tmp_path / f"HTT_{version}.root", seed, 300, version=version) for seed, version in
             enumerate(("v9", "v12", "v15"))]  # fmt: skip
    pieces = ("--set", "chunk_size=130", "--workers", "2")
    skim = hepbatch("skim", "ditau_mass", "--source", tmp_path, "--output", tmp_path / "run", *pieces, cwd=tmp_path)
    assert skim.returncode == 0, skim.stderr
    for kind, chunk in (("parquet", pieces), ("root", ("--set", "chunk_size=1000"))):
        options = ("--model", model, "--output", tmp_path / kind, "--format", kind)
        done = hepbatch("predict", "ditau_mass", *options, *chunk, *files, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    skims = [pq.read_table(path).to_pydict() for path in (tmp_path / "run" / "skim" / "HTT").glob("*.parquet")]
    loaded = load_mass_model(model)
    columns = {name: np.concatenate([one[name] for one in skims]) for name in (*loaded.inputs, "event", "channel")}
    expected = dict(zip(columns["event"], loaded.predict(columns), strict=True))
    outside = dict(zip(columns["event"], columns["tau1_pt_reco"] > 60, strict=True))
    assert 0 < sum(outside.values()) < len(outside)
    for path in files:
        table = pq.read_table(tmp_path / "parquet" / f"{path.stem}.ml_mass.parquet").to_pydict()
        channels = {row["event"]: row["channel"] for row in select(path)[1]}
        assert {e: CHANNELS[c] for e, c in zip(table["event"], table["channel"], strict=True)} == channels
        for event, mass, beyond in zip(table["event"], table["ml_mass"], table["extrapolated"], strict=True):
            assert mass == pytest.approx(expected.pop(event), rel=1e-5)
            assert beyond == int(outside[event])
        with uproot.open(tmp_path / "root" / f"{path.stem}.ml_mass.root") as friend:
            tree = friend[TREE].arrays(library="np")
        kept = tree["channel"] >= 0
        for name in (*IDENTITY, "channel", "ml_mass", "extrapolated"):
            np.testing.assert_array_equal(tree[name][kept], table[name])
    assert expected == {}, "every selected event has a prediction"
    manifest = json.loads((tmp_path / "root" / "manifest.json").read_text())
    assert sum(one["extrapolated"] for one in manifest["predictions"]) == sum(outside.values())


def ends_when(process: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    while not reached():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def test_a_killed_run_goes_on_and_gives_the_same(model: Path, tmp_path: Path) -> None:
    source = write_nano(tmp_path / "many.root", 5, 600)
    options = ("predict", "ditau_mass", "--model", str(model), "--set", "chunk_size=30", "--workers", "1")
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert hepbatch(*options[:-4], "--output", whole, str(source), cwd=tmp_path).returncode == 0
    command = [str(HEPBATCH), *options, "--output", str(out), str(source)]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=dict(os.environ), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        ends_when(process, lambda: len(list(out.glob(".pieces/*/[!.]*.parquet"))) > 2)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    before = len(list(out.glob(".pieces/*/[!.]*.parquet")))
    assert 2 < before < 20
    again = hepbatch(*options, "--output", out, str(source), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    trees = []
    for directory in (whole, out):
        with uproot.open(directory / "many.ml_mass.root") as file:
            trees.append(file[TREE].arrays(library="np"))
    for name, values in trees[0].items():
        np.testing.assert_array_equal(values, trees[1][name])
    assert not (out / ".pieces").exists()
    states = read_ledger(out / "ledger")[0]
    assert states["predict", "input"] == {"done": 20}
    third = hepbatch(*options, "--output", out, str(source), cwd=tmp_path)
    stages = json.loads((out / "manifest.json").read_text())["stages"]
    assert third.returncode == 0
    assert (stages["predict"]["done_now"], stages["write"]["done_now"]) == (0, 0)
    (out / "many.ml_mass.root").unlink()
    assert hepbatch(*options, "--output", out, str(source), cwd=tmp_path).returncode == 0
    assert (out / "many.ml_mass.root").is_file(), "what was removed is made again"


def test_flat_ntuples_with_other_names(model: Path, tmp_path: Path) -> None:
    loaded, rng = load_mass_model(model), np.random.default_rng(1)
    columns = {f"my_{name}": rng.uniform(-3, 3, 50) for name in loaded.inputs}
    columns["my_jet2_pt_reco"] = np.where(rng.random(50) < 0.5, -10.0, 40.0)
    identity = {"run": np.ones(50, "u4"), "lumi": np.ones(50, "u4"), "event": np.arange(50, dtype="u8")}
    with uproot.recreate(tmp_path / "flat.root") as file:
        file.mktree("tree", {name: values.dtype for name, values in {**columns, **identity}.items()})
        file["tree"].extend({**columns, **identity})
    names = {name: f"my_{name}" for name in loaded.inputs} | {"luminosityBlock": "lumi", "N_neutrinos_reco": 3}
    (tmp_path / "names.yaml").write_text(json.dumps({"tree": "tree", "names": names}))
    options = ("--model", model, "--output", tmp_path / "out", "--ntuple", tmp_path / "names.yaml")
    done = hepbatch("predict", "ditau_mass", *options, tmp_path / "flat.root", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    inputs = {name: columns[f"my_{name}"] for name in loaded.inputs} | {"N_neutrinos_reco": np.full(50, 3.0)}
    inputs["jet2_pt_reco"] = np.where(inputs["jet2_pt_reco"] == -10, 0, 40.0)
    with uproot.open(tmp_path / "out" / "flat.ml_mass.root") as friend:
        found = friend[TREE].arrays(library="np")
    np.testing.assert_allclose(found["ml_mass"], loaded.predict(inputs), rtol=1e-5)
    np.testing.assert_array_equal(found["event"], identity["event"])


def test_wrong_models_and_directories_are_one_sentence(model: Path, tmp_path: Path) -> None:
    source = write_nano(tmp_path / "one.root", 1, 20)
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({"stages": {"skim": {}}}))
    for given, output, file, sentence in (
        (tmp_path / "none", "out", source, "the model .*none is no directory"),
        (tmp_path / "empty", "out", source, "holds no model"),
        (model, "run", source, "holds a run: give predict a directory of its own"),
        (model, "out", tmp_path / "no.root", "there is no file .*no.root"),
    ):
        options = ("--model", given, "--output", tmp_path / output)
        done = hepbatch("predict", "ditau_mass", *options, file, cwd=tmp_path)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert re.search(sentence, done.stderr), done.stderr


def test_a_published_model_is_applied_in_its_convention_and_says_so(tmp_path: Path) -> None:
    model = make_published(tmp_path / "DNN1", {"jet1_pt_reco": 0.5, "remaining_jets_N_reco": 10.0}, 100.0)
    met = np.where(np.arange(200) % 5 == 0, np.nan, 30.0).astype("f4")
    source = write_nano(tmp_path / "in.root", 9, 200, replace={"PuppiMET_pt": met})
    done = hepbatch("predict", "ditau_mass", "--model", model, "--output", tmp_path / "out", source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said, counts = done.stdout + done.stderr, json.loads((tmp_path / "out" / "in.ml_mass.root.json").read_text())
    assert "note: inputs in the convention published; processor.convention asks for the other one" in said
    shift, lost = counts["shift"], counts["not_finite"]
    assert 0 < lost < counts["selected"] == shift["events"] + lost
    assert (
        f"- 1 of {shift['events']} events: median {shift['median']:+.3f}, half the central 68% {shift['width']:.3f}"
        in said
    )
    assert f"note: {lost} selected events have no mass: an input is not finite" in said
