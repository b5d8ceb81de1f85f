"""Training the classifiers of a task: many equal ones, each on jets of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.dijet_members import Member, unique_jets
from training.dijet_pool import Particles
from training.dijet_settings import Settings
from training.files import write_atomically, write_json
from training.sampling import Doubles

if TYPE_CHECKING:
    from training.jets import JetPool


#: Memory of a particle in the pool on the device, with the places that stay empty in its rows [bytes].
POOL_BYTES = 32


@dataclass(frozen=True)
class Trained:
    """Scores of a member's test jets, larger for label 1, and what was recorded after each epoch.

    `save` writes the classifier into a directory, with what its input is.
    """

    scores: Doubles
    save: Callable[[Path], None]
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)


def train_members(
    particles: Particles, members: Sequence[Member], settings: Settings, *, threads: int
) -> list[Trained]:
    """One classifier of the configured kind for every member, in their order."""
    if settings.classifier == "trees":
        return _train_trees(particles, members, settings, threads)
    return _train_networks(particles, members, settings)


def _train_trees(particles: Particles, members: Sequence[Member], settings: Settings, threads: int) -> list[Trained]:
    import joblib

    from training.jet_observables import observables

    jets = unique_jets(members, ("train", "test"))
    values = observables(particles, jets, settings.trees.observables)
    parameters = settings.trees.parameters.model_dump()

    def rows(wanted: Any) -> Any:
        return values[np.searchsorted(jets, wanted)]

    def fit(member: Member) -> Trained:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        state = int(member.seed.generate_state(1)[0])
        with threadpool_limits(1):
            model = HistGradientBoostingClassifier(random_state=state, **parameters)
            model.fit(rows(member.train), member.train_labels)
            found = np.asarray(model.predict_proba(rows(member.test))[:, 1], np.float64)
            return Trained(found, partial(_save_trees, model, settings.trees.observables))

    # Fits in parallel, each in one thread, as for the classifiers of other analyses.
    jobs = (joblib.delayed(fit)(member) for member in members)
    return list(joblib.Parallel(n_jobs=max(1, min(threads, len(members))), prefer="threads")(jobs))


def _save_trees(model: Any, features: Sequence[str], directory: Path) -> None:
    """`trees.skops` and `trees.json`, which has the ordered observables."""
    import skops.io

    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / "trees.skops", lambda path: skops.io.dump(model, path))
    write_json(directory / "trees.json", {"features": list(features)})


def _train_networks(particles: Particles, members: Sequence[Member], settings: Settings) -> list[Trained]:
    from training.pfn import scores, train_pfns
    from training.stacked import Member as Replica
    from training.stacked import Part

    pool = device_pool(particles)
    parameters = settings.network
    replicas = [
        Replica(
            member.seed,
            Part(member.train, member.train_labels),
            Part(member.validation, member.validation_labels) if len(member.validation) else None,
        )
        for member in members
    ]
    at_once = _replicas_at_once(pool, len(particles.pt), members, settings)
    result = []
    for start in range(0, len(members), at_once):
        trained = train_pfns(pool, replicas[start : start + at_once], parameters)
        found = scores(trained, pool, [member.test for member in members[start : start + at_once]])
        result += [Trained(s, one.save, one.curves or {}) for s, one in zip(found, trained, strict=True)]
    return result


def _replicas_at_once(pool: JetPool, particles: int, members: Sequence[Member], settings: Settings) -> int:
    """How many networks fit beside the pool; which ones are trained together does not change them."""
    from training.stack_size import free_memory, in_equal_turns, replicas_per_stack, worker_limit

    batch = settings.network.batch_size
    batches = settings.network.epochs * sum(math.ceil(len(member.train) / batch) for member in members)
    sizes = [min(batch, len(its.train)) for its in members]
    capacities = [pool.usual_capacity(its.train, n, batches) for its, n in zip(members, sizes, strict=True)]
    fitting = replicas_per_stack(
        settings.network.network(),
        batch,
        pool.slots(max(capacities)),
        free=free_memory(worker_limit()),
        pool=0 if pool.on_device else POOL_BYTES * particles,
        most=len(members),
    )
    return in_equal_turns(len(members), fitting)


_device: list[tuple[Particles, JetPool]] = []


def device_pool(particles: Particles) -> JetPool:
    """The preprocessed jets on the device; a process keeps the last ones for the tasks that follow."""
    from training.jets import JetPool, preprocess

    if not _device or _device[0][0] is not particles:
        _device.clear()
        jets = preprocess(particles.pt, particles.y, particles.phi, particles.pid, particles.offsets)
        _device.append((particles, JetPool(jets)))
    return _device[0][1]
