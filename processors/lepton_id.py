"""The lepton_id skim, the leading lepton of each event: what it reads from which tree, and how it is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


@dataclass(frozen=True)
class Schema:
    """Where a tree has its leptons.

    `momentum` are the branches of pT, eta, phi and E, one list per event; `flavour` the branch of the lepton's kind,
    with its values for electrons and muons. `unit` is that of pT and E in GeV.
    """

    momentum: tuple[str, str, str, str]
    flavour: str
    electron: int
    muon: int
    unit: float

    @property
    def branches(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.momentum, self.flavour)


#: By the name of the tree: leptons of generated ttbar events, and the ATLAS Open Data of 8 TeV.
SCHEMAS: Mapping[str, Schema] = {
    "worldTree": Schema(
        ("eve.lepton_pt_", "eve.lepton_eta_", "eve.lepton_phi_", "eve.lepton_e_"), "eve.lepton_isMuon_", 0, 1, 1.0
    ),
    "mini": Schema(("lep_pt", "lep_eta", "lep_phi", "lep_E"), "lep_type", 11, 13, 1e-3),
}

#: Every lepton counts once: a luminosity in the configuration is an error.
USES_LUMINOSITY = False

#: The cuts in the order of the cutflow, which is cumulative.
CUTS: tuple[str, ...] = ("all", "has_lepton", "known_flavour", "finite")


class Settings(BaseModel):
    """Options of the skim."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    histogram_bins: int = Field(100, ge=1, description="number of bins of the mass histograms")
    histogram_range: tuple[float, float] = Field((-0.02, 0.2), description="range of the mass histograms [GeV]")
    compression: Literal["lz4", "zstd", "snappy", "none"] = Field("lz4", description="compression of the skim files")

    @field_validator("histogram_range")
    @classmethod
    def _ascends(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if not limits[0] < limits[1]:
            raise ValueError("the range must ascend")
        return limits


def schema_of(tree: str) -> Schema:
    """The schema of a tree. Raises ValueError for a tree that is not known."""
    if tree not in SCHEMAS:
        raise ValueError(f"lepton_id knows the trees {' and '.join(SCHEMAS)}, not {tree!r}")
    return SCHEMAS[tree]


def branches(role: str) -> tuple[str, ...]:  # noqa: ARG001  (the flavour is read, not simulated: roles do not differ)
    """The branches of the source's format; `branches_of` of the processor has those of each tree."""
    return SCHEMAS["worldTree"].branches


def build(settings: Settings, *, luminosity: float | None, skim_directory: str | None) -> Any:  # noqa: ARG001
    """The coffea processor. Every lepton counts once: neither generator weights nor a luminosity have a part in it.

    Skims are written below `skim_directory` (None: not at all).
    """
    from processors.lepton_id_processor import LeptonProcessor

    return LeptonProcessor(settings, skim_directory=skim_directory)
