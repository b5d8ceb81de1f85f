"""What runs on a worker: a batch of calls, each with its own end."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from analysis.engine.faults import is_full, is_transient


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its argument, and how many attempts came before it."""

    argument: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one call: its value (between processes: pickled), or its error and whether that may go away.

    `full`: the error is that there is no room to write.
    """

    value: Any
    error: str | None
    transient: bool
    seconds: float
    full: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a batch, and who gave them; the largest memory that the worker's process ever had [bytes]."""

    answers: list[Answer]
    address: str
    worker: str
    host: str
    peak_memory: int


def call_batch(function: bytes, calls: bytes) -> Answers:
    """Calls `function(argument, attempt)` one after another; an error of one is its answer, and the others go on.

    Function and calls are pickled: the scheduler, which has no use for them, need not be able to load them.
    """
    from distributed import get_worker
    from distributed.protocol.pickle import loads

    worker = get_worker()
    the_function, the_calls = _loaded(function), loads(calls)
    answers = [_answer(the_function, call) for call in the_calls]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    host = urlsplit(worker.address).hostname or ""
    return Answers(answers, worker.address, str(worker.name), host, peak)


def unpacked(answer: Answer) -> Answer:
    """The answer with its value as it was; an error where the value cannot be made here."""
    from distributed.protocol.pickle import loads

    if answer.error is not None:
        return answer
    try:
        return replace(answer, value=loads(answer.value))
    except Exception as problem:
        return replace(answer, value=None, error=sentence(problem))


def sentence(problem: BaseException) -> str:
    """An exception on one line: its type and what it says."""
    text = " ".join(str(problem).split())
    # Names in damaged files may hold what neither UTF-8 nor the ledger takes.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


@lru_cache(maxsize=4)
def _loaded(function: bytes) -> Callable[[Any, int], Any]:
    from distributed.protocol.pickle import loads

    loaded: Callable[[Any, int], Any] = loads(function)
    return loaded


def _answer(function: Callable[[Any, int], Any], call: Call) -> Answer:
    from distributed.protocol.pickle import dumps

    started = time.perf_counter()
    value, error, transient, full = None, None, False, False
    try:
        # Dask would lose its way with a value that cannot be pickled; here that is the error of one call.
        value = dumps(function(call.argument, call.attempt))
    except (Exception, SystemExit) as problem:  # the error is the answer: it is recorded, and the others go on
        error, transient, full = sentence(problem), is_transient(problem), is_full(problem)
    return Answer(value, error, transient, time.perf_counter() - started, full)
