"""What a worker does when a trained regression is applied to events: entry ranges to pieces, pieces to one file."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.addresses import opened_as
from analysis.engine.items import OpenedFile, WorkItem
from analysis.files import replacing, write_json

PIECES = ".pieces"
#: Name of the tree in friend files.
TREE = "Friends"
#: ml_mass of entries that are not selected, and of those for which an input is not finite.
NOT_PREDICTED = -1.0
#: Number of extrapolated inputs where there is nothing to say.
UNKNOWN = -1
#: Steps and ends of the ratio of a mass in two conventions, less 1.
STEP, SHIFTS = 0.001, (-1.0, 10.0)
IDENTITY = ("run", "luminosityBlock", "event")
TYPES: dict[str, str] = {
    "run": "uint32", "luminosityBlock": "uint32", "event": "uint64", "channel": "int8", "ml_mass": "float32",
    "extrapolated": "int8",
}  # fmt: skip

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class PredictJob:
    """What all work items share; travels with each call to a worker.

    `names` is for flat ntuples: what each input, run, luminosityBlock, event and channel are called there, or a number.
    `convention` is that of the inputs (published or corrected) where the processor gives both; None: the inputs are as
    they come.
    """

    processor: str
    settings: str
    training: str
    model: str
    directory: str
    format: str
    tree: str
    kind: str
    fingerprint: str
    xrootd_prefix: str | None
    names: tuple[tuple[str, str | float], ...] = ()
    convention: str | None = None

    def piece(self, item: WorkItem) -> Path:
        """Where the predictions of an entry range are."""
        return Path(self.directory) / PIECES / self.fingerprint / f"{item.uuid}-{item.start}-{item.stop}.parquet"


@dataclass(frozen=True)
class Predicted:
    """What reading an entry range took."""

    bytes_read: int
    read_retries: int


@dataclass(frozen=True)
class Output:
    """A file to be written from the pieces of its items."""

    file: OpenedFile
    items: tuple[WorkItem, ...]
    path: str


@dataclass(frozen=True)
class Events:
    """Identity and channel of each entry of a range (channel -1: not known), which are selected, and their inputs."""

    identity: Mapping[str, NDArray[Any]]
    channel: NDArray[Any]
    selected: NDArray[np.bool_]
    inputs: Mapping[str, NDArray[Any]]
    notes: Mapping[str, int]


def check_model(job: PredictJob, attempt: int) -> None:  # noqa: ARG001
    """On a worker: loads the model; raises ValueError where it is damaged."""
    load_model(job.training, job.model, job.fingerprint)


def predict_item(job: PredictJob, item: WorkItem, attempt: int) -> Predicted:
    """On a worker: reads one entry range, applies the model, and writes the piece in one step.

    Raises ValueError where a branch is missing, or the file is not the one that was planned.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from processors.formats import reader_of

    model = load_model(job.training, job.model, job.fingerprint)
    address = opened_as(item.address(attempt), job.xrootd_prefix)
    columns = _columns(job)
    metadata = {"role": "data", "dataset": item.sample}
    chunk = reader_of(job.format).read(address, job.tree, columns, item.start, item.stop, metadata, item.uuid)
    events = _flat(job, model, chunk) if job.names else _selected(job, chunk)
    found, counts = _predicted(job, model, events)
    table = pa.table(found).replace_schema_metadata({key: str(number) for key, number in counts.items()})
    with replacing(job.piece(item)) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return Predicted(chunk.bytes_read, chunk.retries)


def write_output(job: PredictJob, output: Output, attempt: int) -> None:  # noqa: ARG001
    """On a worker: joins the pieces of a file, in the order of its entries, to what the user gets, with a side-car.

    The side-car is there before the file is. Raises ValueError where the pieces are not those of the whole file.
    """
    import pyarrow.parquet as pq

    pieces = [job.piece(item) for item in sorted(output.items, key=lambda item: item.start)]
    rows = sum(pq.read_metadata(path).num_rows for path in pieces)
    if job.kind == "root" and rows != output.file.entries:
        raise ValueError(f"the pieces of {output.file.path} have {rows} entries, the file has {output.file.entries}")
    path = Path(output.path)
    counts = Counter[str]()
    with replacing(path) as temporary:
        (_write_root if job.kind == "root" else _write_parquet)(temporary, pieces, counts)
        facts = {
            "input": output.file.path, "uuid": output.file.uuid, "entries": output.file.entries,
            "model": job.model, "bytes": temporary.stat().st_size, **_told(counts),
        }  # fmt: skip
        write_json(side_car(path), facts)


def side_car(path: Path) -> Path:
    """Where the numbers of an output are."""
    return path.with_name(f"{path.name}.json")


@lru_cache(maxsize=2)
def load_model(training: str, directory: str, mark: str) -> Any:
    """The model of a directory, once per process; `mark` differs where its files do."""
    del mark
    return importlib.import_module(training).load_predictor(directory)


def _columns(job: PredictJob) -> Sequence[str]:
    if job.names:
        return tuple(dict.fromkeys(name for _, name in job.names if isinstance(name, str)))
    columns: Sequence[str] = importlib.import_module(job.processor).branches("data")
    return columns


def _selected(job: PredictJob, chunk: Any) -> Events:
    found = _processor(job.processor, job.settings).predictable(chunk.events)
    return Events(found.identity, found.channel, found.channel >= 0, found.inputs, found.notes)


def _flat(job: PredictJob, model: Any, chunk: Any) -> Events:
    """Entries of a flat ntuple: all are selected."""
    names, number = dict(job.names), len(chunk)

    def values(name: str) -> NDArray[Any]:
        found = names[name]
        return np.asarray(chunk[found]) if isinstance(found, str) else np.full(number, found)

    channel = values("channel") if "channel" in names else np.full(number, -1)
    inputs = model.prepared({name: values(name) for name in model.columns})
    return Events({name: values(name) for name in IDENTITY}, channel, np.ones(number, np.bool_), inputs, {})


def _predicted(job: PredictJob, model: Any, events: Events) -> tuple[Columns, Counter[str]]:
    """The columns of a piece, a row per entry or per selected one, and what is counted in it."""
    rows = np.flatnonzero(events.selected)
    mass = np.full(len(events.selected), NOT_PREDICTED)
    outside = np.full(len(events.selected), UNKNOWN, np.int8)
    counts = Counter({f"note {sentence}": entries for sentence, entries in events.notes.items()})
    counts["selected"] = len(rows)
    channels = events.channel[rows].astype(TYPES["channel"])
    for number, times in zip(*np.unique(channels, return_counts=True), strict=True):
        counts[f"channel {number}"] = int(times)
    if len(rows):
        inputs = {**events.inputs, "channel": channels}
        given = {job.convention: inputs}
        if job.convention is not None:
            given = {"corrected": inputs, "published": model.as_published(inputs)}
        masses = {convention: _masses(model, columns) for convention, columns in given.items()}
        if job.convention is not None:
            counts.update(_shifts(masses["published"], masses["corrected"]))
        found = masses[job.convention]
        known = np.isfinite(found)
        counts["not_finite"] = int(np.sum(~known))
        mass[rows[known]] = found[known]
        counts.update(_outside(model, _at(given[job.convention], known), outside, rows[known]))
    columns = {**events.identity, "channel": events.channel, "ml_mass": mass, "extrapolated": outside}
    kept = slice(None) if job.kind == "root" else rows
    return {name: np.asarray(columns[name])[kept].astype(kind) for name, kind in TYPES.items()}, counts


def _masses(model: Any, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """(N,) mass of each event, NaN where an input is not finite."""
    finite = model.finite(inputs)
    found = np.full(len(finite), np.nan)
    if finite.any():
        found[finite] = model.predict(_at(inputs, finite))
    return found


def _outside(
    model: Any, inputs: Mapping[str, NDArray[Any]], outside: NDArray[np.int8], rows: NDArray[Any]
) -> Counter[str]:
    """Fills in how many inputs of each row are extrapolated, and counts the events."""
    if not len(rows):
        return Counter()
    found = model.extrapolated(inputs)
    if found is None:
        return Counter({"unknown range": len(rows)})
    outside[rows] = found
    untrained = int(np.sum(model.untrained(inputs["channel"])))
    return Counter({"extrapolated": int(np.sum(found > 0)), "untrained_channel": untrained})


def _shifts(published: NDArray[Any], corrected: NDArray[Any]) -> Counter[str]:
    """How many events have which step of the ratio of both masses, less 1; those without a ratio are left out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = published / corrected - 1
    steps = np.rint(np.clip(ratio[np.isfinite(ratio)], *SHIFTS) / STEP).astype(np.int64)
    return Counter({f"shift {k}": int(n) for k, n in zip(*np.unique(steps, return_counts=True), strict=True)})


def _at(inputs: Mapping[str, NDArray[Any]], keep: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(values)[keep] for name, values in inputs.items()}


def _write_root(path: Path, pieces: Sequence[Path], counts: Counter[str]) -> None:
    import uproot

    with uproot.recreate(path) as file:
        tree = file.mktree(TREE, TYPES)
        for columns in _pieces(pieces, counts):
            tree.extend(columns)


def _write_parquet(path: Path, pieces: Sequence[Path], counts: Counter[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.from_numpy_dtype(kind)) for name, kind in TYPES.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for columns in _pieces(pieces, counts):
            writer.write_table(pa.table(columns, schema=schema))


def _pieces(paths: Sequence[Path], counts: Counter[str]) -> Any:
    """The columns of each piece that has rows; adds to the counts."""
    import pyarrow.parquet as pq

    for path in paths:
        table = pq.read_table(path)
        counts.update({key.decode(): int(value) for key, value in (table.schema.metadata or {}).items()})
        if table.num_rows:
            yield {name: table.column(name).to_numpy() for name in TYPES}


def _told(counts: Counter[str]) -> dict[str, Any]:
    """Counts as the side-car has them; extrapolated events are not known where the model does not say its range."""
    groups = {
        group: {key.removeprefix(f"{word} "): value for key, value in counts.items() if key.startswith(f"{word} ")}
        for group, word in (("channels", "channel"), ("notes", "note"), ("shift", "shift"))
    }
    unknown = counts["unknown range"] > 0
    plain = {key: counts[key] for key in ("selected", "not_finite", "untrained_channel")}
    extrapolated = None if unknown else counts["extrapolated"]
    return {**plain, "extrapolated": extrapolated, **groups, "shift": shift(groups["shift"])}


def shift(counts: Mapping[str, int]) -> dict[str, Any] | None:
    """Of ml_mass(published) / ml_mass(corrected) - 1 in steps of 0.001: median, half the central 68%, events, counts.

    None where nothing was counted.
    """
    if not counts:
        return None
    steps = np.array(sorted(map(int, counts)))
    total = np.cumsum([counts[str(step)] for step in steps])
    low, median, high = (steps[np.searchsorted(total, place * total[-1])] * STEP for place in (0.16, 0.5, 0.84))
    return {
        "median": round(float(median), 4), "width": round(float(high - low) / 2, 4), "events": int(total[-1]),
        "counts": {str(step): counts[str(step)] for step in steps},
    }  # fmt: skip


@lru_cache(maxsize=4)
def _processor(name: str, settings: str) -> Any:
    module = importlib.import_module(name)
    return module.build(module.Settings.model_validate_json(settings), luminosity=None, skim_directory=None)
