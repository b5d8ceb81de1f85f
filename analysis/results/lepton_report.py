"""What the sections of the lepton_id report share: options, where things come from and go, what training gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.errors import UserError
from analysis.results.document import Picture
from analysis.results.plot_style import Format, PlotLabel, save
from analysis.results.quantities import Quantity, Results
from analysis.results.run_files import RunDirectory
from analysis.results.tables import EventTable
from training.lepton_id import KINDS, tasks
from training.lepton_id import Settings as TrainingSettings
from training.lepton_limit import binomial_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Raw = Mapping[str, Any]
#: What the training calls the samples, and what the report does.
STORED, DOUBLE = "stored", "double"
SAMPLE_TITLES = {STORED: "as stored", DOUBLE: "double precision"}


class Settings(BaseModel):
    """How the report of lepton_id is drawn. Bins, networks and studies are the training's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[Format, ...] = Field(("png", "pdf"), description="formats of the plots; PNG is always written")
    bins: int = Field(60, ge=5, description="bins of the distributions")
    most_leptons: int = Field(2_000_000, ge=1, description="of more leptons, those of every n-th event are drawn")


@dataclass(frozen=True)
class Training:
    """The results of the tasks, by kind; a task that failed is not among them.

    `changed` are those that were done with other settings than the configuration has now.
    """

    tasks: Mapping[str, Raw]
    changed: tuple[str, ...]

    def settings(self, kind: str) -> TrainingSettings:
        """The settings that a task was done with; those that it does not depend on have their defaults."""
        return TrainingSettings.model_validate(self.tasks[kind]["settings"])

    @property
    def double_sample(self) -> str | None:
        """The sample with the leptons in double precision."""
        return self.settings(next(iter(self.tasks))).double_sample

    @property
    def missing(self) -> list[str]:
        """Tasks that should be there and are not."""
        return [kind for kind in KINDS if kind not in self.tasks]


@dataclass(frozen=True)
class Report:
    """What the sections are made from, and where figures go."""

    run: RunDirectory
    training: Training | None
    results: Results
    settings: Settings
    label: PlotLabel
    drawn: dict[int, EventTable] = field(default_factory=dict)
    """What was read of the skim, by the n of every n-th event."""

    def keep(self, figure: Figure, name: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
        """Write a figure in the formats of the settings."""
        directory = self.run.path / "plots"
        return save(figure, directory, name, caption=caption, alt=alt, formats=self.settings.formats, wide=wide)

    def share(self, name: str, value: float | None, error: float | None = None, *flags: str) -> Quantity:
        """Keep a share, or a difference of shares, as a figure of results.json."""
        return self.results.add(name, Quantity(value, error, "1", flags))

    def counted(self, name: str, value: float | None, number: int, reason: str) -> Quantity:
        """Keep the share of `number` leptons with its binomial error; `reason` is why there is none."""
        if value is None:
            return self.share(name, None, None, reason)
        return self.share(name, value, binomial_error(value, number))


def load_training(run: RunDirectory) -> Training | None:
    """The trainings of a run; None when there is none. Raises UserError when a result is not of this analysis."""
    if not run.models:
        return None
    for files in run.models:
        if files.result.get("task") not in KINDS or "settings" not in files.result:
            raise UserError(f"{files.directory / 'result.json'} is no training of lepton_id: train again")
        try:
            TrainingSettings.model_validate(files.result["settings"])
        except ValidationError as error:
            key = ".".join(str(part) for part in error.errors()[0]["loc"])
            message = f"{files.directory / 'result.json'} was made by another version ({key}): train again"
            raise UserError(message) from error
        if any(isinstance(rms, float) for one in _limits(files.result) for rms in one["rms_error"]):
            raise UserError(f"{files.directory} was trained by an earlier version: train again")
    found = {str(files.result["task"]): files.result for files in run.models}
    block = run.manifest.configuration.get("training", {})
    settings = TrainingSettings.model_validate({key: value for key, value in block.items() if key != "module"})
    now = {task.kind: task.settings.model_dump(mode="json") for task in tasks(settings, seed=0)}
    return Training(found, tuple(kind for kind, result in found.items() if result["settings"] != now[kind]))  # type: ignore[index]


def _limits(result: Raw) -> list[Raw]:
    return list(result["samples"].values()) if result["task"] == "limits" else []


def mean_of(members: Sequence[Raw], key: str) -> tuple[float, float | None]:
    """Mean over trainings and their standard deviation; None for a single one."""
    values = np.array([member[key] for member in members], np.float64)
    # Beyond these digits is the rounding of sums, not a spread.
    return round(float(values.mean()), 12), round(float(values.std(ddof=1)), 12) if len(values) > 1 else None
