"""The catalogue of an analysis: its samples, their roles and normalisation."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from analysis.configuration import find_yaml, read_yaml, validate
from analysis.datasets.file_lists import with_lists
from analysis.datasets.publication import Publication

Role = Literal["data", "background", "signal"]

SUFFIXES: dict[str, tuple[str, ...]] = {
    "root": (".root",),
    "parquet": (".parquet",),
    "mod_hdf5": (".h5", ".hdf5"),
    "nanoaod": (".root",),
}


class SampleEntry(BaseModel):
    """One sample of a catalogue. Data have no normalisation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role = Field(description="data, background or signal")
    process: str = Field(description="the process it is drawn and summed with")
    dsid: PositiveInt | None = Field(default=None, description="data set number of the experiment")
    xsec: PositiveFloat | None = Field(default=None, description="cross section times branching ratio [pb]")
    sumw: float | None = Field(default=None, description="sum of generator weights of the whole sample as generated")
    reduction_efficiency: PositiveFloat = Field(default=1.0, description="efficiency of the filter at generation")
    files: str | None = Field(default=None, description="pattern of the names of its files, where there is no layout")
    tree: str | None = Field(default=None, description="name of its TTree, where it is not that of the catalogue")
    optional: bool = Field(default=False, description="a run is complete without it")
    simulated: bool = Field(default=True, description="the simulated source has it")
    published: Publication | None = Field(default=None, description="its public files")


class Layout(BaseModel):
    """How a file's path below the source's directory carries its sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field(description="pattern of data files, with {sample}")
    simulation: str = Field(description="pattern of simulated files, with {sample} and {dsid}")

    def folders(self) -> tuple[str, str]:
        """The two folders the patterns name."""
        return str(PurePath(self.data).parent), str(PurePath(self.simulation).parent)

    def match(self, pattern: str, path: str) -> dict[str, str] | None:
        """The sample and dsid that `path` carries, or None. A part number may precede the suffix: `.0003.root`."""
        stem, suffix = pattern.rsplit(".", 1)
        text = re.escape(stem).replace(r"\{sample\}", r"(?P<sample>[^./]+)").replace(r"\{dsid\}", r"(?P<dsid>\d+)")
        found = re.fullmatch(rf"{text}(\.\d+)?\.{suffix}", path)
        return found.groupdict() if found else None


class Catalogue(BaseModel):
    """The samples of an analysis, and what their files have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(description="whose data, for every plot")
    sqrt_s_tev: PositiveFloat | None = Field(description="centre-of-mass energy [TeV]; null where samples differ")
    format: Literal["root", "parquet", "mod_hdf5", "nanoaod"] = Field(default="root", description="format of the files")
    tree: str = Field(default="", description="name of the TTree in every file; no word for other formats")
    weight_branch: str = Field(description="branch of the generator weight; empty: every entry has the weight 1")
    weights: Literal["generator", "absolute"] = Field(
        default="generator",
        description="generator: they are scaled by the cross section and their sum; absolute: they are cross sections",
    )
    event: tuple[str, ...] = Field(
        default=(), description="where entries are parts of events: the columns whose values identify an event"
    )
    layout: Layout | None = Field(default=None, description="patterns of paths; without it each sample names its files")
    published: Publication | None = Field(default=None, description="what the publications of its samples share")
    samples: dict[str, SampleEntry]

    def publication(self, name: str) -> Publication:
        """What is public of a sample, with what its catalogue says of all; empty where nothing is."""
        return (self.samples[name].published or Publication()).over(self.published)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the names of files of the format."""
        return SUFFIXES[self.format]

    @model_validator(mode="after")
    def _check(self) -> Catalogue:
        if self.format in ("root", "nanoaod") and not self.tree:
            raise ValueError(f"tree: files of the format {self.format} need the name of their TTree")
        bare = [name for name, entry in self.samples.items() if entry.files is None]
        if self.layout is None and bare:
            raise ValueError(f"samples.{bare[0]}.files: without a layout it needs the pattern of its files' names")
        return self

    def by_dsid(self, dsid: int) -> str | None:
        """The sample of a data set number, or None."""
        return next((name for name, entry in self.samples.items() if entry.dsid == dsid), None)


def load_catalogue(name: str) -> Catalogue:
    """The catalogue `name`: a name under configs/datasets, or a YAML file."""
    path: Path = find_yaml(name, "datasets", "catalogue")
    content: dict[str, Any] = with_lists(read_yaml(path), path)
    return validate(Catalogue, content, f"the catalogue {path.name}")
