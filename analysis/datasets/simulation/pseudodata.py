"""Pseudo-data: unweighted events drawn from weighted pools, made to look like recorded data."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.simulation.ntuple import Events

_LOGGER = logging.getLogger(__name__)

# Runs of the public data streams (2012, period D); events are spread over them evenly.
RUN_NUMBERS = (
    *(207490, 207532, 207582, 207589, 207749, 207772, 207845),
    *(207865, 207934, 207982, 208126, 208184, 208189, 208258),
)
# What recorded events hold in branches that only simulated ones fill.
_ZERO = (
    "mcWeight",
    *(f"scaleFactor_{name}" for name in ("PILEUP", "ELE", "MUON", "BTAG", "TRIGGER", "JVFSF", "ZVERTEX")),
)
_NO_FLAVOUR = -99
# Part of the expected events that may be lost because a generated event stands for more than one.
_TOLERATED_EXCESS = 0.03
_SCALE_FACTORS = ("scaleFactor_PILEUP", "scaleFactor_ELE", "scaleFactor_MUON", "scaleFactor_TRIGGER")


def full_weight(events: Events) -> NDArray[np.float64]:
    """Give each event's weight: as generated, times the scale factors that the analysis applies."""
    weight = np.asarray(events.scalars["weight"], float)
    for name in _SCALE_FACTORS:
        weight = weight * events.scalars[name]
    return weight


def draw(
    expected: NDArray[np.float64], number: NDArray[np.integer[Any]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw a Poisson number of pool events, without replacement and in proportion to their expected numbers.

    Args:
        expected: expected number of each pool event at the luminosity; the sum over a generated event is well below 1.
        number: of the generated event that each pool event comes from; none gives two.
        rng: source of randomness.

    Returns:
        indices of the drawn events, ascending.

    Raises:
        RuntimeError: the pool has fewer events than are to be drawn.

    """
    wanted = int(rng.poisson(expected.sum()))
    usable = np.flatnonzero(expected > 0)
    # Sorted by exponential variates over their weights, events come in the order of drawing without replacement.
    order = usable[np.argsort(rng.exponential(size=len(usable)) / expected[usable])]
    _, first, generated = np.unique(number[order], return_index=True, return_inverse=True)
    if wanted > len(first):
        raise RuntimeError(
            f"the pool of pseudo-data has {len(first)} events where {wanted} are to be drawn: "
            "raise simulation.pseudo_data_pool"
        )
    per_generated = np.bincount(generated, expected[order])
    excess = float(np.maximum(per_generated - 1.0, 0.0).sum())
    if excess > _TOLERATED_EXCESS * expected.sum():
        _LOGGER.warning(
            "generated events of the pseudo-data's pool that stand for more than one event (%.2g at most) are drawn "
            "only once: a larger simulation.pseudo_data_pool makes them fewer",
            per_generated.max(),
        )
    return np.sort(order[np.sort(first)[:wanted]])


def as_recorded(events: Events, first_event: int, rng: np.random.Generator) -> Events:
    """Give the events with the branches of recorded data: run and event numbers, no weights, no truth.

    Event numbers are `first_event`, `first_event` + 1, ...
    """
    n = len(events)
    run = rng.choice(np.array(RUN_NUMBERS), n)
    recorded = events.with_scalars(
        runNumber=run,
        channelNumber=run,
        eventNumber=first_event + np.arange(n),
        **{name: np.zeros(n) for name in _ZERO},
    )
    leptons = {**recorded.leptons, "truthMatched": np.zeros(int(recorded.lep_n.sum()), bool)}
    jets = {
        **recorded.jets,
        "trueflav": np.full(int(recorded.jet_n.sum()), _NO_FLAVOUR),
        "truthMatched": np.zeros(int(recorded.jet_n.sum()), np.int64),
    }
    return Events(recorded.scalars, leptons, recorded.lep_n, jets, recorded.jet_n)


def streams(events: Events) -> dict[str, Events]:
    """Split events by trigger: electron trigger into DataEgamma, muon trigger alone into DataMuons."""
    electron = np.asarray(events.scalars["trigE"], bool)
    muon = np.asarray(events.scalars["trigM"], bool)
    return {"DataEgamma": events.take(electron), "DataMuons": events.take(muon & ~electron)}
