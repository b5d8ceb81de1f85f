"""Options of the ditau_mass report."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from analysis.results.plot_style import Format


class Settings(BaseModel):
    """What the report of ditau_mass shows and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[Format, ...] = Field(("png", "pdf"), description="formats of the plots; PNG is always written")
    bin_width: float = Field(50.0, gt=0, description="width of the bins of the generated mass [GeV]")
    compared: tuple[float, float] = Field(
        (90.0, 800.0), description="masses where the models must beat the simple estimators; bins start at the first"
    )
    least_events: int = Field(10, ge=2, description="test events that a bin needs for its figures")
    bootstrap: int = Field(200, ge=10, description="bootstrap replicas of the uncertainties")
    importances: int = Field(27, ge=1, description="inputs of which the importance is shown")
