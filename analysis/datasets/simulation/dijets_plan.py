"""Settings of the simulated dijet samples, and the tasks that make them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from analysis.datasets.simulation import cms_response, pythia
from analysis.errors import UserError

# Event numbers of different tasks of a sample differ in the luminosity block, which is the task's number from 1.
_EVENTS_PER_TASK = 6000


@dataclass(frozen=True)
class Slice:
    """A sample's range of the hard partons' transverse momentum [GeV].

    Outside of it hardly any event has two jets between 375 and 450 GeV.
    """

    low: float
    high: float


# The public samples go from 300 to 470 and from 470 to 600 GeV.
SLICES: Mapping[str, Slice] = {"SIM300": Slice(335.0, 470.0), "SIM470": Slice(470.0, 560.0)}


class EventNumbers(BaseModel):
    """Generated events per sample, of those whose partons pass the filter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    SIM300: int = Field(default=80_000, ge=1, description="events with hard partons of 335 to 470 GeV")
    SIM470: int = Field(default=4_000, ge=1, description="events with hard partons of 470 to 560 GeV")


class Settings(BaseModel):
    """Sizes and options of the simulated dijet samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: EventNumbers = Field(default=EventNumbers(), description="generated events per sample")
    scale: float = Field(default=1.0, gt=0, description="factor on all numbers of generated events")
    multiparton_interactions: bool = Field(default=False, description="multiparton interactions (three times slower)")
    minimum_jet_pt: float = Field(default=375.0, gt=0, description="corrected pT of the jets in the files [GeV]")
    parton_jet_pt: tuple[float, float] = Field(
        default=(345.0, 490.0), description="an event needs two jets of partons with pT between these [GeV]"
    )
    parton_mass: tuple[float, float] = Field(
        default=(620.0, 1300.0), description="whose mass is between these [GeV]: the bins of the mass and their margin"
    )


@dataclass(frozen=True)
class DijetTask:
    """One unit of simulation: the file it writes and everything that determines its content.

    Attributes:
        name: unique in a plan.
        outputs: the sample and the path relative to the directory.
        key: hash of settings, response version, seed and generator version.
        settings: sizes and options.
        sample: name of the sample.
        slice: range of the hard partons' transverse momentum.
        events: events to generate that pass the filter.
        share: part of the sample's events that are the task's.
        seed, spawn_key: place of the task's random streams (numpy SeedSequence).
        number: of the task in its sample.

    """

    name: str
    outputs: tuple[tuple[str, str], ...]
    key: str
    settings: Settings
    sample: str
    slice: Slice
    events: int
    share: float
    seed: int
    spawn_key: tuple[int, ...]
    number: int


def plan(
    settings: Settings,
    samples: Sequence[str],
    catalogue: Mapping[str, Mapping[str, Any]],  # noqa: ARG001  (the weights are absolute: no cross section is needed)
    *,
    luminosity: float | None,  # noqa: ARG001
    seed: int,
) -> list[DijetTask]:
    """List the tasks that make the given samples; their number does not depend on the workers.

    Raises:
        UserError: no simulation of a sample is known.

    """
    tasks: list[DijetTask] = []
    for name in samples:
        if name not in SLICES:
            raise UserError(f"no simulation of the sample {name!r} is known (known: {', '.join(SLICES)})")
        wanted = max(1, round(getattr(settings.events, name) * settings.scale))
        number = max(1, round(wanted / _EVENTS_PER_TASK))
        for index in range(number):
            events = wanted // number + (index < wanted % number)
            task = DijetTask(
                name=f"{name}-{index:04d}",
                outputs=((name, f"{name}/{name}_{index:04d}.h5"),),
                key="",
                settings=settings,
                sample=name,
                slice=SLICES[name],
                events=events,
                share=events / wanted,
                seed=seed,
                spawn_key=(1 + list(SLICES).index(name), index),
                number=index,
            )
            tasks.append(replace(task, key=_key(task)))
    return tasks


def _key(task: DijetTask) -> str:
    content = asdict(replace(task, settings=Settings())) | {
        "settings": task.settings.model_dump(mode="json", exclude={"events", "scale"}),
        "response": cms_response.VERSION,
        "generator": pythia.generator_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
