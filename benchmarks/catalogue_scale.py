"""What a large catalogue costs: 20,000 files with 1e9 events, fetched, planned, distributed and accounted for.

    python -m benchmarks.catalogue_scale [--files N] [--events N] [--datasets N] [--chunk N] [--workers N]
                                         [--extrapolate N] [--directory DIR]

`hepbatch skim --source opendata` on a local cluster of two workers, with a processor that does nothing, over a
catalogue with lists of files (`stand_ins`): each is a real ROOT file of its own, and all of its entries are read. They
are in the cache already, where their checksums are verified. All of it is done with a tenth of the files first, so that
what grows with their number can be told from what does not. Of each size there are three sessions: the driver of the
first is killed (-9) at about a third of the events, the second goes on to the end, and the third finds nothing to do.

`fetch`, `plan` and `skim` are the stages of the manifest, of the session named. Memory is the largest resident size of
one process, looked at every 0.1 s; CPU time is that of all processes of a kind in all three sessions. The last column
is for the number of files `--extrapolate` with as many workers (`extrapolated`).

Exit status 1 where a session ends otherwise than it should, an entry is not counted exactly once, an item is not done,
or the third session opens a file or processes an item.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine_noop import Session, hepbatch, load, say, states
from benchmarks.stand_ins import Size, make_analysis

SMALLER = 10  # how many times fewer files the first size has
KINDS = ("driver", "scheduler", "worker")


@dataclass
class Measured:
    """One size: its sessions, their stages as the manifest has them, and what the run directory took [bytes]."""

    size: Size
    input_bytes: int
    sessions: list[Session]
    stages: list[dict[str, Any]]
    ledger_bytes: int
    manifest_bytes: int
    counted: int
    done: int

    def figures(self) -> dict[str, float]:
        """What is compared between the sizes, by name with unit."""
        first, second, third = self.stages
        rate = max(1, second["skim"]["done_now"]) / second["skim"]["seconds"]
        found = {
            "fetch, checksums of all files [s]": first["fetch"]["seconds"],
            "plan, every file opened [s]": first["plan"]["seconds"],
            "plan again, third session [s]": third["plan"]["seconds"],
            "skim, all at the second session's rate [s]": self.size.items / rate,
            "sessions, all three [s]": sum(one.seconds for one in self.sessions),
            "ledger [MB]": self.ledger_bytes / 1e6,
            "manifest [MB]": self.manifest_bytes / 1e6,
        }
        for kind in KINDS:
            found[f"{kind}: largest resident size [MB]"] = max(one.usage[kind].peak for one in self.sessions) / 1e6
            found[f"{kind}: CPU time [s]"] = sum(sum(one.usage[kind].cpu.values()) for one in self.sessions)
        return found

    def problems(self) -> list[str]:
        """A sentence for everything that is not as it must be."""
        ended = [one.status for one in self.sessions]
        second, third = self.stages[1]["skim"], self.stages[2]
        opened = self.size.files - third["plan"]["remembered"]
        checks = {
            f"exit statuses {ended}, required [-9, 0, 0]": ended == [-signal.SIGKILL, 0, 0],
            f"{self.counted} entries counted, required {self.size.events}": self.counted == self.size.events,
            f"{self.done} items done, required {self.size.items}": self.done == self.size.items,
            f"the second session kept {second['kept']} items and did {second['done_now']}": second["kept"] > 0
            and second["done_now"] > 0,
            f"the third session opened {opened} files": opened == 0,
            f"the third session processed {third['skim']['done_now']} items": third["skim"]["done_now"] == 0,
        }
        return [text for text, right in checks.items() if not right]


def measure(directory: Path, size: Size, workers: int) -> Measured:
    """Makes the catalogue of a size in a new directory, and runs its three sessions."""
    directory.mkdir(parents=True)
    input_bytes = make_analysis(directory, size)
    sessions, stages = [], []
    for until, end in ((size.events // 3, signal.SIGKILL), (None, None), (None, None)):
        sessions.append(hepbatch(directory, workers, until, end))
        manifest = directory / "run" / "manifest.json"
        stages.append(json.loads(manifest.read_text())["stages"])
    counted = json.loads((directory / "run" / "cutflow.json").read_text())
    return Measured(
        size,
        input_bytes,
        sessions,
        stages,
        sum(path.stat().st_size for path in (directory / "run" / "ledger").iterdir()),
        manifest.stat().st_size,
        sum(int(cuts["all"]["events"]) for cuts in counted.values()),
        states(directory)["done"],
    )


def extrapolated(small: Measured, large: Measured, files: int) -> dict[str, float]:
    """Every figure at another number of files: CPU times and sizes on the line through both, wall times in proportion.

    The wall time of the small size is for a large part the start of the workers, in which the line would see a gain.
    """
    low, high = small.figures(), large.figures()
    beyond = (files - large.size.files) / (large.size.files - small.size.files)
    times = files / large.size.files
    return {
        name: value + beyond * (value - low[name]) if "CPU" in name or "MB" in name else value * times
        for name, value in high.items()
    }


def report(small: Measured, large: Measured, files: int) -> bool:
    """Prints the figures of both sizes and at `files`; whether all is accounted for."""
    low, high, far = small.figures(), large.figures(), extrapolated(small, large, files)
    times = files / large.size.files
    for text, one, two in (
        ("files", small.size.files, large.size.files),
        ("events", small.size.events, large.size.events),
        ("work items", small.size.items, large.size.items),
        ("bytes of all files", small.input_bytes, large.input_bytes),
    ):
        say(f"{text:42} {one:>14,} {two:>14,} {round(two * times):>14,}")
    for name in high:
        say(f"{name:42} " + " ".join(f"{one[name]:>14,.1f}" for one in (low, high, far)))
    for kind in KINDS[:2]:
        name = f"{kind}: CPU time [s]"
        each = (high[name] - low[name]) / (large.size.items - small.size.items)
        say(
            f"{kind}: {1e3 * each:.2f} ms of CPU time per further item, all stages: {1 / each:.0f} items/s keep it busy"
        )
    problems = [f"{one.size.files} files: {text}" for one in (small, large) for text in one.problems()]
    for text in problems:
        say(f"FAILED: {text}")
    if not problems:
        say("passed: every entry counted once, every item done, nothing done again")
    return not problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table and gives the exit status."""
    parser = argparse.ArgumentParser(description="cost of a large catalogue")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=10**9)
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--chunk", type=int, default=25_000, help="entries per work item")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--extrapolate", type=int, default=200_000, help="number of files")
    parser.add_argument("--directory", help="where to work, kept afterwards [a temporary directory]")
    options = parser.parse_args(arguments)
    if options.files % (SMALLER * options.datasets) or options.events % options.files:
        parser.error(
            f"--files must be a multiple of {SMALLER} times --datasets, and --events one of --files: "
            "both sizes have the same files"
        )
    large = Size(options.datasets, options.files, options.events, options.chunk)
    small = Size(options.datasets, options.files // SMALLER, options.events // SMALLER, options.chunk)
    with tempfile.TemporaryDirectory(prefix="hepbatch-benchmark-") as temporary:
        directory = Path(options.directory or temporary).resolve()
        say(f"{options.workers} workers, {options.datasets} data sets; {load()}")
        measured = [
            measure(directory / name, size, options.workers) for name, size in (("small", small), ("large", large))
        ]
        passed = report(measured[0], measured[1], options.extrapolate)
        say(load())
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
