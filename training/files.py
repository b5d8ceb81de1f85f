"""Files that are either complete or absent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a temporary file with the suffix of `path` beside it, then rename it to `path`."""
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON (NaN and infinity are errors, as no reader need accept them)."""
    text = json.dumps(content, indent=1, allow_nan=False)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
