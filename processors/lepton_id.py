"""The lepton_id skim, the leading lepton of each event: what it reads from which tree, and how it is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


@dataclass(frozen=True)
class Collection:
    """Leptons of a tree: the branches of their momenta and of what tells their kind, one list per event each.

    A collection has an `energy`, or a `mass` from which E is calculated. `flavour` is the branch of a lepton's kind; a
    collection without one has electrons or muons only, as `muons` says. Of a collection with an `origin` only leptons
    whose value there is in `Schema.prompt` are taken.
    """

    pt: str
    eta: str
    phi: str
    energy: str = ""
    mass: str = ""
    flavour: str = ""
    muons: bool = False
    origin: str = ""

    @property
    def branches(self) -> tuple[str, ...]:
        """All of them."""
        every = (self.pt, self.eta, self.phi, self.energy, self.mass, self.flavour, self.origin)
        return tuple(branch for branch in every if branch)


@dataclass(frozen=True)
class Schema:
    """Where a tree has its leptons.

    `electron` and `muon` are values of the branches of the kind, `prompt` those of the origin; `unit` is that of pT, E
    and mass in GeV.
    """

    collections: tuple[Collection, ...]
    electron: int = 0
    muon: int = 1
    prompt: tuple[int, ...] = ()
    unit: float = 1.0

    @property
    def branches(self) -> tuple[str, ...]:
        """Those of all collections."""
        return tuple(branch for one in self.collections for branch in one.branches)


def _nanoaod(name: str, *, muons: bool) -> Collection:
    return Collection(
        f"{name}_pt", f"{name}_eta", f"{name}_phi", mass=f"{name}_mass", muons=muons, origin=f"{name}_genPartFlav"
    )


#: By the name of the tree: leptons of generated ttbar events, the ATLAS Open Data, and simulated CMS NanoAOD, where a
#: lepton is known by its collection, and genPartFlav tells those of the hard process (1) and of its taus (15).
SCHEMAS: Mapping[str, Schema] = {
    "worldTree": Schema(
        (
            Collection(
                *("eve.lepton_pt_", "eve.lepton_eta_", "eve.lepton_phi_", "eve.lepton_e_"),
                flavour="eve.lepton_isMuon_",
            ),
        )
    ),
    "mini": Schema(
        (Collection("lep_pt", "lep_eta", "lep_phi", "lep_E", flavour="lep_type"),), electron=11, muon=13, unit=1e-3
    ),
    "Events": Schema((_nanoaod("Electron", muons=False), _nanoaod("Muon", muons=True)), prompt=(1, 15)),
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
    energy: Literal["single", "double"] = Field(
        "single", description="precision of E where a tree has the mass instead (NanoAOD), before anything else is made"
    )
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
        *names, last = SCHEMAS
        raise ValueError(f"lepton_id knows the trees {', '.join(names)} and {last}, not {tree!r}")
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
