"""What the dispatcher counts with: items on their way, how often each is tried, and how each ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Policy:
    """How often what is tried again, and for how long one item may run."""

    attempts: int = 5  # of an item whose error may go away
    first_pause: float = 0.5  # before the second attempt; doubled for each further one [s]
    longest_pause: float = 60.0
    deaths: int = 2  # of workers with the item in their hands, before it is tried alone
    longest_item: float | None = None  # what runs longer is taken from its worker [s]

    def pause(self, attempts: int) -> float:
        """The pause after so many attempts [s]."""
        return min(self.longest_pause, self.first_pause * 2.0 ** (attempts - 1))


def indivisible(item: Any) -> None:
    """For items that cannot be halved."""


def one_address(item: Any) -> int:  # noqa: ARG001
    """For items whose input is at one place only."""
    return 1


@dataclass(frozen=True)
class Kind:
    """What the dispatcher may do with items of a kind: cut them in two, and try so many addresses of their input."""

    halves: Callable[[Any], tuple[Any, Any] | None] = indivisible
    addresses: Callable[[Any], int] = one_address
    batches: bool = True  # whether small ones travel together


@dataclass
class Attempt:
    """An item on its way: how often it was tried, and how many workers died while they had it."""

    item: Any
    attempts: int = 0
    deaths: int = 0
    avoid: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The end of an item: done with a value, failed with an error, or `split` into smaller items that follow.

    `worker` and `host` are those of the last attempt that gave an answer; None where the workers died.
    """

    item: Any
    value: Any = None
    error: str | None = None
    worker: str | None = None
    host: str | None = None
    seconds: float = 0.0
    peak_memory: int = 0
    attempts: int = 0
    split: tuple[Any, ...] = ()


@dataclass
class Counts:
    """What happened on the way, for the user."""

    retries: int = 0
    lost_workers: int = 0
    overdue: int = 0
    isolated: int = 0
    split: int = 0
    reopened: int = 0
