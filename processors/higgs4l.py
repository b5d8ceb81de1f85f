"""The higgs4l skim, H -> ZZ* -> 4 leptons: what it reads, its cuts and their values, and how to build the processor."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Branches of the tree that every file must have. Momenta in the files are in MeV.
LEPTON_BRANCHES: tuple[str, ...] = (
    "lep_pt",
    "lep_eta",
    "lep_phi",
    "lep_charge",
    "lep_type",
    "lep_etcone20",
    "lep_trackd0pvunbiased",
    "lep_tracksigd0pvunbiased",
)
EVENT_BRANCHES: tuple[str, ...] = ("runNumber", "eventNumber", "lep_n")
#: Branches whose product is the weight of a simulated event before normalisation; the first is summed over all events.
WEIGHT_BRANCHES: tuple[str, ...] = (
    "mcWeight",
    "scaleFactor_PILEUP",
    "scaleFactor_ELE",
    "scaleFactor_MUON",
    "scaleFactor_TRIGGER",
)
BRANCHES: tuple[str, ...] = EVENT_BRANCHES + LEPTON_BRANCHES + WEIGHT_BRANCHES

#: The cuts in the order of the cutflow, which is cumulative.
CUTS: tuple[str, ...] = (
    "all",
    "four_leptons",
    "charge",
    "flavour",
    "lepton_pt",
    "leading_pt",
    "isolation",
    "impact_parameter",
    "delta_r",
    "sfos_mass",
    "m_z1",
    "m_z2",
    "mass_window",
)
#: The m4l histogram holds the events through this cut.
HISTOGRAM_CUT = "m_z2"
#: Name of the tree in the ATLAS files.
TREE = "mini"


class Settings(BaseModel):
    """Values of the selection. The defaults are the published selection (arXiv:1207.7214) as the notebook has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    leptons: Literal["exactly_4", "at_least_4"] = Field(
        "exactly_4",
        description="exactly_4: events with four leptons, which are cut on. at_least_4: leptons failing lepton_pt, "
        "isolation, impact_parameter or delta_r are removed, four or more must remain, the four of highest pT are used",
    )
    electron_pt: float = Field(7.0, ge=0, description="every electron has pT above this [GeV]")
    muon_pt: float = Field(6.0, ge=0, description="every muon has pT above this [GeV]")
    second_pt: float = Field(15.0, ge=0, description="the second lepton has pT above this [GeV]")
    third_pt: float = Field(10.0, ge=0, description="the third lepton has pT above this [GeV]")
    electron_isolation: float = Field(0.2, description="every electron has etcone20/pT below this")
    muon_isolation: float = Field(0.3, description="every muon has etcone20/pT below this")
    electron_d0_significance: float = Field(6.5, gt=0, description="every electron has |d0/sigma(d0)| below this")
    muon_d0_significance: float = Field(3.5, gt=0, description="every muon has |d0/sigma(d0)| below this")
    same_flavour_delta_r: float = Field(0.1, ge=0, description="pairs of one flavour are further apart in dR than this")
    different_flavour_delta_r: float = Field(
        0.2, ge=0, description="pairs of different flavours are further apart in dR than this"
    )
    sfos_mass: float = Field(
        5.0, ge=0, description="every same-flavour opposite-charge pair is heavier than this [GeV]"
    )
    z_mass: float = Field(91.1876, gt=0, description="Z1 is the pair nearest to this mass [GeV]")
    z1_mass: tuple[float, float] = Field((50.0, 106.0), description="the mass of Z1 lies between these [GeV]")
    z2_min_mass: tuple[float, float] = Field(
        (17.5, 50.0), description="lower limit of the mass of Z2, at low and at high m4l [GeV]"
    )
    z2_min_mass_m4l: tuple[float, float] = Field(
        (120.0, 190.0), description="the m4l between which that limit rises linearly from one value to the other [GeV]"
    )
    z2_max_mass: float = Field(115.0, gt=0, description="the mass of Z2 is below this [GeV]")
    mass_window: tuple[float, float] = Field((120.0, 130.0), description="m4l of the yields lies between these [GeV]")
    histogram_bins: int = Field(34, ge=1, description="number of bins of the m4l histogram")
    histogram_range: tuple[float, float] = Field((80.0, 250.0), description="range of the m4l histogram [GeV]")
    compression: Literal["lz4", "zstd", "snappy", "none"] = Field("lz4", description="compression of the skim files")
    columns: dict[str, str] = Field(
        {}, description="names of branches in the files, where they are others: {scaleFactor_TRIGGER: ...}"
    )
    xsec_column: str | None = Field(
        None, description="branch with the cross section [pb] of a simulated event; null: the catalogue's number"
    )
    sumw_column: str | None = Field(
        None, description="branch with the sum of generator weights of its sample; null: the catalogue's number"
    )

    @model_validator(mode="after")
    def _known_columns(self) -> "Settings":
        for name in self.columns:
            if name not in BRANCHES:
                raise ValueError(f"columns: the selection reads no {name!r} (it reads {', '.join(BRANCHES)})")
        return self

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "Settings":
        for name in ("z1_mass", "z2_min_mass_m4l", "mass_window", "histogram_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f"{name}: the first value must be below the second, not [{low}, {high}]")
        return self

    @property
    def stored_leptons(self) -> int:
        """How many leptons the skim has columns for."""
        return 4 if self.leptons == "exactly_4" else 6

    def column(self, name: str) -> str:
        """What a branch is called in the files."""
        return self.columns.get(name, name)

    def branches(self, role: str) -> tuple[str, ...]:
        """The branches, by their names in the files, that a file of a sample with this role must have."""
        names = tuple(self.column(name) for name in branches(role))
        normalisation = (self.xsec_column, self.sumw_column)
        return names if role == "data" else names + tuple(name for name in normalisation if name is not None)


def branches(role: str) -> tuple[str, ...]:
    """The branches that a file of a sample with this role (data, background, signal) must have, as named at 8 TeV."""
    return EVENT_BRANCHES + LEPTON_BRANCHES if role == "data" else BRANCHES


def build(settings: Settings, *, luminosity: float, skim_directory: str | None) -> Any:
    """The coffea processor of this analysis.

    `luminosity` [1/pb] normalises simulated events. With `skim_directory` every chunk writes
    `<skim_directory>/<dataset>/<uuid>_<start>-<stop>.parquet`; with None nothing is written.
    """
    from processors.higgs4l_processor import Higgs4lProcessor

    return Higgs4lProcessor(settings, luminosity=luminosity, skim_directory=skim_directory)
