import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.pfn_backend import PARAMETERS, jets_and_labels, measure

from training.backend import backend_name
from training.networks import initial_weights
from training.pfn import PFNClassifier

PROJECT = Path(__file__).resolve().parents[2]


def on_jax(*arguments: str) -> None:
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "support.pfn_backend", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=PROJECT)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_jax_and_tensorflow_agree(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="JAX (extra `dev`) is not installed")
    assert backend_name() == "tensorflow"
    file = tmp_path / "jax.npz"
    on_jax(str(file))
    expected = measure()
    with np.load(file) as found:
        used, estimate = found["memory"]
        costs = {name: found[name] for name in ("cost_segments", "cost_matmul")}
        assert set(found) == {*expected, "memory", *costs}
        for name, values in expected.items():
            assert np.allclose(found[name], values, atol=1e-4, rtol=1e-4), name
    assert estimate / 3 < used < estimate
    for flop, counted_flop, moved, counted_moved in costs.values():
        assert counted_flop == pytest.approx(flop, rel=0.1)
        assert counted_moved == pytest.approx(moved, rel=0.2)


@pytest.mark.slow
def test_a_file_of_one_backend_is_read_by_the_other(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="JAX (extra `dev`) is not installed")
    pool, _ = jets_and_labels()
    classifier = PFNClassifier(PARAMETERS, initial_weights(PARAMETERS.network(), np.random.default_rng(4)))
    classifier.save(tmp_path)
    on_jax(str(tmp_path / "scores.npz"), str(tmp_path))
    with np.load(tmp_path / "scores.npz") as found:
        assert np.allclose(found["score"], classifier.score(pool), atol=1e-5)


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="KERAS_BACKEND=torch: networks are trained with tensorflow or jax"):
        backend_name()


def test_xrootd_can_be_read_after_networks_were_loaded() -> None:
    """XRootD's library that is loaded after TensorFlow's ends the process."""
    pytest.importorskip("XRootD", reason="the extra `xrootd` is not installed")
    code = "from training.backend import keras_module; keras_module(); import XRootD.client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
