"""What the sections of the dijet_anomaly report share, and the options of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.results.dijet_training import DijetTraining
from analysis.results.document import Picture
from analysis.results.plot_style import Format, PlotLabel, save
from analysis.results.quantities import Results
from analysis.results.run_files import RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Settings(BaseModel):
    """What the report of dijet_anomaly shows and how. Samples, bins and signal are the training's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[Format, ...] = Field(("png", "pdf"), description="formats of the plots; PNG is always written")
    log_axis: bool = Field(True, description="logarithmic event axis in the plot of the event mass")
    bootstrap: int = Field(1000, ge=50, description="bootstrap replicas of the significances")
    levels: tuple[float, ...] = Field(
        (3.0, 5.0), min_length=1, description="significances whose numbers of signal events are looked for"
    )


@dataclass(frozen=True)
class Report:
    """What the sections are made from, and where plots go. `unit` is that of weighted yields."""

    run: RunDirectory
    training: DijetTraining | None
    results: Results
    settings: Settings
    label: PlotLabel
    unit: str
    seed: int

    def keep(self, figure: Figure, name: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
        """Write a figure in the formats of the settings."""
        directory: Path = self.run.path / "plots"
        return save(figure, directory, name, caption=caption, alt=alt, formats=self.settings.formats, wide=wide)

    def generator(self, *numbers: int) -> np.random.Generator:
        """Random numbers of one use: what a figure is does not depend on the figures before it."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=numbers))
