"""Pythia 8 from Python: a generator, its event record as a numpy array, repeated hadronisation.

`pythia8mc` offers one method call per particle attribute, which costs more than generating the event. A
`Pythia8::Event` holds its particles in one `std::vector`, so the record is viewed as a structured array instead.
That rests on the memory layout of the C++ class: `RecordReader` compares the view with the accessors on the first
event of each generator and reads with the accessors for good where they differ.
"""

import ctypes
import importlib
import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import UserError

_LOGGER = logging.getLogger(__name__)

Record = NDArray[np.void]

# Pythia8::Particle of the 8.3 series on LP64: vtable pointer, 8 ints, Vec4, 3 doubles, bool, Vec4, tau, two pointers.
PARTICLE = np.dtype(
    {
        "names": [
            *("id", "status", "mother1", "mother2", "daughter1", "daughter2", "col", "acol"),
            *("px", "py", "pz", "e", "m", "scale", "pol", "has_vertex", "vx", "vy", "vz", "vt", "tau"),
        ],
        "formats": ["i4"] * 8 + ["f8"] * 7 + ["?"] + ["f8"] * 5,
        "offsets": [*range(8, 40, 4), *range(40, 96, 8), 96, *range(104, 144, 8)],
        "itemsize": 168,
    }
)

BOTTOM_HADRONS = (511, 521, 531, 541, 5122, 5132, 5232, 5332)
CHARM_HADRONS = (411, 421, 431, 4122, 4132, 4232, 4332)

_MAX_FAILURES = 100


def load() -> Any:
    """Give the module `pythia8mc`.

    Raises:
        UserError: it is not installed.

    """
    try:
        return importlib.import_module("pythia8mc")
    except ImportError as error:
        raise UserError(
            "the simulated source needs the package pythia8mc: install it with pip install 'hepbatch[simulation]'"
        ) from error


def generator_version() -> str:
    """Give name and version of the installed generator, such as `Pythia 8.317`; `Pythia` where there is none."""
    try:
        major, minor = importlib.metadata.version("pythia8mc").split(".")[:2]
    except importlib.metadata.PackageNotFoundError:
        return "Pythia"
    return f"Pythia {major}.{minor}"


def make(settings: Sequence[str], seed: int, hook: Any = None) -> Any:
    """Give an initialised `pythia8mc.Pythia`.

    Args:
        settings: lines in Pythia's own notation, `Group:name = value`.
        seed: 1 to 900,000,000 (Pythia's range).
        hook: a `pythia8mc.UserHooks`, which the caller must keep.

    Raises:
        UserError: pythia8mc is not installed.
        ValueError: Pythia does not know one of the settings.
        RuntimeError: the initialisation failed (every later `next()` would return False).

    """
    pythia = load().Pythia("", False)
    for line in ("Print:quiet = on", "Random:setSeed = on", f"Random:seed = {seed}", *settings):
        if not pythia.readString(line):
            raise ValueError(f"Pythia does not accept the setting {line!r}")
    if hook is not None:
        pythia.setUserHooksPtr(hook)
    if not pythia.init():
        raise RuntimeError(f"Pythia did not initialise with {', '.join(settings)}")
    return pythia


def force_semileptonic(pythia: Any) -> dict[int, float]:
    """Let weakly decaying b and c hadrons decay to electrons and muons only; give the branching fraction of that.

    The fractions are the sums of the generator's own table, by absolute particle number.
    """
    fractions: dict[int, float] = {}
    for hadron in (*BOTTOM_HADRONS, *CHARM_HADRONS):
        entry = pythia.particleData.particleDataEntryPtr(hadron)
        fraction = 0.0
        for index in range(entry.sizeChannels()):
            channel = entry.channel(index)
            products = {abs(channel.product(k)) for k in range(channel.multiplicity())}
            if products & {11, 13}:
                fraction += channel.bRatio()
        fractions[hadron] = fraction
        for line in (f"{hadron}:onMode = off", f"{hadron}:onIfAny = 11 13"):
            if not pythia.readString(line):
                raise ValueError(f"Pythia does not accept the setting {line!r}")
    return fractions


def _address(instance: Any) -> int:
    """Give the address of the C++ object that a pybind11 instance holds (after its two-word Python header)."""
    return int(ctypes.c_void_p.from_address(id(instance) + 2 * ctypes.sizeof(ctypes.c_void_p)).value or 0)


def view_record(event: Any) -> Record:
    """Give the particles of an event without copying; the array is valid until the generator's next event."""
    size = event.size()
    if size == 0:
        return np.zeros(0, PARTICLE)
    first = event[0]
    buffer = (ctypes.c_char * (size * PARTICLE.itemsize)).from_address(_address(first))
    return np.frombuffer(buffer, dtype=PARTICLE, count=size)


def copy_record(event: Any) -> Record:
    """Give the particles of an event through the official accessors (slow, and independent of the memory layout)."""
    record = np.zeros(event.size(), PARTICLE)
    for index in range(event.size()):
        p = event[index]
        record[index] = (
            *(p.id(), p.status(), p.mother1(), p.mother2(), p.daughter1(), p.daughter2(), p.col(), p.acol()),
            *(p.px(), p.py(), p.pz(), p.e(), p.m(), p.scale(), p.pol()),
            *(p.hasVertex(), p.xProd(), p.yProd(), p.zProd(), p.tProd(), p.tau()),
        )
    return record


def layout_matches(event: Any) -> bool:
    """Say whether `view_record` and `copy_record` agree for every particle of the event."""
    size = event.size()
    if size < 3:  # an address step needs neighbours
        return False
    addresses = [_address(event[index]) for index in range(size)]
    if set(np.diff(addresses).tolist()) != {PARTICLE.itemsize}:
        return False
    return bool(np.array_equal(view_record(event), copy_record(event)))


class RecordReader:
    """Reads event records: the fast view where a check on the first event allows it, the accessors otherwise."""

    def __init__(self) -> None:
        self._read: Callable[[Any], Record] | None = None

    def __call__(self, event: Any) -> Record:
        """Give the event's particles, valid until the next event of the generator."""
        if self._read is None:
            if layout_matches(event):
                self._read = view_record
            else:
                _LOGGER.warning(
                    "the memory layout of Pythia's event record is not the known one: reading with the slow accessors"
                )
                self._read = copy_record
        return self._read(event)


def _next(pythia: Any) -> None:
    for _ in range(_MAX_FAILURES):
        if pythia.next():
            return
    raise RuntimeError(f"Pythia failed {_MAX_FAILURES} times in a row to generate an event")


def events(pythia: Any, number: int) -> Iterator[Record]:
    """Yield the records of `number` successive events; each is valid until the next is asked for.

    Raises:
        RuntimeError: 100 attempts in a row failed.

    """
    read = RecordReader()
    for _ in range(number):
        _next(pythia)
        yield read(pythia.event)


def rehadronised_events(
    pythia: Any, number: int, repetitions: Callable[[Record], tuple[int, float]]
) -> Iterator[tuple[int, float, Record]]:
    """Generate partons once and hadronise them several times (for a generator with `HadronLevel:all = off`).

    Args:
        pythia: the generator.
        number: how many parton-level events to make.
        repetitions: given the parton-level record, how often to hadronise it (0: drop the event) and the weight of
            each hadronisation.

    Yields:
        number of the parton-level event, weight, record (valid until the next).

    Raises:
        RuntimeError: generation or hadronisation failed 100 times in a row.

    """
    copy_event = load().Event
    read = RecordReader()
    for index in range(number):
        _next(pythia)
        repeat, weight = repetitions(read(pythia.event))
        if not repeat:
            continue
        partons = copy_event(pythia.event)
        for _ in range(repeat):
            for _ in range(_MAX_FAILURES):
                pythia.event = partons
                if pythia.forceHadronLevel():
                    break
            else:
                raise RuntimeError(f"Pythia failed {_MAX_FAILURES} times in a row to hadronise an event")
            yield index, weight, read(pythia.event)
