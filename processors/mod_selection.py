"""Selections of jets in the notation of energyflow.mod, such as 'abs_jet_eta < 1.9 & quality >= 2'.

A requirement is a column of the jets, in the singular or the plural, between one or two comparisons with numbers:
'375 <= corr_jet_pts <= 425'. Beside the columns of the file there are `corr_jet_pt`, the product of `jet_pt` and `jec`,
and `abs_` of (pseudo)rapidities.
"""

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CORRECTED_PT = "corr_jet_pt"
#: Columns whose absolute value can be asked for.
ABSOLUTE = ("jet_eta", "jet_y", "gen_jet_eta", "gen_jet_y")
#: Columns of the jets in MOD files (energyflow.mod.MODDataset).
COLUMNS = (
    "fn", "rn", "lbn", "evn", "npv", "quality", "hard_pid",
    "jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec", "jet_area", "jet_max_nef",
    "gen_jet_pt", "gen_jet_y", "gen_jet_phi", "gen_jet_m", "gen_jet_eta", "hard_pt", "hard_y", "hard_phi", "weight",
)  # fmt: skip
NAMES = (*COLUMNS, CORRECTED_PT, *(f"abs_{name}" for name in ABSOLUTE))

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
_NUMBER = r"-?(?:\d+\.?\d*|\.\d+|inf)"
_SIGN = r">=|<=|==|!=|>|<"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<left>{_NUMBER})\s*(?P<from>{_SIGN}))?\s*(?P<name>[a-z]\w*)"
    rf"\s*(?:(?P<to>{_SIGN})\s*(?P<right>{_NUMBER}))?\s*"
)


@dataclass(frozen=True)
class Comparison:
    """A column (as `NAMES` has it), how it is compared, and with what."""

    name: str
    sign: str
    value: float

    def columns(self) -> tuple[str, ...]:
        """The columns of the file it needs."""
        return ("jet_pt", "jec") if self.name == CORRECTED_PT else (self.name.removeprefix("abs_"),)

    def passes(self, jets: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        """True for jets that fulfil it; `jets` has the columns, one value per jet."""
        if self.name == CORRECTED_PT:
            values = np.asarray(jets["jet_pt"]) * np.asarray(jets["jec"])
        else:
            values = np.asarray(jets[self.name.removeprefix("abs_")])
        passed: npt.NDArray[np.bool_] = _COMPARISONS[self.sign](
            np.abs(values) if self.name.startswith("abs_") else values, self.value
        )
        return passed


def parse(text: str) -> tuple[Comparison, ...]:
    """The comparisons of a selection, all of which must hold.

    Raises:
        ValueError: the text is no selection, or names no column of the jets.

    """
    found: list[Comparison] = []
    for part in text.split("&"):
        match = _REQUIREMENT.fullmatch(part)
        if match is None or not (match["from"] or match["to"]):
            raise ValueError(
                f"the selection {text!r} is not understood: expected such as '375 <= corr_jet_pts <= 425' or "
                "'abs_jet_eta < 1.9 & quality >= 2'"
            )
        name = _column(match["name"])
        if match["from"]:
            found.append(Comparison(name, _MIRRORED.get(match["from"], match["from"]), float(match["left"])))
        if match["to"]:
            found.append(Comparison(name, match["to"], float(match["right"])))
    return tuple(found)


def passing(comparisons: Sequence[Comparison], jets: Mapping[str, Any], number: int) -> npt.NDArray[np.bool_]:
    """True for each of `number` jets that fulfils all comparisons."""
    mask = np.ones(number, dtype=np.bool_)
    for comparison in comparisons:
        mask &= comparison.passes(jets)
    return mask


def _column(name: str) -> str:
    for known in (name, name.removesuffix("s")):
        if known in NAMES:
            return known
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0)
    raise ValueError(f"the selection names {name!r}, which is no column of the jets; did you mean {near[0]!r}?")
