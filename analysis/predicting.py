"""The verb `predict`: a trained regression applied to any list of files, on the workers of a run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.configuration import Configuration, read_yaml, validate
from analysis.datasets.catalogue import SUFFIXES, Catalogue
from analysis.engine.attempts import Kind, Outcome
from analysis.engine.fingerprint import fingerprint
from analysis.engine.items import Failure, InputFile, OpenedFile, WorkItem, split
from analysis.engine.ledger import Entry
from analysis.errors import UserError
from analysis.files import read_json
from analysis.planning import Plan, make_plan
from analysis.predict_job import (
    IDENTITY,
    PIECES,
    Output,
    PredictJob,
    check_model,
    predict_item,
    shift,
    side_car,
    write_output,
)
from analysis.progress import say
from analysis.run import Run
from analysis.stages import Request, settle, started

STAGE, WRITE = "predict", "write"
#: What the files that the user names count as in messages and in the ledger.
INPUT = "input"
ENDINGS = {"root": ".ml_mass.root", "parquet": ".ml_mass.parquet"}


class Ntuple(BaseModel):
    """A YAML file that says how flat ntuples name what a model needs; nothing is selected in them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["root", "parquet"] = Field(default="root", description="format of the files")
    tree: str = Field(default="Events", description="name of the TTree; no word for Parquet")
    names: dict[str, str | float] = Field(
        default_factory=dict,
        description="inputs, run, luminosityBlock, event, channel: what they are called, or a number for all entries; "
        "what is left out has its own name, and a channel need not be there",
    )


@dataclass(frozen=True)
class Wanted:
    """What the user asked for beside the run's options."""

    model: Path
    files: tuple[str, ...]
    kind: Literal["root", "parquet"] = "root"
    ntuple: Path | None = None


def predict(request: Request, wanted: Wanted) -> bool:
    """Writes one file of predictions per input file into the request's directory; True when none failed.

    What an earlier session has done with the same code, model and settings is kept. Raises UserError for a model that
    cannot be loaded, or a directory that is not for this.
    """
    configuration, catalogue = request.configuration, request.catalogue
    ntuple = None if wanted.ntuple is None else validate(Ntuple, read_yaml(wanted.ntuple), str(wanted.ntuple))
    if ntuple is not None:
        catalogue = catalogue.model_copy(update={"format": ntuple.format, "tree": ntuple.tree, "event": ()})
    files = input_files(wanted.files, catalogue)
    places = output_names(files, ENDINGS[wanted.kind])
    _check_directory(request.directory)
    inputs = _model_inputs(configuration, wanted.model)
    with started(_with_catalogue(request, catalogue)) as run:
        job = _job(run, wanted, ntuple, inputs)
        _check_model(run, job)
        with run.manifest.stage("plan") as facts:
            plan = make_plan(run, [InputFile(INPUT, path) for path in files])
            facts.update(
                files=len(files), remembered=plan.remembered, failed=len(plan.failures), bytes_read=plan.bytes_read
            )
        run.manifest.add_failures([*plan.failures, *plan.copies])
        predicting = Predicting(run, job, plan, {path: request.directory / name for path, name in places.items()})
        predicting.process()
        predicting.write()
        run.record_cluster(request.cluster_name)
        run.release("cpu")
        _tell(run, predicting)
        return settle(run, not (plan.failures or plan.copies))


class Predicting:
    """The entry ranges of a plan on their way to pieces, and those to files."""

    def __init__(self, run: Run, job: PredictJob, plan: Plan, paths: dict[str, Path]) -> None:
        self.run, self.job, self.plan, self.paths = run, job, plan, paths
        chunk = run.configuration.chunk_size
        self.items = {file.path: tuple(split(file, chunk)) for file in plan.files}
        self.ready: list[OpenedFile] = []  # whose output is as an earlier session wrote it

    def process(self) -> None:
        """Applies the model to every entry range whose file is not written yet; leaves pieces."""
        run, ledger = self.run, self.run.ledger
        marks = f"{self.job.fingerprint} {self.job.kind}"
        ledger.plan(WRITE, (self._output_entry(file, marks) for file in self.plan.files))
        ledger.plan(STAGE, (self._entry(item) for items in self.items.values() for item in items))
        written = {entry.path for entry in ledger.rows(WRITE, "done")}
        self.ready = [file for file in self.plan.files if file.path in written and _is_whole(self.paths[file.path])]
        ready = {file.path for file in self.ready}
        states = {entry.key: entry.state for entry in ledger.rows(STAGE, "planned", "done", "failed")}
        _remove_others(Path(self.job.directory) / PIECES, self.job.fingerprint)
        due = [
            item
            for path, items in self.items.items()
            if path not in ready
            for item in items
            if self._is_due(item, states[item.key])
        ]
        counts = Counter[str]()
        with run.manifest.stage(STAGE) as facts:
            for outcome in run.map(
                "cpu", partial(predict_item, self.job), due, len(due), "predicting",
                kind=Kind(addresses=WorkItem.addresses), longest=run.configuration.retries.longest_item,
            ):  # fmt: skip
                self._end(outcome, counts)
                if ledger.due():
                    ledger.commit()
            ledger.commit()
            failed = ledger.count(STAGE, "failed")
            total = sum(map(len, self.items.values()))
            facts.update(items=total, kept=total - counts["done"] - failed, done_now=counts["done"], failed=failed)
            facts.update(entries_now=counts["entries"], bytes_read=counts["bytes"], read_retries=counts["retries"])
        run.manifest.add_failures(self._failures(STAGE))

    def write(self) -> None:
        """Joins the pieces of each file all of whose ranges are done."""
        ledger, run = self.run.ledger, self.run
        done = {entry.key for entry in ledger.rows(STAGE, "done")}
        ready = {file.path for file in self.ready}
        due = [
            Output(file, self.items[file.path], str(self.paths[file.path].resolve()))
            for file in self.plan.files
            if file.path not in ready and all(item.key in done for item in self.items[file.path])
        ]
        marks, number = f"{self.job.fingerprint} {self.job.kind}", 0
        with run.manifest.stage(WRITE) as facts:
            for outcome in run.map("cpu", partial(write_output, self.job), due, len(due), "writing files"):
                file = outcome.item.file
                state = "done" if outcome.error is None else "failed"
                ledger.record(WRITE, self._output_entry(file, marks, state=state, error=outcome.error))
                ledger.commit()
                if outcome.error is None:
                    number += 1
                    self.ready.append(file)
                    for item in outcome.item.items:
                        self.job.piece(item).unlink(missing_ok=True)
            failed = ledger.count(WRITE, "failed")
            facts.update(files=len(due) + len(ready), kept=len(ready), done_now=number, failed=failed)
        run.manifest.add_failures(self._failures(WRITE))
        if len(self.ready) == len(self.plan.files):
            shutil.rmtree(Path(self.job.directory) / PIECES, ignore_errors=True)

    def predictions(self) -> list[dict[str, Any]]:
        """What the side-cars of the written files say, in the order of the user's list."""
        ready = {file.path for file in self.ready}
        return [
            {"output": str(path), **read_json(side_car(path))} for name, path in self.paths.items() if name in ready
        ]

    def _is_due(self, item: WorkItem, state: str) -> bool:
        if state == "failed":
            return self.run.retry_failed
        return state == "planned" or not self.job.piece(item).is_file()

    def _end(self, outcome: Outcome, counts: Counter[str]) -> None:
        item: WorkItem = outcome.item
        facts: dict[str, Any] = {
            "attempts": outcome.attempts, "worker": outcome.worker, "host": outcome.host,
            "seconds": round(outcome.seconds, 4),
        }  # fmt: skip
        if outcome.error is not None:
            self.run.ledger.record(STAGE, self._entry(item, state="failed", error=outcome.error, **facts))
            return
        self.run.ledger.record(STAGE, self._entry(item, state="done", **facts))
        counts["done"] += 1
        counts["entries"] += item.entries
        counts["bytes"] += outcome.value.bytes_read
        counts["retries"] += outcome.value.read_retries

    def _entry(self, item: WorkItem, **facts: Any) -> Entry:
        return Entry(item.key, self.job.fingerprint, item.sample, item.path, item.start, item.stop, **facts)

    def _output_entry(self, file: OpenedFile, marks: str, **facts: Any) -> Entry:
        return Entry(f"{file.uuid} {self.paths[file.path]}", marks, INPUT, file.path, **facts)

    def _failures(self, stage: str) -> list[Failure]:
        return [
            Failure(stage, e.sample, e.path, e.start, e.stop, str(e.error), e.attempts, e.worker, e.host)
            for e in self.run.ledger.rows(stage, "failed")
        ]


def input_files(given: Sequence[str], catalogue: Catalogue) -> list[str]:
    """The files that the user names, each once; a directory stands for all files of the format in it.

    Raises UserError for what does not exist.
    """
    found: dict[str, None] = {}
    for one in given:
        path = Path(one)
        if "://" not in one and path.is_dir():
            inside = sorted(str(p) for p in path.iterdir() if p.suffix in SUFFIXES[catalogue.format])
            if not inside:
                raise UserError(f"the directory {one} holds no file *{' or *'.join(SUFFIXES[catalogue.format])}")
            found |= dict.fromkeys(inside)
        elif "://" not in one and not path.is_file():
            raise UserError(f"there is no file {one}")
        else:
            found[one] = None
    return list(found)


def output_names(files: Sequence[str], ending: str) -> dict[str, str]:
    """The name of each file's output below the output directory, whatever the order of the files.

    That is its own name, with the directories above it as far as two inputs have one name; a part of a digest of its
    address follows where no directory tells it apart. No name leads out of the output directory.
    """
    pieces = {file: _parts(file) for file in files}
    alone = Counter(parts[-1] for parts in pieces.values())

    def names(depth: int) -> dict[str, str]:
        return {
            file: "/".join(parts[-depth:] if alone[parts[-1]] > 1 else parts[-1:]) for file, parts in pieces.items()
        }

    greatest = max((len(parts) for parts in pieces.values()), default=1)
    apart = len(set(names(greatest).values()))
    for depth in range(1, greatest + 1):
        found = names(depth)
        if len(set(found.values())) == apart:
            break
    shared = Counter(found.values())
    for digits in (8, 64):
        marked = {
            file: f"{name}-{hashlib.sha256(file.encode()).hexdigest()[:digits]}" if shared[name] > 1 else name
            for file, name in found.items()
        }
        if len(set(marked.values())) == len(marked):
            break
    return {file: f"{name}{ending}" for file, name in marked.items()}


def _parts(file: str) -> tuple[str, ...]:
    """The directories of a path or an address and the name of the file, without its ending."""
    given = file.split("://", 1)[-1].split("?")[0].split("/")
    parts = [part for part in given if part not in ("", ".", "..")] or [INPUT]
    return (*parts[:-1], Path(parts[-1]).with_suffix("").name)


def model_digest(directory: Path) -> str:
    """A digest of the files of a model."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _model_inputs(configuration: Configuration, model: Path) -> tuple[str, ...]:
    module = configuration.module("training")
    if not hasattr(module, "predictor_inputs"):
        raise UserError(f"{configuration.name} has no regression that could be applied: {module.__name__} trains none")
    if not model.is_dir():
        raise UserError(f"the model {model} is no directory")
    try:
        inputs: tuple[str, ...] = module.predictor_inputs(str(model))
    except ValueError as error:
        raise UserError(str(error)) from error
    return inputs


def _check_model(run: Run, job: PredictJob) -> None:
    """Loads the model on a worker, which will need it: the libraries of networks are no business of this process."""
    for outcome in run.map("cpu", check_model, [job], 1, "loading the model"):
        if outcome.error is not None:
            raise UserError(outcome.error.removeprefix("ValueError: "))


def _job(run: Run, wanted: Wanted, ntuple: Ntuple | None, inputs: tuple[str, ...]) -> PredictJob:
    configuration, catalogue = run.configuration, run.catalogue
    processor, training = (configuration.module(block).__name__ for block in ("processor", "training"))
    convention, chosen = (None, {}) if ntuple is not None else _convention(configuration, wanted.model)
    settings = json.dumps({key: value for key, value in (configuration.processor | chosen).items() if key != "module"})
    names: tuple[tuple[str, str | float], ...] = ()
    if ntuple is not None:
        unknown = sorted(set(ntuple.names) - {*inputs, *IDENTITY, "channel"})
        if unknown:
            raise UserError(f"{wanted.ntuple}: names.{unknown[0]}: the model has no such input")
        named = {name: ntuple.names.get(name, name) for name in (*inputs, *IDENTITY)}
        names = tuple((named | {k: v for k, v in ntuple.names.items() if k == "channel"}).items())
    packages = ("processors", "training", processor.partition(".")[0], training.partition(".")[0])
    mark = fingerprint(
        (processor, training, "processors.formats", "analysis.predict_job"), packages, settings=settings, names=names,
        format=catalogue.format, tree=catalogue.tree, kind=wanted.kind, model=model_digest(wanted.model),
        convention=convention,
    )  # fmt: skip
    return PredictJob(
        processor, settings, training, str(wanted.model.resolve()), str(run.directory.resolve()), catalogue.format,
        catalogue.tree, wanted.kind, mark, run.cluster_settings.xrootd_prefix, names,
        convention,
    )  # fmt: skip


def _convention(configuration: Configuration, model: Path) -> tuple[str | None, dict[str, Any]]:
    """The convention of the inputs, and settings of a processor that gives them in both.

    It is processor.convention where that is set, else that of the model's training; None and no settings where neither
    is the published one.
    """
    own: str | None = getattr(configuration.module("training"), "predictor_convention", lambda _: None)(str(model))
    convention: str | None = configuration.processor.get("convention", own)
    if "published" not in (own, convention):
        return None, {}
    return convention, {"convention": "corrected", "published_inputs": True}


def _with_catalogue(request: Request, catalogue: Catalogue) -> Request:
    return replace(request, catalogue=catalogue)


def _check_directory(directory: Path) -> None:
    """Raises UserError where the directory is that of a run, whose manifest would be lost."""
    path = directory / "manifest.json"
    if path.is_file() and {"skim", "simulate", "train"} & set(read_json(path).get("stages", {})):
        raise UserError(f"{directory} holds a run: give predict a directory of its own with --output")


def _is_whole(path: Path) -> bool:
    beside = side_car(path)
    return path.is_file() and beside.is_file() and bool(read_json(beside)["bytes"] == path.stat().st_size)


def _remove_others(pieces: Path, mark: str) -> None:
    for path in pieces.glob("*"):
        if path.name != mark:
            shutil.rmtree(path, ignore_errors=True)


def _tell(run: Run, predicting: Predicting) -> None:
    """Puts the counts of all files into the manifest, and says what they are."""
    found, job = predicting.predictions(), predicting.job
    steps, notes = Counter[str](), Counter[str]()
    for one in found:
        steps.update((one["shift"] or {}).pop("counts", {}))
        notes.update(one["notes"])
    moved = shift(steps)
    run.manifest.content["predictions"] = found
    run.manifest.content["model"] = job.model
    run.manifest.content["convention"], run.manifest.content["shift"] = job.convention, moved
    sums = {key: sum(one[key] for one in found) for key in ("entries", "selected", "not_finite", "untrained_channel")}
    say(
        f"{len(found)} of {len(predicting.paths)} files written: {sums['selected']} of {sums['entries']} entries are "
        "selected"
    )
    if sums["not_finite"]:
        say(f"note: {sums['not_finite']} selected events have no mass: an input is not finite (ml_mass is -1)")
    outside = [one["extrapolated"] for one in found]
    if None in outside:
        say("note: the model does not say what it was trained on: extrapolation is unknown")
    elif sum(outside):
        say(f"note: {sum(outside)} events are outside of the trained range of an input (branch 'extrapolated')")
    if sums["untrained_channel"]:
        say(f"note: {sums['untrained_channel']} of them are of a channel that the model was not trained on")
    if job.convention is not None:
        say(f"note: inputs in the convention {job.convention}; processor.convention asks for the other one")
    if moved is not None:
        say(
            f"note: ml_mass(published) / ml_mass(corrected) - 1 of {moved['events']} events: median "
            f"{moved['median']:+.3f}, half the central 68% {moved['width']:.3f}"
        )
    for sentence, number in notes.items():
        say(f"note: {sentence} ({number} entries)")
