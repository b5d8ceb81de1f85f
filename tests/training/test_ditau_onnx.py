"""ONNX files of ditau networks, run by ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.ditau_models import make_model

from training import ditau_onnx
from training.ditau_events import DitauEvents
from training.ditau_model import MassModel, load_mass_model, write_facts
from training.ditau_network import fit
from training.ditau_settings import FULL, ModelSettings
from training.ditau_trees import Trees

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_network_with_every_kind_of_layer(tmp_path: Path, precision: str) -> None:
    rng = np.random.default_rng(1)
    inputs = rng.uniform(20, 300, (200, len(FULL))).astype(np.float32)
    events = DitauEvents(inputs, rng.uniform(50, 1000, 200), np.zeros(200, "i1"), np.zeros(200, "i1"), 0)
    settings = ModelSettings(layers=2, neurons=12, standardise=True, dropout=0.2, epochs=2, precision=precision)
    network, _ = fit(settings, events, events, seed=3)
    network.save(tmp_path / "model.keras")
    facts = {"name": "n", "model": "n", "group": "tt", "method": "network", "features": list(FULL)}
    facts["convention"] = "published"
    write_facts(tmp_path, {**facts, "files": ["model.keras"], "ranges": dict.fromkeys(FULL, (20, 300))})
    path = tmp_path / "model.onnx"
    assert ditau_onnx.export_onnx(tmp_path, path) < 1e-5
    session = onnxruntime.InferenceSession(path)
    assert json.loads(session.get_modelmeta().custom_metadata_map["inputs"]) == list(FULL)
    assert json.loads(session.get_modelmeta().custom_metadata_map["convention"]) == "published"
    found = session.run(None, {"inputs": inputs})[0][:, 0]
    np.testing.assert_allclose(found, load_mass_model(tmp_path).evaluate(inputs), rtol=1e-5)


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tmp_path / "m", dict.fromkeys(FULL, (-2, 2)))
    monkeypatch.setitem(ditau_onnx._ACTIVATIONS, "softplus", "Relu")
    with pytest.raises(ValueError, match="differs from the network by"):
        ditau_onnx.export_onnx(model, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_trees_are_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = MassModel("boosted", FULL, Trees(None).predict, None)
    monkeypatch.setattr(ditau_onnx, "load_mass_model", lambda _: trees)
    with pytest.raises(ValueError, match="boosted is no network"):
        ditau_onnx.export_onnx(tmp_path, tmp_path / "m.onnx")
