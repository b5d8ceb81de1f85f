"""The higgs4l selection as a plain Python event loop, sharing no code with the project.

python independent_higgs4l.py FILE [FILE...]      prints the cutflow of each file
"""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import uproot

CUTS = [
    "all", "four_leptons", "charge", "flavour", "lepton_pt", "leading_pt", "isolation", "impact_parameter",
    "delta_r", "sfos_mass", "m_z1", "m_z2", "mass_window",
]  # fmt: skip
LEPTON = ["pt", "eta", "phi", "charge", "type", "etcone20", "trackd0pvunbiased", "tracksigd0pvunbiased"]
FACTORS = ["mcWeight", "scaleFactor_PILEUP", "scaleFactor_ELE", "scaleFactor_MUON", "scaleFactor_TRIGGER"]


def events_of(path: str, data: bool) -> Iterator[dict[str, Any]]:
    names = ["lep_n"] + [f"lep_{name}" for name in LEPTON] + ([] if data else FACTORS)
    tree = uproot.open({path: None})["mini"]
    if tree.num_entries:
        yield from tree.arrays(names).to_list()


def ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.nan if numerator == 0 or math.isnan(numerator) else math.copysign(math.inf, numerator)
    return numerator / denominator


def four_vector(lepton: Mapping[str, float]) -> tuple[float, float, float, float]:
    pt = lepton["pt"] / 1000
    return (
        pt * math.cosh(lepton["eta"]),
        pt * math.cos(lepton["phi"]),
        pt * math.sin(lepton["phi"]),
        pt * math.sinh(lepton["eta"]),
    )


def mass(*leptons: Mapping[str, float]) -> float:
    vectors = [four_vector(lepton) for lepton in leptons]
    e, x, y, z = (math.fsum(parts) for parts in zip(*vectors, strict=True))
    return math.sqrt(max(e * e - x * x - y * y - z * z, 0.0))


def separation(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    phi = abs(a["phi"] - b["phi"])
    if phi > math.pi:
        phi = 2 * math.pi - phi
    return math.sqrt((a["eta"] - b["eta"]) ** 2 + phi**2)


def good_pt(lepton: Mapping[str, float]) -> bool:
    return lepton["pt"] / 1000 > (6 if lepton["type"] == 13 else 7)


def good_isolation(lepton: Mapping[str, float]) -> bool:
    return ratio(lepton["etcone20"], lepton["pt"]) < (0.3 if lepton["type"] == 13 else 0.2)


def good_impact(lepton: Mapping[str, float]) -> bool:
    value = ratio(lepton["trackd0pvunbiased"], lepton["tracksigd0pvunbiased"])
    return abs(value) < (3.5 if lepton["type"] == 13 else 6.5)


def far_apart(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return separation(a, b) > (0.1 if a["type"] == b["type"] else 0.2)


def is_pair(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return a["type"] == b["type"] and a["charge"] == -b["charge"]


def candidates(leptons: list[dict[str, float]]) -> tuple[float, float] | None:
    """Masses of Z1 and Z2, or None where the leptons do not make two pairs."""
    best = None
    for i in range(4):
        for j in range(i + 1, 4):
            k, m = (n for n in range(4) if n not in (i, j))
            if is_pair(leptons[i], leptons[j]) and is_pair(leptons[k], leptons[m]):
                first = mass(leptons[i], leptons[j])
                if best is None or abs(first - 91.1876) < abs(best[0] - 91.1876):
                    best = (first, mass(leptons[k], leptons[m]))
    return best


def results(event: dict[str, Any], at_least_four: bool) -> dict[str, bool] | None:
    """What each cut after four_leptons says of the event, taken alone; None where four_leptons fails."""
    leptons = [{name: event[f"lep_{name}"][i] for name in LEPTON} for i in range(event["lep_n"])]
    leptons.sort(key=lambda lepton: -lepton["pt"])
    if at_least_four:
        kept: list[dict[str, float]] = []
        for lepton in leptons:
            good = good_pt(lepton) and good_isolation(lepton) and good_impact(lepton)
            if good and all(far_apart(lepton, harder) for harder in kept):
                kept.append(lepton)
        leptons = kept
        if len(leptons) < 4:
            return None
        leptons = leptons[:4]
    elif event["lep_n"] != 4:
        return None
    pairs = [(a, b) for n, a in enumerate(leptons) for b in leptons[n + 1 :]]
    zs = candidates(leptons)
    m4l = mass(*leptons)
    minimum = 17.5 if m4l <= 120 else 50.0 if m4l >= 190 else 17.5 + (m4l - 120) / 70 * 32.5
    return {
        "charge": sum(lepton["charge"] for lepton in leptons) == 0,
        "flavour": sum(lepton["type"] for lepton in leptons) in (44, 48, 52),
        "lepton_pt": all(good_pt(lepton) for lepton in leptons),
        "leading_pt": leptons[1]["pt"] / 1000 > 15 and leptons[2]["pt"] / 1000 > 10,
        "isolation": all(good_isolation(lepton) for lepton in leptons),
        "impact_parameter": all(good_impact(lepton) for lepton in leptons),
        "delta_r": all(far_apart(a, b) for a, b in pairs),
        "sfos_mass": zs is not None and all(mass(a, b) > 5 for a, b in pairs if is_pair(a, b)),
        "m_z1": zs is not None and 50 < zs[0] < 106,
        "m_z2": zs is not None and minimum < zs[1] < 115,
        "mass_window": 120 < m4l < 130,
    }


def cutflow(path: str, norm: float | None, at_least_four: bool = False) -> dict[str, Any]:
    """Cumulative counts and sums of weights, the counts of each cut alone, and the sum of mcWeight.

    `norm` is L * xsec / (sumw * reduction efficiency), None for data.
    """
    weights: dict[str, list[float]] = {cut: [] for cut in CUTS}
    alone = dict.fromkeys(CUTS, 0)
    generator = []
    for event in events_of(path, norm is None):
        weight = 1.0 if norm is None else math.prod(event[name] for name in FACTORS) * norm
        generator.append(1.0 if norm is None else event["mcWeight"])
        weights["all"].append(weight)
        passed = results(event, at_least_four)
        if passed is None:
            continue
        weights["four_leptons"].append(weight)
        for cut, value in passed.items():
            alone[cut] += value
        for cut in CUTS[2:]:
            if not passed[cut]:
                break
            weights[cut].append(weight)
    return {
        "cutflow": {cut: {"events": len(w), "weighted": math.fsum(w)} for cut, w in weights.items()},
        "alone": alone,
        "sum_mc_weight": math.fsum(generator),
        "absolute": math.fsum(abs(w) for w in weights["all"]),
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        table = cutflow(name, None)["cutflow"]
        sys.stdout.write(f"{name}: {[entry['events'] for entry in table.values()]}\n")
