"""Significance of an expected signal over an expected background, with its statistical uncertainty."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Central interval of one standard deviation of a normal distribution, in percent.
_LOW, _HIGH = 15.8655, 84.1345


def asimov(signal: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
    """Median discovery significance sqrt(2 ((S+B) ln(1+S/B) - S)) (arXiv:1007.1727, equation 97).

    Takes arrays or numbers; NaN where B <= 0 or S + B < 0; negative for a negative S.
    """
    s, b = np.broadcast_arrays(np.asarray(signal, np.float64), np.asarray(background, np.float64))
    valid = (b > 0) & (s + b > 0)
    ratio = np.divide(s, b, out=np.zeros_like(s), where=valid)
    twice = 2 * ((s + b) * np.log1p(np.where(valid, ratio, 0.0)) - s)
    return np.asarray(np.where(valid, np.sign(s) * np.sqrt(np.maximum(twice, 0.0)), np.nan), np.float64)


def s_over_sqrt_b(signal: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
    """S / sqrt(B), the limit of the Asimov significance for S much smaller than B; NaN where B <= 0."""
    s, b = np.broadcast_arrays(np.asarray(signal, np.float64), np.asarray(background, np.float64))
    ratio = np.divide(s, np.sqrt(np.maximum(b, 0.0)), out=np.full(s.shape, np.nan), where=b > 0)
    return np.asarray(ratio, np.float64)


def asimov_uncertainty(signal: float, background: float, sigma_s: float, sigma_b: float) -> float:
    """Uncertainty of `asimov` from independent uncertainties of S and B, to first order; NaN where B <= 0 or S <= 0.

    From equation 97: dZ/dS = ln(1+S/B) / Z and dZ/dB = (ln(1+S/B) - S/B) / Z.
    """
    z = float(asimov(signal, background))
    if not z > 0:
        return float("nan")
    log = float(np.log1p(signal / background))
    return float(np.hypot(log / z * sigma_s, (log - signal / background) / z * sigma_b))


def bootstrap_replicas(events: int, replicas: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Poisson bootstrap: for every replica the (events,) number of times each event is drawn.

    Two results from the same replicas are paired: their ratio keeps the correlation of shared events.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_key("bootstrap"),)))
    for _ in range(replicas):
        yield generator.poisson(1.0, events).astype(np.float64)


def bootstrap_figure(value: float, replicas: ArrayLike) -> dict[str, Any]:
    """A figure with the standard deviation and the central 68.27 % interval of its bootstrap replicas.

    Replicas without a value (no background drawn) are left out; undefined figures are None.
    """
    defined = np.asarray(replicas, np.float64)
    defined = defined[np.isfinite(defined)]
    enough = len(defined) > 1 and np.isfinite(value)
    return {
        "value": float(value) if np.isfinite(value) else None,
        "uncertainty": float(np.std(defined, ddof=1)) if enough else None,
        "interval": [float(x) for x in np.percentile(defined, [_LOW, _HIGH])] if enough else None,
    }


def best_model(results: Sequence[Mapping[str, Any]]) -> str | None:
    """Name of the model with the largest significance in the inner cross-validation, None without models.

    The best of several is better than it deserves on the events that made it the best. So it is chosen on the inner
    folds, and its significance is quoted from the outer ones, which had no part in the choice.
    """
    models = [result for result in results if result.get("task") == "model" and result.get("inner_asimov") is not None]
    if not models:
        return None
    return str(max(models, key=lambda result: (result["inner_asimov"], result["name"]))["name"])


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little")


def task_seed(seed: int, name: str) -> int:
    """Seed of one task: a child of the configuration's seed, independent of which other tasks there are."""
    return int(np.random.SeedSequence(seed, spawn_key=(_key(name),)).generate_state(1)[0])
