"""The simulated samples against the public simulated ones (files of the Open Data release, not in the repository).

The response was tuned on these files, so this holds the tuning in place; the tolerances are the agreement reached, with
room for the statistical errors of both sides. A larger set under `make test-full`.
"""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from analysis.datasets.simulation.fourlepton import Settings, generate, plan

pytestmark = pytest.mark.slow

PUBLIC = {
    "ZZ": ("MC/skim.mc_105986.ZZ.root", 1.5376 / (243674.74 * 0.95088)),
    "ttbar_lep": ("MC/skim.mc_117050.ttbar_lep.root", 137.29749 / (49761200.21 * 0.072212854)),
    "Zee": ("MC/skim.mc_147770.Zee.root", 1241.2072 / (203795455568148.0 * 0.151816307)),
    "Zmumu": ("MC/skim.mc_147771.Zmumu.root", 1241.2072 / (225316022111048.0 * 0.124706551)),
}
SIZES = {"ZZ": 3000, "ttbar_lep": 2000, "Zee": 6000, "Zmumu": 6000}
FACTORS = ("mcWeight", "scaleFactor_PILEUP", "scaleFactor_ELE", "scaleFactor_MUON", "scaleFactor_TRIGGER")
Sample = tuple[Any, Any]


def read(paths: list[Path], constant: float) -> Sample:
    """Events and their weights at 1/fb."""
    events = ak.concatenate([uproot.open(path)["mini"].arrays() for path in paths])
    weight = np.full(len(events), 1000.0 * constant)
    for name in FACTORS:
        weight = weight * ak.to_numpy(events[name]).astype(float)
    return events, weight


@pytest.fixture(scope="module")
def pairs(
    catalogue: dict[str, Any], test_data: Path, full_size: bool, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Sample, Sample]]:
    """Simulated and public events of each background."""
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    directory = tmp_path_factory.mktemp("validation")
    settings = Settings.model_validate({"events": SIZES, "scale": 5.0 if full_size else 1.0})
    notes: dict[str, list[dict[str, Any]]] = {}
    paths: dict[str, list[Path]] = {}
    for task in plan(settings, list(SIZES), catalogue, luminosity=1000.0, seed=17):
        for note, (sample, relative) in zip(generate(task, str(directory)), task.outputs, strict=True):
            notes.setdefault(sample, []).append(note)
            paths.setdefault(sample, []).append(directory / relative)
    out = {}
    for sample, (path, constant) in PUBLIC.items():
        simulated = notes[sample][0]["xsec_pb"] / sum(note["sumw"] for note in notes[sample])
        out[sample] = (read(paths[sample], simulated), read([test_data / "atlas-8tev" / path], constant))
    return out


def fraction(values: Any, weight: Any) -> float:
    return float(weight[values].sum() / weight.sum())


def leptons(sample: Sample, kind: int, prompt: bool) -> tuple[Any, Any]:
    events, weight = sample
    flat = {k: ak.to_numpy(ak.flatten(events[f"lep_{k}"])) for k in LEPTON}
    mask = (flat["type"] == kind) & (flat["truthMatched"] == prompt)
    return {k: v[mask] for k, v in flat.items()}, np.repeat(weight, ak.to_numpy(events["lep_n"]))[mask]


LEPTON = ("type", "truthMatched", "pt", "etcone20", "trackd0pvunbiased", "tracksigd0pvunbiased")


@pytest.mark.parametrize("sample", list(PUBLIC))
def test_yield_with_four_leptons(sample: str, pairs: dict[str, tuple[Sample, Sample]]) -> None:
    """Within 25% and four standard deviations of the two statistical errors."""
    (_, ours), (_, theirs) = pairs[sample]
    error = np.hypot(np.sqrt((ours**2).sum()), np.sqrt((theirs**2).sum()))
    assert abs(ours.sum() - theirs.sum()) < 0.25 * theirs.sum() + 4 * error
    assert error < 0.25 * theirs.sum()


@pytest.mark.parametrize("sample", list(PUBLIC))
def test_flavour_composition(sample: str, pairs: dict[str, tuple[Sample, Sample]]) -> None:
    """The part of events with each number of electrons: within 0.12."""
    for electrons in range(5):
        ours, theirs = (
            fraction(ak.to_numpy(ak.sum(events["lep_type"] == 11, axis=1)) == electrons, weight)
            for events, weight in pairs[sample]
        )
        assert ours == pytest.approx(theirs, abs=0.12), electrons


@pytest.mark.parametrize("sample", ["ttbar_lep", "Zee", "Zmumu"])
@pytest.mark.parametrize("kind", [11, 13])
def test_non_prompt_leptons(sample: str, kind: int, pairs: dict[str, tuple[Sample, Sample]]) -> None:
    """Median pt within 20%; efficiencies of isolation and impact-parameter cuts within 0.15."""
    (ours, w_ours), (theirs, w_theirs) = (leptons(s, kind, False) for s in pairs[sample])
    isolation, impact = (0.2, 6.5) if kind == 11 else (0.3, 3.5)

    def summary(lep: Any, weight: Any) -> tuple[float, float, float]:
        order = np.argsort(lep["pt"])
        cumulative = np.cumsum(weight[order])
        median = float(lep["pt"][order][np.searchsorted(cumulative, cumulative[-1] / 2)])
        significance = np.abs(lep["trackd0pvunbiased"] / lep["tracksigd0pvunbiased"])
        return (
            median,
            fraction(lep["etcone20"] < isolation * lep["pt"], weight),
            fraction(significance < impact, weight),
        )

    mine, public = summary(ours, w_ours), summary(theirs, w_theirs)
    assert mine[0] == pytest.approx(public[0], rel=0.2)
    assert mine[1] == pytest.approx(public[1], abs=0.15)
    assert mine[2] == pytest.approx(public[2], abs=0.15)


@pytest.mark.parametrize("kind", [11, 13])
def test_prompt_leptons(kind: int, pairs: dict[str, tuple[Sample, Sample]]) -> None:
    """ZZ: efficiencies of isolation and impact-parameter cuts within 0.025."""
    isolation, impact = (0.2, 6.5) if kind == 11 else (0.3, 3.5)
    figures = []
    for sample in pairs["ZZ"]:
        lep, weight = leptons(sample, kind, True)
        significance = np.abs(lep["trackd0pvunbiased"] / lep["tracksigd0pvunbiased"])
        figures.append(
            (fraction(lep["etcone20"] < isolation * lep["pt"], weight), fraction(significance < impact, weight))
        )
    np.testing.assert_allclose(figures[0], figures[1], atol=0.025)


def test_four_lepton_mass_of_zz(pairs: dict[str, tuple[Sample, Sample]]) -> None:
    """Quartiles of m4l within 5%."""
    quartiles = []
    for events, weight in pairs["ZZ"]:
        four = ak.to_numpy(events["lep_n"]) == 4
        chosen = events[four]
        pt, eta, phi = (
            ak.to_numpy(ak.flatten(chosen[f"lep_{k}"])).reshape(-1, 4).astype(float) for k in ("pt", "eta", "phi")
        )
        px, py, pz, e = (
            c.sum(axis=1) for c in (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta))
        )
        mass = np.sqrt(e**2 - px**2 - py**2 - pz**2) / 1e3
        order = np.argsort(mass)
        cumulative = np.cumsum(weight[four][order])
        quartiles.append(mass[order][np.searchsorted(cumulative, np.array([0.25, 0.5, 0.75]) * cumulative[-1])])
    np.testing.assert_allclose(quartiles[0], quartiles[1], rtol=0.05)


@pytest.mark.parametrize("sample", ["Zee", "Zmumu", "ttbar_lep"])
def test_charges(sample: str, pairs: dict[str, tuple[Sample, Sample]]) -> None:
    """The part of events of total charge 0: within 0.15."""
    ours, theirs = (
        fraction(ak.to_numpy(ak.sum(events["lep_charge"], axis=1)) == 0, weight) for events, weight in pairs[sample]
    )
    assert ours == pytest.approx(theirs, abs=0.15)
