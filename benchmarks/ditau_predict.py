"""The rate of a ditau mass network on many events against one `model.predict` per event, and of `hepbatch predict`.

    python -m benchmarks.ditau_predict [--rows N] [--single N] [--repetitions N] [--events N] [--workers N]
                                       [--data FILE] [--neurons N]

The network is DNN1 of the source as it comes from its initialiser: 27 inputs, three layers of 1000, softplus. Its
weights do not matter to the rate.

- `all at once`: `training.ditau_model.ml_mass` on `--rows` events;
- `one by one`: `model.predict` on one event at a time, as the source's analyses call it, `--single` times after the
  first call, which compiles; both take turns, and the best rate of each counts;
- `hepbatch predict`: the whole command on a NanoAOD file of `--events` entries (those of `--data`, repeated), with its
  start-up, and the rate of its stage `predict` alone.

Exit status 1 if the masses of both ways differ by more than 1e-4, or all at once is not at least 1000 times as fast.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LEAST_RATIO, TOLERANCE = 1000, 1e-4


def make_model(directory: Path, neurons: int) -> None:
    """Writes an untrained network of the source's shape."""
    from training.ditau_model import write_facts
    from training.ditau_network import build_network
    from training.ditau_settings import FULL, ModelSettings

    settings = ModelSettings(neurons=neurons)
    build_network(settings).save(directory / "model.keras")
    ranges = dict.fromkeys(FULL, (-1e6, 1e6))
    facts = {"name": "DNN1", "model": "DNN1", "group": "inclusive", "method": "network", "features": list(FULL)}
    write_facts(directory, {**facts, "ranges": ranges, "files": ["model.keras"], "parameters": {}})


def model_rates(directory: Path, rows: int, single: int, repetitions: int) -> tuple[float, float, float]:
    """Best rates [events/s] all at once and one by one, and the largest difference over the mean mass."""
    import numpy as np

    from training.ditau_model import load_mass_model

    model = load_mass_model(directory)
    rng = np.random.default_rng(1)
    events = {name: rng.uniform(0, 200, rows).astype(np.float32) for name in model.inputs}
    model.predict({name: values[:1024] for name, values in events.items()})
    matrix = np.stack([events[name] for name in model.inputs], axis=1)
    network: Any = model.network
    network.predict(matrix[:1], verbose=0)
    best = [0.0, 0.0]
    for _ in range(repetitions):  # taking turns: what else the machine does is the same for both
        clock = time.perf_counter()
        mass = model.predict(events)
        best[0] = max(best[0], rows / (time.perf_counter() - clock))
        clock = time.perf_counter()
        one_by_one = [float(network.predict(matrix[k : k + 1], verbose=0)[0, 0]) for k in range(single)]
        best[1] = max(best[1], single / (time.perf_counter() - clock))
    # An untrained network gives masses around 0, too: differences are relative to their size on the whole.
    return best[0], best[1], float(np.max(np.abs(mass[:single] - one_by_one)) / np.mean(np.abs(one_by_one)))


def enlarge(source: Path, output: Path, events: int) -> int:
    """Repeats the entries of a NanoAOD file, in the branches that are read, up to `events`; gives how many."""
    import awkward as ak
    import uproot

    from processors.ditau_mass import branches
    from processors.nanoaod import resolve

    with uproot.open(source) as file:
        tree = file["Events"]
        names = resolve(branches("data"), set(tree.keys(recursive=False)), str(source))
        columns = {name: tree[name].array() for name in names}
        entries = int(tree.num_entries)
    lists = {name: array for name, array in columns.items() if array.ndim > 1}
    flat = {name: array.to_numpy() for name, array in columns.items() if array.ndim == 1 and f"n{name}" not in columns}
    collections: dict[str, Any] = {}
    for name, array in lists.items():
        collection, _, field = name.partition("_")
        collections.setdefault(collection, {})[field] = array
    flat = {name: values for name, values in flat.items() if name[1:] not in collections}
    filled = {**flat, **{name: ak.zip(fields) for name, fields in collections.items()}}
    types = {n: c.type.content if isinstance(c, ak.Array) else c.dtype for n, c in filled.items()}
    repeats = -(-events // entries)
    with uproot.recreate(output) as file:
        made = file.mktree("Events", types, counter_name=lambda n: f"n{n}", field_name=lambda o, i: f"{o}_{i}")
        for _ in range(repeats):
            made.extend(filled)
    return repeats * entries


def command_rates(model: Path, source: Path, directory: Path, events: int, workers: int) -> tuple[float, float, int]:
    """Entries per second of the whole command and of its stage `predict`, and how many entries were selected."""
    made = enlarge(source, directory / "many.root", events)
    command = [
        sys.executable, "-c", "from analysis.cli import main; main()", "predict", "ditau_mass", "--model", str(model),
        "--output", str(directory / "out"), "--workers", str(workers), str(directory / "many.root"),
    ]  # fmt: skip
    clock = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - clock
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    manifest = json.loads((directory / "out" / "manifest.json").read_text())
    selected = sum(one["selected"] for one in manifest["predictions"])
    return made / seconds, made / manifest["stages"]["predict"]["seconds"], selected


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the rates; 1 if a requirement is missed."""
    data = os.environ.get("HEPBATCH_TEST_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(description="Rate of a ditau mass network.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--single", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=Path(data) / "cms-nanoaod" / "nano_dy.root")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "model").mkdir()
        make_model(directory / "model", options.neurons)
        at_once, one_by_one, difference = model_rates(
            directory / "model", options.rows, options.single, options.repetitions
        )
        ratio = at_once / one_by_one
        sys.stdout.write(f"all at once:  {at_once:12,.0f} events/s ({options.rows:,d} events)\n")
        sys.stdout.write(f"one by one:   {one_by_one:12,.1f} events/s ({options.single:,d} events)\n")
        sys.stdout.write(f"ratio:        {ratio:12,.0f}, largest relative difference {difference:.1e}\n")
        if options.data.is_file():
            whole, stage, selected = command_rates(
                directory / "model", options.data, directory, options.events, options.workers
            )
            sys.stdout.write(
                f"hepbatch predict, {options.workers} workers: {whole:,.0f} entries/s with its start-up, {stage:,.0f} "
                f"in its stage predict ({selected:,d} entries selected)\n"
            )
        else:
            sys.stdout.write(f"hepbatch predict: not measured, {options.data} is not there\n")
    return 0 if ratio >= LEAST_RATIO and difference <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
