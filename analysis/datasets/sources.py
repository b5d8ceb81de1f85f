"""Sources: from what the user names to the files of every sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from analysis.configuration import read_yaml, validate
from analysis.datasets.catalogue import Catalogue, SampleEntry
from analysis.datasets.directories import from_directory
from analysis.datasets.samples import Sample, make_sample
from analysis.errors import UserError

SIMULATED = "simulated"
OPENDATA = "opendata"

Places = Annotated[list[str], Field(min_length=1)]


class SourceSample(BaseModel):
    """One sample of a user's YAML source; what is left out comes from the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[str | Places] = Field(
        min_length=1,
        description="paths; relative ones start at the YAML file; a list in place of a path: one file, several places",
    )
    role: str | None = None
    process: str | None = None
    tree: str | None = None
    dsid: int | None = None
    xsec: float | None = None
    sumw: float | None = None
    reduction_efficiency: float | None = None


class SourceFile(BaseModel):
    """A user's YAML source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: dict[str, SourceSample]


@dataclass(frozen=True)
class Resolved:
    """The samples that sources have, those still to be simulated or downloaded, and those that nobody has."""

    samples: dict[str, Sample]
    to_simulate: tuple[str, ...] = ()
    to_fetch: tuple[str, ...] = ()
    absent: tuple[str, ...] = field(default=())


def resolve(catalogue: Catalogue, source: str, complete: str | None, public: tuple[str, ...] = ()) -> Resolved:
    """The files of every catalogued sample from `source`, and what it lacks from `complete`.

    A source is `simulated`, `opendata` (which has the samples `public`), a directory laid out as the public one (or
    holding `<sample>.root` files), or a YAML file. Nothing is opened but side-cars. Raises UserError for a source that
    does not exist or has none of the samples.
    """
    found: dict[str, Sample] = {}
    to_simulate: list[str] = []
    to_fetch: list[str] = []
    for one in (source, complete):
        if one is None:
            continue
        wanted = [name for name in catalogue.samples if name not in {*found, *to_simulate, *to_fetch}]
        if one == SIMULATED:
            to_simulate += [name for name in wanted if catalogue.samples[name].simulated]
            continue
        if one == OPENDATA and public:
            to_fetch += [name for name in wanted if name in public]
            continue
        offered = _from(one, catalogue, only=wanted if one == complete else None)
        found.update({name: sample for name, sample in offered.items() if name not in found})
    absent = tuple(name for name in catalogue.samples if name not in {*found, *to_simulate, *to_fetch})
    order = {name: number for number, name in enumerate(catalogue.samples)}
    ordered = dict(sorted(found.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0])))
    return Resolved(ordered, tuple(to_simulate), tuple(to_fetch), absent)


def _from(source: str, catalogue: Catalogue, only: list[str] | None) -> dict[str, Sample]:
    path = Path(source)
    if path.is_dir():
        return from_directory(path, catalogue, only)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _from_yaml(path, catalogue)
    if source == OPENDATA:
        raise UserError("the catalogue of this analysis lists no public files yet: give --source a directory of them")
    raise UserError(f"the source {source} is neither '{SIMULATED}' nor an existing directory or YAML file")


def _from_yaml(path: Path, catalogue: Catalogue) -> dict[str, Sample]:
    source = validate(SourceFile, read_yaml(path), f"the source {path}")
    samples = {}
    for name, given in source.samples.items():
        listed = catalogue.samples.get(name)
        content: dict[str, Any] = listed.model_dump() if listed is not None else {"process": name}
        content.update({key: value for key, value in given.model_dump(exclude={"files"}).items() if value is not None})
        entry = validate(SampleEntry, content, f"the sample {name} of {path}")
        places = [_places(one, path.parent) for one in given.files]
        for one in places:
            if not any("://" in place or Path(place).exists() for place in one):
                raise UserError(f"the sample {name} of {path} lists the file {one[0]}, which does not exist")
        sample = make_sample(name, entry, tuple(one[0] for one in places), path.name, catalogue.weights)
        samples[name] = replace(sample, replicas={first: others for first, *others in places if others})
    return samples


def _places(given: str | list[str], directory: Path) -> list[str]:
    return [one if _absolute(one) else str(directory / one) for one in ([given] if isinstance(given, str) else given)]


def _absolute(path: str) -> bool:
    return "://" in path or Path(path).is_absolute()
