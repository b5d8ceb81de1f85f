"""What runs on a worker: a batch of calls, each with its own end."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.engine.faults import is_transient


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its argument, and how many attempts came before it."""

    argument: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one call: its value, or its error as a sentence and whether it may go away."""

    value: Any
    error: str | None
    transient: bool
    worker: str
    seconds: float
    peak_memory: int


def call_batch(function: Callable[[Any, int], Any], calls: Sequence[Call]) -> list[Answer]:
    """Calls `function(argument, attempt)` one after another; an error of one is its answer, and the others go on."""
    from distributed import get_worker

    return [_answer(function, call, get_worker().address) for call in calls]


def sentence(problem: BaseException) -> str:
    """An exception on one line: its type and what it says."""
    text = " ".join(str(problem).split())
    # Names in damaged files may hold what neither UTF-8 nor the ledger takes.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def _answer(function: Callable[[Any, int], Any], call: Call, worker: str) -> Answer:
    started = time.perf_counter()
    value, error, transient = None, None, False
    try:
        value = function(call.argument, call.attempt)
    except Exception as problem:  # the error is the answer: it is recorded with the item, and the others go on
        error, transient = sentence(problem), is_transient(problem)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Answer(value, error, transient, worker, time.perf_counter() - started, peak)
