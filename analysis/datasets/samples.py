"""A sample as a run uses it: its files, where they came from, its normalisation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from analysis.configuration import validate
from analysis.datasets.catalogue import SampleEntry
from analysis.errors import UserError
from analysis.files import read_json


@dataclass(frozen=True)
class Sample:
    """Files and numbers of one sample; the numbers of data are None."""

    name: str
    role: str
    process: str
    files: tuple[str, ...]
    origin: str
    simulated: bool
    xsec: float | None = None
    sumw: float | None = None
    reduction_efficiency: float | None = None
    total_weight: float | None = None
    """Sum of the weights of all entries of the whole published sample, of which `files` may be a part."""
    replicas: dict[str, list[str]] = field(default_factory=dict)
    """Other addresses of files, by the first one."""
    tree: str | None = None
    """Name of the TTree, where it is not that of the catalogue."""

    def metadata(self) -> dict[str, Any]:
        """What the processor is told about the sample."""
        return {
            "role": self.role,
            "xsec": self.xsec,
            "sumw": self.sumw,
            "reduction_efficiency": self.reduction_efficiency,
        }


class SideCar(BaseModel):
    """The numbers that a simulated file carries beside it in `<file>.json`; it may hold more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    sumw: float | None = None
    xsec_pb: float | None = None
    red_eff: float | None = None
    entries: int | None = None
    sum_mcweight: float | None = None


def read_side_car(path: str) -> SideCar | None:
    """The side-car of a file, or None where it has none."""
    beside = Path(f"{path}.json")
    if not beside.is_file():
        return None
    try:
        content = read_json(beside)
    except ValueError as error:
        raise UserError(f"the side-car {beside} is not valid JSON") from error
    return validate(SideCar, content, f"the side-car {beside}")


def make_sample(
    name: str, entry: SampleEntry, files: tuple[str, ...], origin: str, weights: str = "generator"
) -> Sample:
    """The sample with the numbers of its files' side-cars, or of the catalogue where there are none.

    The sum of weights of a sample in several files is that of its side-cars; absolute weights need no numbers. Raises
    UserError for a simulated sample without cross section, and for files whose side-cars disagree.
    """
    side_cars = [read_side_car(path) for path in files]
    simulated = any(side_car is not None for side_car in side_cars)
    if entry.role == "data" or weights == "absolute":
        return Sample(name, entry.role, entry.process, files, origin, simulated, tree=entry.tree)
    if simulated:
        xsec, sumw, efficiency = _from_side_cars(name, files, side_cars)
    else:
        xsec, sumw, efficiency = entry.xsec, entry.sumw, entry.reduction_efficiency
    if xsec is None or sumw is None:
        raise UserError(
            f"the sample {name} ({files[0]}) has no cross section or sum of weights: give xsec [pb] and sumw in the "
            f"catalogue, or xsec_pb, sumw and red_eff in {files[0]}.json"
        )
    return Sample(
        name, entry.role, entry.process, files, origin, simulated, xsec, sumw, efficiency, tree=entry.tree
    )  # fmt: skip


def without_files(sample: Sample, paths: set[str]) -> Sample:
    """The sample without these files, and without what their side-cars add to its sum of weights."""
    files = tuple(path for path in sample.files if path not in paths)
    if files == sample.files or not files:
        return sample
    sumw = sample.sumw
    if sample.simulated and sample.sumw is not None:
        _, sumw, _ = _from_side_cars(sample.name, files, [read_side_car(path) for path in files])
    return replace(sample, files=files, sumw=sumw)


def _from_side_cars(
    name: str, files: tuple[str, ...], side_cars: list[SideCar | None]
) -> tuple[float | None, float | None, float]:
    present = [side_car for side_car in side_cars if side_car is not None]
    if len(present) < len(files):
        bare = files[side_cars.index(None)]
        raise UserError(f"the sample {name} has files with and without side-car: {bare}.json is missing")
    if len({(side_car.xsec_pb, side_car.red_eff) for side_car in present}) > 1:
        raise UserError(f"the side-cars of the sample {name} disagree on xsec_pb or red_eff (first file: {files[0]})")
    weights = [side_car.sumw for side_car in present]
    sumw = None if None in weights else float(sum(weight for weight in weights if weight is not None))
    return present[0].xsec_pb, sumw, 1.0 if present[0].red_eff is None else present[0].red_eff
