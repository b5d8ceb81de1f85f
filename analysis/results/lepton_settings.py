"""Options of the lepton_id report."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from analysis.results.plot_style import Format


class Settings(BaseModel):
    """How the report of lepton_id is drawn. Bins, networks and studies are the training's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[Format, ...] = Field(("png", "pdf"), description="formats of the plots; PNG is always written")
    bins: int = Field(60, ge=5, description="bins of the distributions")
