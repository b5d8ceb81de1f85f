"""Whether a file is still the one that was opened before: its size and time, without opening it."""

from __future__ import annotations

from pathlib import Path


def stamp(path: str) -> str:
    """A text that changes when the file does: size and modification time, or a server's own tag.

    Raises OSError where the file is not there or the server, asked several times, does not answer.
    """
    if "://" not in path:
        status = Path(path).stat()
        # The time of change too: a copy that keeps times (rsync -t) may bring another content of the same size.
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
    from processors.patient import patience
    from processors.remote import RemoteRanges

    with RemoteRanges(path, patience()) as ranges:
        facts = ranges.facts
    tag = next((facts[key] for key in ("ETag", "mtime", "LastModified", "last_modified") if facts.get(key)), "")
    return f"{facts['size']}:{tag}"
