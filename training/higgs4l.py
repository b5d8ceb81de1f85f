"""Classifiers of the analysis higgs4l: settings, the tasks they make, and running one.

Nothing heavy is imported before a task runs: the command line reads `Settings`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from training.backend import available_cores
from training.features import ANGLES, MOMENTA
from training.parameters import Kind, combinations

if TYPE_CHECKING:
    from training.samples import Sample

# Through the last cut before any on the masses of the Z candidates.
THROUGH_SFOS_MASS = (
    "four_leptons",
    "charge",
    "flavour",
    "lepton_pt",
    "leading_pt",
    "isolation",
    "impact_parameter",
    "delta_r",
    "sfos_mass",
)
SYSTEM = ("pt4l", "y4l")
MASSES = ("m4l_near_higgs", "m4l", "m_z1", "m_z2")

# `full` is everything the physics page lists, `compact` the same without the single leptons. `no_mass`: the twelve
# momentum components of four massless leptons are equivalent to m4l, m_z1, m_z2, the decay angles in the rest frames,
# and the momentum and one orientation of the system. Leaving the masses out of this set leaves coordinates that do not
# determine them; transverse momenta, or pseudorapidities with the angles, would.
FEATURE_SETS: Mapping[str, tuple[str, ...]] = {
    "full": (*MASSES, *MOMENTA, *ANGLES, *SYSTEM),
    "compact": (*MASSES, "n_electrons", *ANGLES, *SYSTEM),
    "no_mass": (*ANGLES, *SYSTEM),
    "m4l": ("m4l",),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Frozen):
    """One model: its kind, the feature sets it is trained with, and its parameters."""

    kind: Kind = Field(description="mlp, boosted_trees, forest, svm or network")
    features: str | tuple[str, ...] = Field("full", description="name(s) of feature sets; one task for each")
    parameters: Mapping[str, Any] = Field(
        default_factory=dict, description="parameters of the kind; a list of values makes a scan"
    )

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the feature sets."""
        return (self.features,) if isinstance(self.features, str) else self.features


class NotebookSettings(_Frozen):
    """The notebook's own training."""

    test_fraction: float = Field(0.25, gt=0, lt=1, description="share of the events in the test sample")
    hidden_layer_sizes: tuple[int, ...] = Field((3, 3, 3), description="neurons of each hidden layer")
    max_iter: int = Field(500, ge=1, description="largest number of epochs")


def _default_models() -> dict[str, ModelSettings]:
    return {
        "mlp": ModelSettings(
            kind="mlp", features=("full", "m4l"), parameters={"batch_size": 1000, "learning_rate_init": 0.005}
        ),
        "boosted_trees": ModelSettings(
            kind="boosted_trees", features=("full", "no_mass"), parameters={"max_leaf_nodes": 8, "min_samples_leaf": 50}
        ),
        "forest": ModelSettings(kind="forest", features="compact", parameters={"n_estimators": 60}),
        "svm": ModelSettings(kind="svm", features="compact"),
        "network": ModelSettings(kind="network", features=("full", "no_mass")),
    }


class Baselines(_Frozen):
    """Cuts of the selections that the models are compared with."""

    no_cuts: tuple[str, ...] = Field(("four_leptons", "mass_window"), description="without a selection")
    cut_based: tuple[str, ...] = Field(
        (*THROUGH_SFOS_MASS, "m_z1", "m_z2", "mass_window"), description="the whole selection"
    )

    @property
    def cuts(self) -> dict[str, tuple[str, ...]]:
        """Name of each selection to its cuts."""
        return {"no_cuts": self.no_cuts, "cut_based": self.cut_based}


class Settings(_Frozen):
    """Settings of the training block of higgs4l."""

    cuts: tuple[str, ...] = Field(THROUGH_SFOS_MASS, description="cuts that the events of the models pass")
    baselines: Baselines = Field(
        default_factory=Baselines, description="cuts of the two selections that the models are compared with"
    )
    features: Mapping[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(FEATURE_SETS), description="feature sets: skim columns or derived quantities"
    )
    notebook: NotebookSettings = Field(default_factory=NotebookSettings, description="the notebook's own training")
    models: Mapping[str, ModelSettings] = Field(default_factory=_default_models, description="models by name")
    folds: int = Field(4, ge=3, description="outer folds K; a model takes K + K(K-1)/2 fits")
    minimum_effective_background: float = Field(
        25.0, ge=0, description="effective background events that a threshold keeps in the folds it is chosen on"
    )
    bootstrap: int = Field(400, ge=2, description="bootstrap replicas of the uncertainties")
    importance_events: int = Field(2000, ge=2, description="events of the permutation importance")
    importance_repeats: int = Field(3, ge=1, description="permutations per feature")
    histogram_bins: int = Field(40, ge=1, description="bins of the score histograms")
    threads: int | None = Field(None, ge=1, description="threads of a task; all cores the process may use if null")

    @field_validator("models")
    @classmethod
    def _right_parameters(cls, models: Mapping[str, ModelSettings]) -> Mapping[str, ModelSettings]:
        for name, model in models.items():
            combinations(model.kind, model.parameters, where=f"models.{name}.parameters")
        return models

    @model_validator(mode="after")
    def _known_feature_sets(self) -> Settings:
        for name, model in self.models.items():
            for feature_set in model.feature_sets:
                if feature_set not in self.features:
                    near = difflib.get_close_matches(feature_set, self.features, n=1, cutoff=0.0)
                    hint = f"; the nearest is {near[0]}" if near else ""
                    raise ValueError(f"models.{name}.features: there is no feature set {feature_set}{hint}.")
        for name, features in self.features.items():
            if not features:
                raise ValueError(f"features.{name}: the feature set is empty.")
        return self


@dataclass(frozen=True)
class TrainingTask:
    """One unit of training: a model with all its folds, the notebook's training, or the baselines."""

    name: str
    kind: Literal["model", "notebook", "baselines"]
    settings: Settings
    seed: int
    model: str = ""
    feature_set: str = ""


def tasks(settings: Settings, *, seed: int) -> list[TrainingTask]:
    """The tasks of these settings, those that train longest first.

    Raises:
        ValueError: if two tasks would have one name.
    """
    result = [
        TrainingTask(f"{name}_{feature_set}", "model", settings, seed, name, feature_set)
        for name, model in settings.models.items()
        for feature_set in model.feature_sets
    ]
    slow = ("network", "mlp", "forest", "svm", "boosted_trees")
    result.sort(key=lambda task: (slow.index(settings.models[task.model].kind), task.name))
    result += [TrainingTask(kind, kind, settings, seed) for kind in ("notebook", "baselines")]
    names = [task.name for task in result]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"models: two training tasks would have the name {name}.")
    return result


def uses_keras(task: TrainingTask) -> bool:
    """Whether the result depends on the backend of Keras."""
    return task.kind == "model" and task.settings.models[task.model].kind == "network"


def run(task: TrainingTask, samples: Sequence[Sample], directory: str) -> dict[str, Any]:
    """Train, evaluate and write one task into `<directory>/<task.name>/`; gives what result.json holds.

    Raises:
        ValueError: if signal or background have no events, a column is missing, or a feature is not finite.
    """
    from training.evaluation import evaluate_task

    target = Path(directory) / task.name
    target.mkdir(parents=True, exist_ok=True)
    return evaluate_task(task, samples, target, threads=task.settings.threads or available_cores())
