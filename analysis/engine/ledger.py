"""The state of every work item and training task, one JSON line each, in the run directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Ledger:
    """The states of one stage: `planned` first, then `done` or `failed`; the last line of a key counts."""

    def __init__(self, directory: Path, stage: str) -> None:
        self.path = directory / f"{stage}.jsonl"

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Line buffering: a killed run leaves every finished line behind.
        self._file = self.path.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, key: str, state: str, **facts: Any) -> None:
        """Appends one state."""
        self._file.write(json.dumps({"key": key, "state": state, **facts}) + "\n")


def read_ledger(directory: Path, stage: str) -> dict[str, dict[str, Any]]:
    """The last state of every key of a stage; empty where the stage has not begun."""
    path = directory / f"{stage}.jsonl"
    return {entry["key"]: entry for entry in _lines(path)} if path.is_file() else {}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):  # the last line of a killed run may be cut
                yield json.loads(line)
