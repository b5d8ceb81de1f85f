"""Drawing which lepton candidates of an event are reconstructed, with the probability of that outcome as a weight.

Each candidate i is reconstructed with its own small probability p_i, independently. Waiting for enough of them in one
event would waste nearly every generated event, so the number is imposed and the event weighted: with odds
o_i = p_i / (1 - p_i), the probability of exactly m reconstructed candidates is prod(1 - p_i) e_m(o), where e_m is the
elementary symmetric polynomial of degree m, and given m a subset S has the probability prod_S(o_i) / e_m(o).
"""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def pad(values: Float, event: NDArray[np.int64], n_events: int) -> tuple[Float, NDArray[np.int64]]:
    """Arrange values, sorted by event, as rows of equal length, zero-filled.

    Returns:
        array (n_events, largest number), and the column of each value in its row.

    """
    counts = np.bincount(event, minlength=n_events)
    column = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.zeros((n_events, int(counts.max(initial=0))))
    rows[event, column] = values
    return rows, column


def symmetric_polynomials(odds: Float, degree: int) -> Float:
    """Give e_0 ... e_degree of the first i columns of `odds`, for every i: shape (columns + 1, rows, degree + 1)."""
    rows, columns = odds.shape
    table = np.zeros((columns + 1, rows, degree + 1))
    table[:, :, 0] = 1.0
    for i in range(columns):
        table[i + 1, :, 1:] = table[i, :, 1:] + odds[:, i, None] * table[i, :, :-1]
    return table


def draw(
    probability: Float,
    event: NDArray[np.int64],
    needed: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    extra: int = 1,
) -> tuple[NDArray[np.bool_], Float]:
    """Draw, for every event, `needed` to `needed + extra` of its candidates.

    Args:
        probability: of each candidate, in [0, 1); sorted by event.
        event: number of each candidate's event, 0 to len(needed) - 1, ascending.
        needed: smallest number to draw, one per event.
        rng: source of randomness.
        extra: how many more than needed are considered; the probability of still more is neglected.

    Returns:
        whether each candidate is drawn; the probability per event of the numbers considered, 0 where the event has
        too few candidates (nothing is drawn there).

    """
    n_events = len(needed)
    if not n_events:
        return np.zeros(0, bool), np.zeros(0)
    odds, column = pad(probability / (1.0 - probability), event, n_events)
    table = symmetric_polynomials(odds, int(needed.max()) + extra)
    log_none = np.bincount(event, weights=np.log1p(-probability), minlength=n_events)
    rows = np.arange(n_events)
    terms = np.stack([table[-1, rows, needed + k] for k in range(extra + 1)], axis=1)
    total = terms.sum(axis=1)
    threshold = rng.random(n_events) * total
    remaining = needed + (threshold[:, None] >= np.cumsum(terms, axis=1)[:, :-1]).sum(axis=1)
    remaining = np.where(total > 0, remaining, 0)
    drawn = np.zeros(odds.shape, bool)
    for i in range(odds.shape[1] - 1, -1, -1):
        here = table[i + 1, rows, remaining]
        before = table[i, rows, np.maximum(remaining - 1, 0)]
        take = (remaining > 0) & (rng.random(n_events) * here < odds[:, i] * before)
        drawn[:, i] = take
        remaining = remaining - take
    return drawn[event, column], np.exp(log_none) * total
