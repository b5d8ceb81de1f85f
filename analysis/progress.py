"""What the user sees while a run goes on: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")
# Plain lines at most this often [s].
LINE_INTERVAL = 30.0

_console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line to the user, on standard error so that standard output holds results only."""
    _console.print(text, markup=False)


def follow(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Passes `items` on and shows how many of `total` have passed."""
    if sys.stderr.isatty():
        yield from _bar(items, total, what)
    else:
        yield from _lines(items, total, what)


def _bar(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            progress.advance(task)
            yield item


def _lines(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    started = last = time.monotonic()
    for number, item in enumerate(items, start=1):
        now = time.monotonic()
        if now - last >= LINE_INTERVAL:
            rate = number / (now - started)
            say(f"{what}: {number} of {total} done, {(total - number) / rate:.0f} s left")
            last = now
        yield item
