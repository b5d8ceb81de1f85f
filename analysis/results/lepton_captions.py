"""Sentences under the figures of lepton_id, with the numbers of the run: none says what its figure does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.results.lepton_report import Raw, mean_of
from analysis.results.quantities import format_number
from training.lepton_limit import ELECTRON, MASS_CUT, MUON, binomial_error

Array = NDArray[Any]
#: Bins with fewer test leptons are not quoted: their accuracies are known to 5 per cent at best.
FEW = 100
#: Mean accuracies so near to each other are called equal.
NEAR = 0.01
#: A score that does not depend on the flavour has the accuracy 0.5, up to this.
COIN = 0.05


def distributions(columns: Mapping[str, tuple[str, Array]], muon: NDArray[np.bool_]) -> str:
    """How far the spectra of the flavours are apart; `columns` are (title, values) by name.

    By the largest distance of the cumulative distributions (Kolmogorov, Smirnov).
    """
    from scipy.stats import ks_2samp, kstwobign

    if muon.all() or not muon.any():
        return "There are leptons of one flavour only."
    found = {title: ks_2samp(values[muon], values[~muon]).statistic for title, values in columns.values()}
    chance = float(kstwobign.ppf(0.95)) * np.sqrt(len(muon) / (muon.sum() * float((~muon).sum())))
    distances = ", ".join(f"{distance:.3f} for {title}" for title, distance in found.items())
    return (
        f"Both flavours, each normalised to 1. Largest distance of their cumulative distributions: {distances}; of two "
        f"samples of one spectrum it is below {chance:.3f} in 95 of 100 cases."
    )


def mass(p: Array, above: NDArray[np.bool_], muon: NDArray[np.bool_]) -> str:
    """Which leptons the cut on the mass has wrong."""
    wrong = above != muon
    first = f"The baseline calls a mass above {MASS_CUT:g} GeV a muon."
    if not wrong.any() or wrong.all():
        return f"{first} It has {'no' if not wrong.any() else 'every'} lepton wrong."
    return (
        f"{first} It has {_percent(wrong.mean())} of all leptons wrong; their median momentum is "
        f"{np.median(p[wrong]):.0f} GeV, that of the others {np.median(p[~wrong]):.0f} GeV."
    )


def confusion(matrix: Sequence[Sequence[int]]) -> str:
    """Rows are true electrons and muons."""
    (electrons, as_muons), (as_electrons, muons) = matrix
    return (
        f"The baseline calls {_percent(as_electrons / max(as_electrons + muons, 1))} of the muons electrons and "
        f"{_percent(as_muons / max(electrons + as_muons, 1))} of the electrons muons (test leptons)."
    )


def along_bins(
    bins: Sequence[Mapping[str, Any]], curves: Sequence[tuple[str, Sequence[float | None]]], name: str
) -> str:
    """How accuracies change from the lowest to the highest bin with enough leptons."""
    filled = [number for number, one in enumerate(bins) if one["leptons"] >= FEW]
    end = "The bars are binomial intervals of 68.3 %."
    if len(filled) < 2:
        return f"Accuracy per bin of {name}; fewer than two bins have {FEW} test leptons. {end}"
    low, high = bins[filled[0]], bins[filled[-1]]
    changes = "; ".join(
        f"{title}, {first:.3f} to {last:.3f}"
        for title, values in curves
        if (first := values[filled[0]]) is not None and (last := values[filled[-1]]) is not None
    )
    return (
        f"Accuracy from {low['low']:g}–{low['high']:g} GeV to {high['low']:g}–{high['high']:g} GeV, the highest bin of "
        f"{name} with at least {FEW} test leptons: {changes}. {end}"
    )


def errors(p: Array, error: Array) -> str:
    """Of |m^2 - true m^2|: how it grows with p, and for how many leptons it hides the flavour."""
    some = (error > 0) & (p > 0)
    text = "Error of E² − p² of every lepton."
    if len(np.unique(p[some])) > 1:
        slope = np.polyfit(np.log(p[some]), np.log(error[some]), 1)[0]
        text += f" A straight line through the logarithms says that it grows as p to the power {slope:.1f}."
    large = error > (MUON - ELECTRON) / 2
    if not large.any():
        return f"{text} No error exceeds half the difference of the squared masses, {(MUON - ELECTRON) / 2:.4f} GeV²."
    return (
        f"{text} For {_percent(large.mean())} of the leptons, with a median p of {np.median(p[large]):.0f} GeV, it "
        f"exceeds half the difference of the squared masses, {(MUON - ELECTRON) / 2:.4f} GeV²."
    )


def gap(members: Sequence[Raw], trained_with: int, tested_with: int) -> str:
    """Training less test accuracy at the end, beside what the numbers of leptons leave open."""
    difference = mean_of(members, "train_accuracy")[0] - mean_of(members, "accuracy")[0]
    train, test = (mean_of(members, name)[0] for name in ("train_accuracy", "accuracy"))
    chance = float(np.hypot(binomial_error(train, trained_with), binomial_error(test, tested_with)))
    verdict = "more than chance explains" if difference > 2 * chance else "no sign of overtraining"
    return (
        f"At the end the training accuracy is {abs(difference):.4f} {'above' if difference >= 0 else 'below'} the test "
        f"accuracy (mean of {len(members)} trainings); the numbers of leptons leave "
        f"±{chance:.4f} open: {verdict}."
    )


def weights(curves: Array, epochs: Sequence[float]) -> str:
    """Of (epochs, weights): what the last quarter of the training did to them."""
    size = np.sqrt(np.mean(np.square(curves), axis=1))
    start = int(np.searchsorted(epochs, 0.75 * epochs[-1]))
    return (
        f"Weights and biases of the first training. Their root mean square is {size[0]:.2f} at epoch {epochs[0]:g}, "
        f"{size[start]:.2f} at epoch {epochs[start]:g} and {size[-1]:.2f} at the end."
    )


def overtraining(by_size: Mapping[int, Sequence[Raw]]) -> str:
    """Training and test accuracy with the fewest and the most training leptons."""
    sentences = []
    for size in dict.fromkeys((min(by_size), max(by_size))):
        own = by_size[size]
        gaps = [one["train_accuracy"] - one["accuracy"] for one in own]
        sentences.append(
            f"With {size:,d} training leptons the two accuracies differ by {np.mean(np.abs(gaps)):.3f} on average, and "
            f"the test accuracies are {_between([one['accuracy'] for one in own])}."
        )
    return " ".join(sentences)


def scan(nodes: Sequence[tuple[int, int]], mean: Array, spread: Array) -> str:
    """How many structures are as good as the best, and which is the worst; mean and spread (structures,)."""
    best, worst = int(mean.argmax()), int(mean.argmin())
    near = int(np.sum(mean >= mean[best] - NEAR))
    return (
        f"{near} of {len(mean)} structures have a mean accuracy within {NEAR:g} of the best, {mean[best]:.3f} "
        f"({nodes[best][0]}-{nodes[best][1]}); the lowest is {mean[worst]:.3f} ± {spread[worst]:.3f} "
        f"({nodes[worst][0]}-{nodes[worst][1]})."
    )


def representations(groups: Sequence[tuple[str, Mapping[str, Sequence[Raw]], float | None]]) -> str:
    """Which representations reach the limit and which are a coin, by training: (title, members by name, limit)."""
    sentences = []
    for title, its, limit in groups:
        means = {name: mean_of(members, "accuracy")[0] for name, members in its.items()}
        coin = [name for name, value in means.items() if abs(value - 0.5) < COIN]
        parts = []
        if limit is not None:
            near = [name for name, value in means.items() if value >= limit - NEAR]
            parts.append(f"{_list(near)} within {NEAR:g} of the limit")
        parts.append(f"{_list(coin)} no better than a coin (0.5 ± {COIN:g})")
        sentences.append(f"{title[:1].upper()}{title[1:]}: {'; '.join(parts)}.")
    return " ".join(sentences)


def roc(areas: Mapping[str, float]) -> str:
    """The largest and the smallest area under a curve."""
    best, worst = max(areas, key=lambda name: areas[name]), min(areas, key=lambda name: areas[name])
    return (
        "Rejection of electrons against the efficiency of muons, first training of each representation. The areas "
        f"under the curves are between {areas[worst]:.3f} ({worst}) and {areas[best]:.3f} ({best})."
    )


def why(title: str, its: Mapping[str, Sequence[Raw]], inputs: Mapping[str, Raw]) -> str | None:
    """Why representations in which the flavours lie close together fail; None where there is none."""
    smallest = np.sqrt(np.finfo(np.float32).eps)
    close = [name for name in its if name in inputs and inputs[name]["separation"] < smallest]
    if not close:
        return None
    low, high = (what(inputs[name]["separation"] for name in close) for what in (min, max))
    rounding = float(np.finfo(np.float32).epsneg)
    largest = max(float(one["largest_weight"]) for name in close for one in its[name])
    reached = _between([mean_of(its[name], "accuracy")[0] for name in close])
    double, single = (
        _between([inputs[name][key] for name in close]) for key in ("input_accuracy", "single_accuracy")
    )  # fmt: skip
    apart = _to(*(format_number(one, digits=2) for one in (low, high)))
    units = _to(*(f"{one / rounding:.0f}" for one in (low, high)))
    return (
        f"{title[:1].upper()}{title[1:]}: networks with {_list(close)} have an accuracy of {reached}. In their inputs "
        f"the flavours are {apart} of the spread apart, {units} times the rounding "
        "of a number of single precision. The mass is not lost: a cut on E² − p² from the same inputs has an accuracy "
        f"of {double} in double and {single} in single precision. But to see such differences a network needs "
        f"weights of about {float(f'{1 / high:.0e}'):,.0f}, the gradient towards them is smaller by the same "
        f"factor, and the largest weight of these trainings is {format_number(largest, digits=2)}."
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _between(values: Sequence[float]) -> str:
    return _to(f"{min(values):.3f}", f"{max(values):.3f}")


def _to(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.1f} %"
