import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from training.backend import compiled, takes_any_shape
from training.jets import WIDTH, JetPool, Jets, preprocess
from training.networks import ParticleFlowNetwork, initial_weights
from training.pfn import PFNClassifier, PFNParameters, keras_model, load_pfn, predict, scores, train_pfns
from training.stack_size import (
    bytes_of_evaluation,
    bytes_of_training,
    bytes_per_replica,
    free_memory,
    in_equal_turns,
    replicas_per_stack,
    worker_limit,
)
from training.stacked import EVALUATION_BATCH, Member, Part, predict_stack, train_stack
from training.stacked_steps import forget_compiled

PROJECT = Path(__file__).resolve().parents[2]
SMALL = PFNParameters(phi_units=(16, 12), f_units=(10,), epochs=1, batch_size=60)


def made_jets(n: int = 400, seed: int = 2) -> tuple[Jets, np.ndarray]:
    """Jets of two classes, the second wider and of more particles."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    counts = rng.poisson(25 + 10 * label) + 1
    offsets = np.concatenate([[0], np.cumsum(counts)])
    width = np.repeat(0.05 + 0.05 * label, counts)
    y, phi = rng.normal(0, width), rng.normal(0, width)
    pid = rng.choice([211, -211, 22, 130], offsets[-1])
    return preprocess(rng.exponential(5, offsets[-1]), y, phi, pid, offsets), label


def members(label: np.ndarray, number: int, train: int = 240) -> list[Member]:
    result = []
    for replica in range(number):
        seed = np.random.SeedSequence(9, spawn_key=(replica,))
        rows = np.random.default_rng(seed).permutation(len(label))
        parts = (Part(its, label[its]) for its in (rows[:train], rows[train:]))
        result.append(Member(seed, *parts))
    return result


def largest_difference(first: PFNClassifier, second: PFNClassifier) -> float:
    pairs = zip(first.weights, second.weights, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


# Particles as they are; rows of them, one replica after another, all at once.
@pytest.mark.parametrize(("width", "large"), [(None, 1), (WIDTH, 1), (WIDTH, 10**9)])
def test_stacked_networks_are_those_trained_alone(
    width: int | None, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.stacked_steps.LARGE_STEP", large)
    jets, label = made_jets()
    pool = JetPool(jets, width)
    everyone = members(label, 3)
    stacked = train_pfns(pool, everyone, SMALL)
    for member, one in zip(everyone, stacked, strict=True):
        (alone,) = train_pfns(pool, [member], SMALL)
        assert largest_difference(one, alone) < 1e-4
    assert largest_difference(stacked[0], stacked[1]) > 1e-2


@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("larger", [0, 77])
def test_neither_the_rows_nor_the_bucket_matter(width: int, larger: int, monkeypatch: pytest.MonkeyPatch) -> None:
    jets, label = made_jets(200)
    (member,) = members(label, 1, train=120)
    pool = JetPool(jets)
    assert pool.ragged
    (expected,) = train_pfns(pool, [member], SMALL)
    monkeypatch.setattr("training.jets.bucket", lambda rows: rows + larger)
    (found,) = train_pfns(JetPool(jets, width), [member], SMALL)
    assert largest_difference(found, expected) < 1e-4


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("part", [1, 7, 20])  # the last of 7 is filled up
def test_the_parts_of_a_batch_add_up_to_it(part: int, l2: float, monkeypatch: pytest.MonkeyPatch) -> None:
    jets, label = made_jets(200)
    optimizer, (member,) = replace(SMALL.optimizer(), l2=l2), members(label, 1, train=130)  # the last batch has ten
    network, rows = SMALL.network(), np.arange(200)

    def outputs(pool: JetPool, whole: bool) -> tuple[list[np.ndarray], np.ndarray]:
        forget_compiled()
        with monkeypatch.context() as patched:
            patched.setattr("training.stacked_steps.one_thread_per_operation", lambda: not whole)
            patched.setattr("training.stacked_steps.PART", part)
            stack = train_stack(pool, [member], network, optimizer, SMALL.schedule())
            return stack.weights()[0], stack.predict(pool, [rows])[0]

    weights, expected = outputs(JetPool(jets), whole=True)
    for pool, whole in ((JetPool(jets), False), (JetPool(jets, 4), True)):
        its_weights, found = outputs(pool, whole)
        assert np.allclose(found, expected, atol=1e-5)
        for ours, theirs in zip(its_weights, weights, strict=True):
            assert np.allclose(ours, theirs, atol=1e-4)
    forget_compiled()


def test_only_tensorflow_on_a_processor_takes_any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.backend.has_gpu", lambda: True)
    assert not takes_any_shape()
    with pytest.raises(ValueError, match="Only TensorFlow on a processor"):
        compiled(lambda x: x, any_shape=True)


@pytest.mark.parametrize(("before", "threads"), [("", 1), ("keras.ops.ones(3) + 1", 0)])
def test_a_pool_leaves_the_cores_to_the_operations_if_it_comes_first(before: str, threads: int) -> None:
    code = f"""
import numpy as np
from training.backend import keras_module, one_thread_per_operation
from training.jets import JetPool, Jets
keras = keras_module()
{before}
JetPool(Jets(np.ones((5, 4), np.float32), np.array([0, 5])))
import tensorflow as tf
assert one_thread_per_operation() == ({threads} == 1)
assert tf.config.threading.get_intra_op_parallelism_threads() == {threads}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_step_is_as_large_as_all_its_particles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of several particles count as these: whether a stack takes turns follows from what it really computes."""
    asked: list[tuple[int, int]] = []

    def noted(network: object, batch: int, slots: int) -> bool:
        asked.append((batch, slots))
        return False

    monkeypatch.setattr("training.stacked_steps.in_turns", noted)
    jets, label = made_jets()
    pool = JetPool(jets, WIDTH)
    train_pfns(pool, members(label, 2), SMALL)
    assert {batch for batch, _ in asked} == {SMALL.batch_size, EVALUATION_BATCH}
    held = 400 - 240  # members' validation jets, which one batch holds
    least = 0.9 * len(jets.particles) / len(label)
    for batch, slots in asked:
        assert slots > least * min(batch, held)


def test_a_batch_beyond_the_capacity_gets_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.stacked import Schedule, _Batches

    jets, label = made_jets(200)
    monkeypatch.setattr("training.jets.bucket", lambda rows: rows)
    monkeypatch.setattr(JetPool, "usual_capacity", lambda *_: 1)
    pool = JetPool(jets, WIDTH)
    batches = _Batches(pool, members(label, 2, train=150), Schedule(batch_size=20), SMALL.network())
    found = []
    for _ in range(12):
        for rows, _, _ in batches.epoch(np.ones(2, bool)):
            assert pool.capacity(np.asarray(rows)) <= batches.capacity
        found.append(batches.capacity)
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_nothing_is_compiled_again_for_a_later_epoch() -> None:
    from training.stacked import Schedule, _Batches

    jets, label = made_jets(600)
    pool = JetPool(jets, WIDTH)
    schedule = Schedule(epochs=40, batch_size=50)
    batches = _Batches(pool, members(label, 3, train=500), schedule, SMALL.network())
    before, needed = batches.capacity, []
    for _ in range(schedule.epochs):
        needed += [pool.capacity(np.asarray(rows)) for rows, _, _ in batches.epoch(np.ones(3, bool))]
    assert batches.capacity == before
    assert max(needed) > 0.9 * before


def test_the_keras_model_is_the_stacked_network() -> None:
    jets, _ = made_jets(50)
    weights = initial_weights(SMALL.network(), np.random.default_rng(4))
    model = keras_model(SMALL)
    model.set_weights(weights)
    jet = np.repeat(np.arange(50), np.diff(jets.offsets)).astype(np.int32)
    expected = keras.ops.convert_to_numpy(model(jets.particles, jet, jets=50))
    networks = [replace(SMALL.network(), add=add) for add in ("segments", "matmul")]
    for network, width in ((networks[0], None), *((network, WIDTH) for network in networks)):
        (found,) = predict_stack(network, [weights], [[]], JetPool(jets, width), [np.arange(50)])
        assert np.allclose(found, expected, atol=1e-6)


def test_sums_of_both_kinds_train_alike() -> None:
    jets, label = made_jets(200)
    pool, everyone = JetPool(jets, WIDTH), members(label, 2, train=120)
    networks = [replace(SMALL.network(), add=add) for add in ("segments", "matmul")]
    stacks = [train_stack(pool, everyone, network, SMALL.optimizer(), SMALL.schedule()) for network in networks]
    for a, b in zip(stacks[0].weights()[1], stacks[1].weights()[1], strict=True):
        assert np.allclose(a, b, atol=1e-4)


def test_it_learns_and_survives_the_disk(tmp_path: Path) -> None:
    jets, label = made_jets(600)
    parameters = SMALL.model_copy(update={"epochs": 6, "patience": 3, "learning_rate": 5e-3})
    pool, (member,) = JetPool(jets), members(label, 1, train=400)
    (one,) = train_pfns(pool, [member], parameters)
    assert member.validation is not None
    from sklearn.metrics import roc_auc_score

    rows = member.validation.rows
    assert roc_auc_score(label[rows], one.score(pool, rows)) > 0.8
    one.save(tmp_path)
    assert not list(tmp_path.glob(".*"))
    loaded = load_pfn(tmp_path)
    assert loaded == replace(one, weights=loaded.weights)
    assert largest_difference(loaded, one) == 0
    assert np.array_equal(predict(tmp_path, jets), one.score(pool))
    first, second = scores([one, loaded], pool, [rows[:5], rows[5:9]])
    assert np.allclose(np.append(first, second), one.score(pool, rows[:9]), atol=1e-6)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    weights = initial_weights(SMALL.network(), np.random.default_rng(4))
    with pytest.raises(ValueError, match=r"there is no pfn\.json"):
        load_pfn(tmp_path)
    PFNClassifier(SMALL, weights).save(tmp_path)
    path = tmp_path / "pfn.json"
    facts = json.loads(path.read_text())
    for change, sentence in (
        ({"features": ["pt", "phi", "y", "pid"]}, "must be pt, y, phi, pid"),
        ({"parameters": {**facts["parameters"], "phi_units": [3]}}, "its layers differ"),
        ({"parameters": {"depth": 3}}, "does not describe a particle flow network"),
    ):
        path.write_text(json.dumps({**facts, **change}))
        with pytest.raises(ValueError, match=sentence):
            load_pfn(tmp_path)
    path.write_text(json.dumps(facts))
    (tmp_path / "pfn.keras").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no readable Keras model"):
        load_pfn(tmp_path)


def test_parameters_of_the_source_are_the_defaults() -> None:
    network = PFNParameters().network()
    assert [shape for shape in network.shapes if len(shape) == 2] == [
        (4, 100), (100, 100), (100, 128), (128, 100), (100, 100), (100, 100), (100, 2),
    ]  # fmt: skip
    assert (network.activation, network.initializer) == ("relu", "he_uniform")
    schedule = PFNParameters().schedule()
    assert (schedule.batch_size, schedule.epochs, PFNParameters().optimizer().learning_rate) == (500, 10, 1e-3)
    with pytest.raises(ValidationError):
        PFNParameters(phi_units=())


def test_as_many_replicas_as_the_memory_holds() -> None:
    network = ParticleFlowNetwork()
    slots = 25_000
    each = bytes_per_replica(network, 500, slots)
    activations = slots * (9 + 328) + 500 * (128 + 300 + 2)
    parameters = 500 + 10100 + 12928 + 12900 + 10100 + 10100 + 202
    assert each == bytes_of_training(network, 500, slots) == 4 * (3 * activations + 7 * parameters)
    # Small batches: an evaluation of 1000 jets is more than a step of 100.
    small = bytes_per_replica(network, 100, 5000)
    assert small == bytes_of_evaluation(network, 100, 5000) > bytes_of_training(network, 100, 5000)
    assert small > 4 * 50_000 * (9 + 328)
    assert replicas_per_stack(network, 500, slots, free=int(10.5 * each / 0.8)) == 10
    assert replicas_per_stack(network, 500, slots, free=int(10.5 * each / 0.8), pool=3 * each) == 7
    assert replicas_per_stack(network, 500, slots, free=10**15, most=64) == 64
    with pytest.raises(ValueError, match="make batch_size smaller"):
        replicas_per_stack(network, 500, slots, free=each)


@pytest.mark.parametrize(("networks", "at_once", "expected"), [(200, 150, 100), (200, 200, 200), (7, 3, 3), (1, 9, 1)])
def test_turns_are_of_nearly_one_size(networks: int, at_once: int, expected: int) -> None:
    assert in_equal_turns(networks, at_once) == expected


def test_a_worker_uses_no_more_than_its_limit() -> None:
    assert 0 < free_memory(2**40) == pytest.approx(free_memory(), rel=0.2)
    assert free_memory(1000) == 0


@pytest.mark.slow
def test_the_limit_is_that_of_the_dask_worker() -> None:
    from distributed import Client, LocalCluster

    assert worker_limit() is None
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="900 MiB", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(worker_limit).result(120) == 900 * 2**20
