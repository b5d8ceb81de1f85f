"""What the sections of the dijet_anomaly report share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.results.dijet_settings import Settings
from analysis.results.dijet_training import DijetTraining
from analysis.results.document import Picture
from analysis.results.plot_style import PlotLabel, save
from analysis.results.quantities import Results
from analysis.results.run_files import RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
