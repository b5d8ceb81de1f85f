"""Pairs of lepton candidates from different hadronisations of the same partons.

Two heavy quarks, or two jets, become hadrons nearly independently. A candidate of one of them in one hadronisation may
therefore be paired with a candidate of the other in any of the R hadronisations of an event, which gives R^2 pairs for
R hadronisations. Pairs that are near to each other, or that stem from the same heavy quark, are taken from one and the
same hadronisation (`combinations.draw`); `exchangeable` says which rule holds for a pair, so that no pair counts twice.

With the probabilities p_i of all candidates of an event's hadronisations, the expected number of exchangeable pairs per
hadronisation is estimated by sum_{i<j} p_i p_j / R^2. Pairs are drawn with probabilities proportional to
p_i g_i p_j g_j, where g prefers candidates that may pass the quality cuts, and weighted accordingly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation.candidates import Candidates, delta_phi

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

# Farther apart in (eta, phi) than this, candidates are taken to come from independent jets.
INDEPENDENCE_RADIUS = 0.8
# Drawing is cheap, and most draws are thinned out again.
DRAWS = 8
# Preference for candidates that may pass the quality cuts.
PREFERENCE = 6.0


def exchangeable(found: Candidates, i: Int, j: Int) -> Bool:
    """Say of pairs of candidates (indices) whether they count as independent."""
    distance2 = (found.eta[i] - found.eta[j]) ** 2 + delta_phi(found.phi[i], found.phi[j]) ** 2
    same_quark = (found.quark[i] != 0) & (found.quark[i] == found.quark[j])
    return np.asarray((distance2 > INDEPENDENCE_RADIUS**2) & ~same_quark)


def holds_exchangeable(found: Candidates, drawn: Int, n_events: int) -> Bool:
    """Say of each event whether two of its drawn candidates (indices, sorted by event) are exchangeable."""
    event = found.event[drawn]
    out = np.zeros(n_events, bool)
    # Events have a few drawn candidates: comparing each with its next, second next, ... neighbours finds all pairs.
    step = 1
    while step < len(drawn):
        together = np.flatnonzero(event[step:] == event[:-step])
        if not len(together):
            break
        pair = exchangeable(found, drawn[together], drawn[together + step])
        out[event[together[pair]]] = True
        step += 1
    return out


@dataclass(frozen=True)
class Pairs:
    """Drawn pairs.

    Attributes:
        base: record that gives the prompt leptons and the rest of each event.
        first, second: indices of the two candidates.
        factor: weight of each relative to the weight of its base record.

    """

    base: Int
    first: Int
    second: Int
    factor: Float


def draw(found: Candidates, group: Int, rng: np.random.Generator) -> Pairs:
    """Draw exchangeable pairs, `DRAWS` times as many per group as it has records.

    Args:
        found: the candidates of the records.
        group: number of each record's parton-level event, ascending.
        rng: source of randomness.

    """
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    sizes = np.diff(np.append(starts, len(group)))
    index = np.repeat(np.arange(len(starts)), sizes)
    pool = np.flatnonzero(~found.prompt)
    preference = np.where(found.promising[pool], PREFERENCE, 1.0)
    share = found.probability[pool] * preference
    where = index[found.event[pool]]
    total = np.bincount(where, share, minlength=len(starts))
    draws = np.where(total > 0, DRAWS * sizes, 0)
    owner = np.repeat(np.arange(len(starts)), draws)
    # Candidates are sorted by record, so those of a group are neighbours in the cumulative sum.
    cumulative = np.cumsum(share)
    end = np.cumsum(total)
    first, second = (
        np.minimum(
            np.searchsorted(cumulative, end[owner] - total[owner] * (1.0 - rng.random(len(owner))), side="right"),
            len(pool) - 1,
        )
        for _ in range(2)
    )
    base = starts[owner] + rng.integers(0, sizes[owner], len(owner))
    factor = total[owner] ** 2 / (2.0 * preference[first] * preference[second] * sizes[owner] * draws[owner])
    i, j = pool[first], pool[second]
    allowed = exchangeable(found, i, j) & (where[first] == owner) & (where[second] == owner)
    return Pairs(base[allowed], i[allowed], j[allowed], factor[allowed])
