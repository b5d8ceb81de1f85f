"""What the user sees while a run goes on: a bar on a terminal, plain lines in a log; all on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from analysis.engine.attempts import Outcome

if TYPE_CHECKING:
    from distributed import Client

# A plain line so often [s].
LINE_INTERVAL = 30.0
# The rate is that of the last minute [s], or of the last ends where fewer came in a minute.
WINDOW = 60.0
FEWEST_ENDS = 10
# Ends this close to each other count as one moment: batches arrive at once [s].
MOMENT = 1.0

# Never folded nor cut: a line is found again by searching for it.
_console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line to the user, on standard error so that standard output holds results only."""
    _console.print(text, markup=False)


def on_terminal() -> bool:
    """Whether somebody watches standard error on a terminal that can show a bar."""
    return sys.stderr.isatty() and not _console.is_dumb_terminal


def console() -> Console:
    """The console that `say` writes to; whatever else is shown there while a bar is up keeps clear of it."""
    return _console


def announce_dashboard(client: Client) -> None:
    """Says where the cluster's dashboard is, if it serves one."""
    if client.dashboard_link:
        say(f"dashboard: {client.dashboard_link}")


def follow(
    outcomes: Iterable[Outcome],
    total: int,
    what: str,
    *,
    interval: float = LINE_INTERVAL,
    detail: Callable[[], str] | None = None,
) -> Iterator[Outcome]:
    """Passes `outcomes` on, and shows how many of `total` items have ended; nothing where there are none.

    What `detail` gives stands beside the counts; another thread asks it, a few times a second on a terminal.

    In a log, a line comes every `interval` seconds whether anything arrives or not, and one at the end.
    """
    tally = Tally(total, detail=detail)
    with _shown(tally, what, interval) as changed:
        for outcome in outcomes:
            tally.add(outcome)
            changed()
            yield outcome


class Tally:
    """How many items have ended, and how fast of late. Another thread may ask at any moment.

    `now` is the time of a monotonic clock; left out, it is the present.
    """

    def __init__(self, total: int, now: float | None = None, detail: Callable[[], str] | None = None) -> None:
        self.total = total
        self.detail = detail
        self.done = 0
        self.failed = 0
        self.started = time.monotonic() if now is None else now
        # Moments of the window: when each began, when its last item ended, and how many had ended by then.
        self._moments: deque[tuple[float, float, int]] = deque([(self.started, self.started, 0)])
        self._lock = threading.Lock()

    @property
    def ended(self) -> int:
        """Items done or failed."""
        return self.done + self.failed

    def add(self, outcome: Outcome, now: float | None = None) -> None:
        """Counts one outcome. A split item is replaced by its parts, which follow."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if outcome.split:
                self.total += len(outcome.split) - 1
                return
            if outcome.error is None:
                self.done += 1
            else:
                self.failed += 1
            began, _, ended = self._moments[-1]
            if ended and now - began < MOMENT:
                self._moments[-1] = (began, now, self.ended)
            else:
                self._moments.append((now, now, self.ended))
            self._forget(now)

    def rate(self, now: float | None = None) -> float:
        """Items per second over the window; 0 before the first."""
        now = time.monotonic() if now is None else now
        with self._lock:
            self._forget(now)
            _, since, before = self._moments[0]
            return (self.ended - before) / max(now - since, 1e-3)

    def left(self, now: float | None = None) -> float | None:
        """How long the rest takes at the present rate [s]; None before the first end."""
        rate = self.rate(now)
        return (self.total - self.ended) / rate if rate else None

    def _forget(self, now: float) -> None:
        """Drops the moments that are not needed: enough ends must remain, and the time they took."""
        moments = self._moments
        while len(moments) > 1 and self.ended - moments[1][2] >= FEWEST_ENDS:
            # The wait for the first end (a cluster that starts, a queue) says nothing of the rate after it.
            waiting = moments[0][2] == 0
            if not waiting and moments[1][1] > now - WINDOW:
                return
            moments.popleft()


def duration(seconds: float) -> str:
    """A time as one says it: `0.4 s`, `92 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def speed(rate: float) -> str:
    """Items per second as text, or per minute or hour where that says more."""
    for unit, factor in (("s", 1), ("min", 60)):
        if rate * factor >= 1:
            return f"{rate * factor:.1f} items/{unit}"
    return f"{rate * 3600:.1f} items/h"


def plain_line(tally: Tally, what: str, now: float | None = None) -> str:
    """Where a stage stands, on one line of a log."""
    parts = [*_counts(tally, what)]
    left = tally.left(now)
    if left is None:
        parts.append(f"waiting for {duration((time.monotonic() if now is None else now) - tally.started)}")
    else:
        parts += [speed(tally.rate(now)), f"{duration(left)} left"]
    return ", ".join(parts)


def last_line(tally: Tally, what: str, now: float | None = None) -> str:
    """How a stage ended, on one line of a log."""
    taken = (time.monotonic() if now is None else now) - tally.started
    how = "in" if tally.ended >= tally.total else "stopped after"
    return ", ".join([*_counts(tally, what), f"{how} {duration(taken)}", speed(tally.ended / max(taken, 1e-3))])


def _counts(tally: Tally, what: str) -> Iterator[str]:
    yield f"{what}: {tally.done} of {tally.total} done"
    if tally.failed:
        yield f"{tally.failed} failed"
    if tally.detail is not None:
        yield tally.detail()


@contextmanager
def _shown(tally: Tally, what: str, interval: float) -> Iterator[Callable[[], None]]:
    """Shows a tally while the block runs; the block calls what it is given when the tally has changed."""
    if not tally.total:
        yield lambda: None
    elif on_terminal():
        with _bar(tally, what) as changed:
            yield changed
    else:
        with _lines(tally, what, interval):
            yield lambda: None


@contextmanager
def _bar(tally: Tally, what: str) -> Iterator[Callable[[], None]]:
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(bar_width=None), _Counts(tally), TimeElapsedColumn(), _Speed(tally))
    with Progress(*columns, console=_console, refresh_per_second=4, expand=True) as progress:
        task = progress.add_task(what, total=tally.total)
        yield lambda: progress.update(task, completed=tally.ended, total=tally.total)


@contextmanager
def _lines(tally: Tally, what: str, interval: float) -> Iterator[None]:
    """A thread says the lines: while nothing arrives, who waits for it cannot."""
    ended = threading.Event()

    def speak() -> None:
        while not ended.wait(interval):
            say(plain_line(tally, what))

    thread = threading.Thread(target=speak, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        say(last_line(tally, what))


class _Counts(ProgressColumn):
    """Done of total, and in red what failed."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:  # noqa: ARG002  (a bar has one task, whose numbers are the tally's)
        text = Text(f"{self._tally.done}/{self._tally.total}", style="progress.download")
        if self._tally.failed:
            text.append(f" {self._tally.failed} failed", style="bold red")
        if self._tally.detail is not None:
            text.append(f", {self._tally.detail()}")
        return text


class _Speed(ProgressColumn):
    """The present rate and the time left; when all has ended, the rate of the whole."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(speed(self._tally.ended / max(task.finished_time or 0.0, 1e-3)))
        left = self._tally.left()
        if left is None:
            return Text("waiting")
        return Text(f"{speed(self._tally.rate())}, {duration(left)} left")
