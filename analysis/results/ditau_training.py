"""What the trainings of ditau_mass left, and which model the report is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analysis.errors import UserError
from analysis.results.run_files import ModelFiles, RunDirectory
from analysis.results.tables import EventTable, read_tables

#: Names of the estimators in predictions.parquet, as people say them.
SIMPLE = {
    "visible_mass": "visible mass",
    "total_transverse_mass": "mTtot",
    "collinear_mass": "collinear mass",
}


@dataclass(frozen=True)
class TrainedModel:
    """One trained model with its test events."""

    files: ModelFiles

    @property
    def result(self) -> Mapping[str, Any]:
        """result.json."""
        return self.files.result

    @property
    def name(self) -> str:
        """Name of the task: model and group."""
        return self.files.name

    @property
    def is_network(self) -> bool:
        """Whether it is a network, not trees."""
        return bool(self.result["method"] == "network")

    @property
    def validation_mae(self) -> float:
        """What networks are chosen by [GeV], on events that no figure of the report is from; infinite for trees."""
        return float(min(self.result["history"]["val_mae"])) if self.is_network else float("inf")

    @cached_property
    def test(self) -> EventTable:
        """The test events: generated mass, ml_mass, simple estimators, channel."""
        path = self.files.directory / "predictions.parquet"
        if not path.exists():
            raise UserError(f"no {path.name} in {path.parent}: train again")
        return read_tables([path])

    def mass(self, name: str) -> Any:
        """(N,) a mass of the test events [GeV]."""
        return np.asarray(self.test[name], np.float64)


@dataclass(frozen=True)
class DitauTraining:
    """All models of a run, and the network of the largest group with the smallest validation MAE."""

    models: tuple[TrainedModel, ...]
    chosen: TrainedModel

    def of_group(self, group: str) -> tuple[TrainedModel, ...]:
        """The models of a group of channels."""
        return tuple(model for model in self.models if model.result["group"] == group)


def load_training(run: RunDirectory) -> DitauTraining | None:
    """The trainings of a run; None when there is none. Raises UserError when a result is not one of this analysis."""
    if not run.models:
        return None
    for files in run.models:
        if files.result.get("task") != "ditau_mass" or "samples" not in files.result:
            raise UserError(f"{files.directory / 'result.json'} is no training of ditau_mass: train again")
    models = tuple(TrainedModel(files) for files in run.models)
    groups = [model.result["group"] for model in models]
    main = "inclusive" if "inclusive" in groups else groups[0]
    of_main = [model for model in models if model.result["group"] == main]
    # Without a network the trees are the model.
    chosen = min(of_main, key=lambda model: (model.validation_mae, model.name))
    return DitauTraining(models, chosen)
