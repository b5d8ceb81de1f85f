"""Settings of the simulated ttbar leptons, and the tasks that make them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.datasets.simulation import pythia
from analysis.errors import UserError

#: Counts up when the same settings give other events.
VERSION = 1
_EVENTS_PER_TASK = 8000
#: The samples, and the type that their files store momenta in.
PRECISIONS: Mapping[str, Literal["float32", "float64"]] = {
    "ttbar_leptons": "float32",
    "double_ttbar_leptons": "float64",
}


class Settings(BaseModel):
    """Size and selection of the simulated leptons."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: int = Field(default=48_000, ge=1, description="generated ttbar events, of all decays")
    scale: float = Field(default=1.0, gt=0, description="factor on the number of events")
    lepton_pt: float = Field(default=15.0, ge=0, description="a lepton has pT above this [GeV]")
    lepton_eta: float = Field(default=2.5, gt=0, description="a lepton has |eta| below this")


@dataclass(frozen=True)
class LeptonTask:
    """One unit of simulation: the files it writes, the same events in each, and everything that determines them.

    Attributes:
        name: unique in a plan.
        outputs: samples and paths relative to the directory.
        key: hash of settings, version, seed and generator version.
        settings: size and selection.
        events: events to generate.
        seed, spawn_key: place of the task's random stream (numpy SeedSequence).

    """

    name: str
    outputs: tuple[tuple[str, str], ...]
    key: str
    settings: Settings
    events: int
    seed: int
    spawn_key: tuple[int, ...]


def plan(
    settings: Settings,
    samples: Sequence[str],
    catalogue: Mapping[str, Mapping[str, Any]],  # noqa: ARG001  (leptons have no weights: no cross section is needed)
    *,
    luminosity: float | None,  # noqa: ARG001
    seed: int,
) -> list[LeptonTask]:
    """List the tasks; their number does not depend on the workers.

    Raises:
        UserError: no simulation of a sample is known.

    """
    for name in samples:
        if name not in PRECISIONS:
            raise UserError(f"no simulation of the sample {name!r} is known (known: {', '.join(PRECISIONS)})")
    if not samples:
        return []
    wanted = max(1, round(settings.events * settings.scale))
    number = max(1, round(wanted / _EVENTS_PER_TASK))
    tasks = []
    for index in range(number):
        task = LeptonTask(
            name=f"ttbar_leptons-{index:04d}",
            outputs=tuple((sample, f"{sample}/{sample}_{index:04d}.root") for sample in samples),
            key="",
            settings=settings,
            events=wanted // number + (index < wanted % number),
            seed=seed,
            spawn_key=(1, index),
        )
        tasks.append(replace(task, key=_key(task)))
    return tasks


def _key(task: LeptonTask) -> str:
    content = asdict(replace(task, settings=Settings(), outputs=())) | {
        "settings": task.settings.model_dump(mode="json", exclude={"events", "scale"}),
        "version": VERSION,
        "generator": pythia.generator_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
