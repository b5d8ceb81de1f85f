"""The physics processes of the four-lepton samples: generator settings, phase-space slices, normalisation.

Rates of misidentified leptons and the two normalisation constants were tuned once on the simulated samples of the
ATLAS Open Data release of 8 TeV (`docs/` names them); nothing is read from those files at run time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

E_CM = "Beams:eCM = 8000."
LEPTONIC_Z = ("23:onMode = off", "23:onIfAny = 11 13")
LEPTONIC_Z_TAU = ("23:onMode = off", "23:onIfAny = 11 13 15")
# Spin correlations in tau decays cost 8 ms per event and matter little for the lepton's momentum.
FAST_TAU = "TauDecays:mode = 0"
HIGGS_125 = ("25:m0 = 125.", "25:onMode = off", "25:onIfMatch = 23 23")

# Part of Z pairs with l = e, mu in Z pairs with l = e, mu, tau.
LIGHT_LEPTON_PAIRS = 4.0 / 9.0

# Branching fraction of W -> l nu of one charge state, three lepton flavours: PDG 2022, section "W".
W_TO_LEPTONS = 0.3258
_DILEPTON = W_TO_LEPTONS**2
_NOT_ALL_HADRONIC = 1.0 - (1.0 - W_TO_LEPTONS) ** 2
_ONE_LEPTON = W_TO_LEPTONS * (1.0 - W_TO_LEPTONS)


@dataclass(frozen=True)
class Slice:
    """A part of a process's phase space, generated on its own.

    Attributes:
        name: unique in the process.
        settings: Pythia lines that select it.
        fraction: its part of the process's cross section.
        share: its part of the generated events.
        prompt: leptons (tau included) within the acceptance that the partons must have for an event to be hadronised.

    """

    name: str
    settings: tuple[str, ...]
    fraction: float
    share: float
    prompt: int = 0


@dataclass(frozen=True)
class Process:
    """One simulated process.

    Attributes:
        settings: Pythia lines common to its slices.
        slices: the phase space, without overlap; fractions and shares each add up to 1.
        correction: factor on the catalogue's cross section.
        repetitions: names of the settings that say how often partons with and without a b or c quark in the acceptance
            are hadronised, for processes with leptons from jets; None where every event is generated as a whole.
        heavy_flavour: factor on the probabilities of leptons from b and c hadrons, for the production of heavy quarks
            that leading-order events with parton showers lack.
        misidentification: factor on the probabilities of `atlas_response`; it stands for what the leading-order events
            without multiparton interactions and pile-up lack, and brings the yield to that of the public sample.
        reference_weight: weight in units of one generated event to which events are thinned out.
        pileup: profile of the scale factor for pile-up, a key of `atlas_response.PILEUP`.
        run_number: run number of its events.
        pair: whether it is a pair of Z bosons, whose decays to tau leptons are an option.
        events_per_task: generated events of one task (5 to 20 s).
        pool: generated events from which the pseudo-data of 1/fb are drawn.

    """

    settings: tuple[str, ...]
    slices: tuple[Slice, ...]
    correction: float = 1.0
    repetitions: tuple[str, str] | None = None
    heavy_flavour: float = 1.0
    misidentification: float = 1.0
    reference_weight: float = 1.0
    pileup: str = "a"
    run_number: int = 195847
    pair: bool = False
    events_per_task: int = 10_000
    pool: int = 2_000


def _whole(prompt: int = 0) -> tuple[Slice, ...]:
    return (Slice("all", (), 1.0, 1.0, prompt),)


# Cross sections of Pythia 8.317 with l = e, mu in the slices, 300,000 events each, known to 0.1% [pb].
_ZZ_LOW, _ZZ_MIDDLE, _ZZ_HIGH = 4.015e-4, 1.3560e-3, 24.756e-3
_ZZ_SUM = _ZZ_LOW + _ZZ_MIDDLE + _ZZ_HIGH
# The public sample's cross section [pb] is that of all Z pairs behind a lepton filter; with this K factor on Pythia's
# the yield with four leptons is that of the public sample.
ZZ_CATALOGUE, ZZ_K_FACTOR = 1.5376, 1.55


def _z_jets(lepton: int) -> Process:
    """Z/gamma* -> a pair of this lepton (11 or 13), and jets: the two samples differ in nothing else."""
    return Process(
        settings=(
            "WeakSingleBoson:ffbar2gmZ = on",
            "PhaseSpace:mHatMin = 60.",
            "23:onMode = off",
            f"23:onIfAny = {lepton}",
        ),
        slices=_whole(prompt=2),
        repetitions=("z_repetitions", "z_light_repetitions"),
        heavy_flavour=1.55,
        misidentification=1.0,
        reference_weight=3e-4,
        pileup="b",
        run_number=195848,
        events_per_task=7_000,
        pool=30_000,
    )


PROCESSES: Mapping[str, Process] = {
    "ggH125_ZZ4lep": Process(
        settings=(*HIGGS_125, "HiggsSM:gg2H = on"),
        slices=_whole(),
        correction=LIGHT_LEPTON_PAIRS,
        pair=True,
        pool=1_000,
    ),
    "VBFH125_ZZ4lep": Process(
        settings=(*HIGGS_125, "HiggsSM:ff2Hff(t:ZZ) = on", "HiggsSM:ff2Hff(t:WW) = on"),
        slices=_whole(),
        correction=LIGHT_LEPTON_PAIRS,
        pair=True,
        pool=500,
    ),
    # Three slices of the mass of the pair: the region around the Higgs boson's mass holds a few per cent of the
    # cross section and gets a third of the events. A smaller upper edge than 115 GeV is refused by Pythia.
    "ZZ": Process(
        settings=("WeakDoubleBoson:ffbar2gmZgmZ = on", "23:mMin = 20."),
        slices=(
            Slice("m60-115", ("PhaseSpace:mHatMin = 60.", "PhaseSpace:mHatMax = 115."), _ZZ_LOW / _ZZ_SUM, 0.10),
            Slice("m115-145", ("PhaseSpace:mHatMin = 115.", "PhaseSpace:mHatMax = 145."), _ZZ_MIDDLE / _ZZ_SUM, 0.45),
            Slice("m145-inf", ("PhaseSpace:mHatMin = 145.",), _ZZ_HIGH / _ZZ_SUM, 0.45),
        ),
        correction=ZZ_K_FACTOR * _ZZ_SUM / ZZ_CATALOGUE,
        pair=True,
        pool=4_000,
    ),
    "Zee": _z_jets(lepton=11),
    "Zmumu": _z_jets(lepton=13),
    "ttbar_lep": Process(
        settings=("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", FAST_TAU),
        slices=(
            Slice("2l", ("24:onMode = off", "24:onIfAny = 11 13 15"), _DILEPTON / _NOT_ALL_HADRONIC, 0.7, prompt=2),
            *(
                Slice(
                    f"1l{sign}",
                    ("24:onMode = off", f"24:on{leptonic}IfAny = 11 13 15", f"24:on{hadronic}IfAny = 1 2 3 4 5"),
                    _ONE_LEPTON / _NOT_ALL_HADRONIC,
                    0.15,
                    prompt=1,
                )
                for sign, leptonic, hadronic in (("plus", "Pos", "Neg"), ("minus", "Neg", "Pos"))
            ),
        ),
        repetitions=("top_repetitions", "top_repetitions"),
        heavy_flavour=1.2,
        misidentification=0.8,
        reference_weight=1.5e-3,
        events_per_task=3_000,
        pool=7_000,
    ),
}
