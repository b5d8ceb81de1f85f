"""Our particle flow network against EnergyFlow's own, which runs on Keras 2 (package tf_keras)."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from training.energyflow_import import import_energyflow
from training.jets import FEATURES, JetPool, Jets, preprocess
from training.networks import initial_weights
from training.pfn import PFNParameters, train_pfns
from training.stacked import Member, Part, predict_stack

PARAMETERS = PFNParameters(phi_units=(32, 32, 48), f_units=(32, 32), batch_size=250, epochs=6)


@pytest.fixture(scope="module")
def jets(test_data: Path) -> tuple[Jets, np.ndarray]:
    """Hard jets of the simulated files; the class is that of a gluon."""
    parts, counts, labels = [], [], []
    for path in sorted((test_data / "mod").glob("*.h5")):
        with h5py.File(path) as file:
            jet_columns, columns, integers = (
                [one.decode() for one in file[name].attrs["cols"]] for name in ("jets_f", "pfcs", "jets_i")
            )
            index = file["pfcs_index"][:].astype(np.int64)
            particles = file["pfcs"][:][:, [columns.index(name) for name in FEATURES]]
            chosen = np.flatnonzero(file["jets_f"][:, jet_columns.index("jet_pt")] > 300)[:3000]
            labels.append(file["jets_i"][:, integers.index("hard_pid")][chosen] == 21)
        number = np.diff(index)[chosen]
        start = np.repeat(index[:-1][chosen] - np.concatenate([[0], np.cumsum(number)[:-1]]), number)
        parts.append(particles[np.arange(number.sum()) + start])
        counts.append(number)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return preprocess(*np.concatenate(parts).T, offsets), np.concatenate(labels).astype(np.int64)


def padded(jets: Jets) -> np.ndarray:
    counts = np.diff(jets.offsets)
    result = np.zeros((len(jets), counts.max(), 4), np.float32)
    result[np.arange(counts.max()) < counts[:, None]] = jets.particles
    return result


def their_network() -> Any:
    pytest.importorskip("tf_keras", reason="EnergyFlow's networks need tf_keras (extra `dev`)")
    PFN = import_energyflow("archs").PFN

    return PFN(input_dim=4, Phi_sizes=PARAMETERS.phi_units, F_sizes=PARAMETERS.f_units, summary=False)


@pytest.mark.slow
def test_equal_weights_give_equal_outputs(jets: tuple[Jets, np.ndarray]) -> None:
    few = Jets(jets[0].particles[: jets[0].offsets[400]], jets[0].offsets[:401])
    theirs = their_network()
    weights = initial_weights(PARAMETERS.network(), np.random.default_rng(1))
    assert [array.shape for array in theirs.model.get_weights()] == [array.shape for array in weights]
    theirs.model.set_weights(weights)
    expected = theirs.predict(padded(few), verbose=0)
    (found,) = predict_stack(PARAMETERS.network(), [weights], [[]], JetPool(few), [np.arange(400)])
    assert np.allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 0.1


@pytest.mark.slow
def test_both_learn_equally_well(jets: tuple[Jets, np.ndarray]) -> None:
    import tensorflow as tf
    from sklearn.metrics import roc_auc_score

    found, label = jets
    rows = np.random.default_rng(2).permutation(len(found))
    train, test = rows[: len(rows) * 2 // 3], rows[len(rows) * 2 // 3 :]
    pool = JetPool(found)
    members = [
        Member(np.random.SeedSequence(3, spawn_key=(replica,)), Part(train, label[train])) for replica in range(4)
    ]
    ours = [roc_auc_score(label[test], one.score(pool, test)) for one in train_pfns(pool, members, PARAMETERS)]
    table, target = padded(found), np.eye(2)[label]
    theirs = []
    for seed in range(4):
        tf.random.set_seed(seed)
        network = their_network()
        network.fit(table[train], target[train], epochs=PARAMETERS.epochs, batch_size=PARAMETERS.batch_size, verbose=0)
        theirs.append(roc_auc_score(label[test], network.predict(table[test], verbose=0)[:, 1]))
    # Hanley and McNeil's error of one AUC (Radiology 143, 29, 1982); the same test jets make it an upper bound.
    auc, positive = float(np.mean(theirs)), int(label[test].sum())
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    negative = len(test) - positive
    variance = auc * (1 - auc) + (positive - 1) * (q1 - auc**2) + (negative - 1) * (q2 - auc**2)
    error = np.sqrt(variance / positive / negative)
    assert min(ours) > 0.6
    assert abs(np.mean(ours) - auc) < 2 * error
