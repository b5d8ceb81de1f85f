"""Sources: from what the user names to the files of every sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from analysis.configuration import read_yaml, validate
from analysis.datasets.catalogue import Catalogue, SampleEntry
from analysis.datasets.samples import Sample, make_sample
from analysis.errors import UserError

SIMULATED = "simulated"


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
    """The samples that sources have, those still to be simulated, and those that nobody has."""

    samples: dict[str, Sample]
    to_simulate: tuple[str, ...] = ()
    absent: tuple[str, ...] = field(default=())


def resolve(catalogue: Catalogue, source: str, complete: str | None) -> Resolved:
    """The files of every catalogued sample from `source`, and what it lacks from `complete`.

    A source is `simulated`, a directory laid out as the public one (or holding `<sample>.root` files), or a YAML file.
    Nothing is opened but side-cars. Raises UserError for a source that does not exist or has none of the samples.
    """
    found: dict[str, Sample] = {}
    to_simulate: list[str] = []
    for one in (source, complete):
        if one is None:
            continue
        wanted = [name for name in catalogue.samples if name not in found and name not in to_simulate]
        if one == SIMULATED:
            to_simulate += wanted
            continue
        offered = _from(one, catalogue, only=wanted if one == complete else None)
        found.update({name: sample for name, sample in offered.items() if name not in found})
    absent = tuple(name for name in catalogue.samples if name not in found and name not in to_simulate)
    order = {name: number for number, name in enumerate(catalogue.samples)}
    ordered = dict(sorted(found.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0])))
    return Resolved(ordered, tuple(to_simulate), absent)


def from_directory(
    directory: Path, catalogue: Catalogue, only: list[str] | None = None, origin: str | None = None
) -> dict[str, Sample]:
    """The samples of a directory. `only` restricts to these (others may then lack a cross section)."""
    named = origin or str(directory)
    data, simulation = catalogue.layout.folders()
    laid_out = any((directory / folder).is_dir() for folder in (data, simulation))
    files = _laid_out(directory, catalogue, only) if laid_out else _flat(directory, catalogue)
    if not files and only is None:
        raise UserError(
            f"the directory {directory} holds no sample of this analysis: expected {data}/*.root and "
            f"{simulation}/*.root, or <sample>.root"
        )
    kept = {name: paths for name, paths in files.items() if only is None or name in only}
    return {name: make_sample(name, entry, tuple(paths), named) for name, (entry, paths) in kept.items()}


def _from(source: str, catalogue: Catalogue, only: list[str] | None) -> dict[str, Sample]:
    path = Path(source)
    if path.is_dir():
        return from_directory(path, catalogue, only)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _from_yaml(path, catalogue)
    if source == "opendata":
        raise UserError("the catalogue of this analysis lists no public files yet: give --source a directory of them")
    raise UserError(f"the source {source} is neither '{SIMULATED}' nor an existing directory or YAML file")


def _laid_out(
    directory: Path, catalogue: Catalogue, only: list[str] | None
) -> dict[str, tuple[SampleEntry, list[str]]]:
    found: dict[str, tuple[SampleEntry, list[str]]] = {}
    patterns = (catalogue.layout.data, catalogue.layout.simulation)
    for pattern, folder in zip(patterns, catalogue.layout.folders(), strict=True):
        for path in sorted((directory / folder).glob("*.root")):
            relative = path.relative_to(directory).as_posix()
            name, entry = _identify(catalogue, catalogue.layout.match(pattern, relative), path, folder)
            if only is None or name in only:
                found.setdefault(name, (entry, []))[1].append(str(path))
    return found


def _identify(catalogue: Catalogue, match: dict[str, str] | None, path: Path, folder: str) -> tuple[str, SampleEntry]:
    if match is None:
        patterns = f"{catalogue.layout.data} or {catalogue.layout.simulation}"
        raise UserError(f"the name of {path} does not tell its sample: expected {patterns}")
    name, dsid = match["sample"], match.get("dsid")
    if dsid is None:
        if name not in catalogue.samples or catalogue.samples[name].role != "data":
            raise UserError(f"{path} is under {folder}, but the catalogue has no data sample '{name}'")
        return name, catalogue.samples[name]
    listed = catalogue.by_dsid(int(dsid))
    if listed is not None and listed != name:
        raise UserError(f"{path} carries DSID {dsid}, which the catalogue lists as {listed}, not {name}")
    if listed is None and name in catalogue.samples:
        raise UserError(
            f"{path} carries DSID {dsid}, but the catalogue lists {catalogue.samples[name].dsid} for {name}"
        )
    # A sample that the catalogue does not know counts as background: its side-car must give the cross section.
    return name, catalogue.samples.get(name) or SampleEntry(role="background", process=name, dsid=int(dsid))


def _flat(directory: Path, catalogue: Catalogue) -> dict[str, tuple[SampleEntry, list[str]]]:
    """Files named after their samples, as `<sample>.root` or `<sample>.<number>.root`; other files are not ours."""
    found: dict[str, tuple[SampleEntry, list[str]]] = {}
    for path in sorted(directory.glob("*.root")):
        name, _, part = path.stem.partition(".")
        if name in catalogue.samples and (not part or part.isdigit()):
            found.setdefault(name, (catalogue.samples[name], []))[1].append(str(path))
    return found


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
        sample = make_sample(name, entry, tuple(one[0] for one in places), path.name)
        samples[name] = replace(sample, replicas={first: others for first, *others in places if others})
    return samples


def _places(given: str | list[str], directory: Path) -> list[str]:
    return [one if _absolute(one) else str(directory / one) for one in ([given] if isinstance(given, str) else given)]


def _absolute(path: str) -> bool:
    return "://" in path or Path(path).is_absolute()
