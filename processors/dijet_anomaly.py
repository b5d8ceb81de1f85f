"""The dijet_anomaly skim of jets in MOD format: what it reads, its cuts and their values, how it is built."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from processors.mod_selection import parse

#: Jets with equal values in these columns belong to one event: event numbers alone repeat between runs and files.
EVENT: tuple[str, ...] = ("fn", "rn", "lbn", "evn")
JET_COLUMNS: tuple[str, ...] = ("jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec", "quality", "weight")
#: Particle ID of the hard parton that a simulated jet stems from, 0 where there is none.
PARTON = "hard_pid"
PARTICLE_COLUMNS: tuple[str, ...] = ("pt", "y", "phi", "pid")
#: Reconstructed particles of the jets.
PARTICLES = "pfcs"

#: The cuts in the order of the cutflow. Up to `jets_selection` jets are counted, from `events` on events.
CUTS: tuple[str, ...] = (
    "jets",
    "jets_pt",
    "jets_eta",
    "jets_quality",
    "jets_selection",
    "events",
    "events_with_jets",
    "events_n_jets",
    "events_mass",
)
#: Range of the event mass [GeV]. With corrected momenta the cut on the jets' pT leaves little below 760 GeV.
MASS_RANGES: dict[str, tuple[float, float]] = {"uncorrected": (660.0, 1160.0), "corrected": (760.0, 1160.0)}


class Settings(BaseModel):
    """Values of the selection."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_jets: int = Field(default=2, ge=1, le=4, description="an event is kept if it has exactly so many selected jets")
    jet_pt: tuple[float, float] = Field(default=(350.0, 450.0), description="corrected pT of a jet, both ends in [GeV]")
    jet_eta: float = Field(default=1.9, gt=0, description="abs(eta) of a jet is below this")
    jet_quality: int = Field(default=2, ge=0, le=3, description="quality of a jet: 1 loose, 2 medium, 3 tight or more")
    selection: tuple[str, ...] = Field(
        default=(), description="more requirements on jets, as energyflow.mod writes them: 'jet_ms > 20'"
    )
    event_mass: Literal["uncorrected", "corrected"] = Field(
        default="uncorrected", description="momenta and masses of the event mass: as stored, or times the correction"
    )
    mass_range: tuple[float, float] | None = Field(
        default=None, description="event mass [GeV], low end in, high end out; null: 660 (corrected: 760) to 1160"
    )
    compression: Literal["lz4", "zstd", "snappy", "none"] = Field(default="lz4", description="of the Parquet skims")

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        for name in ("jet_pt", "mass_range"):
            bounds = getattr(self, name)
            if bounds is not None and not bounds[0] < bounds[1]:
                raise ValueError(f"{name}: the low end {bounds[0]:g} must be below the high end {bounds[1]:g}")
        for text in self.selection:
            parse(text)
        return self

    def mass_window(self) -> tuple[float, float]:
        """The range of the event mass [GeV]."""
        return self.mass_range or MASS_RANGES[self.event_mass]

    def columns(self) -> tuple[str, ...]:
        """Columns of the jets that the requirements of `selection` need."""
        return tuple(column for text in self.selection for comparison in parse(text) for column in comparison.columns())


def branches(role: str, settings: Settings | None = None) -> tuple[str, ...]:
    """The columns to read from files of a sample; recorded data have no partons."""
    parton = () if role == "data" else (PARTON,)
    particles = tuple(f"{PARTICLES}.{name}" for name in PARTICLE_COLUMNS)
    more = () if settings is None else settings.columns()
    return tuple(dict.fromkeys((*EVENT, *JET_COLUMNS, *parton, *more, *particles)))


def build(settings: Settings, *, luminosity: float | None, skim_directory: str | None) -> Any:
    """The processor. `luminosity` [1/pb] turns the files' weights [nb] into events; None: yields stay in nb.

    Skims are written below `skim_directory` (None: not at all).
    """
    from processors.dijet_anomaly_processor import DijetProcessor

    return DijetProcessor(settings, luminosity=luminosity, skim_directory=skim_directory)
