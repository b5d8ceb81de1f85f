"""manifest.json: what a run did, with what, on what."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.configuration import Configuration
from analysis.datasets.catalogue import Catalogue
from analysis.engine.items import Failure
from analysis.errors import UserError
from analysis.files import read_json, write_json
from analysis.provenance import command_line, git_state, versions

# A stage makes the later ones out of date: their entries and failures go when it begins again.
STAGES = ("fetch", "simulate", "plan", "skim", "train", "report", "predict", "write")


class Manifest:
    """The manifest of one run directory; `save` writes it whole."""

    def __init__(self, directory: Path, content: dict[str, Any]) -> None:
        self.path = directory / "manifest.json"
        self.content = content

    @classmethod
    def begin(cls, directory: Path, configuration: Configuration, catalogue: Catalogue) -> Manifest:
        """A manifest for a new run of the first stages."""
        return cls(
            directory,
            {
                "analysis": configuration.name,
                "title": configuration.title,
                "configuration": configuration.model_dump(mode="json"),
                "versions": versions(),
                "git": git_state(),
                "command": command_line(),
                "started": now(),
                "status": "running",
                "label": catalogue.label,
                "sqrt_s_tev": catalogue.sqrt_s_tev,
                "luminosity_ipb": configuration.luminosity,
                "simulated": False,
                "cluster": {},
                "workers": [],
                "stages": {},
                "inputs": [],
                "samples": {},
                "failures": [],
            },
        )

    @classmethod
    def load(cls, directory: Path, analysis: str) -> Manifest:
        """The manifest of an earlier run; a UserError where there is none."""
        path = directory / "manifest.json"
        if not path.is_file():
            raise UserError(f"there is no run in {directory}: 'hepbatch skim {analysis}' makes one")
        return cls(directory, read_json(path))

    def save(self) -> None:
        """Writes manifest.json atomically."""
        write_json(self.path, self.content)

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Times a stage; the yielded mapping takes its counts. What later stages left behind is forgotten first."""
        later = STAGES[STAGES.index(name) :]
        stages = {stage: facts for stage, facts in self.content["stages"].items() if stage not in later}
        self.content["stages"] = stages
        self.content["failures"] = [one for one in self.content["failures"] if one["stage"] not in later]
        self.content |= {"status": "running", "doing": name}
        self.save()  # a run that is killed in this stage leaves no word that it was finished
        facts: dict[str, Any] = {"started": now()}
        clock = time.perf_counter()
        yield facts
        facts["seconds"] = round(time.perf_counter() - clock, 3)
        stages[name] = facts
        del self.content["doing"]

    def add_failures(self, failures: list[Failure]) -> None:
        """Lists failures."""
        self.content["failures"] += [asdict(failure) for failure in failures]

    def failures(self) -> list[Failure]:
        """The failures that are listed."""
        return [Failure(**one) for one in self.content["failures"]]

    def settle(self) -> bool:
        """Sets the status from failures and unknown yields; True when the run is complete."""
        unknown = [name for name, sample in self.content["samples"].items() if sample["scale"] is None]
        complete = not self.content["failures"] and not unknown
        self.content["status"] = "complete" if complete else "failed"
        self.content["finished"] = now()
        return complete


def now() -> str:
    """The present time, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
