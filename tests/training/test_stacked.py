from dataclasses import replace

import keras
import numpy as np
import pytest

from training.networks import DenseNetwork, Network, initial_weights
from training.optimizers import Optimizer
from training.pools import FeaturePool, Pool
from training.stacked import Member, Part, Schedule, Stack, _Batches, predict_stack, train_stack
from training.stacked_steps import in_turns

NETWORK = DenseNetwork(3, (6, 5), outputs=2, activation="tanh")


def data(n: int = 600) -> tuple[FeaturePool, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    features = rng.normal(1, 2, (n, 3)).astype(np.float32)
    return FeaturePool(features), features, (features.sum(axis=1) + rng.normal(0, 1, n) > 3).astype(np.int8)


def members(label: np.ndarray, number: int, *, sizes: tuple[int, ...] = (200,)) -> list[Member]:
    """Samples that overlap; the constants differ as well."""
    result = []
    for replica in range(number):
        seed = np.random.SeedSequence(11, spawn_key=(replica,))
        rows = np.random.default_rng(seed).permutation(len(label))
        train, validation = rows[: sizes[replica % len(sizes)]], rows[-100:]
        weight = np.linspace(0.5, 1.5, len(train))
        constants = (np.full(3, 0.1 * replica), np.full(3, 0.5))
        parts = Part(train, label[train], weight), Part(validation, label[validation])
        result.append(Member(seed, *parts, constants=constants))
    return result


def largest_difference(first: Stack, second: Stack, replica: int, of_second: int) -> float:
    pairs = zip(first.weights()[replica], second.weights()[of_second], strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.mark.parametrize("optimizer", [Optimizer(learning_rate=0.02, l2=1e-3), Optimizer("sgd", learning_rate=0.5)])
@pytest.mark.parametrize("network", [NETWORK, replace(NETWORK, dropout_rate=0.3, outputs=1)])
@pytest.mark.parametrize("large", [1, 10**9])
def test_a_replica_is_what_it_would_be_alone(
    network: Network, optimizer: Optimizer, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.stacked_steps.LARGE_STEP", large)
    pool, _, label = data()
    everyone = members(label, 3, sizes=(200, 130, 64))
    schedule = Schedule(epochs=3, batch_size=64)
    stack = train_stack(pool, everyone, network, optimizer, schedule)
    for replica, member in enumerate(everyone):
        alone = train_stack(pool, [member], network, optimizer, schedule)
        assert largest_difference(stack, alone, replica, 0) < 1e-4
        assert stack.curves[replica]["loss"] == pytest.approx(alone.curves[0]["loss"], abs=1e-5)
    begin = initial_weights(network, everyone[0].generator("weights"))
    assert np.abs(stack.weights()[0][0] - begin[0]).max() > 1e-2


def test_a_replica_begins_with_the_weights_that_it_is_given() -> None:
    pool, _, label = data()
    seeded, other = members(label, 2)
    given = replace(other, initial=tuple(initial_weights(NETWORK, seeded.generator("weights"))))
    stack = Stack(NETWORK, [seeded, given, other], Optimizer())
    assert largest_difference(stack, stack, 1, 0) == 0
    assert largest_difference(stack, stack, 1, 2) > 1e-2
    same = tuple(initial_weights(NETWORK, other.generator("weights")))
    schedule = Schedule(epochs=2, batch_size=64)
    from_seed, from_given = (
        train_stack(pool, [one], NETWORK, Optimizer(), schedule) for one in (other, replace(other, initial=same))
    )
    assert largest_difference(from_seed, from_given, 0, 0) == 0


def test_on_a_processor_large_steps_are_taken_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = DenseNetwork(3, (10,)), DenseNetwork(3, (10_000,))
    assert not in_turns(small, 100, 100)
    assert in_turns(large, 100, 100)
    monkeypatch.setattr("training.stacked_steps.has_gpu", lambda: True)
    assert not in_turns(large, 100, 100)


def test_an_epoch_in_several_calls_is_that_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, _, label = data()
    network = replace(NETWORK, dropout_rate=0.3)
    everyone, schedule = members(label, 2, sizes=(200, 130)), Schedule(epochs=2, batch_size=30)
    batches = _Batches(pool, everyone, schedule, network)
    assert (batches.calls, batches.steps) == (1, 7)
    whole = train_stack(pool, everyone, network, Optimizer(), schedule)
    monkeypatch.setattr("training.stacked.MASK_BYTES", 3 * 4 * 2 * 30 * 11)  # three steps
    batches = _Batches(pool, everyone, schedule, network)
    assert (batches.calls, batches.steps) == (3, 3)  # the last two of nine are empty
    parts = train_stack(pool, everyone, network, Optimizer(), schedule)
    assert np.asarray(parts.state[2]).tolist() == np.asarray(whole.state[2]).tolist() == [14, 10]
    for replica in range(2):
        assert largest_difference(parts, whole, replica, replica) < 1e-6
        assert parts.curves[replica]["loss"] == pytest.approx(whole.curves[replica]["loss"], abs=1e-6)


def test_a_step_is_that_of_keras() -> None:
    pool, features, label = data()
    (member,) = members(label, 1)
    network = replace(NETWORK, outputs=1)
    stack = train_stack(pool, [member], network, Optimizer(learning_rate=0.01), Schedule(epochs=2, batch_size=50))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(6, "tanh"), keras.layers.Dense(5, "tanh")])
    model.add(keras.layers.Dense(1, "sigmoid"))
    model.set_weights(initial_weights(network, member.generator("weights")))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    order = member.generator("order")
    mean, inverse = member.constants
    for _ in range(2):
        rows = order.permutation(200)
        for start in range(0, 200, 50):
            batch = rows[start : start + 50]
            x = (features[member.train.rows[batch]] - mean) * inverse
            model.train_on_batch(x, member.train.label[batch], sample_weight=member.train.weights[batch])
    for ours, theirs in zip(stack.weights()[0], model.get_weights(), strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)


def test_samples_divided_into_steps_take_equally_many() -> None:
    pool, _, label = data()
    stack = train_stack(pool, members(label, 2, sizes=(200, 90)), NETWORK, Optimizer(), Schedule(epochs=2, steps=7))
    assert np.asarray(stack.state[2]).tolist() == [14, 14]


def test_the_whole_sample_is_one_step_in_its_own_order() -> None:
    pool, _, label = data()
    (member,) = members(label, 1)
    sgd = Optimizer("sgd", learning_rate=0.1)
    first = train_stack(pool, [member], NETWORK, sgd, Schedule(epochs=4))
    second = train_stack(pool, [replace(member)], NETWORK, sgd, Schedule(epochs=4, batch_size=200))
    assert largest_difference(first, second, 0, 0) < 1e-5
    assert np.asarray(first.state[2]).tolist() == [0]  # plain gradient descent counts no steps


def test_every_replica_stops_by_itself_and_keeps_its_best() -> None:
    pool, _, label = data()
    everyone = members(label, 3)
    # The second learns from labels that say nothing, the best of which is soon over.
    noise = np.random.default_rng(5).integers(0, 2, 200)
    everyone[1] = replace(everyone[1], train=replace(everyone[1].train, label=noise))
    optimizer, schedule = Optimizer(learning_rate=0.05), Schedule(epochs=40, batch_size=50, patience=3)
    stack = train_stack(pool, everyone, NETWORK, optimizer, schedule)
    lengths = [len(curves["validation_loss"]) for curves in stack.curves]
    assert lengths[1] < max(lengths)
    for replica, member in enumerate(everyone):
        losses = stack.curves[replica]["validation_loss"]
        assert stack.best_epoch[replica] == np.argmin(losses) + 1
        assert len(losses) in (40, stack.best_epoch[replica] + 3)
        alone = train_stack(pool, [member], NETWORK, optimizer, schedule)
        assert alone.best_epoch[0] == stack.best_epoch[replica]
        assert largest_difference(stack, alone, replica, 0) < 1e-3
    best = predict_stack(NETWORK, stack.best_weights(), [m.constants for m in everyone], pool, [np.arange(50)] * 3)
    assert [outputs.shape for outputs in best] == [(50, 2)] * 3
    assert np.allclose(np.stack(best).sum(axis=-1), 1, atol=1e-6)


def test_every_nth_epoch_is_seen() -> None:
    pool, _, label = data()
    seen: list[tuple[int, int]] = []
    train_stack(
        pool,
        members(label, 2),
        NETWORK,
        Optimizer(),
        Schedule(epochs=7, evaluate_every=3),
        on_evaluation=lambda epoch, stack: seen.append((epoch, len(stack.weights()))),
    )
    assert seen == [(3, 2), (6, 2), (7, 2)]


def test_outputs_do_not_depend_on_what_comes_with_them() -> None:
    pool, _, label = data()
    stack = train_stack(pool, members(label, 2), NETWORK, Optimizer(), Schedule(epochs=1))
    everything = stack.predict(pool, [np.arange(600), np.arange(600)])
    few = stack.predict(pool, [np.array([5, 5, 599]), np.empty(0, int)])
    assert np.allclose(few[0], everything[0][[5, 5, 599]], atol=1e-7)
    assert few[1].shape == (0, 2)


def test_what_cannot_be_trained_is_said() -> None:
    pool, _, label = data()
    (member,) = members(label, 1)
    nothing = Part(np.empty(0, int), np.empty(0, int))
    with pytest.raises(ValueError, match="no events to learn from"):
        train_stack(pool, [replace(member, train=nothing)], NETWORK, Optimizer(), Schedule())
    for rows in (np.array([0, 600]), np.array([-1, 4])):
        with pytest.raises(ValueError, match="The pool has the rows 0 to 599, not"):
            train_stack(pool, [replace(member, train=Part(rows, label[:2]))], NETWORK, Optimizer(), Schedule())
    with pytest.raises(ValueError, match="Early stopping needs a validation sample"):
        train_stack(pool, [replace(member, validation=None)], NETWORK, Optimizer(), Schedule(patience=1))
    with pytest.raises(ValueError, match="differ in their number"):
        Part(np.arange(3), np.arange(2))
    broken: Pool = FeaturePool(np.full((600, 3), np.inf))
    with pytest.raises(ValueError, match="not finite after any epoch"):
        train_stack(broken, [member], NETWORK, Optimizer(), Schedule(epochs=1))
