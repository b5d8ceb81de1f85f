"""Ending a run when the user or the system asks for it: between two answers, so that the books stay right."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# The terminal's Ctrl-C, a batch system's or a service manager's word, a closed connection.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The run was asked to stop; `number` is the signal's. `at_once`: raised wherever the run was, not in `check`."""

    def __init__(self, number: int, *, at_once: bool = False) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.at_once = at_once


class StopRequest:
    """Whether somebody asked the run to stop. While nothing waits for the answer, a signal ends it where it is."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._waiting = False

    def check(self) -> None:
        """Raises Stopped if a signal came."""
        if self._number is not None:
            raise Stopped(self._number)

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """The block calls `check` now and then: a signal in it only leaves word, which is heeded at its end at last."""
        before, self._waiting = self._waiting, True
        try:
            yield
        finally:
            self._waiting = before
        if not before:
            self.check()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals. The second signal does not wait."""
        del frame
        if self._number is None and self._waiting:
            self._number = number
            return
        self._number = number
        raise Stopped(number, at_once=True)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Listens to the signals while the block runs. Only a process' main thread can; elsewhere nothing changes."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    # One that is ignored stays so: `nohup` is how a run outlives its terminal.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, request)
    try:
        yield request
    finally:
        for number in taken:
            signal.signal(number, before[number])
