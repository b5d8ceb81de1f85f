"""Directories as sources: from the names of files to samples."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from analysis.datasets.catalogue import Catalogue, Layout, SampleEntry
from analysis.datasets.samples import Sample, make_sample
from analysis.errors import UserError

Found = dict[str, tuple[SampleEntry, list[str]]]


def from_directory(
    directory: Path, catalogue: Catalogue, only: list[str] | None = None, origin: str | None = None
) -> dict[str, Sample]:
    """The samples of a directory. `only` restricts to these (others may then lack a cross section)."""
    named = origin or str(directory)
    layout = catalogue.layout
    if layout is None:
        files = _named(directory, catalogue)
    elif any((directory / folder).is_dir() for folder in layout.folders()):
        files = _laid_out(directory, catalogue, layout, only)
    else:
        files = _flat(directory, catalogue)
    if not files and only is None:
        raise UserError(
            f"the directory {directory} holds no sample of this analysis: expected {_expected(catalogue, layout)}"
        )
    kept = {name: paths for name, paths in files.items() if only is None or name in only}
    return {
        name: make_sample(name, entry, tuple(paths), named, catalogue.weights) for name, (entry, paths) in kept.items()
    }


def _expected(catalogue: Catalogue, layout: Layout | None) -> str:
    suffix = catalogue.suffixes[0]
    if layout is not None:
        data, simulation = layout.folders()
        return f"{data}/*{suffix} and {simulation}/*{suffix}, or <sample>{suffix}"
    patterns = ", ".join(str(entry.files) for entry in catalogue.samples.values())
    return f"files *{' or *'.join(catalogue.suffixes)} with names such as {patterns}"


def _files(directory: Path, catalogue: Catalogue, *, deep: bool = False) -> list[Path]:
    """The files of the catalogue's format in a directory (`deep`: and below), but for hidden ones."""
    found = directory.rglob("*") if deep else directory.glob("*")
    return sorted(path for path in found if path.suffix in catalogue.suffixes and not path.name.startswith("."))


def _named(directory: Path, catalogue: Catalogue) -> Found:
    """Files anywhere below the directory whose names fit the pattern of a sample; other files are not ours."""
    found: Found = {}
    for path in _files(directory, catalogue, deep=True):
        names = [name for name, entry in catalogue.samples.items() if fnmatchcase(path.name, str(entry.files))]
        if len(names) > 1:
            raise UserError(f"the name of {path} fits the patterns of {' and '.join(names)} in the catalogue")
        for name in names:
            found.setdefault(name, (catalogue.samples[name], []))[1].append(str(path))
    return found


def _laid_out(directory: Path, catalogue: Catalogue, layout: Layout, only: list[str] | None) -> Found:
    found: Found = {}
    patterns = (layout.data, layout.simulation)
    for pattern, folder in zip(patterns, layout.folders(), strict=True):
        for path in _files(directory / folder, catalogue):
            relative = path.relative_to(directory).as_posix()
            name, entry = _identify(catalogue, layout, layout.match(pattern, relative), path, folder)
            if only is None or name in only:
                found.setdefault(name, (entry, []))[1].append(str(path))
    return found


def _identify(
    catalogue: Catalogue, layout: Layout, match: dict[str, str] | None, path: Path, folder: str
) -> tuple[str, SampleEntry]:
    if match is None:
        patterns = f"{layout.data} or {layout.simulation}"
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


def _flat(directory: Path, catalogue: Catalogue) -> Found:
    """Files named after their samples, as `<sample>.root` or `<sample>.<number>.root`; other files are not ours."""
    found: Found = {}
    for path in _files(directory, catalogue):
        name, _, part = path.stem.partition(".")
        if name in catalogue.samples and (not part or part.isdigit()):
            found.setdefault(name, (catalogue.samples[name], []))[1].append(str(path))
    return found
