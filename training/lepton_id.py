"""Electron or muon from kinematics alone: settings, the tasks they make, and running one.

Nothing heavy is imported before a task runs: the command line reads `Settings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from training.lepton_settings import Settings, Steps

if TYPE_CHECKING:
    from training.samples import Sample

__all__ = ["Settings", "TrainingTask", "check", "roles", "run", "tasks"]

Kind = Literal["improved", "source", "scan", "overtraining", "history", "limits"]
#: The longest first.
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Settings that the result of a task depends on, besides those of the sample.
_COMMON = ("double_sample", "leptons", "pt_edges", "p_edges")
_OWN: dict[Kind, tuple[str, ...]] = {
    "improved": ("improved", "representations", "seeds", "validation"),
    "source": ("source", "representations", "seeds", "study_leptons"),
    "scan": ("scan", "study_leptons"),
    "overtraining": ("overtraining", "source", "source_representation", "seeds", "study_leptons"),
    "history": ("source", "source_representation", "seeds", "study_leptons"),
    "limits": ("representations", "source", "improved", "study_leptons"),
}


@dataclass(frozen=True)
class TrainingTask:
    """One stack of trainings, or (`limits`) what needs none. `settings` are those that its result depends on."""

    name: str
    kind: Kind
    settings: Settings
    seed: int


def tasks(settings: Settings, *, seed: int) -> list[TrainingTask]:
    """The tasks of these settings: limits, history, overtraining study, both comparisons, and the scan of nodes."""
    return [TrainingTask(kind, kind, _own(settings, kind), seed) for kind in KINDS]


def _own(settings: Settings, kind: Kind) -> Settings:
    """Only what the task depends on, so that a change of the rest costs nothing."""
    return Settings(**{name: getattr(settings, name) for name in (*_COMMON, *_OWN[kind])})


def units(task: TrainingTask) -> int:
    """Epochs of its networks; `limits` has none."""
    recipe = _recipe(task)
    return 1 if recipe is None else recipe.epochs


def shortened(task: TrainingTask, units: int) -> TrainingTask:
    """The same networks with fewer epochs, for what they take."""
    settings = task.settings
    recipe = _recipe(task)
    if recipe is None:
        return task
    less = recipe.model_copy(update={"epochs": units})
    if task.kind == "scan":
        changed: dict[str, object] = {"scan": settings.scan.model_copy(update={"recipe": less})}
    else:
        changed = {"improved" if task.kind == "improved" else "source": less}
    return replace(task, settings=settings.model_copy(update=changed))


def most_events(task: TrainingTask) -> int | None:
    """With how many leptons the training half is as large as it may be: an epoch of more sees no more.

    That is the balanced sample for the improved networks, and the number of training leptons for the studies.
    """
    settings = task.settings
    study = None if task.kind == "improved" or settings.study_leptons is None else 2 * settings.study_leptons
    limits = [most for most in (settings.leptons, study) if most is not None]
    return min(limits, default=None)


def learnt_from(settings: Settings, samples: Sequence[Sample]) -> list[Sample]:
    """The leptons as stored: those in double precision are the same ones."""
    from training.lepton_data import divided

    return divided(samples, settings)["stored"]


def _recipe(task: TrainingTask) -> Steps | None:
    if task.kind == "limits":
        return None
    if task.kind == "scan":
        return task.settings.scan.recipe
    return task.settings.improved if task.kind == "improved" else task.settings.source


def roles(settings: Settings) -> tuple[str, ...]:  # noqa: ARG001
    """The roles whose leptons the training cannot do without: the flavour is a branch, not a sample."""
    return ("background",)


def check(settings: Settings, samples: Sequence[Sample], *, seed: int) -> None:
    """Find out before any training whether there are leptons of both flavours.

    Raises:
        ValueError: if a flavour has fewer than 20 leptons, or the skim lacks a column.
    """
    from training.lepton_data import divided, read_leptons

    for stored in divided(samples, settings).values():
        read_leptons(stored, settings, seed=seed)


def run(task: TrainingTask, samples: Sequence[Sample], directory: str) -> dict[str, Any]:
    """Run one task and write `<directory>/<task.name>/result.json`; gives what it holds.

    Raises:
        ValueError: if a flavour has too few leptons, or a skim lacks a column.
    """
    from training.lepton_evaluation import evaluate_task

    target = Path(directory) / task.name
    target.mkdir(parents=True, exist_ok=True)
    return evaluate_task(task, samples, target)
