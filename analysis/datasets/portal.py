"""What the CERN Open Data portal says of a record, asked through its own client."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from analysis.datasets.publication import Publication
from analysis.errors import UserError

PORTAL = "https://opendata.cern.ch"
#: A portal that has not answered after so long [s] does not answer.
PATIENCE = 120.0
CLIENT = "cernopendata-client"
#: Exit statuses of the client where no record, or several, have a DOI.
NO_SUCH_RECORD = (2, 3)


@dataclass(frozen=True)
class Key:
    """By what a record is asked for: its number on the portal (`recid`), or its `doi`."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"record {self.value}" if self.kind == "recid" else f"DOI {self.value}"


@dataclass(frozen=True)
class Record:
    """A record: `files` are (address, size [bytes], checksum) as it lists them; what it does not tell is None."""

    recid: str
    title: str
    doi: str | None
    events: int | None
    number_files: int | None
    files: tuple[tuple[str, int, str], ...]


class NoAnswerError(Exception):
    """The portal gave no record, or none that can be used, in one sentence; `final` where asking again is of no use."""

    def __init__(self, sentence: str, *, final: bool = False) -> None:
        super().__init__(sentence)
        self.final = final


def key_of(published: Publication | None) -> Key | None:
    """The record on the portal that a publication names itself; None where it names none."""
    if published is None:
        return None
    number = re.fullmatch(r"https?://opendata\.cern\.ch/record/([\w-]+)/?", published.record or "")
    if number is not None:
        return Key("recid", number[1])
    doi = published.doi or ""
    return Key("doi", doi) if doi.startswith("10.7483/OPENDATA.") else None


def client_version() -> str:
    """Of the installed client. Raises UserError where it is not."""
    try:
        return importlib.metadata.version(CLIENT)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"the portal is asked by {CLIENT}, which is not installed: pip install 'hepbatch[opendata]'"
        ) from None


def ask(server: str, key: Key) -> Record:
    """The record of a key at the portal `server`. Raises NoAnswerError."""
    command = [sys.executable, "-P", "-m", "analysis.datasets.portal_client", server, key.kind, key.value]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{server} gave no {key} within {PATIENCE:.0f} s") from None
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        why = said[-1].strip() if said else f"exit status {done.returncode}"
        raise NoAnswerError(f"{server} gave no {key}: {why}", final=done.returncode in NO_SUCH_RECORD)
    try:
        return _record(json.loads(done.stdout.splitlines()[-1]), server, key)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise NoAnswerError(
            f"{server} gave for {key} what is no record: {type(error).__name__}: {error}", final=True
        ) from error


def _record(content: dict[str, Any], server: str, key: Key) -> Record:
    about, files = content["metadata"], content["files"]
    if not files:
        where = f" (availability: {about['availability']})" if about.get("availability") else ""
        raise NoAnswerError(f"{server} lists no file of {key}{where}", final=True)
    distribution = about.get("distribution") or {}
    number, events = distribution.get("number_files"), distribution.get("number_events")
    return Record(
        str(about["recid"]), str(about.get("title") or ""), about.get("doi"), events, number,
        tuple((str(address), int(size), str(checksum or "")) for address, size, checksum in files),
    )  # fmt: skip
