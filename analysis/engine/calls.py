"""What runs on a worker: a batch of calls, each with its own end."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

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
    seconds: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a batch, and who gave them; the largest memory that the worker's process ever had [bytes]."""

    answers: list[Answer]
    address: str
    worker: str
    host: str
    peak_memory: int


def call_batch(function: Callable[[Any, int], Any], calls: Sequence[Call]) -> Answers:
    """Calls `function(argument, attempt)` one after another; an error of one is its answer, and the others go on."""
    from distributed import get_worker

    worker = get_worker()
    answers = [_answer(function, call) for call in calls]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    host = urlsplit(worker.address).hostname or ""
    return Answers(answers, worker.address, str(worker.name), host, peak)


def sentence(problem: BaseException) -> str:
    """An exception on one line: its type and what it says."""
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def _answer(function: Callable[[Any, int], Any], call: Call) -> Answer:
    started = time.perf_counter()
    value, error, transient = None, None, False
    try:
        value = function(call.argument, call.attempt)
    except Exception as problem:  # the error is the answer: it is recorded with the item, and the others go on
        error, transient = sentence(problem), is_transient(problem)
    return Answer(value, error, transient, time.perf_counter() - started)
