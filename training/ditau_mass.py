"""Regression of the ditau mass: the tasks that settings make, and running one.

Nothing heavy is imported before a task runs: the command line reads `Settings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.ditau_settings import FULL, INPUT_LISTS, ModelSettings, Settings, TreesSettings

if TYPE_CHECKING:
    from training.ditau_model import MassModel
    from training.samples import Sample

__all__ = [
    "FULL", "INPUT_LISTS", "ModelSettings", "Settings", "TrainingTask", "TreesSettings", "check", "export_onnx",
    "load_predictor", "predictor_convention", "predictor_inputs", "roles", "run", "tasks",
]  # fmt: skip


@dataclass(frozen=True)
class TrainingTask:
    """One model for one group of channels.

    `split` has the shares of the parts, `importance` the events and permutations of the permutation importance,
    `samples` the signal that is learnt from (all if None).
    """

    name: str
    model: str
    group: str
    settings: ModelSettings | TreesSettings
    seed: int
    split: tuple[float, float, float]
    importance: tuple[int, int] = (2000, 3)
    samples: tuple[str, ...] | None = None


def tasks(settings: Settings, *, seed: int) -> list[TrainingTask]:
    """A task for each model and group: the inclusive ones, which train longest, first, and networks before trees."""
    groups = sorted(settings.channels, key=lambda group: group != "inclusive")
    importance = (settings.importance_events, settings.importance_repeats)
    return [
        TrainingTask(f"{model}_{group}", model, group, own, seed, settings.split, importance, settings.samples)
        for group in groups
        for model, own in settings.all_models().items()
    ]


def units(task: TrainingTask) -> int:
    """Epochs of a network, trees of the others: as many as there are at most, as nobody knows when they stop early."""
    return task.settings.epochs if isinstance(task.settings, ModelSettings) else task.settings.n_estimators


def shortened(task: TrainingTask, units: int) -> TrainingTask:
    """The same model with fewer epochs or trees, for what they take."""
    key = "epochs" if isinstance(task.settings, ModelSettings) else "n_estimators"
    return replace(task, settings=task.settings.model_copy(update={key: units}))


def learnt_from(settings: Settings, samples: Sequence[Sample]) -> list[Sample]:
    """The signal whose masses are learnt. Raises ValueError for one that is not there."""
    from training.ditau_events import signal_samples

    return signal_samples(samples, settings.samples)


def roles(settings: Settings) -> tuple[str, ...]:  # noqa: ARG001
    """The roles whose events the training cannot do without."""
    return ("signal",)


def check(settings: Settings, samples: Sequence[Sample], *, seed: int) -> None:
    """Find out before any training what could not be trained.

    Raises:
        ValueError: if a column or a sample is missing, a part of a group has no event, a generated mass is outside of a
            model's range, or events are to be turned whose azimuths are folded.
    """
    from training.ditau_events import PARTS, read_ditau
    from training.ditau_losses import check_masses
    from training.ditau_symmetry import check_azimuths

    for group in settings.channels:
        for name, model in settings.all_models().items():
            inputs = model.input_names()
            events = read_ditau(samples, inputs, group, seed=seed, shares=settings.split, only=settings.samples)
            try:
                check_azimuths(events, model.augment)
            except ValueError as error:
                raise ValueError(f"the model {name}: {error}") from error
            check_masses(events.mass, model.min_mass, model.max_mass)
            for part in PARTS:
                if not len(events.of(part)):
                    raise ValueError(
                        f"The model {name} has no event of the group {group} with a generated mass for its part "
                        f"{part} ({len(events)} events in all)."
                    )


def run(task: TrainingTask, samples: Sequence[Sample], directory: str) -> dict[str, Any]:
    """Train one model and write it below `<directory>/<task.name>`; gives what result.json holds.

    Raises:
        ValueError: if a column is missing or a generated mass is outside of the range.
    """
    from training.ditau_evaluation import train_and_write

    return train_and_write(task, samples, Path(directory) / task.name)


def predictor_inputs(directory: str) -> tuple[str, ...]:
    """The columns that the model of a directory needs, without loading it; raises as `load_predictor`."""
    from training.ditau_model import inputs_of

    return inputs_of(directory)


def predictor_convention(directory: str) -> str | None:
    """The inputs' convention in a model's training, None where it does not say; raises as `load_predictor`."""
    from training.ditau_model import convention_of

    return convention_of(directory)


def load_predictor(directory: str) -> MassModel:
    """The model of a directory, for `hepbatch predict`; raises as `training.ditau_model.load_mass_model`."""
    from training.ditau_model import load_mass_model

    return load_mass_model(directory)


def export_onnx(directory: str, path: str) -> float:
    """Write the network of a directory as ONNX; gives and raises as `training.ditau_onnx.export_onnx`."""
    from training import ditau_onnx

    return ditau_onnx.export_onnx(directory, path)
