"""What the training stage wrote, sorted by kind of task, and its figures as quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.results.quantities import Quantity, merge_flags
from analysis.results.run_files import ModelFiles, RunDirectory

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Training:
    """Trained models, the one chosen as best and the best of those without mass features, and the other tasks.

    `best` and `best_without_mass` are chosen by the inner cross-validation, never by the figures that are quoted.
    """

    models: tuple[ModelFiles, ...]
    best: ModelFiles | None
    best_without_mass: ModelFiles | None
    baselines: Raw | None
    notebook: Raw | None

    @property
    def flags(self) -> tuple[str, ...]:
        """Remarks of every task."""
        return tuple(f"{model.name}: {flag}" for model in self.models for flag in model.result.get("flags", ()))


def load_training(run: RunDirectory) -> Training | None:
    """The results of a training; None when none was run. Raises UserError when a result is not one."""
    from training.significance import best_model

    if not run.models:
        return None
    for files in run.models:
        if files.result.get("task") not in ("model", "baselines", "notebook"):
            raise UserError(
                f"{files.directory / 'result.json'} is no result of a training: it lacks a known key 'task'"
            )
    models = tuple(files for files in run.models if files.result["task"] == "model")
    by_name = {str(files.result["name"]): files for files in models}

    def best(candidates: Sequence[ModelFiles]) -> ModelFiles | None:
        name = best_model([dict(files.result) for files in candidates])
        return None if name is None else by_name[name]

    ordered = sorted(models, key=lambda files: -(files.result.get("inner_asimov") or 0.0))
    return Training(
        tuple(ordered),
        best(models),
        best([files for files in models if not files.result["uses_mass"]]),
        _task(run, "baselines"),
        _task(run, "notebook"),
    )


def _task(run: RunDirectory, kind: str) -> Raw | None:
    return next((files.result for files in run.models if files.result["task"] == kind), None)


def quantity(raw: Raw | None, unit: str, flags: Sequence[str] = (), unknown: Sequence[str] = ()) -> Quantity:
    """A figure of a result with its unit. It is None where the training gave none or a sample in it is `unknown`."""
    if unknown:
        return Quantity(None, None, unit, merge_flags(flags, unknown))
    if raw is None or raw.get("value") is None:
        return Quantity(None, None, unit, merge_flags(flags, ("not defined",)))
    return Quantity(raw["value"], raw.get("uncertainty"), unit, tuple(flags))


def model_title(name: str) -> str:
    """A task's name for people."""
    return name.replace("_", " ")
