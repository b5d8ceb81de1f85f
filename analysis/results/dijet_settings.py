"""Options of the dijet_anomaly report."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from analysis.results.plot_style import Format


class Settings(BaseModel):
    """What the report of dijet_anomaly shows and how. Samples, bins and signal are the training's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[Format, ...] = Field(("png", "pdf"), description="formats of the plots; PNG is always written")
    log_axis: bool = Field(True, description="logarithmic event axis in the plot of the event mass")
    bootstrap: int = Field(1000, ge=50, description="bootstrap replicas of the significances")
    levels: tuple[float, ...] = Field(
        (3.0, 5.0), min_length=1, description="significances whose numbers of signal events are looked for"
    )
