"""Settings of the simulated ditau samples, and the tasks that make them."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from analysis.datasets.simulation import cms_response, pythia
from analysis.errors import UserError

SAMPLE = "HTT"
# Changes whenever the masses or the response to taus, leptons, jets and missing momentum do.
VERSION = 2
# About a minute.
_EVENTS_PER_TASK = 10_000


class Settings(BaseModel):
    """Sizes and options of the simulated sample of H -> tau tau."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: int = Field(default=40_000, ge=1, description="generated events, all of which are kept")
    scale: float = Field(default=1.0, gt=0, description="factor on the number of generated events")
    mass_range: tuple[float, float] = Field(
        default=(50.0, 1000.0), description="masses of the Higgs boson, spread between these [GeV]"
    )
    mass_step: float = Field(
        default=10.0, gt=0, description="masses are nearly even in a step of this width, and continuous [GeV]"
    )
    mass_power: float = Field(
        default=0.0, description="events per GeV go as the mass to this power; below 0: more at low masses"
    )
    multiparton_interactions: bool = Field(default=False, description="multiparton interactions (three times slower)")

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        low, high = self.mass_range
        if not 10.0 <= low < high:
            raise ValueError(f"mass_range: the low end {low:g} must be 10 or more and below the high end {high:g}")
        return self

    def windows(self) -> list[tuple[float, float]]:
        """The steps of the mass [GeV], of equal width, which cover the range."""
        low, high = self.mass_range
        number = max(1, round((high - low) / self.mass_step))
        edges = [low + (high - low) * k / number for k in range(number + 1)]
        return list(itertools.pairwise(edges))

    def numbers(self) -> list[int]:
        """Events of each step."""
        wanted = max(1, round(self.events * self.scale))
        low, high = self.mass_range
        ends = [end for _, end in self.windows()]
        below = [0, *(int(wanted * self._share(end, low, high) + 1e-9) for end in ends[:-1]), wanted]
        return [after - before for before, after in itertools.pairwise(below)]

    def _share(self, mass: float, low: float, high: float) -> float:
        """The share of the events below a mass."""
        power = self.mass_power + 1
        if power == 0:
            return math.log(mass / low) / math.log(high / low)
        return float((mass**power - low**power) / (high**power - low**power))


@dataclass(frozen=True)
class DitauTask:
    """One unit of simulation: the file it writes and everything that determines its content.

    Attributes:
        name: unique in a plan.
        outputs: the sample and the path relative to the directory.
        key: hash of settings, versions, seed and windows.
        settings: sizes and options.
        windows: low end, high end [GeV] and number of events of each step of the mass.
        seed, spawn_key: place of the task's random streams (numpy SeedSequence).
        first_event: event numbers of the task start here.

    """

    name: str
    outputs: tuple[tuple[str, str], ...]
    key: str
    settings: Settings
    windows: tuple[tuple[float, float, int], ...]
    seed: int
    spawn_key: tuple[int, ...]
    first_event: int


def plan(
    settings: Settings,
    samples: Sequence[str],
    catalogue: Mapping[str, Mapping[str, Any]],  # noqa: ARG001  (no cross section is needed)
    *,
    luminosity: float | None,  # noqa: ARG001
    seed: int,
) -> list[DitauTask]:
    """List the tasks that make the sample; their number does not depend on the workers.

    Raises:
        UserError: no simulation of a sample is known.

    """
    for name in samples:
        if name != SAMPLE:
            raise UserError(f"no simulation of the sample {name!r} is known (known: {SAMPLE})")
    if not samples:
        return []
    windows, counts = settings.windows(), settings.numbers()
    number = min(len(windows), max(1, round(sum(counts) / _EVENTS_PER_TASK)))
    tasks, first = [], 1
    for index in range(number):
        # Every task has steps from the whole range, so that each file alone is a fair sample.
        chosen = [(*windows[k], counts[k]) for k in range(index, len(windows), number) if counts[k]]
        if not chosen:
            continue
        task = DitauTask(
            name=f"{SAMPLE}-{index:04d}",
            outputs=((SAMPLE, f"{SAMPLE}/{SAMPLE}_{index:04d}.root"),),
            key="",
            settings=settings,
            windows=tuple(chosen),
            seed=seed,
            spawn_key=(1, index),
            first_event=first,
        )
        first += sum(count for *_, count in chosen)
        tasks.append(replace(task, key=_key(task)))
    return tasks


def _key(task: DitauTask) -> str:
    content = asdict(replace(task, settings=Settings())) | {
        "settings": task.settings.model_dump(mode="json", exclude={"events", "scale", "mass_power"}),
        "response": (VERSION, cms_response.VERSION),
        "generator": pythia.generator_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
