"""What the stored precision lets any classifier reach, and why large numbers hide the mass.

A stored number is the true one rounded to the nearest of its type, so the error of m^2 = E^2 - p^2 is a sum of uniform
ones, whose widths are known for each lepton. The flavour fixes the true m^2, so the likelihood ratio of the two
flavours is known, too; the pT, eta and phi of both have the same spectra. No classifier beats it (Neyman, Pearson).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.lepton_data import Doubles, Leptons, Rows, scaled, scaling_of
from training.lepton_settings import REPRESENTATIONS, Recipe

#: Squared masses of electron and muon [GeV^2] (Particle Data Group, 2024), and halfway between them.
ELECTRON, MUON = 0.00051099895**2, 0.1056583755**2
MIDDLE = (ELECTRON + MUON) / 2
#: The baseline of the source: a mass above this [GeV] is a muon.
MASS_CUT = 0.1
#: Which stored numbers were rounded after E was calculated from them; the narrowest model that the leptons allow holds.
MODELS = {"energy": ("rounding_e",), "all": ("rounding_e", "rounding_pt", "rounding_eta")}
#: Rounding of the arithmetic itself, in units of p E: some steps of 1.1e-16 each.
_ARITHMETIC = 8 * np.finfo(np.float64).eps
#: Probabilities so near to a half say nothing: what is left is the rounding of sums, 1e-11 and less.
_TIE = 1e-6
#: Bins of p of the fine-binned estimate.
BINS = 25


def widths(leptons: Leptons, model: str) -> Doubles:
    """(n, 3) largest changes of m^2 by each rounding [GeV^2]."""
    found = np.zeros((len(leptons), 3))
    for place, name in enumerate(MODELS[model]):
        found[:, place] = leptons[name]
    found[:, 0] += _ARITHMETIC * leptons["p"] * leptons["e"]
    return found


def rounding_model(leptons: Leptons) -> str | None:
    """The narrowest model that has every training lepton's m^2 in its range; None if none has.

    In a file that calculated E from the stored pT and eta, only E was rounded.
    """
    away = np.abs(leptons["m2"] - np.where(leptons.label == 1, MUON, ELECTRON))[leptons.train]
    for model in MODELS:
        if np.all(away <= widths(leptons, model)[leptons.train].sum(axis=1)):
            return model
    return None


def density(error: Doubles, half: Doubles) -> Doubles:
    """(n,) density of the sum of three uniform errors within (n, 3) half-widths; a width of zero is a tiny one."""
    scale = half.max(axis=1)
    a, b, c = np.maximum(half / scale[:, None], 1e-3).T
    x = error / scale
    total = np.zeros_like(x)
    for i in (1, -1):
        for j in (1, -1):
            for k in (1, -1):
                total += i * j * k * np.square(np.maximum(x + i * a + j * b + k * c, 0))
    inside = np.abs(x) < a + b + c
    result: Doubles = np.where(inside, np.maximum(total, 0), 0) / (16 * a * b * c) / scale
    return result


def posterior(leptons: Leptons, model: str) -> Doubles:
    """(N,) probability of a muon, for equal numbers of both; where neither is possible the nearer mass has it.

    Exactly 0.5 where both explain a lepton equally well: if E alone was rounded, the densities are flat, and where they
    overlap E is stored as the same number for both flavours.
    """
    half = widths(leptons, model)
    electron, muon = (density(leptons["m2"] - mass, half) for mass in (ELECTRON, MUON))
    neither = electron + muon <= 0
    nearer = (leptons["m2"] > MIDDLE).astype(np.float64)
    ratio = np.where(neither, nearer, muon / np.where(neither, 1.0, electron + muon))
    result: Doubles = np.where(np.abs(ratio - 0.5) < _TIE, 0.5, ratio)
    return result


def limit_answers(leptons: Leptons, model: str | None) -> NDArray[np.bool_]:
    """(N,) which leptons the limit's classifier calls muons, those that could be either by the nearer mass.

    Without a rounding model the fine-binned estimate answers.
    """
    if model is None:
        return binned(leptons) > 0.5
    probability = posterior(leptons, model)
    return np.where(probability == 0.5, leptons["m2"] > MIDDLE, probability > 0.5)


def binned(leptons: Leptons) -> Doubles:
    """(N,) 1 for muons, by the cut on m^2 that is best for the training leptons in each of some bins of p.

    The fine-binned estimate: it knows nothing of roundings.
    """
    edges = np.quantile(leptons["p"][leptons.train], np.linspace(0, 1, BINS + 1)[1:-1])
    of = np.searchsorted(edges, leptons["p"])
    found = np.zeros(len(leptons))
    for number in range(BINS):
        rows = leptons.train[of[leptons.train] == number]
        found[of == number] = leptons["m2"][of == number] > _best_cut(leptons["m2"][rows], leptons.label[rows])
    return found


def _best_cut(values: Doubles, label: NDArray[np.int64]) -> float:
    """The cut with the most right answers: halfway between two values; of equally good ones that nearest the middle."""
    if not len(values):
        return MIDDLE
    order = np.argsort(values)
    right = np.concatenate([[0], np.cumsum(np.where(label[order] == 1, -1, 1))])
    best = np.flatnonzero(right == right.max())
    bounds = np.concatenate([[-np.inf], values[order], [np.inf]])
    middles = np.clip((bounds[best] + bounds[best + 1]) / 2, values.min(), values.max())
    return float(middles[np.argmin(np.abs(middles - MIDDLE))])


def by_bins(values: Doubles, right: NDArray[np.bool_], edges: tuple[float, ...]) -> list[dict[str, Any]]:
    """Number of leptons and share of right answers per bin of `values`; None where there is no lepton."""
    found = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        number = int(inside.sum())
        share = float(right[inside].mean()) if number else None
        found.append({"low": low, "high": high, "leptons": number, "accuracy": share})
    return found


def baselines(leptons: Leptons, p_edges: tuple[float, ...], pt_edges: tuple[float, ...]) -> dict[str, Any]:
    """Accuracies on the test leptons of the mass cut, of cuts on m^2, and of the limit; in all, and in bins.

    `limit` is the likelihood ratio; where the leptons fit no rounding, the fine-binned estimate. For the ratio,
    `expected` is the accuracy that it has on average for leptons with these momenta and energies, with the standard
    deviation around it, and `ties` the share of leptons that could be either. `rms_error` has, for each bin of p, the
    root mean square of the error of m^2 of all leptons with its standard error [GeV^2].
    """
    test, label = leptons.test, leptons.label[leptons.test] == 1
    model = rounding_model(leptons)
    answers = {
        "mass_cut": leptons["mass"] > MASS_CUT,
        "middle_cut": leptons["m2"] > MIDDLE,
        "single_mass_cut": leptons["m2_single"] > MASS_CUT**2,
        "single_middle_cut": leptons["m2_single"] > MIDDLE,
        "binned": binned(leptons) > 0.5,
        "limit": limit_answers(leptons, model),
    }
    error = leptons["m2"] - np.where(leptons.label == 1, MUON, ELECTRON)
    found: dict[str, Any] = {"model": model, "methods": {}}
    for name, answer in answers.items():
        right = answer[test] == label
        found["methods"][name] = {
            "accuracy": float(right.mean()),
            "error": binomial_error(float(right.mean()), len(test)),
            "by_p": by_bins(leptons["p"][test], right, p_edges),
            "by_pt": by_bins(leptons["pt"][test], right, pt_edges),
            "confusion": [[int(np.sum(answer[test][label == f] == g)) for g in (False, True)] for f in (False, True)],
        }
    if model is not None:
        sure = posterior(leptons, model)[test]
        found["expected"] = float(np.maximum(sure, 1 - sure).mean())
        found["expected_error"] = float(np.sqrt(np.sum(sure * (1 - sure)))) / len(test)
        found["ties"] = float(np.mean(sure == 0.5))
    inside = [(leptons["p"] >= low) & (leptons["p"] < high) for low, high in pairwise(p_edges)]
    found["rms_error"] = [rms_with_error(error[one]) if one.any() else None for one in inside]
    found["negative"] = float(np.mean(leptons["m2"] < 0))
    return found


def limit_right(leptons: Leptons) -> NDArray[np.bool_]:
    """Which test leptons the limit's classifier has right."""
    answer = limit_answers(leptons, rounding_model(leptons))
    right: NDArray[np.bool_] = answer[leptons.test] == (leptons.label[leptons.test] == 1)
    return right


def rms_with_error(values: Doubles) -> tuple[float, float]:
    """Root mean square and its standard error, from the spread of the squares; that of a single value is the value."""
    squares = np.square(values)
    rms = float(np.sqrt(squares.mean()))
    if len(values) < 2:
        return rms, rms
    return rms, float(squares.std(ddof=1) / np.sqrt(len(values)) / (2 * rms)) if rms > 0 else 0.0


def binomial_error(share: float, number: int) -> float:
    """Standard deviation of a share, of at least 1 in `number` where it is 0 or 1."""
    inside = min(max(share, 1 / (number + 1)), number / (number + 1))
    return math.sqrt(inside * (1 - inside) / number)


def precision_of_inputs(leptons: Leptons, representation: str, recipe: Recipe, rows: Rows) -> dict[str, Any]:
    """What a network can see of the mass in a representation, whatever it learns.

    `input_accuracy`: of the cut on m^2 that is calculated back, in double precision, from the network's inputs, which
    are in single precision: what the rounding of the inputs leaves. `single_accuracy`: the same with every step in
    single precision, as a network has it. `separation`: by how much the inputs of a muon and
    an electron of equal momentum differ, in standard deviations of the input, for the input where that is largest (a
    median over the leptons). Weights must be of the order of its inverse to tell them apart.
    """
    features = leptons.features(representation)
    seen = scaled(features, rows, recipe.scaling).astype(np.float32)
    offset, factor = scaling_of(features, rows, recipe.scaling)
    names = REPRESENTATIONS[representation]  # type: ignore[index]
    accuracies = []
    for kind in (np.float64, np.float32):
        back = seen.astype(kind) * factor.astype(kind) + offset.astype(kind)
        m2 = _m2_of(dict(zip(names, back.T, strict=True)))
        accuracies.append(float(((m2[leptons.test] > MIDDLE) == (leptons.label[leptons.test] == 1)).mean()))
    differences = _differences(leptons["p"], names)
    deviation = features[rows].std(axis=0)
    spread = np.where(deviation == 0, np.inf, deviation)
    return {
        "input_accuracy": accuracies[0],
        "single_accuracy": accuracies[1],
        "separation": float(max(np.median(differences, axis=0) / spread)),
    }


def _m2_of(back: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """m^2 from the columns of a representation, in their type; that of the decimals up to whole numbers."""
    if "m2" in back:
        return back["m2"]
    if "mass" in back:
        return np.where(back["mass"] < 0, back["mass"], np.square(back["mass"]))
    if "p2_minus_e2" in back:
        return -back["p2_minus_e2"]
    if "p2_decimal" in back:
        difference = (back["e2_decimal"] - back["p2_decimal"]) / 10
        return np.asarray(difference - np.round(difference))
    e2 = back["e2"] if "e2" in back else np.square(back["e"])
    p2 = back["p2"] if "p2" in back else np.square(back["pt"] * np.cosh(back["eta"]))
    return np.asarray(e2 - p2)


def _differences(p: Doubles, names: tuple[str, ...]) -> Doubles:
    """(n, features) how much each input of a muon differs from that of an electron with the same momentum."""
    gap = MUON - ELECTRON
    known = {
        "e": gap / (np.sqrt(p * p + MUON) + np.sqrt(p * p + ELECTRON)), "e2": np.full(len(p), gap),
        "p2_minus_e2": np.full(len(p), gap), "m2": np.full(len(p), gap), "e2_decimal": np.full(len(p), 10 * gap),
        "mass": np.full(len(p), math.sqrt(MUON) - math.sqrt(ELECTRON)),
    }  # fmt: skip
    return np.stack([known.get(name, np.zeros(len(p))) for name in names], axis=1)
