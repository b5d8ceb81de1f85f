"""What the run engine costs per work item: 100,000 items of a processor that does nothing, interrupted twice.

    python -m benchmarks.engine_noop [--items N] [--files N] [--workers N] [--peer-items N] [--directory DIR]

`hepbatch skim` on a local cluster of two workers, one item per entry of a ROOT tree with one branch. The first session
is killed (-9, the driver) at about a third of the items, the second gets Ctrl-C at about two thirds, the third ends it.
The wall time is that of all three, with their start-up, what the kill lost, and the clean end of the second. Memory is
the resident size of each process, looked at every 0.1 s; the driver's growth is its peak less what it had when the
first item of a session reached a worker, the largest of the three sessions.

Peers, in the same minute and on an equal number of workers, a smaller number of items each: coffea's own Runner with
its DaskExecutor (same file, chunk size and processor), and `client.map` of a function that does nothing. Neither keeps
books, and neither could be interrupted. Their start-up is not counted; ours is given with and without.

Exit status 1 if the last session does not end with 0, not every entry is counted exactly once, the driver grows by
200 MB or more, or an item takes 3 ms of wall time or more.
"""

import argparse
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

SAMPLE, TREE = "Nothing", "events"
LARGEST_GROWTH, LONGEST_ITEM = 200e6, 3.0e-3
BASKET = 1000  # entries
LOOK, LOOK_INTO_LEDGER = 0.1, 0.5  # [s]
CATALOGUE = """
label: none
sqrt_s_tev: 13
tree: events
weight_branch: x
layout: {data: "Data/{sample}.root", simulation: "MC/{dsid}.{sample}.root"}
samples:
  Nothing: {role: data, process: Data}
"""


@dataclass
class Usage:
    """The processes of one kind in a session: the largest resident size of one [bytes], and their CPU time [s]."""

    peak: int = 0
    cpu: dict[int, float] = field(default_factory=dict)

    def look(self, process: psutil.Process) -> int:
        """Takes one process into account; gives its resident size."""
        with process.oneshot():
            resident = int(process.memory_info().rss)
            times = process.cpu_times()
        self.peak = max(self.peak, resident)
        self.cpu[process.pid] = times.user + times.system
        return resident


@dataclass
class Session:
    """One run of the command: its end, wall time [s], time until an item began, and what its processes used."""

    status: int
    seconds: float
    start_up: float
    done: int
    at_first: int
    usage: dict[str, Usage]

    @property
    def growth(self) -> int:
        """By how much the driver's memory grew after the first item [bytes]."""
        return self.usage["driver"].peak - self.at_first if self.at_first else 0


def make_input(directory: Path, items: int, files: int) -> None:
    """ROOT files with `items` entries in all, in small baskets."""
    import numpy as np
    import uproot

    directory.mkdir()
    for number in range(files):
        start, stop = number * items // files, (number + 1) * items // files
        with uproot.recreate(directory / f"{SAMPLE}.{number:04d}.root") as file:
            tree = file.mktree(TREE, {"x": np.dtype("i4")})
            for first in range(start, stop, BASKET):
                tree.extend({"x": np.arange(first, min(first + BASKET, stop), dtype="i4")})


def make_analysis(directory: Path) -> None:
    """The YAML files of an analysis whose processor does nothing."""
    (directory / "catalogue.yaml").write_text(CATALOGUE)
    module = {"module": "benchmarks.noop_processor"}
    content = {
        "name": "engine_noop", "title": "Nothing", "datasets": str(directory / "catalogue.yaml"), "seed": 1,
        "source": str(directory / "input"), "chunk_size": 1,
        "processor": {**module, "began": str(directory / "began")}, "training": module, "results": module,
    }  # fmt: skip
    (directory / "analysis.yaml").write_text(json.dumps(content))  # JSON is YAML


def hepbatch(directory: Path, workers: int, until: int | None, end: signal.Signals | None) -> Session:
    """One session, which gets the signal `end` when `until` entries are done."""
    command = [sys.executable, "-c", "from analysis.cli import main; main()", "skim", str(directory / "analysis.yaml")]
    command += ["--workers", str(workers), "--output", str(directory / "run")]
    root = str(Path(__file__).resolve().parents[1])
    began = directory / "began"
    began.unlink(missing_ok=True)
    usage = {"driver": Usage(), "scheduler": Usage(), "worker": Usage()}
    others: dict[psutil.Process, str] = {}
    at_first, start_up, done, sent, looked = 0, 0.0, 0, False, 0.0
    started = time.perf_counter()
    with (directory / "log").open("ab") as log:
        driver = psutil.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": root})
        while driver.poll() is None:
            now = time.perf_counter() - started
            for name, look in [("driver", driver), *((name, one) for one, name in others.items())]:
                try:
                    resident = usage[name].look(look)
                except psutil.Error:  # it has ended
                    continue
                if name == "driver" and not at_first and began.exists():
                    at_first, start_up = resident, now
            if now - looked > LOOK_INTO_LEDGER:
                looked, others, done = now, children(driver), entries_done(directory)
                if until is not None and end is not None and done >= until and not sent:
                    driver.send_signal(end)
                    sent = True
            time.sleep(LOOK)
    seconds = time.perf_counter() - started
    return Session(driver.returncode, seconds, start_up, entries_done(directory), at_first, usage)


def children(driver: psutil.Process) -> dict[psutil.Process, str]:
    """The scheduler and the workers that a driver has started."""
    found = {}
    try:
        for process in driver.children(recursive=True):
            line = " ".join(process.cmdline())
            if "scheduler_process" in line or "spawn_main" in line:
                found[process] = "scheduler" if "scheduler_process" in line else "worker"
    except psutil.Error:
        pass
    return found


def entries_done(directory: Path) -> int:
    """Entries in the committed sums of the run."""
    path = directory / "run" / "ledger" / "ledger.sqlite"
    if not path.exists():
        return 0
    try:
        # What a killed run leaves half written is the next run's to put right: whoever only looks must not write.
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            rows = database.execute("SELECT content FROM sums WHERE stage = 'skim'").fetchall()
    except sqlite3.OperationalError:
        return 0
    return sum(int(json.loads(content)["entries"]) for (content,) in rows)


def states(directory: Path) -> Counter[str]:
    """How many items of the run are in each state."""
    with closing(sqlite3.connect(directory / "run" / "ledger" / "ledger.sqlite")) as database:
        return Counter(dict(database.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall()))


def coffea_dask(paths: Sequence[str], items: int, workers: int) -> tuple[float, int]:
    """Seconds of coffea's Runner with its DaskExecutor for so many items, and the driver's growth."""
    from coffea import processor
    from coffea.nanoevents import BaseSchema
    from distributed import Client

    from benchmarks.noop_processor import Settings, build

    with _local_cluster(workers) as cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        executor = processor.DaskExecutor(client=client, status=False)
        runner = processor.Runner(
            executor=executor, schema=BaseSchema, chunksize=1, maxchunks=items, align_clusters=False
        )
        fileset = {SAMPLE: {"files": dict.fromkeys(paths, TREE), "metadata": {}}}
        chunks = list(runner.preprocess(fileset))
        client.gather(client.map(_import_coffea, range(workers), pure=False))
        before, started = psutil.Process().memory_info().rss, time.perf_counter()
        result = runner.run(chunks, processor_instance=build(Settings(), luminosity=None, skim_directory=None))
        seconds = time.perf_counter() - started
        growth = psutil.Process().memory_info().rss - before
        entries = result[SAMPLE]["entries"] if SAMPLE in result else result["out"][SAMPLE]["entries"]
        if entries != items:
            raise RuntimeError(f"coffea processed {entries} of {items} entries")
        return seconds, growth


def client_map(_paths: Sequence[str], items: int, workers: int) -> tuple[float, int]:
    """Seconds of `client.map` of a function that does nothing over so many items, and the driver's growth."""
    from distributed import Client

    with _local_cluster(workers) as cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        before, started = psutil.Process().memory_info().rss, time.perf_counter()
        answers = client.gather(client.map(_nothing, range(items), pure=False))
        seconds = time.perf_counter() - started
        if sum(answers) != items:
            raise RuntimeError("client.map lost items")
        return seconds, psutil.Process().memory_info().rss - before


def _local_cluster(workers: int) -> Any:
    from distributed import LocalCluster

    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL)


def _nothing(item: int) -> int:  # noqa: ARG001
    return 1


def _import_coffea(item: int) -> int:
    import coffea.nanoevents
    import coffea.processor  # noqa: F401

    return item


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the tables and gives the exit status."""
    parser = argparse.ArgumentParser(description="cost of the run engine per work item")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer-items", type=int, default=4000, help="items of coffea's executor, 0: no peers")
    parser.add_argument("--directory", help="where to work, kept afterwards [a temporary directory]")
    options = parser.parse_args(arguments)
    # Where this was started in the background it is ignored, and the sessions would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="hepbatch-benchmark-") as temporary:
        directory = Path(options.directory or temporary).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        make_input(directory / "input", options.items, options.files)
        make_analysis(directory)
        say(f"{options.items} items in {options.files} files, {options.workers} workers; {load()}")
        plan: list[tuple[int | None, signal.Signals | None]] = [
            (options.items // 3, signal.SIGKILL), (2 * options.items // 3, signal.SIGINT), (None, None)
        ]  # fmt: skip
        sessions = [hepbatch(directory, options.workers, until, end) for until, end in plan]
        passed = report(sessions, directory, options.items)
        if options.peer_items:
            peers(sessions, directory, options.items, options.peer_items, options.workers)
        say(load())
    return int(not passed)


def report(sessions: list[Session], directory: Path, items: int) -> bool:
    """Prints what the sessions took; whether the requirements are met."""
    say(
        f"{'session':8} {'status':>6} {'done':>8} {'wall s':>7} {'start s':>7} | resident MB: {'driver first':>12} "
        f"{'peak':>5} {'growth':>6} {'scheduler':>9} {'worker':>6} | "
        f"CPU s: {'driver':>6} {'scheduler':>9} {'workers':>7}"
    )
    for number, one in enumerate(sessions, start=1):
        driver, scheduler, worker = (one.usage[name] for name in ("driver", "scheduler", "worker"))
        cpu = [sum(usage.cpu.values()) for usage in (driver, scheduler, worker)]
        say(
            f"{number:<8} {one.status:>6} {one.done:>8} {one.seconds:7.1f} {one.start_up:7.1f} | {'':12} "
            f"{one.at_first / 1e6:12.0f} {driver.peak / 1e6:5.0f} {one.growth / 1e6:6.0f} {scheduler.peak / 1e6:9.0f} "
            f"{worker.peak / 1e6:6.0f} |        {cpu[0]:6.1f} {cpu[1]:9.1f} {cpu[2]:7.1f}"
        )
    for name in ("driver", "scheduler", "worker"):
        used = sum(sum(one.usage[name].cpu.values()) for one in sessions)
        say(f"{name}: {1e3 * used / items:.3f} ms of CPU time per item, start-up included")
    wall = sum(one.seconds for one in sessions)
    growth = max(one.growth for one in sessions)
    ended = [one.status for one in sessions]
    path = directory / "run" / "cutflow.json"
    counted = json.loads(path.read_text())[SAMPLE]["all"]["events"] if path.exists() else 0
    checks = {
        f"exit statuses {ended}, required {[-signal.SIGKILL, 128 + signal.SIGINT, 0]}": ended
        == [-signal.SIGKILL, 128 + signal.SIGINT, 0],
        f"{counted} entries counted, states {dict(states(directory))}, required {items}": counted == items
        and states(directory) == {"done": items},
        f"driver grows by {growth / 1e6:.0f} MB, required < {LARGEST_GROWTH / 1e6:.0f} MB": growth < LARGEST_GROWTH,
        f"{1e3 * wall / items:.3f} ms per item ({wall:.0f} s), required < {1e3 * LONGEST_ITEM:.0f} ms": wall / items
        < LONGEST_ITEM,
    }
    for text, passed in checks.items():
        say(f"{'passed' if passed else 'FAILED'}: {text}")
    return all(checks.values())


def peers(sessions: list[Session], directory: Path, items: int, peer_items: int, workers: int) -> None:
    """Prints the time per item of the peers, and our ratio to them."""
    wall = sum(one.seconds for one in sessions)
    ours = {"with start-up": wall / items, "without": (wall - sum(one.start_up for one in sessions)) / items}
    paths = sorted(str(path) for path in (directory / "input").glob("*.root"))
    contestants: dict[str, tuple[Callable[[Sequence[str], int, int], tuple[float, int]], int]] = {
        "coffea Runner, DaskExecutor": (coffea_dask, min(items, peer_items)),
        "client.map of nothing": (client_map, items),
    }
    spawn = multiprocessing.get_context("spawn")
    for name, (call, number) in contestants.items():
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            seconds, growth = pool.submit(call, paths, number, workers).result()
        each = seconds / number
        ratios = ", ".join(f"{each / own:.2f} times ours {what}" for what, own in ours.items())
        say(f"{name}: {1e3 * each:.3f} ms per item of {number} ({growth / 1e6:.0f} MB more in the driver), {ratios}")


def load() -> str:
    """How busy this machine is."""
    return "load of this machine: " + ", ".join(f"{load:.1f}" for load in os.getloadavg())


def say(text: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
