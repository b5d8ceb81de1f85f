"""Feeding a cluster: many calls of one function, in waves, results as they arrive."""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

# Calls that wait at the scheduler per worker: enough to keep a worker busy, few enough to keep the scheduler light.
QUEUED_PER_WORKER = 3


@dataclass(frozen=True)
class Outcome:
    """The end of one call: its argument, and either a value or the sentence of its error."""

    argument: Any
    value: Any
    error: str | None
    worker: str | None
    seconds: float
    peak_memory: int


def feed(
    client: Client, function: Callable[[Any], Any], arguments: Iterable[Any], *, tag: str, workers: int
) -> Iterator[Outcome]:
    """Calls `function` for each argument on workers that carry the Dask resource `tag`; yields outcomes as they arrive.

    An exception inside a call, or the loss of its worker, is the outcome of that argument and does not stop the others.
    At most a few calls per worker are at the scheduler at a time, so its load does not grow with their number.
    """
    from distributed import as_completed

    waiting = iter(arguments)
    pending: dict[Any, Any] = {}

    def submit(argument: Any) -> Any:
        future = client.submit(guarded, function, argument, resources={tag: 1}, pure=False, key=_key(function))
        pending[future] = argument
        return future

    first = [submit(argument) for argument in itertools.islice(waiting, workers * QUEUED_PER_WORKER)]
    arriving = as_completed(first)
    for future in arriving:
        argument = pending.pop(future)
        for following in itertools.islice(waiting, 1):
            arriving.add(submit(following))
        yield _outcome(future, argument)


def guarded(function: Callable[[Any], Any], argument: Any) -> dict[str, Any]:
    """What runs on the worker: the call, its error as a sentence, its time and the process's peak memory in bytes."""
    from distributed import get_worker

    started = time.perf_counter()
    value, error = None, None
    try:
        value = function(argument)
    except Exception as problem:  # the error is the result: it is recorded with the item, and the others go on
        error = sentence(problem)
    return {
        "value": value,
        "error": error,
        "worker": get_worker().address,
        "seconds": time.perf_counter() - started,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def sentence(problem: BaseException) -> str:
    """An exception on one line: its type and what it says."""
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def _outcome(future: Any, argument: Any) -> Outcome:
    if future.status == "finished":
        return Outcome(argument, **future.result())
    # The call itself never raises: what is left is a lost worker, or a scheduler that gave the call up.
    problem = future.exception() if future.status == "error" else None
    error = sentence(problem) if problem is not None else f"the call was {future.status}"
    return Outcome(argument, None, error, None, 0.0, 0)


_numbers = itertools.count()


def _key(function: Callable[[Any], Any]) -> str:
    name = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", "call")
    return f"{name}-{next(_numbers)}"
