"""Lists of public files in text files beside a catalogue, as `cernopendata-client` writes them: pinned, and long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from analysis.errors import UserError


def with_lists(content: dict[str, Any], catalogue: Path) -> dict[str, Any]:
    """The content of a catalogue's YAML with the files of each sample's `published.list` in place of its name."""
    common = content.get("published") or {}
    for name, sample in (content.get("samples") or {}).items():
        published = sample.get("published") if isinstance(sample, dict) else None
        if isinstance(published, dict) and "list" in published:
            servers = published.get("servers", common.get("servers", []))
            path = catalogue.parent / str(published.pop("list"))
            published["files"] = [*published.get("files", []), *read_list(path, servers, f"samples.{name}")]
    return content


def read_list(path: Path, servers: Sequence[str], whose: str) -> Iterator[dict[str, Any]]:
    """The files of a list: a line has an address or a path, and what is known of size [bytes] and checksum.

    That is the output of `cernopendata-client get-file-locations --recid RECORD --verbose`; `events=N` may follow, and
    lines that begin with # say something to people. Addresses must be below the servers' paths, on whatever host.
    """
    if not path.is_file():
        raise UserError(f"{whose}.published.list: there is no file {path}")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        address, *facts = words
        found: dict[str, Any] = {"path": path_below(address, servers)}
        for fact in facts:
            if fact.isdigit():
                found["size"] = int(fact)
            elif fact.startswith("events=") and fact[7:].isdigit():
                found["events"] = int(fact[7:])
            elif ":" in fact:
                found["checksum"] = fact
            elif fact != "-":
                raise UserError(f"{path}, line {number}: {fact!r} is no size [bytes], kind:checksum or events=N")
        if found["path"] is None:
            raise UserError(f"{path}, line {number}: {address} is below none of the servers of {whose}")
        yield found


def path_below(address: str, servers: Sequence[str]) -> str | None:
    """The path of an address below the servers' paths, on whatever host; None where it is below none."""
    if "://" not in address:
        return address
    roots = ["/".join(_parts(server)) + "/" for server in servers]
    path = "/".join(_parts(address))
    return next((path.removeprefix(root) for root in roots if path.startswith(root)), None)


def _parts(address: str) -> list[str]:
    return [part for part in urlsplit(address).path.split("/") if part]
