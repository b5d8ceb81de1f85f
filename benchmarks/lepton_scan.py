"""What the scan of network structures (36) costs: all of them in one stack, and the same networks one by one.

    python -m benchmarks.lepton_scan [--seeds 2] [--leptons 2000] [--epochs 901] [--nodes 6] [--threads 2]
                                     [--file ttbar_leptons.root]

Networks of 1 to 6 (`--nodes`) nodes in two hidden layers, full-batch gradient descent, as `hepbatch run lepton_id`
scans them. Both ways run in one process, one after the other, compilation included, and must give the same accuracies.
Both have the same threads (`--threads`; all cores, one with a GPU): the stack is divided among them, and of the single
networks so many are under way at a time. One by one, a network has its own width, and networks of equal shape share the
compiled step. Without `--file` the leptons are made.

Exit status 1 if an accuracy differs by more than 5 test leptons in a thousand. Times are printed, not judged: they say
as much about the machine.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

#: A lepton whose score is at 0.5 may fall on either side by the rounding of sums.
LARGEST_DIFFERENCE = 0.005


def made_leptons(number: int) -> tuple[np.ndarray, np.ndarray]:
    """E^2 - p^2 [GeV^2] with the rounding of single precision, and labels, of leptons with falling momenta."""
    from processors.lepton_mass import ELECTRON_MASS, MUON_MASS, Stored

    rng = np.random.default_rng(1)
    label = np.arange(number) % 2
    pt, eta = 15 + rng.exponential(50.0, number), rng.uniform(-2.5, 2.5, number)
    energy = np.hypot(pt * np.cosh(eta), np.where(label == 1, MUON_MASS, ELECTRON_MASS))
    stored = [values.astype(np.float32) for values in (pt, eta, rng.uniform(-3, 3, number), energy)]
    return Stored(*stored).columns()["p2_minus_e2"], label


def leptons_of(path: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of the first leading leptons of a file with the tree `worldTree`."""
    from processors.lepton_id import SCHEMAS
    from processors.lepton_id_processor import leading_columns
    from processors.readers import read_root

    chunk = read_root(str(path), "worldTree", SCHEMAS["worldTree"].branches, 0, number, {})
    columns = leading_columns(chunk)[0]
    return columns["p2_minus_e2"], columns["is_muon"].astype(np.int64)


def positive(text: str) -> int:
    """A whole number above zero, from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def measured(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, wall time and processor time [s]."""
    start, used = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - start, time.process_time() - used


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and compares; 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=positive, default=2, help="trainings of each structure")
    parser.add_argument("--leptons", type=positive, default=2000, help="training leptons; as many test")
    parser.add_argument("--epochs", type=positive, default=901)
    parser.add_argument("--nodes", type=positive, default=6, help="most nodes of a layer")
    parser.add_argument("--threads", type=positive, help="of both ways; all cores by default, one with a GPU")
    parser.add_argument("--file", type=Path, help="file with the tree worldTree")
    options = parser.parse_args(arguments)
    if options.file and not options.file.is_file():
        parser.error(f"there is no file {options.file}")
    from training.backend import available_cores, backend_name, has_gpu
    from training.lepton_networks import Task, Trained, train
    from training.lepton_settings import Steps
    from training.stacked_steps import forget_compiled

    number = 2 * options.leptons
    feature, label = leptons_of(options.file, number) if options.file else made_leptons(number)
    rows = np.arange(len(label))
    train_rows, test_rows = rows[: options.leptons], rows[options.leptons :]
    table = (feature / feature[train_rows].mean())[:, None]
    nodes = range(1, options.nodes + 1)
    shapes = [(one, two) for one in nodes for two in nodes for _ in range(options.seeds)]
    members = [
        Task(table, label, train_rows, test_rows, shape, np.random.SeedSequence(5, spawn_key=(place,)))
        for place, shape in enumerate(shapes)
    ]
    recipe = Steps(learning_rate=0.02, epochs=options.epochs, evaluate_every=options.epochs)
    threads = options.threads or (1 if has_gpu() else available_cores())
    say(
        f"{len(members)} networks of {len(set(shapes))} structures, {len(train_rows)} training leptons, "
        f"{options.epochs} epochs, "
        f"{backend_name()}, {'GPU' if has_gpu() else f'{available_cores()} cores'}, {threads} thread(s) for both ways, "
        f"load {os.getloadavg()[0]:.1f}"
    )

    def one_by_one() -> list[Trained]:
        with ThreadPoolExecutor(threads) as executor:
            return list(executor.map(lambda member: train([member], recipe, threads=1)[0], members))

    stacked, wall, cpu = measured(lambda: train(members, recipe, threads=threads))
    forget_compiled()
    single, own_wall, own_cpu = measured(one_by_one)
    say(f"{'stacked':12} {wall:8.2f} s wall {cpu:8.2f} s processor")
    say(f"{'one by one':12} {own_wall:8.2f} s wall {own_cpu:8.2f} s processor")
    accuracies = [
        [float(((one.scores > 0.5) == (label[test_rows] == 1)).mean()) for one in found] for found in (stacked, single)
    ]
    difference = float(np.abs(np.subtract(*accuracies)).max())
    say(
        f"one by one / stacked: {own_wall / wall:.2f} (wall), {own_cpu / cpu:.2f} (processor), both with {threads} "
        f"thread(s); largest difference of an accuracy {difference:.4f}"
    )
    if difference > LARGEST_DIFFERENCE:
        say("MISSED: the two ways differ")
        return 1
    return 0


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
