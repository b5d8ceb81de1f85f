"""Settings of the simulated four-lepton samples, and the tasks that make them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from analysis.datasets.simulation import atlas_response, pythia
from analysis.datasets.simulation.fourlepton_processes import LIGHT_LEPTON_PAIRS, PROCESSES
from analysis.errors import UserError

DATA = ("DataEgamma", "DataMuons")
_EVENT_STRIDE = 5_000_000
_LARGEST_EVENT_NUMBER = 2**31 - 1
_DATA_TASKS: tuple[tuple[str, ...], ...] = (
    ("Zee",),
    ("Zmumu",),
    ("ttbar_lep",),
    ("ZZ", "ggH125_ZZ4lep", "VBFH125_ZZ4lep"),
)


class EventNumbers(BaseModel):
    """Generated events per sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ggH125_ZZ4lep: int = Field(  # noqa: N815  # the sample's name
        default=10_000, ge=1, description="events of gg -> H -> ZZ* -> 4 leptons"
    )
    VBFH125_ZZ4lep: int = Field(default=5_000, ge=1, description="events of vector-boson fusion, H -> ZZ* -> 4 leptons")
    ZZ: int = Field(default=30_000, ge=10, description="events of ZZ* -> 4 leptons, in three slices of mass")
    Zee: int = Field(default=14_000, ge=1, description="events of Z -> ee at parton level")
    Zmumu: int = Field(default=14_000, ge=1, description="events of Z -> mumu at parton level")
    ttbar_lep: int = Field(default=4_500, ge=10, description="events of ttbar with a lepton at parton level")


class Settings(BaseModel):
    """Sizes and options of the simulated four-lepton samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: EventNumbers = Field(default=EventNumbers(), description="generated events per sample")
    scale: float = Field(default=1.0, gt=0, description="factor on all numbers of generated events (not pseudo-data)")
    taus: bool = Field(default=False, description="whether Z bosons of H and ZZ decay to tau leptons, too")
    multiparton_interactions: bool = Field(default=False, description="multiparton interactions (three times slower)")
    z_repetitions: int = Field(
        default=40, ge=1, description="hadronisations of one parton-level event of Z+jets with a b or c quark"
    )
    z_light_repetitions: int = Field(
        default=6, ge=1, description="hadronisations of one parton-level event of Z+jets without b and c quarks"
    )
    top_repetitions: int = Field(default=6, ge=1, description="hadronisations of one parton-level event of ttbar")
    misidentification: float = Field(
        default=1.0, ge=0, description="factor on the probabilities that hadrons and photons are taken for leptons"
    )
    enhancement: float = Field(
        default=30.0, ge=1, description="factor by which events with four good leptons are enriched (with weight)"
    )
    pseudo_data_pool: float = Field(
        default=1.0, gt=0, description="factor on the numbers of events from which the pseudo-data are drawn"
    )


@dataclass(frozen=True)
class Part:
    """A run of the generator inside a task.

    Attributes:
        process: sample name, key of `PROCESSES`.
        slice: name of the slice.
        events: generated events.
        weight: of one generated event: `mcWeight` for samples, expected events at the luminosity for pseudo-data.
        channel: data-set number.

    """

    process: str
    slice: str
    events: int
    weight: float
    channel: int


@dataclass(frozen=True)
class SimulationTask:
    """One unit of simulation: the files it writes and everything that determines their content.

    Attributes:
        name: unique in a plan, usable as a file name.
        outputs: sample and path relative to the directory, for each file.
        key: hash of settings, response version, seed, parts and catalogue numbers.
        seed: seed of the configuration.
        spawn_key: place of the task's random streams below that seed (numpy SeedSequence).
        first_event: event numbers of the task start here.
        cross_section: for the side-car [pb]; None for pseudo-data.

    """

    name: str
    outputs: tuple[tuple[str, str], ...]
    key: str
    settings: Settings
    seed: int
    spawn_key: tuple[int, ...]
    parts: tuple[Part, ...]
    first_event: int
    cross_section: float | None
    luminosity: float | None


def plan(
    settings: Settings,
    samples: Sequence[str],
    catalogue: Mapping[str, Mapping[str, Any]],
    *,
    luminosity: float,
    seed: int,
) -> list[SimulationTask]:
    """List the tasks that make the given samples.

    Args:
        settings: sizes and options.
        samples: names of the samples wanted.
        catalogue: of each sample that is simulated, `dsid` and `xsec` [pb]; pseudo-data need those of all processes.
        luminosity: of the pseudo-data [1/pb].
        seed: of the configuration.

    Returns:
        tasks, the slowest kinds first; their number does not depend on the workers.

    Raises:
        UserError: no simulation of a sample is known, or the catalogue lacks a cross section.

    """
    for name in samples:
        if name not in PROCESSES and name not in DATA:
            raise UserError(f"no simulation of the sample {name!r} is known (known: {', '.join((*DATA, *PROCESSES))})")
    tasks: list[SimulationTask] = []
    streams = [name for name in DATA if name in samples]
    if streams:
        tasks += _plan_data(settings, streams, catalogue, luminosity, seed)
    order = ("ttbar_lep", "Zmumu", "Zee", "ZZ", "ggH125_ZZ4lep", "VBFH125_ZZ4lep")
    for name in order:
        if name in samples:
            tasks += _plan_sample(settings, name, catalogue, seed)
    return tasks


def _cross_section(settings: Settings, name: str, catalogue: Mapping[str, Mapping[str, Any]]) -> tuple[float, int]:
    """Give the cross section of what is generated [pb] and the data-set number."""
    entry = catalogue.get(name, {})
    if not entry.get("xsec") or not entry.get("dsid"):
        raise UserError(f"the catalogue has no cross section (xsec) or data-set number (dsid) of the sample {name!r}")
    process = PROCESSES[name]
    tau = 1.0 / LIGHT_LEPTON_PAIRS if process.pair and settings.taus else 1.0
    return float(entry["xsec"]) * process.correction * tau, int(entry["dsid"])


def _chunks(total: int, size: int) -> list[int]:
    """Split a number into equal parts of about `size`."""
    number = max(1, round(total / size))
    return [total // number + (k < total % number) for k in range(number)]


def _plan_sample(
    settings: Settings, name: str, catalogue: Mapping[str, Mapping[str, Any]], seed: int
) -> list[SimulationTask]:
    process = PROCESSES[name]
    cross_section, channel = _cross_section(settings, name, catalogue)
    wanted = getattr(settings.events, name) * settings.scale
    counts = [max(1, round(wanted * piece.share)) for piece in process.slices]
    tasks: list[SimulationTask] = []
    for piece, count in zip(process.slices, counts, strict=True):
        weight = piece.fraction * sum(counts) / count
        for chunk in _chunks(count, process.events_per_task):
            index = len(tasks)
            tasks.append(
                _task(
                    SimulationTask(
                        name=f"{name}-{index:04d}",
                        outputs=((name, f"MC/skim.mc_{channel}.{name}.{index:04d}.root"),),
                        key="",
                        settings=settings,
                        seed=seed,
                        spawn_key=(1 + list(PROCESSES).index(name), index),
                        parts=(Part(name, piece.name, chunk, weight, channel),),
                        first_event=index * _EVENT_STRIDE,
                        cross_section=cross_section,
                        luminosity=None,
                    )
                )
            )
    return tasks


def _plan_data(
    settings: Settings,
    streams: Sequence[str],
    catalogue: Mapping[str, Mapping[str, Any]],
    luminosity: float,
    seed: int,
) -> list[SimulationTask]:
    tasks: list[SimulationTask] = []
    for names in _DATA_TASKS:
        pools = {n: PROCESSES[n].pool * settings.pseudo_data_pool * max(luminosity / 1000.0, 0.1) for n in names}
        chunks = max(1, round(max(pools[n] / PROCESSES[n].events_per_task for n in names)))
        for _ in range(chunks):
            index = len(tasks)
            parts = []
            for name in names:
                cross_section, channel = _cross_section(settings, name, catalogue)
                for piece in PROCESSES[name].slices:
                    count = max(1, round(pools[name] * piece.share / chunks))
                    expected = luminosity / chunks * cross_section * piece.fraction
                    parts.append(Part(name, piece.name, count, expected / count, channel))
            tasks.append(
                _task(
                    SimulationTask(
                        name=f"Data-{index:04d}",
                        outputs=tuple((s, f"Data/skim.{s}.{index:04d}.root") for s in streams),
                        key="",
                        settings=settings,
                        seed=seed,
                        spawn_key=(0, index),
                        parts=tuple(parts),
                        first_event=1 + index * _EVENT_STRIDE,
                        cross_section=None,
                        luminosity=luminosity / chunks,
                    )
                )
            )
    return tasks


def _task(task: SimulationTask) -> SimulationTask:
    """Fill in the key; refuse a plan whose event numbers do not fit into the branch."""
    if task.first_event + _EVENT_STRIDE > _LARGEST_EVENT_NUMBER:
        raise UserError(
            f"simulation.scale or simulation.events asks for too many files of one sample ({task.name}): "
            f"at most {_LARGEST_EVENT_NUMBER // _EVENT_STRIDE} are possible"
        )
    content = {
        "response": atlas_response.VERSION,
        "generator": pythia.generator_version(),
        "settings": task.settings.model_dump(mode="json", exclude={"events", "scale"}),
        "processes": {p.process: asdict(PROCESSES[p.process]) for p in task.parts},
        "parts": [asdict(part) for part in task.parts],
        "outputs": task.outputs,
        "seed": (task.seed, task.spawn_key, task.first_event),
        "cross_section": task.cross_section,
        "luminosity": task.luminosity,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return replace(task, key=digest[:32])
