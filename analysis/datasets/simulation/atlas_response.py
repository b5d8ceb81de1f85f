"""Parametrised response of the ATLAS detector to leptons at 8 TeV.

Efficiencies, resolutions, impact parameters, isolation, triggers and scale factors, as functions of transverse
momentum and pseudorapidity. Their constants describe the distributions of the simulated samples of the ATLAS Open Data
release of 8 TeV (four-lepton skims); they are not an official ATLAS parametrisation. Momenta in GeV, lengths in mm.
`VERSION` is part of every simulation task's key: raise it with any change of the response or of the event building.
"""

import numpy as np
from numpy.typing import NDArray

VERSION = 1

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

MINIMUM_PT = 5.0
MINIMUM_TRUE_PT = 4.0
ANGULAR_RESOLUTION = 3e-4
ELECTRON_CLUSTER_RADIUS = 0.1
CHARGE_FLIP = 0.008
MAXIMUM_NONPROMPT = 0.95
# Quality cuts of the ntuple: |z0| for both, etcone20 / pt for muons.
MAXIMUM_Z0 = 2.0
MAXIMUM_MUON_ISOLATION = 2.0
TRIGGER_PT = 25.0

JET_RADIUS = 0.4
# Leptons inside a jet above this transverse momentum [GeV] are removed; a jet this near to an electron is the electron.
OVERLAP_JET_PT = 20.0
OVERLAP_ELECTRON_RADIUS = 0.2
# Part of the visible energy around a lepton that the calorimeter isolation sees.
ELECTRON_CONE_FRACTION, MUON_CONE_FRACTION = 0.9, 0.25

# Mean energy that the shower of a hadron or conversion taken for an electron leaves beside it, over its pt.
MISIDENTIFIED_LEAKAGE = 0.2

# Probability of a lepton from a b or c hadron to be identified, relative to a prompt one, and the ratio of the energy
# around an electron to its pt at which the shower-shape criteria have halved that.
NONPROMPT_ELECTRON, NONPROMPT_MUON = 1.15, 0.80
NONPROMPT_ELECTRON_ACTIVITY = 0.6
# Above this pt [GeV] their efficiency falls with this power of it: harder ones are in denser jets.
NONPROMPT_PT, NONPROMPT_SLOPE = 8.0, 1.0
# Misidentification at 5 GeV: hadron -> electron, hadron -> muon (decay in flight, punch-through), photon -> electron.
HADRON_TO_ELECTRON, HADRON_TO_MUON, PHOTON_TO_ELECTRON = 2e-2, 1.1e-2, 6e-2

# Power of pt with which these fall.
MISIDENTIFICATION_SLOPE = 1.3

# Scale factor for pile-up as a function of the number of vertices, in the two run configurations of the samples.
PILEUP = {
    "a": (
        np.array([0, 3.5, 6.5, 9.5, 12.5, 15.5, 18.5, 21.5, 24.5, 27.5]),
        np.array([0.3, 0.69, 1.43, 1.61, 1.32, 0.91, 0.56, 0.32, 0.19, 0.09]),
    ),
    "b": (np.array([0.0, 4.0, 7.0, 10.0, 20.0, 30.0]), np.array([0.5, 0.85, 1.0, 1.05, 1.02, 0.7])),
}
VERTICES = {"a": (14.0, 5.15), "b": (11.6, 3.7)}


def efficiency(kind: Int, pt: Float, eta: Float) -> Float:
    """Give the probability to reconstruct a prompt lepton."""
    ae = np.abs(eta)
    electron = kind == 11
    crack = np.where((ae > 1.37) & (ae < 1.52), 0.08, 1.0) * np.where(ae > 2.0, 0.95, 1.0)
    eff_e = (0.87 - 0.45 * np.exp(-(pt - 4.0) / 8.0)) * crack
    eff_m = 0.98 * np.where(ae < 0.1, 0.50, 1.0) * np.clip(0.80 + 0.04 * (pt - 4.0), 0.0, 1.0)
    return np.where(electron, eff_e, eff_m) * np.where(ae < np.where(electron, 2.48, 2.5), 1.0, 0.0)


def identification(kind: Int, pt: Float, activity: Float, *, misidentified: Bool) -> Float:
    """Give the probability of a non-prompt lepton to be identified, relative to a prompt one.

    Args:
        kind: 11 or 13.
        pt: transverse momentum [GeV].
        activity: energy around it within dR < 0.2 over its pt.
        misidentified: hadrons and photons, whose rates are those of identified leptons already.

    """
    decay = np.where(kind == 11, NONPROMPT_ELECTRON, NONPROMPT_MUON)
    decay = decay * np.minimum(1.0, NONPROMPT_PT / np.maximum(pt, 1.0)) ** NONPROMPT_SLOPE
    shower_shape = np.where(kind == 11, 1.0 / (1.0 + (activity / NONPROMPT_ELECTRON_ACTIVITY) ** 2), 1.0)
    return np.where(misidentified, 1.0, decay) * shower_shape


def promising(kind: Int, pt: Float, activity: Float, d0: Float) -> Bool:
    """Say whether a lepton may pass the usual quality cuts (only the statistics of the simulation depend on it).

    Args:
        kind: 11 or 13.
        pt: measured transverse momentum [GeV].
        activity: energy around it within dR < 0.2 over its pt.
        d0: true impact parameter [mm].

    """
    muon = kind == 13
    hard = pt > np.where(muon, 6.0, 7.0)
    isolated = activity < np.where(muon, 0.30, 0.25)
    return np.asarray(hard & isolated & (np.abs(d0) < np.where(muon, 0.1, 0.2)))


def overlap_removal(kind: Int, jet_pt: Float, jet_distance: Float) -> Bool:
    """Say whether a lepton survives the removal of leptons inside jets.

    Args:
        kind: 11 or 13.
        jet_pt: visible transverse momentum around it, dR < 0.4 [GeV].
        jet_distance: its distance from the axis of that sum with itself.

    """
    inside = (kind == 13) | (jet_distance > OVERLAP_ELECTRON_RADIUS)
    return np.asarray(~(inside & (jet_pt > OVERLAP_JET_PT)))


def misidentification(kind: Int, pt: Float, scale: float) -> tuple[Float, Float]:
    """Give the probabilities of hadrons and photons (absolute particle number) to be taken for an electron, a muon."""
    photon = kind == 22
    falling = (MINIMUM_PT / np.maximum(pt, 1.0)) ** MISIDENTIFICATION_SLOPE * scale
    return np.where(photon, PHOTON_TO_ELECTRON, HADRON_TO_ELECTRON) * falling, np.where(
        photon, 0.0, HADRON_TO_MUON
    ) * falling


def smear_pt(kind: Int, pt: Float, eta: Float, rng: np.random.Generator) -> Float:
    """Give the measured transverse momentum: calorimeter resolution and bremsstrahlung, or the muon spectrometer's."""
    ae = np.abs(eta)
    n = len(pt)
    energy = pt * np.cosh(eta)
    stochastic = np.where(ae < 1.4, 0.13, 0.17)
    constant = np.where((ae > 1.2) & (ae < 1.8), 0.03, 0.018)
    sigma_e = np.sqrt(stochastic**2 / energy + (0.30 / energy) ** 2 + constant**2)
    tail = np.where(rng.random(n) < 0.28, -rng.exponential(0.035, n), 0.0) - 0.002
    sigma_m = np.hypot(np.where(ae < 1.05, 0.022, np.where(ae < 2.0, 0.030, 0.035)), 1.6e-4 * pt)
    gauss = rng.standard_normal(n)
    return np.asarray(pt * np.where(kind == 11, 1 + sigma_e * gauss + tail, 1 + sigma_m * gauss))


def impact_parameter(
    kind: Int, pt: Float, eta: Float, d0: Float, misidentified: Bool, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Give the measured transverse impact parameter and its uncertainty [mm].

    Args:
        kind: 11 or 13.
        pt: [GeV].
        eta: pseudorapidity.
        d0: true impact parameter [mm].
        misidentified: conversions and decays in flight, whose tracks are measured worse.
        rng: source of randomness.

    """
    n = len(pt)
    electron = kind == 11
    geometry = np.sqrt(np.cosh(eta))
    median = np.where(
        electron,
        0.0104 * (1 + 0.45 * (geometry - 1)) + 0.15 * geometry / pt,
        0.0092 * (1 + 0.30 * (geometry - 1)) + 0.125 * geometry**0.8 / pt,
    )
    spread = rng.normal(0.0, np.where(electron, 0.24, 0.13)) + np.where(electron, rng.exponential(0.25, n) - 0.16, 0.0)
    sigma = median * np.exp(spread)
    core = np.where(electron, 1.12, 0.95) * rng.standard_normal(n)
    wide = rng.random(n) < np.where(misidentified, 0.35, np.where(electron, 0.05, 0.02))
    pull = np.where(wide, rng.standard_t(2, n) * 3.0, core) + np.where(electron, 0.07, 0.14)
    return d0 + pull * sigma, sigma


def longitudinal_impact_parameter(kind: Int, eta: Float, d0: Float, rng: np.random.Generator) -> Float:
    """Give z0 with respect to the primary vertex [mm]; displaced leptons are displaced along the beam, too."""
    n = len(eta)
    width = np.where(kind == 11, 0.062, 0.044) * np.sqrt(np.cosh(eta))
    displaced = d0 * np.sinh(eta) * rng.standard_normal(n)
    return np.asarray(rng.standard_t(3, n) * width + displaced)


def isolation(
    kind: Int,
    pt: Float,
    vertices: Float,
    et_true: Float,
    pt_true: Float,
    misidentified: Bool,
    rng: np.random.Generator,
) -> tuple[Float, Float]:
    """Give etcone20 and ptcone30 [GeV] from generator-level cone sums.

    Args:
        kind: 11 or 13.
        pt: [GeV].
        vertices: number of primary vertices.
        et_true: energy in the cone at generator level [GeV].
        pt_true: sum of pt of the tracks in the cone [GeV].
        misidentified: hadrons and photons taken for leptons; as electrons they leak into the cone.
        rng: source of randomness (pile-up, noise, leakage).

    """
    n = len(pt)
    electron = kind == 11
    pile_up = rng.gamma(np.maximum(vertices, 0.1) / 9.0, 0.27)
    soft = np.where(rng.random(n) < 0.10, rng.exponential(1.0, n), 0.0)
    noise = np.where(rng.random(n) < 0.85, 0.0, -np.abs(rng.normal(0.0, 0.25, n)))
    et_muon = et_true + np.where(rng.random(n) < np.exp(-vertices / 6.0), 0.0, pile_up) + soft + noise
    et_electron = et_true - 0.10 + 0.035 * vertices + 0.018 * pt + rng.normal(0.0, 1.30, n) + rng.exponential(0.35, n)
    et_electron = et_electron + np.where(misidentified, rng.exponential(MISIDENTIFIED_LEAKAGE, n), 0.0) * pt
    extra = rng.random(n) < np.where(electron, 0.19, 0.065)  # conversions and tracks of pile-up
    pt_cone = pt_true + np.where(extra, 1.0 + rng.exponential(0.45, n), 0.0)
    return np.where(electron, et_electron, et_muon), pt_cone


def trigger(kind: Int, pt: Float, eta: Float, rng: np.random.Generator) -> Bool:
    """Say whether each lepton fires the single-lepton trigger of its kind."""
    eff = np.where(kind == 11, 0.92, np.where(np.abs(eta) < 1.05, 0.72, 0.88))
    return np.asarray((pt > TRIGGER_PT) & (rng.random(len(pt)) < eff))


def scale_factors(
    electrons: Int, muons: Int, vertices: Int, pileup: str, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Give the scale-factor branches of events with these numbers of electrons, muons and vertices."""
    n = len(electrons)
    edges, values = PILEUP[pileup]

    def gauss(mean: float, width: float | Float) -> NDArray[np.float32]:
        return np.asarray(np.maximum(rng.normal(mean, width, n), 0.0), np.float32)

    ele = np.clip(rng.normal(0.960, 0.031, n), 0.5, 1.01)
    ele = np.where(electrons > 0, 0.960 ** (electrons - 1.0) * ele, 1.0)
    return {
        "scaleFactor_PILEUP": np.interp(vertices, edges, values).astype(np.float32),
        "scaleFactor_ELE": ele.astype(np.float32),
        "scaleFactor_MUON": np.where(muons > 0, gauss(0.9975, 0.011), 1.0).astype(np.float32),
        "scaleFactor_BTAG": gauss(1.0, 0.01),
        "scaleFactor_TRIGGER": gauss(0.999, np.where(muons > 0, 0.02, 0.007)),
        "scaleFactor_JVFSF": np.ones(n, np.float32),
        "scaleFactor_ZVERTEX": np.clip(rng.normal(1.004, 0.3, n), 0.01, 1.37).astype(np.float32),
    }
