"""What the generator says of a ditau event: the mass of the particle that decayed to two tau leptons."""

from typing import Any

import awkward as ak
import numpy as np

from processors.kinematics import Doubles
from processors.nanoaod import column

TAU = 15


def generated_mass(events: Any, bosons: tuple[int, ...]) -> Doubles:
    """Mass [GeV] of the boson that is the mother of two taus, shape (events,); NaN where there is none.

    Of several copies of the boson in the record, the mother of the taus is the one that decayed.
    """
    kind, mother = column(events, "GenPart_pdgId"), column(events, "GenPart_genPartIdxMother")
    mass = column(events, "GenPart_mass")
    kind, mother, mass = (ak.without_parameters(ak.materialize(array)) for array in (kind, mother, mass))
    parents = mother[(abs(kind) == TAU) & (mother >= 0)]
    of_boson = ak.zeros_like(parents, dtype=bool)
    for boson in bosons:
        of_boson = of_boson | (kind[parents] == boson)
    parents = parents[of_boson]
    first, second = ak.firsts(parents), ak.firsts(parents[:, 1:])
    pair = ak.to_numpy(ak.fill_none(first == second, False))
    chosen = ak.firsts(mass[parents])
    out = np.asarray(ak.to_numpy(ak.fill_none(chosen, np.nan)), np.float64)
    return np.asarray(np.where(pair, out, np.nan))
