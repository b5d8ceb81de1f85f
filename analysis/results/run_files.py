"""What a finished skim or training left in its run directory, as typed objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.errors import UserError
from analysis.normalisation import WHOLE
from analysis.results.tables import EventTable, read_tables


class _Record(BaseModel):
    """A part of the manifest; other stages may record more than a report needs, so unknown keys are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SampleRecord(_Record):
    """A sample as the plan and the skim left it; `scale` None means that its yield is not known."""

    role: str
    process: str = ""
    source: str = ""
    simulated: bool = False
    entries: int | None = None
    processed: int = 0
    scale: float | None = None
    xsec_pb: float | None = None
    sumw: float | None = None
    reduction_efficiency: float | None = None
    flags: tuple[str, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether some of the sample was not processed, or nobody knows."""
        return self.entries is None or self.processed < self.entries or self.scaled

    @property
    def scaled(self) -> bool:
        """Whether yields are scaled by more than the rounding of a published total."""
        return self.scale is None or abs(self.scale - 1) >= WHOLE


class Failure(_Record):
    """An item that could not be processed or a training that failed."""

    stage: str
    sample: str | None = None
    file: str | None = None
    start: int | None = None
    stop: int | None = None
    error: str


class InputFile(_Record):
    """A file that was read."""

    path: str
    sample: str
    uuid: str | None = None
    size: int | None = None
    entries: int | None = None


class Worker(_Record):
    """A worker process of the cluster and its peak resident memory."""

    name: str
    pool: str = ""
    host: str = ""
    tasks: int | None = None
    peak_memory_bytes: int | None = None


class Cluster(_Record):
    """The cluster the run used and its pools as configured."""

    name: str = ""
    kind: str = ""
    pools: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Git(_Record):
    """Revision of the code, None outside a repository."""

    revision: str | None = None
    dirty: bool | None = None


class Manifest(_Record):
    """manifest.json."""

    analysis: str
    title: str
    configuration: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    git: Git = Field(default_factory=Git)
    command: str = ""
    started: str = ""
    status: str = ""
    label: str = ""
    sqrt_s_tev: float | None = None
    luminosity_ipb: float | None = None
    simulated: bool = False
    cluster: Cluster = Field(default_factory=Cluster)
    workers: tuple[Worker, ...] = ()
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    inputs: tuple[InputFile, ...] = ()
    samples: dict[str, SampleRecord]
    failures: tuple[Failure, ...] = ()

    @property
    def pseudo_data(self) -> bool:
        """Whether all data samples are simulated."""
        data = [sample.simulated for sample in self.samples.values() if sample.role == "data"]
        return bool(data) and all(data)

    @property
    def data_label(self) -> str:
        """The label of the data; pseudo-data share only the format with those the label names."""
        return f"{self.label} format" if self.label and self.pseudo_data else self.label


class CutCount(_Record):
    """Events and their sum of weights after a cut (cumulative, not scaled)."""

    events: int
    weighted: float


@dataclass(frozen=True)
class ModelFiles:
    """A trained model: its directory, and the summary the training stage wrote."""

    name: str
    directory: Path
    result: Mapping[str, Any]

    @cached_property
    def scores(self) -> EventTable | None:
        """Scores of every event, or None where the training wrote none."""
        path = self.directory / "scores.parquet"
        return read_tables([path]) if path.exists() else None


class RunDirectory:
    """A run directory: reads what is there and says in one sentence what is missing."""

    def __init__(self, path: Path) -> None:
        """Raises UserError when the directory holds no run or a file in it is not as it should be."""
        self.path = path
        if not path.is_dir():
            raise UserError(f"{path} is not a directory: give the directory of a run with --output")
        self.manifest = _validated(Manifest, path / "manifest.json", "run the analysis first")

    @cached_property
    def cutflow(self) -> dict[str, dict[str, CutCount]]:
        """Per sample the cuts in order. Raises UserError before a skim."""
        raw = _json(self.path / "cutflow.json", self._skim_first)
        try:
            return {
                name: {cut: CutCount.model_validate(count) for cut, count in cuts.items()} for name, cuts in raw.items()
            }
        except (ValidationError, AttributeError) as error:
            raise UserError(f"{self.path / 'cutflow.json'} is not a cutflow: {_first_line(error)}") from error

    @cached_property
    def notes(self) -> dict[str, dict[str, int]]:
        """Per sample what its processor noted of the files (sentence: entries); empty where it notes nothing."""
        path = self.path / "notes.json"
        return _json(path, self._skim_first) if path.exists() else {}

    @cached_property
    def histograms(self) -> dict[str, dict[str, Any]]:
        """Per sample and name a `hist.Hist`. Raises UserError before a skim."""
        import hist
        import uhi.io.json
        from boost_histogram import serialization

        path = self.path / "histograms.json"
        if not path.exists():
            raise UserError(f"no histograms in {self.path}: {self._skim_first}")
        try:
            raw = json.loads(path.read_text(encoding="utf-8"), object_hook=uhi.io.json.object_hook)
            return {
                sample: {name: hist.Hist(serialization.from_uhi(content)) for name, content in named.items()}
                for sample, named in raw.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} does not hold UHI histograms: {_first_line(error)}") from error

    def require_skim(self) -> None:
        """Raise UserError when the run has no skim yet."""
        if not (self.path / "skim").is_dir():
            raise UserError(f"no skim in {self.path}: {self._skim_first}")

    def skim(self, sample: str, columns: Iterable[str] | None = None, every: int = 1) -> EventTable:
        """The skimmed events of a sample in an order that does not depend on files, empty where it has none.

        `every` as in `read_tables`.
        Raises UserError when there is no skim at all, or a file lacks one of `columns`.
        """
        self.require_skim()
        return read_tables(sorted((self.path / "skim" / sample).glob("*.parquet")), columns, every)

    @cached_property
    def models(self) -> tuple[ModelFiles, ...]:
        """Trained models in order of their names; empty before a training."""
        found = sorted((self.path / "models").glob("*/result.json"))
        return tuple(ModelFiles(path.parent.name, path.parent, _json(path, "run the training again")) for path in found)

    @property
    def _skim_first(self) -> str:
        return f"run 'hepbatch skim {self.manifest.analysis}' first"


def _json(path: Path, advice: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no {path.name} in {path.parent}: {advice}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({_first_line(error)}): {advice}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__} where a JSON object belongs: {advice}")
    return content


def _validated(model: type[Manifest], path: Path, advice: str) -> Manifest:
    try:
        return model.model_validate(_json(path, advice))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {key}: {first['msg']}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
