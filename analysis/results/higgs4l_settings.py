"""Options of the higgs4l report."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.results.plot_style import Format


class Settings(BaseModel):
    """What the report of higgs4l shows and how. The selection itself is the processor's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[Format, ...] = Field(("png", "pdf"), description="formats of the plots; PNG is always written")
    log_axis: bool = Field(False, description="logarithmic event axis in the four-lepton mass plots")
    lower_panel: Literal["ratio", "pull"] = Field(
        "ratio", description="comparison of data and expectation below a stack"
    )
    higgs_mass: float = Field(125.0, gt=0, description="where the Gaussian fit starts [GeV]")
    fit_range: tuple[float, float] = Field((110.0, 140.0), description="range of the Gaussian fit [GeV]")
    fit_bin_width: float = Field(2.5, gt=0, description="bin width of the Gaussian fit [GeV]")
    scatter_points: int = Field(1500, ge=1, description="most points per process in a scatter plot")
    n_minus_one: bool = Field(True, description="plots of variables with all cuts but their own")
