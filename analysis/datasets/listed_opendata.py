"""Public files that the catalogue lists: an analysis names this module in its block `opendata`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from analysis.addresses import XROOTD
from analysis.datasets.catalogue import Catalogue
from analysis.datasets.portal import PORTAL
from analysis.datasets.publication import Publication, PublicFile, PublicSettings
from analysis.errors import UserError


class Settings(PublicSettings):
    """Which of the listed files are used, where they come from, and where they are kept."""

    samples: tuple[str, ...] | None = Field(default=None, min_length=1, description="null: all that have public files")
    servers: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="in place of the catalogue's, with the same paths below them"
    )
    portal: str = Field(default=PORTAL, description="address of the portal that `datasets pin` asks")

    @field_validator("portal")
    @classmethod
    def _web(cls, address: str) -> str:
        if not address.startswith(("http://", "https://")):
            raise ValueError("it must begin with https://")
        return address.rstrip("/")

    @field_validator("servers")
    @classmethod
    def _addresses(cls, servers: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if servers is None else Publication(servers=servers).servers


def samples(settings: Settings, catalogue: Catalogue) -> tuple[str, ...]:
    """The samples that have public files; a UserError for one that is asked for and has none."""
    listed = tuple(name for name in catalogue.samples if catalogue.publication(name).files)
    for name in settings.samples or ():
        if name not in listed:
            raise UserError(
                f"opendata.samples: the catalogue lists no public files of {name!r} (it does of: "
                f"{', '.join(listed) or 'none'})"
            )
    return listed if settings.samples is None else settings.samples


def files(settings: Settings, catalogue: Catalogue, sample: str) -> list[PublicFile]:
    """The public files of a sample, in their order."""
    published = catalogue.publication(sample)
    if not published.servers:
        raise UserError(f"samples.{sample}.published.servers: the catalogue lists files, but no server that has them")
    cache = Path(settings.cache).expanduser().resolve() / _below(published.servers[0])
    servers = settings.servers or published.servers
    return [
        PublicFile(
            sample,
            tuple(_at(server, one.path) for server in servers),
            str(cache / one.path),
            one.checksum,
            one.size,
            one.events,
        )
        for one in published.files
    ]


def totals(settings: Settings, catalogue: Catalogue) -> dict[str, float]:  # noqa: ARG001  (one interface for all)
    """No sums of weights of whole samples but those in the catalogue."""
    return {}


def _at(server: str, path: str) -> str:
    """The address of a file. XRootD's paths begin with the second of two slashes."""
    bare = server.startswith(XROOTD) and not urlsplit(server).path
    return f"{server}//{path}" if bare else f"{server}/{path}"


def _below(server: str) -> str:
    """Where in the cache the files of a server are: by its path, so that analyses share what they have in common."""
    return "/".join(part for part in urlsplit(server).path.split("/") if part not in ("", ".", ".."))
