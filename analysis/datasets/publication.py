"""What is public of a sample: its record, its licence, and its files with their addresses as a catalogue lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

#: Digests that are published with files, by their names, and how many hexadecimal digits they have.
DIGESTS = {"adler32": 8, "md5": 32, "sha256": 64}


class ListedFile(BaseModel):
    """One file of a sample as it was published; what nobody published is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, description="below each of the servers")
    size: NonNegativeInt | None = Field(default=None, description="[bytes]")
    checksum: str | None = Field(default=None, description="adler32:..., md5:... or sha256:..., hexadecimal")
    events: NonNegativeInt | None = Field(default=None, description="entries of the tree")

    @field_validator("checksum")
    @classmethod
    def _known_digest(cls, text: str | None) -> str | None:
        if text is not None:
            name, _, digits = text.partition(":")
            if name not in DIGESTS or not re.fullmatch(rf"[0-9a-f]{{{DIGESTS[name]}}}", digits):
                raise ValueError(f"must be one of {', '.join(f'{one}:<{n} hex digits>' for one, n in DIGESTS.items())}")
        return text

    @field_validator("path")
    @classmethod
    def _below(cls, text: str) -> str:
        if text.startswith("/") or ".." in text.split("/"):
            raise ValueError("must be a path below the servers' addresses, without '..'")
        return text


class Publication(BaseModel):
    """Where a sample, or what a sample leaves out a whole catalogue, is published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: str | None = Field(default=None, description="address of the page that describes it")
    doi: str | None = Field(default=None, description="without https://doi.org/")
    licence: str | None = Field(default=None, description="SPDX identifier, such as CC0-1.0")
    servers: tuple[str, ...] = Field(
        default=(), description="addresses below which all of its files are; each is tried in turn"
    )
    source: str | None = Field(default=None, description="where files, sizes and checksums were taken from")
    xsec_source: str | None = Field(default=None, description="where cross sections and sums of weights come from")
    verified: bool = Field(default=False, description="whether the addresses were seen to answer")
    complete: bool = Field(default=True, description="whether the files that are listed are all there are")
    events: NonNegativeInt | None = Field(
        default=None, description="entries of all published files of a sample together"
    )
    files: tuple[ListedFile, ...] = ()

    @field_validator("servers")
    @classmethod
    def _addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for one in servers:
            if "://" not in one:
                raise ValueError(f"{one!r} is no address: it must begin with root://, https:// or the like")
        return tuple(one.rstrip("/") for one in servers)

    def over(self, common: Publication | None) -> Publication:
        """The same, with what it leaves out taken from the `common` one of its catalogue."""
        if common is None:
            return self
        given: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        return common.model_copy(update=given)


class PublicSettings(BaseModel):
    """What the settings of every module of public files have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    read: Literal["cache", "in_place"] = Field(
        default="cache", description="cache: files are downloaded once; in_place: they are read where they are"
    )
    cache: str = Field(
        default="~/.cache/hepbatch", description="directory for the files; the workers must see it under this name"
    )


@dataclass(frozen=True)
class PublicFile:
    """A published file of a sample: its addresses, its place in the cache, and what was published of its content."""

    sample: str
    addresses: tuple[str, ...]
    path: str
    checksum: str | None = None
    size: int | None = None
    events: int | None = None
