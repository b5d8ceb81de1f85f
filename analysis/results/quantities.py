"""Numbers with an uncertainty and a unit: their arithmetic, their rounding, and `results.json`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.files import write_json

MISSING = "n/a"


@dataclass(frozen=True)
class Quantity:
    """A figure of the report.

    `value` is None where the figure is not known, and then a flag says why. `uncertainty` is one standard deviation in
    the unit of the value. A number that is not finite is kept out: it becomes None with a flag.
    """

    value: float | None
    uncertainty: float | None = None
    unit: str = ""
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("value", "uncertainty"):
            number = getattr(self, field)
            if number is not None and not math.isfinite(number):
                object.__setattr__(self, field, None)
                object.__setattr__(self, "flags", merge_flags(self.flags, (f"{field} is not finite",)))

    def times(self, factor: float | None, flag: str = "scale unknown") -> Quantity:
        """Value and uncertainty times an exact factor; None with `flag` where the factor is None."""
        if factor is None:
            return Quantity(None, None, self.unit, merge_flags(self.flags, (flag,)))
        return replace(
            self,
            value=None if self.value is None else self.value * factor,
            uncertainty=None if self.uncertainty is None else self.uncertainty * abs(factor),
        )

    def flagged(self, *flags: str) -> Quantity:
        """The same with these flags added."""
        return replace(self, flags=merge_flags(self.flags, flags))

    def as_json(self) -> dict[str, Any]:
        """The entry of `results.json`; `flags` appears only where there are some."""
        entry: dict[str, Any] = {"value": self.value, "uncertainty": self.uncertainty, "unit": self.unit}
        if self.flags:
            entry["flags"] = list(self.flags)
        return entry

    @property
    def text(self) -> str:
        """Value ± uncertainty as the report prints it, without the unit."""
        return format_number(self.value, self.uncertainty)


def merge_flags(*groups: Iterable[str]) -> tuple[str, ...]:
    """All flags in order of first appearance, each once."""
    return tuple(dict.fromkeys(flag for group in groups for flag in group))


def total(parts: Iterable[Quantity]) -> Quantity:
    """Sum of independent quantities of one unit, uncertainties in quadrature.

    The total is None, with all flags, as soon as one part is None: a sum that lacks a part would be silently low.
    The uncertainty is None when a part has none. Raises ValueError when units differ or there is no part.
    """
    parts = list(parts)
    units = {part.unit for part in parts}
    if len(units) != 1:
        raise ValueError(f"quantities of one unit are needed for a total, not {sorted(units)}")
    flags = merge_flags(*(part.flags for part in parts))
    values = [part.value for part in parts if part.value is not None]
    if len(values) < len(parts):
        return Quantity(None, None, units.pop(), flags or ("incomplete",))
    spreads = [part.uncertainty for part in parts if part.uncertainty is not None]
    spread = math.sqrt(math.fsum(s * s for s in spreads)) if len(spreads) == len(parts) else None
    whole = all(isinstance(value, int) for value in values)
    return Quantity(sum(values) if whole else math.fsum(values), spread, units.pop(), flags)


def format_number(value: float | None, uncertainty: float | None = None, digits: int = 4) -> str:
    """A number for people: two significant digits of the uncertainty, or `digits` of the value; counts in full."""
    return MISSING if value is None else _formatted(value, uncertainty, digits).replace("-", "−")


def _formatted(value: float, uncertainty: float | None, digits: int) -> str:
    if uncertainty is None or uncertainty == 0:
        suffix = "" if uncertainty is None else " ± 0"
        return (f"{value:,d}" if isinstance(value, int) else _significant(value, digits)) + suffix
    exponent = _exponent(uncertainty, 2)
    largest = max(abs(value), uncertainty)
    if largest >= 1e6 or largest < 1e-3:
        power = math.floor(math.log10(largest))
        decimals = max(power - exponent + 1, 0)
        scale = 10.0**power
        return f"({value / scale:.{decimals}f} ± {uncertainty / scale:.{decimals}f})×10{_superscript(power)}"
    decimals = max(1 - exponent, 0)
    return f"{_rounded(value, 1 - exponent):,.{decimals}f} ± {_rounded(uncertainty, 1 - exponent):,.{decimals}f}"


def _exponent(number: float, digits: int) -> int:
    """Decimal exponent of a number after rounding it to `digits` significant digits."""
    return int(f"{abs(number):.{digits - 1}e}".partition("e")[2])


def _rounded(number: float, decimals: int) -> float:
    return round(number, decimals) + 0.0


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    exponent = _exponent(value, digits)
    if exponent >= 7 or exponent < -4:
        return f"{value / 10.0**exponent:.{digits - 1}f}×10{_superscript(exponent)}"
    # The part before the decimal point is always given in full.
    decimals = max(digits - 1 - exponent, 0)
    text = f"{_rounded(value, decimals):,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text and float(value).is_integer() else text


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


class Results:
    """The named figures of a run, in the order in which the report adds them; what it prints is read from here."""

    def __init__(self) -> None:
        self._quantities: dict[str, Quantity] = {}

    def add(self, name: str, quantity: Quantity) -> Quantity:
        """Keep a figure and give it back. Raises ValueError when the name is taken by another figure."""
        if self._quantities.setdefault(name, quantity) != quantity:
            raise ValueError(f"two different figures are called {name!r}")
        return quantity

    def __getitem__(self, name: str) -> Quantity:
        return self._quantities[name]

    def get(self, name: str, default: Quantity) -> Quantity:
        """The figure of a name, or the default."""
        return self._quantities.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._quantities

    def __iter__(self) -> Iterator[str]:
        return iter(self._quantities)

    def __len__(self) -> int:
        return len(self._quantities)

    def write(self, path: Path) -> None:
        """Write `{"<name>": {"value", "uncertainty", "unit"[, "flags"]}}` in one step."""
        entries = {name: quantity.as_json() for name, quantity in self._quantities.items()}
        write_json(path, entries)
