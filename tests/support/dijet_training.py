"""Small settings of the training of dijet_anomaly, for the tests of its samples and tasks."""

from pathlib import Path
from typing import Any

import numpy as np
from support.dijet_skims import make_events, write_events

from training.dijet_anomaly import Settings
from training.dijet_evaluation import cached_pool
from training.dijet_members import Samples
from training.samples import Sample

OBSERVABLES = ["multiplicity", "mass", "ptd", "width"]
SMALL: dict[str, Any] = {
    "sample_sizes": [1500], "samples": 3, "bin_edges": [660, 760, 860, 1160], "min_events": 100, "train_jets": 300,
    "test_jets": 200, "validation_jets": 20, "classifier": "trees", "composition_trainings": 1,
    "trees": {"observables": OBSERVABLES, "parameters": {"max_iter": 5, "max_leaf_nodes": 4}},
    "injection": {"bin": 2, "sizes": [10, 30]},
}  # fmt: skip


def settings(**changes: Any) -> Settings:
    """Three samples in three bins, signal in the second, and trees; with these changes."""
    return Settings.model_validate(SMALL | changes)


def small_sample(directory: Path) -> Sample:
    """A skim of 4000 events with enough of gluons for the signal."""
    return write_events(directory, "QCD", make_events(np.random.default_rng(1), 4000, gluons=(0.45, 0.4)))


def samples_of(sample: Sample, **changes: Any) -> Samples:
    """What is drawn from it by these settings."""
    some = settings(**changes)
    return Samples(cached_pool([sample], some, 5), some, 5)
