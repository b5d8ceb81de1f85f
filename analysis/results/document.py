"""The parts a report is composed of, without a word about how they are rendered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.results.quantities import MISSING, Quantity, merge_flags

Value = str | int | float | Quantity | None


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, whether it is a number (aligned right) and the flags behind it."""

    text: str
    numeric: bool = False
    flags: tuple[str, ...] = ()
    strong: bool = False

    @classmethod
    def of(cls, value: Cell | Value) -> Cell:
        """A cell for a figure, a count or a text; None is shown as missing."""
        if isinstance(value, Cell):
            return value
        if value is None:
            return cls(MISSING, numeric=True)
        if isinstance(value, Quantity):
            return cls(value.text, numeric=True, flags=value.flags)
        if isinstance(value, str):
            return cls(value)
        return cls(Quantity(value).text, numeric=True)


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column holds the row headings. `notes` are printed below it."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"table {self.caption!r}: a row of {len(row)} cells under {len(self.header)} headings")

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of all cells, each once."""
        return merge_flags(*(cell.flags for row in self.rows for cell in row))


def table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell | Value]], notes: Sequence[str] = ()
) -> Table:
    """A table from plain values."""
    return Table(caption, tuple(header), tuple(tuple(Cell.of(v) for v in row) for row in rows), tuple(notes))


@dataclass(frozen=True)
class Picture:
    """A plot on disk: the PNG that the page embeds, what it shows in a sentence, and a text in its place."""

    path: Path
    caption: str
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables and pictures; `parts` are subsections one level below."""

    title: str
    text: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    parts: tuple[Section, ...] = ()

    @property
    def anchor(self) -> str:
        """The section's identifier in the page."""
        return slug(self.title)


@dataclass(frozen=True)
class KeyFigure:
    """A figure of the summary at the top of the page."""

    name: str
    text: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole report. `notices` state what the data are (simulated, pseudo-data); `flags` what is incomplete."""

    title: str
    label: str
    status: str
    summary: tuple[str, ...]
    key_figures: tuple[KeyFigure, ...]
    notices: tuple[str, ...]
    flags: tuple[str, ...]
    sections: tuple[Section, ...]


def slug(text: str) -> str:
    """Lower-case letters, digits and underscores of a text: `Z, tt` becomes `z_tt`."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
