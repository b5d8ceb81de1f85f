"""A filter inside the generator: events that cannot give the two jets are given up in the middle of their shower."""

from collections.abc import Iterable
from math import atan2, cos, cosh, log, pi, sqrt
from typing import Any

from analysis.datasets.simulation import pythia
from analysis.datasets.simulation.cms_jets import RADIUS

# The shower is looked at when it has come down to this scale [GeV]: later splittings hardly change the jets' momenta.
SCALE = 25.0
# Partons softer than this do not matter for jets of several hundred GeV [GeV].
SOFTEST = 2.0
# Jets beyond this rapidity are outside the acceptance.
LARGEST_RAPIDITY = 2.1

Jet = tuple[float, float, float]


def parton_jets(partons: Iterable[tuple[float, float, float, float]]) -> list[Jet]:
    """Anti-kt jets (pt, y, phi) of a handful of partons (px, py, pz, e), where a library costs more than it does."""
    todo = []
    for px, py, pz, energy in partons:
        pt2 = px * px + py * py
        if pt2 > SOFTEST**2:
            todo.append((pt2, 0.5 * log((energy + pz) / (energy - pz)), atan2(py, px), px, py, pz, energy))
    jets: list[Jet] = []
    while todo:
        best, first, second = 1e99, -1, -1
        for i, one in enumerate(todo):
            inverse = 1.0 / one[0]
            if inverse < best:
                best, first, second = inverse, i, -1
            for j in range(i):
                other = todo[j]
                turn = abs(one[2] - other[2])
                turn = min(turn, 2.0 * pi - turn)
                distance = ((one[1] - other[1]) ** 2 + turn * turn) / RADIUS**2 * min(inverse, 1.0 / other[0])
                if distance < best:
                    best, first, second = distance, i, j
        one = todo.pop(first)
        if second < 0:
            jets.append((sqrt(one[0]), one[1], one[2]))
        else:
            other = todo.pop(second)
            px, py, pz, energy = (one[k] + other[k] for k in range(3, 7))
            y = 0.5 * log((energy + pz) / (energy - pz))
            todo.append((px * px + py * py, y, atan2(py, px), px, py, pz, energy))
    return jets


def has_pair(jets: list[Jet], pt: tuple[float, float], mass: tuple[float, float]) -> bool:
    """Whether two of the jets have momenta in the range `pt` and together a mass in the range `mass` [GeV]."""
    good = [jet for jet in jets if pt[0] < jet[0] < pt[1] and abs(jet[1]) < LARGEST_RAPIDITY]
    for i, one in enumerate(good):
        for other in good[:i]:
            mass2 = 2.0 * one[0] * other[0] * (cosh(one[1] - other[1]) - cos(one[2] - other[2]))
            if mass[0] ** 2 < mass2 < mass[1] ** 2:
                return True
    return False


def make_filter(pt: tuple[float, float], mass: tuple[float, float]) -> Any:
    """The hook for `pythia.make`; it counts the events it saw as `tried`."""
    read = pythia.RecordReader()

    class Filter(pythia.load().UserHooks):  # type: ignore[misc]
        tried = 0

        def canVetoPT(self) -> bool:  # noqa: N802  (names of the generator)
            return True

        def scaleVetoPT(self) -> float:  # noqa: N802
            return SCALE

        def doVetoPT(self, _position: int, event: Any) -> bool:  # noqa: N802
            self.tried += 1
            record = read(event)
            record = record[record["status"] > 0]
            partons = zip(*(record[name].tolist() for name in ("px", "py", "pz", "e")), strict=True)
            return not has_pair(parton_jets(partons), pt, mass)

    return Filter()
