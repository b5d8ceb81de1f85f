"""A task of dijet_anomaly: from the skim to the AUC of each of its trainings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.dijet_members import Key, Member, Samples, keys
from training.dijet_pool import Pool, read_pool
from training.dijet_settings import Settings
from training.files import write_json
from training.injection import GLUON
from training.jet_classifiers import Trained, train_members
from training.jet_observables import observables, transverse_momentum
from training.model_files import package_versions
from training.samples import Sample
from training.sampling import Doubles, Indices, shared_fraction

if TYPE_CHECKING:
    from training.dijet_anomaly import TrainingTask

#: Beside the jets' momentum, which classifiers do not see.
OBSERVABLES = ("multiplicity", "mass", "ptd", "width")


def evaluate_task(task: TrainingTask, samples: Sequence[Sample], directory: Path, *, threads: int) -> dict[str, Any]:
    """Train a task's members in at most `threads` threads and write result.json."""
    started = time.perf_counter()
    settings = task.settings
    pool = cached_pool(samples, settings, task.seed)
    drawn = Samples(pool, settings, task.seed)
    result = {
        "task": task.kind,
        "name": task.name,
        "settings": settings.model_dump(mode="json"),
        "seed": task.seed,
        "pool": _pool_facts(drawn),
    }
    if task.kind == "composition":
        result["members"] = _composition(task, drawn, directory, threads)
    else:
        result |= _pairs(task, drawn, directory, threads)
    result |= {"seconds": time.perf_counter() - started, "versions": package_versions()}
    write_json(directory / "result.json", result)
    return result


def _pairs(task: TrainingTask, drawn: Samples, directory: Path, threads: int) -> dict[str, Any]:
    settings, pool = task.settings, drawn.pool
    wanted = _numbered(settings, task)
    reasons = {key: drawn.left_out(key.size, key.sample, key.pair) for key in wanted}
    trained = [key for key in wanted if reasons[key] is None]
    members = [drawn.member(key) for key in trained]
    outcomes = _train(pool, members, settings, threads)
    if settings.keep_models:
        for key, one in zip(trained, outcomes, strict=True):
            one.save(directory / f"sample{key.sample}_pair{key.pair}")
    share = shared_fraction(len(pool), drawn.weights, size=task.size, disjoint=settings.disjoint)
    return {
        "size": task.size,
        "signal": task.signal,
        "shared_fraction": share,
        "members": [
            asdict(key)
            | _facts(member, one, drawn.flavour)
            | {"bins": _bin_facts(drawn, key), "observables": _observables(pool, member), "shared": drawn.shared(key)}
            for key, member, one in zip(trained, members, outcomes, strict=True)
        ],
        "left_out": [asdict(key) | {"lack": asdict(reason)} for key, reason in reasons.items() if reason is not None],
    }


def _numbered(settings: Settings, task: TrainingTask) -> list[Key]:
    """The keys of a task: its settings do not say how many samples there are."""
    per_sample = len(keys(settings.model_copy(update={"samples": 1}), task.size, task.signal))
    enough = settings.model_copy(update={"samples": -(-task.stop // per_sample)})
    return keys(enough, task.size, task.signal)[task.first : task.stop]


def _composition(task: TrainingTask, drawn: Samples, directory: Path, threads: int) -> list[dict[str, Any]]:
    members = [drawn.composition_member(repeat) for repeat in range(task.first, task.stop)]
    outcomes = _train(drawn.pool, members, task.settings, threads)
    if task.settings.keep_models:
        for repeat, one in enumerate(outcomes, start=task.first):
            one.save(directory / f"gluon_quark{repeat}")
    return [_facts(member, one, drawn.flavour) for member, one in zip(members, outcomes, strict=True)]


def _train(pool: Pool, members: Sequence[Member], settings: Settings, threads: int) -> list[Trained]:
    if not members:
        return []
    assert pool.particles is not None  # noqa: S101  (cached_pool reads them)
    return train_members(pool.particles, members, settings, threads=threads)


def _facts(member: Member, trained: Trained, flavour: NDArray[np.int8]) -> dict[str, Any]:
    """AUC on the test jets, how many jets of each class there were, and how the score separates gluons from quarks."""
    jets = {
        subset: np.bincount(member.labels(subset), minlength=2).tolist() for subset in ("train", "validation", "test")
    }
    of_test = flavour[member.test]
    known = of_test >= 0
    return {
        "auc": area(member.test_labels, trained.scores),
        "auc_gluon_quark": area(of_test[known], trained.scores[known]),
        "jets": jets,
        "history": {name: [float(value) for value in values] for name, values in trained.history.items()},
    }


def _observables(pool: Pool, member: Member) -> dict[str, float | None]:
    """AUC of single observables on the test jets: which properties of jets differ between the bins, and how much."""
    assert pool.particles is not None  # noqa: S101  (cached_pool reads them)
    values = observables(pool.particles, member.test, OBSERVABLES).T
    found = {"jet_pt": transverse_momentum(pool.particles, member.test), **dict(zip(OBSERVABLES, values, strict=True))}
    return {name: area(member.test_labels, one) for name, one in found.items()}


def area(labels: NDArray[np.int8], scores: Doubles) -> float | None:
    """Area under the ROC curve, ties counting half; None where a class is empty."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < 2:
        return None
    return float(roc_auc_score(labels, scores))


def _bin_facts(drawn: Samples, key: Key) -> list[dict[str, Any]]:
    """Events and flavour of the two bins of a training, with the signal in them."""
    events = drawn.events(key.size, key.sample, key.signal)
    return [flavour_facts(drawn, events[drawn.pool.bins[events] == b]) for b in (key.pair, key.pair + 1)]


def flavour_facts(drawn: Samples, events: Indices) -> dict[str, Any]:
    """How many events, and the share of gluons among the jets of known flavour (None where there is none).

    `all_gluon`, `mixed` and `no_gluon` are the shares of events of known flavour. `known_jets` and `known_events` are
    how many there are of those.
    """
    per_event = drawn.pool.jets_per_event
    flavour = drawn.flavour.reshape(-1, per_event)[events]
    known = flavour[(flavour >= 0).all(axis=1)]
    gluons = known.sum(axis=1)
    shares = {"all_gluon": gluons == per_event, "no_gluon": gluons == 0}
    shares["mixed"] = ~(shares["all_gluon"] | shares["no_gluon"])
    jets = flavour[flavour >= 0]
    return {
        "events": len(events),
        "known_events": len(known),
        "known_jets": len(jets),
        "gluons": float(jets.mean()) if len(jets) else None,
        **{name: float(of.mean()) if len(known) else None for name, of in shares.items()},
    }


def _pool_facts(drawn: Samples) -> dict[str, Any]:
    pool, settings, bins = drawn.pool, drawn.settings, []
    for number in range(settings.bins):
        chosen = np.flatnonzero(pool.bins == number)
        low, high = settings.bin_edges[number : number + 2]
        weight = pool.weight[chosen]
        of_gluons = int(np.count_nonzero((pool.partons[chosen] == GLUON).all(axis=1)))
        bins.append(
            {
                "low": low,
                "high": high,
                "weighted": float(weight.sum()),
                "weighted_squares": float(np.square(weight).sum()),
                "gluon_events": of_gluons,
                **flavour_facts(drawn, chosen),
            }
        )
    return {"events": len(pool), "jets_per_event": pool.jets_per_event, "kind": settings.pool, "bins": bins}


_cache: dict[Any, Pool] = {}


def cached_pool(samples: Sequence[Sample], settings: Settings, seed: int) -> Pool:
    """The pool with its particles; a process keeps the last one for the tasks that follow."""
    files = tuple((file, Path(file).stat().st_mtime_ns, sample.scale) for sample in samples for file in sample.files)
    mark = (files, settings.bin_edges, settings.fraction, seed if settings.fraction < 1 else None)
    if mark not in _cache:
        _cache.clear()
        _cache[mark] = read_pool(samples, settings.bin_edges, fraction=settings.fraction, seed=seed, particles=True)
    return _cache[mark]
