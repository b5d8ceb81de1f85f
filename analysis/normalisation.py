"""Which part of a sample was processed, and by what its yields are scaled where it was not the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.collecting import Collected
from analysis.datasets.samples import Sample, read_side_car
from analysis.engine.items import Failure, OpenedFile

# A part of a file: path, first entry, and the entry after the last (None: to the end of the file).
Part = tuple[str, int, int | None]
Sums = Callable[[list[Part]], list[float | None]]
# A sum of weights within this of the published total is that of the whole sample.
WHOLE = 1e-6


@dataclass(frozen=True)
class Accounts:
    """What the manifest says of a sample. `scale` is None where the yield is unknown."""

    sample: Sample
    entries: int | None
    processed: int
    scale: float | None
    flags: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The sample's entry of manifest.json."""
        sample = self.sample
        return {
            "role": sample.role,
            "process": sample.process,
            "source": sample.origin,
            "simulated": sample.simulated,
            "files": len(sample.files),
            "entries": self.entries,
            "processed": self.processed,
            "scale": self.scale,
            "xsec_pb": sample.xsec,
            "sumw": sample.sumw,
            "reduction_efficiency": sample.reduction_efficiency,
            "flags": list(self.flags),
        }


def account(
    sample: Sample, files: Sequence[OpenedFile], collected: Collected, failures: Sequence[Failure], sums: Sums
) -> Accounts:
    """Entries, processed entries and scale of a sample.

    The scale is (sum of generator weights over all catalogued entries) / (the same over the processed ones); 1 where
    everything was processed, and for data whose whole is unknown. It is None, with a flag that says why, where the
    total is unknown or nothing was processed. `sums` gives the sum of weights of parts of files, None where it fails.
    A sample whose published total is known, recorded or simulated, is scaled to it; the flags say how many entries
    were lost all the same.
    """
    opened = {file.path: file.entries for file in files if file.sample == sample.name}
    failed = [failure for failure in failures if failure.sample == sample.name]
    entries = _entries(sample, opened)
    processed = collected.entries(sample.name)
    whole_files = not failed and len(opened) == len(sample.files)
    done = collected.sum_of_weights(sample.name)
    whole = "unknown" if entries is None else str(entries)
    flag = f"{processed} of {whole} entries were processed"
    if sample.total_weight is not None and done > 0:
        scale = sample.total_weight / done
        lost = () if whole_files else (flag,)
        scaled = (f"weights scaled by {scale:.6g} to the total of the published sample",)
        return Accounts(sample, entries, processed, scale, lost if abs(scale - 1) < WHOLE else (*lost, *scaled))
    if whole_files:
        return Accounts(sample, entries, processed, 1.0, ())
    if sample.role == "data":
        return Accounts(sample, entries, processed, 1.0 if processed else None, (flag,))
    if not processed:
        return Accounts(sample, entries, processed, None, (f"{flag}: the yield is unknown",))
    rest = _unprocessed(sample, set(opened), failed, sums)
    if rest is None or done == 0:
        return Accounts(sample, entries, processed, None, (f"{flag}, the weights of the rest are unknown: no yield",))
    scale = (done + rest) / done
    return Accounts(sample, entries, processed, scale, (f"{flag}: yields scaled by {scale:.6g}",))


def _entries(sample: Sample, opened: dict[str, int]) -> int | None:
    """Entries of all files of a sample: counted where a file was opened, from its side-car otherwise."""
    total = 0
    for path in sample.files:
        side_car = None if path in opened else read_side_car(path)
        entries = opened.get(path, side_car.entries if side_car is not None else None)
        if entries is None:
            return None
        total += entries
    return total


def _unprocessed(sample: Sample, opened: set[str], failed: list[Failure], sums: Sums) -> float | None:
    """Sum of generator weights over what was not processed, or None where a part of it cannot be known."""
    known = 0.0
    parts: list[Part] = [(failure.file, failure.start or 0, failure.stop) for failure in failed]
    for path in sample.files:
        if path in opened:
            continue
        side_car = read_side_car(path)
        if side_car is not None and side_car.sum_mcweight is not None:
            known += side_car.sum_mcweight
        else:
            parts.append((path, 0, None))
    read = sums(parts) if parts else []
    return None if None in read else known + sum(part for part in read if part is not None)
