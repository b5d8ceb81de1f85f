"""One self-contained HTML page from a document: style and pictures are part of the file, nothing is loaded."""

from __future__ import annotations

import base64
from pathlib import Path

from analysis.files import write_text
from analysis.results.document import Document

MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def data_uri(path: Path) -> str:
    """A picture file as a `data:` address. Raises KeyError for a format browsers do not show."""
    media = MEDIA_TYPES[path.suffix]
    return f"data:{media};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def render(document: Document) -> str:
    """The page as text; everything that comes from the document is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("analysis.results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment.get_template("report.html.j2").render(document=document)


def write_report(document: Document, path: Path) -> None:
    """Render the document and write it in one step."""
    write_text(path, render(document))
