"""The ditau_mass skim, X -> tau tau in six channels: what it reads, its cuts and their values, the 27 inputs."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: In the order in which an event that fits several is given to one; t is a hadronic tau.
CHANNELS: tuple[str, ...] = ("tt", "mt", "et", "em", "mm", "ee")
#: Neutrinos of the two tau decays.
NEUTRINOS: dict[str, int] = {"tt": 2, "mt": 3, "et": 3, "em": 4, "mm": 4, "ee": 4}
#: The inputs of the published models, in their order.
INPUTS: tuple[str, ...] = (
    "tau1_pt_reco", "tau1_eta_reco", "tau1_phi_reco", "tau2_pt_reco", "tau2_eta_reco", "tau2_phi_reco",
    "jet1_pt_reco", "jet1_eta_reco", "jet1_phi_reco", "jet2_pt_reco", "jet2_eta_reco", "jet2_phi_reco",
    "remaining_jets_pt_reco", "remaining_jets_eta_reco", "remaining_jets_phi_reco", "remaining_jets_N_reco",
    "PuppiMET_pt_reco", "PuppiMET_phi_reco", "MET_covXX_reco", "MET_covXY_reco", "MET_covYY_reco",
    "PuppimT1_reco", "PuppimT2_reco", "PuppimTtt_reco", "PuppimTtot_reco", "PU_npvsGood_reco", "N_neutrinos_reco",
)  # fmt: skip
#: The inputs that the convention of the published models has otherwise.
CONVENTIONAL: tuple[str, ...] = tuple(
    name for name in INPUTS if "phi" in name or name.startswith(("jet", "remaining_jets"))
)
#: The inputs of which reconstructed over generated is looked at: momenta and transverse masses.
RESPONSES: tuple[str, ...] = tuple(name for name in INPUTS if "_pt_" in name or "mT" in name)
#: The cuts in the order of the cutflow, which is cumulative; from `pair` on: in at least one channel.
CUTS: tuple[str, ...] = ("all", "filters", "pair", "third_lepton", "dilepton")

FILTERS: tuple[str, ...] = tuple(
    f"Flag_{name}"
    for name in (
        "goodVertices", "globalSuperTightHalo2016Filter", "HBHENoiseFilter", "HBHENoiseIsoFilter",
        "EcalDeadCellTriggerPrimitiveFilter", "BadPFMuonFilter", "eeBadScFilter", "ecalBadCalibFilter",
    )
)  # fmt: skip
IDENTITY: tuple[str, ...] = ("run", "luminosityBlock", "event")
WEIGHT = "genWeight"
#: Versions of DeepTau, the preferred one first. The older one is a bitmask unless the file has the newer one, too.
DEEP_TAU: tuple[str, ...] = ("2017v2p1", "2018v2p5")
DEEP_TAU_IDS: dict[str, str] = {
    against: "|".join(f"Tau_idDeepTau{version}VS{against}" for version in DEEP_TAU) for against in ("jet", "e", "mu")
}
MVA = "Electron_mvaFall17V2noIso_WP90|Electron_mvaNoIso_WP90|Electron_mvaFall17V1noIso_WP90"
COVARIANCE: dict[str, str] = {part: f"MET_cov{part}|PFMET_cov{part}|PuppiMET_cov{part}" for part in ("XX", "XY", "YY")}
#: What the particle-flow quantities of `COVARIANCE` and the identification of electrons may be replaced by.
SUBSTITUTES: tuple[str, ...] = (
    *(f"PuppiMET_cov{part}" for part in COVARIANCE),
    "Electron_mvaFall17V1noIso_WP90",
)

_KINEMATICS = ("pt", "eta", "phi", "mass", "charge")
_COLUMNS: tuple[str, ...] = (
    *IDENTITY,
    # The newer version beside the older one tells how the older one is to be read.
    *DEEP_TAU_IDS.values(), f"Tau_idDeepTau{DEEP_TAU[1]}VSjet?",
    *(f"{name}?" for name in FILTERS),
    "nTau", "nMuon", "nElectron", "nJet",
    *(f"{kind}_{name}" for kind in ("Tau", "Muon", "Electron") for name in (*_KINEMATICS, "dz")),
    "Tau_decayMode", "Tau_jetIdx", "Tau_idDecayModeNewDMs?",
    "Muon_dxy", "Muon_mediumId", "Muon_looseId?", "Muon_pfRelIso04_all",
    "Electron_dxy", MVA, "Electron_convVeto", "Electron_lostHits", "Electron_pfRelIso03_all",
    "Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_jetId?", "Jet_btagDeepFlavB",
    "PuppiMET_pt", "PuppiMET_phi", *COVARIANCE.values(), "PV_npvsGood",
    # Not used, but coffea gives no missing momentum and no vertex without them.
    "MET_pt?", "MET_phi?", "PV_x?", "PV_y?", "PV_z?",
)  # fmt: skip
_GENERATED: tuple[str, ...] = (
    WEIGHT, "nGenPart", "GenPart_mass", "GenPart_pdgId", "GenPart_genPartIdxMother",
    "GenPart_pt", "GenPart_eta", "GenPart_phi",  # coffea's particles need them
    # For reconstructed over generated, where the file has them; of visible taus coffea needs mass and charge.
    "nGenVisTau?", *(f"GenVisTau_{name}?" for name in _KINEMATICS), "GenMET_pt?", "GenMET_phi?",
    "nGenJet?", *(f"GenJet_{name}?" for name in _KINEMATICS[:4]),
)  # fmt: skip


class Against(BaseModel):
    """DeepTau working points that a hadronic tau passes, by their names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    e: Literal["VVVLoose", "VVLoose", "VLoose", "Loose", "Medium", "Tight", "VTight", "VVTight"] = Field(
        default="VVLoose", description="against electrons"
    )
    mu: Literal["VLoose", "Loose", "Medium", "Tight"] = Field(default="VLoose", description="against muons")
    jet: Literal["VVVLoose", "VVLoose", "VLoose", "Loose", "Medium", "Tight", "VTight", "VVTight"] = Field(
        default="Medium", description="against jets"
    )


class Cut(BaseModel):
    """The selection of one kind of object; its identification is that of its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pt: float = Field(ge=0, description="pT is above this [GeV]")
    eta: float = Field(gt=0, description="abs(eta) is below this")
    dxy: float | None = Field(default=0.045, description="abs(dxy) is below this [cm]; not of taus")
    dz: float = Field(default=0.2, description="abs(dz) is below this [cm]")
    isolation: float | None = Field(default=None, description="relative isolation is below this; not of taus")
    inclusive: bool = Field(default=False, description="whether the bounds on pT, eta, dxy, dz themselves pass")
    against: Against = Field(default=Against(), description="DeepTau working points; of taus")


def _tau(pt: float, eta: float, against: Against, inclusive: bool) -> Any:
    return Field(default=Cut(pt=pt, eta=eta, dxy=None, inclusive=inclusive, against=against), description="tau_h")


def _lepton(pt: float, eta: float, isolation: float, inclusive: bool = False) -> Any:
    return Field(default=Cut(pt=pt, eta=eta, isolation=isolation, inclusive=inclusive), description="lepton")


class Selection(BaseModel):
    """The objects of each channel, and those of the vetoes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tt_tau: Cut = _tau(40, 2.1, Against(), inclusive=False)
    mt_tau: Cut = _tau(30, 2.3, Against(mu="Tight"), inclusive=True)
    et_tau: Cut = _tau(30, 2.3, Against(e="Tight"), inclusive=True)
    mt_muon: Cut = _lepton(21, 2.1, 0.15, inclusive=True)
    em_muon: Cut = _lepton(15, 2.4, 0.15)
    mm_muon: Cut = _lepton(10, 2.4, 0.15)
    et_electron: Cut = _lepton(25, 2.1, 0.15, inclusive=True)
    em_electron: Cut = _lepton(15, 2.4, 0.15)
    ee_electron: Cut = _lepton(20, 2.4, 0.10)
    veto_muon: Cut = _lepton(10, 2.4, 0.3)
    veto_electron: Cut = _lepton(10, 2.4, 0.3)
    loose_muon: Cut = _lepton(15, 2.4, 0.3)
    loose_electron: Cut = _lepton(15, 2.4, 0.3)


class Settings(BaseModel):
    """Values of the selection, and which convention the inputs follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[Literal["tt", "mt", "et", "em", "mm", "ee"], ...] = Field(
        default=("tt", "mt", "et", "em", "mm", "ee"), min_length=1, description="channels that events may belong to"
    )
    selection: Selection = Field(default=Selection(), description="objects of the channels and of the vetoes")
    delta_r: float = Field(default=0.5, ge=0, description="the two legs are further apart in dR than this")
    lepton_delta_r: float = Field(default=0.3, ge=0, description="the same in em and mm")
    dilepton_delta_r: float = Field(default=0.15, ge=0, description="the pair of the dilepton veto is further apart")
    dilepton_with_selected: bool = Field(
        default=False, description="whether the selected lepton may be of the pair that vetoes mt and et"
    )
    decay_modes: tuple[int, ...] = Field(default=(0, 1, 2, 10, 11), description="of hadronic taus")
    jet_pt: float = Field(default=30.0, ge=0, description="jets have pT above this [GeV]")
    jet_eta: float = Field(default=4.7, gt=0, description="jets have abs(eta) below this")
    jet_delta_r: float = Field(default=0.5, ge=0, description="jets are further from both legs in dR than this")
    b_jet_pt: float = Field(default=20.0, ge=0, description="b jets have pT above this [GeV]")
    b_jet_eta: float = Field(default=2.5, gt=0, description="b jets have abs(eta) below this")
    b_tag: float = Field(default=0.2783, description="b jets have btagDeepFlavB above this (2018: medium)")
    working_points: Literal["auto", "bitmask", "ordinal"] = Field(
        default="auto", description="how the file numbers DeepTau's; auto: a bitmask where 2017v2p1 is the only version"
    )
    convention: Literal["corrected", "published"] = Field(
        default="corrected",
        description="of the inputs; published: jet list and phi as the published models had them, and the others as "
        "corrected_<name>",
    )
    published_inputs: bool = Field(
        default=True, description="write the inputs that the published convention has otherwise, as published_<name>"
    )
    bosons: tuple[int, ...] = Field(
        default=(23, 25, 35, 36), description="particles (PDG numbers) whose generated mass is the target"
    )
    compression: Literal["lz4", "zstd", "snappy", "none"] = Field(default="lz4", description="of the Parquet skims")


def branches(role: str) -> tuple[str, ...]:
    """The columns (`processors.nanoaod`) to read from files of a sample; recorded data have no generator's."""
    return _COLUMNS if role == "data" else _COLUMNS + _GENERATED


def build(settings: Settings, *, luminosity: float | None, skim_directory: str | None) -> Any:
    """The coffea processor, on NanoEvents. Weights are the generator's: `luminosity` has no part in it.

    Skims are written below `skim_directory` (None: not at all).
    """
    del luminosity
    from processors.ditau_mass_processor import DitauProcessor

    return DitauProcessor(settings, skim_directory=skim_directory)
