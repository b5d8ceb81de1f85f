"""Durations, sizes, places and numbers of workers as a cluster's YAML file writes them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

_UNITS = {
    unit: size
    for size, units in ((1.0, "s sec second seconds"), (60.0, "m min minute minutes"), (3600.0, "h hour hours"),
                        (86400.0, "d day days"))
    for unit in units.split()
}  # fmt: skip
_AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]+)")
_CLOCK = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d\d)(?::(?P<seconds>\d\d))?")


def seconds(value: Any) -> float:
    """A duration [s] from a number [s], `90 min`, `HH:MM`, `HH:MM:SS` or `D-HH:MM:SS`; ValueError for anything else."""
    duration = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        duration = float(value)
    elif isinstance(value, str) and (clock := _CLOCK.fullmatch(value.strip())):
        parts = {unit: int(number or 0) for unit, number in clock.groupdict().items()}
        duration = float(((parts["days"] * 24 + parts["hours"]) * 60 + parts["minutes"]) * 60 + parts["seconds"])
    elif isinstance(value, str) and (amount := _AMOUNT.fullmatch(value.strip())):
        duration = float(amount["number"]) * _UNITS.get(amount["unit"], 0.0)
    if duration <= 0:
        raise ValueError("expected a duration above zero, for example 30 min, 2h or 02:00:00")
    return duration


def size(value: Any) -> int:
    """A size [bytes] from a number or a text such as `4GiB`; ValueError for anything else."""
    from dask.utils import parse_bytes

    try:
        if isinstance(value, bool):
            raise ValueError
        found = int(parse_bytes(value))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("expected a size, for example 4GiB") from None
    if found <= 0:
        raise ValueError("expected a size above zero")
    return found


def _size_text(value: Any) -> Any:
    if value != "auto":
        size(value)
    return value if isinstance(value, str) else str(value)


Duration = Annotated[float, BeforeValidator(seconds)]
# Kept as it is written: the manifest and the messages then say what the user said.
Size = Annotated[str, BeforeValidator(_size_text)]


class Range(BaseModel):
    """A number of workers that follows the work: one worker per item that is left, within limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum: PositiveInt = Field(default=1, description="worker processes that are always there while the pool runs")
    maximum: PositiveInt = Field(description="worker processes at most")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum} is above the maximum {self.maximum}")
        return self


def _workers(value: Any) -> Any:
    if isinstance(value, dict):
        return Range.model_validate(value)
    if isinstance(value, Range) or value == "auto" or (isinstance(value, int) and value is not True and value > 0):
        return value
    raise ValueError("expected a number above zero, auto, or {minimum: M, maximum: N}")


# Checked by one function: the errors of a union name each of its members, and the user wrote none of them.
Workers = Annotated[int | str | Range, BeforeValidator(_workers)]


def _place(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and value):
        return value
    raise ValueError("expected true, false or a path")


# A file that is needed (true: where it usually is), or is not.
Place = Annotated[bool | str, BeforeValidator(_place)]
