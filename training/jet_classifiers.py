"""Training the classifiers of a task: many equal ones, each on jets of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.dijet_members import Member, unique_jets
from training.dijet_pool import Particles
from training.dijet_settings import Settings
from training.sampling import Doubles


@dataclass(frozen=True)
class Trained:
    """Scores of a member's test jets, larger for label 1, and what was recorded after each epoch."""

    scores: Doubles
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
            return Trained(np.asarray(model.predict_proba(rows(member.test))[:, 1], np.float64))

    # Fits in parallel, each in one thread, as for the classifiers of other analyses.
    jobs = (joblib.delayed(fit)(member) for member in members)
    return list(joblib.Parallel(n_jobs=max(1, min(threads, len(members))), prefer="threads")(jobs))


def _train_networks(particles: Particles, members: Sequence[Member], settings: Settings) -> list[Trained]:
    raise NotImplementedError
