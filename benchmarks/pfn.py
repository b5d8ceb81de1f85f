"""Particle flow networks: one training against EnergyFlow's own, a stack against one by one, and many on one device.

    python -m benchmarks.pfn [--jets N] [--epochs N] [--trainings N] [--device auto|cpu|gpu] [--file MOD.h5 ...]

The source's size is `--jets 12000 --epochs 10`, all of it on a GPU `--trainings 600`; the defaults are smaller, so that
everything ends in some minutes on two cores. Jets are quarks against gluons of simulated MOD files, or made: of
two classes that overlap, 45 particles on average. All networks have the same layers, batches and Adam, and learn from
the same jets.

1. One training, building and compiling included, of `hepbatch`, of EnergyFlow's PFN and of a Keras model compiled by
   XLA, both padded to 160 particles; what is made before the clock starts are the padded tables and our pool of jets.
   They take turns, `--rounds` times, each in a new process, which trains once more without compiling. Ratios are means
   of the rounds', with the error from their spread: the speed of a machine changes. AUCs are those of the first round.
2. Eight networks one by one, and their stack, an epoch each, in turns.
3. `--trainings` networks in stacks as large as the memory allows: time with everything compiled in it, achieved FLOP/s,
   and what the formula of `benchmarks.pfn_cost` says of this device, measured by a matrix product and a copy, and of
   others, by their data sheets.

Exit status 1 if one training of ours is not 4 times as fast as EnergyFlow's, if its AUC differs by more than twice the
error (of the test jets, DeLong, and of the seed, from part 3), if the stack takes more than 1.05 of the time of one by
one, or if 600 trainings of the source's size take more than 60 s on a GPU. Below the source's size, where compiling
takes most of a training, trainings without it decide. Wall time decides on a GPU and on an idle machine; where other
work keeps the cores busy, the processor time that the process used does.
"""

import argparse
import importlib.util
import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pfn_contestants as contestants
from benchmarks.pfn_contestants import Plan, Stacks, Training
from benchmarks.pfn_cost import DEVICES, FRACTION, Device, Work, predicted
from benchmarks.pfn_jets import PADDED, auc, sample

FASTER = 4.0  # than EnergyFlow
LOSS_OF_A_STACK = 1.05  # "no slower", with what two runs of the same differ by
REPLICAS = 8
SOURCE_JETS, SOURCE_EPOCHS, SOURCE_TRAININGS = 12_000, 10, 600
REQUIRED_SECONDS, GOAL_SECONDS = 60.0, 20.0
#: Two AUCs are equal within so many errors of their difference.
ERRORS = 2.0


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a new process, which gives its memory and its device back."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result()


def choose_device(wanted: str, backend: str | None) -> bool:
    """Sets the backend and the device for the processes that follow; whether that is a GPU."""
    if wanted == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    named = backend or os.environ.get("KERAS_BACKEND")
    # JAX first: its whole epoch is one call on a GPU, too, and it is the smaller thing to install there.
    candidates = [named] if named else ["jax", "tensorflow"]
    if wanted != "cpu":
        for name in candidates:
            os.environ["KERAS_BACKEND"] = name
            if apart(contestants.gpu_seen):
                return True
    if wanted == "gpu":
        raise SystemExit(f"No GPU is seen by {' or '.join(candidates)}: --device cpu, or auto, runs without one.")
    os.environ["KERAS_BACKEND"] = named or "tensorflow"
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and compares; 1 if a requirement is missed."""
    options = parsed(arguments)
    left_out = set(filter(None, options.without.split(",")))
    if "energyflow" not in left_out and importlib.util.find_spec("tf_keras") is None:
        raise SystemExit("EnergyFlow's networks need the package tf_keras (extra `dev`), or --without energyflow.")
    gpu = choose_device(options.device, options.backend)
    jets = sample(options.file, options.jets, options.test_jets)
    plan = Plan(options.epochs, options.batch, options.stack)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    say(
        f"{options.jets} training and {options.test_jets} test jets of {jets.offsets[-1] / len(jets.label):.1f} "
        f"particles, {plan.epochs} epochs, batches of {plan.batch}, {os.environ['KERAS_BACKEND']}, "
        f"{'GPU' if gpu else f'{cores} cores'}, load {load:.1f}"
    )
    missed: list[str] = []
    peers = {"hepbatch": contestants.hepbatch, "Keras": contestants.keras_padded, "EnergyFlow": contestants.energyflow}
    trained: dict[str, list[Training]] = {name: [] for name in peers if name.lower() not in left_out}
    for _ in range(options.rounds):
        for name, its in trained.items():
            its.append(apart(peers[name], jets, plan))
    turns = apart(contestants.stack_against_alone, jets, plan, REPLICAS) if "stack" not in left_out else None
    stacks: Stacks | None = None
    if options.trainings:
        stacks = apart(contestants.many, jets, plan, options.trainings, apart(contestants.device))
    busy = not gpu and max(load, os.getloadavg()[0]) > 1.5 * cores
    say(f"load at the end {os.getloadavg()[0]:.1f}: {'processor' if busy else 'wall'} time decides\n")

    label = jets.label[options.jets :]
    whole = options.jets >= SOURCE_JETS and options.epochs >= SOURCE_EPOCHS
    spread = seed_spread(label, stacks)
    missed += report_trainings(trained, label, spread, busy=busy, whole=whole)
    missed += report_turns(turns, busy=busy) if turns else []
    missed += report_stacks(stacks, gpu=gpu, whole=whole) if stacks else []
    for sentence in missed:
        say(f"MISSED: {sentence}")
    return int(bool(missed))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jets", type=int, default=3000, help="training jets (the source: 12000)")
    parser.add_argument("--test-jets", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=4, help="the source: 10")
    parser.add_argument("--batch", type=int, default=500, help="jets per step")
    parser.add_argument("--rounds", type=int, default=2, help="turns of part 1")
    parser.add_argument("--trainings", type=int, default=8, help="of part 3 (the source: 600); 0 leaves it out")
    parser.add_argument("--stack", type=int, default=0, help="largest stack of part 3; 0: as memory allows")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--backend", choices=("tensorflow", "jax"), help="default: KERAS_BACKEND, or JAX on a GPU")
    parser.add_argument("--file", type=Path, nargs="+", default=[], help="simulated MOD HDF5 files")
    parser.add_argument("--without", default="", help="left out, with commas: keras, energyflow, stack")
    options = parser.parse_args(arguments)
    for name, least in (("jets", 1), ("test_jets", 100), ("epochs", 1), ("batch", 1), ("rounds", 2), ("trainings", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}")
    return options


def seed_spread(label: np.ndarray, stacks: Stacks | None) -> float:
    """Standard deviation of the AUC from seed to seed, with the same jets; 0 where it is not known."""
    if stacks is None or len(stacks.scores) < 2:
        return 0.0
    return float(auc(label, stacks.scores)[0].std(ddof=1))


def report_trainings(
    trained: dict[str, list[Training]], label: np.ndarray, spread: float, *, busy: bool, whole: bool
) -> list[str]:
    """Table of part 1; what was missed."""
    values, covariance = auc(label, np.stack([rounds[0].scores for rounds in trained.values()]))
    ours, missed = trained["hepbatch"], []
    say(
        f"1. {'one training':25} {'wall':>8} {'cpu':>8}  {'again: wall':>14} {'cpu':>8} {'AUC':>17}  (medians of times)"
    )
    for number, (name, rounds) in enumerate(trained.items()):
        times = [[one.first.wall, one.first.cpu, one.again.wall, one.again.cpu] for one in rounds]
        wall, cpu, again_wall, again_cpu = np.median(times, axis=0)
        title = name if number == 0 else f"{name}, padded to {PADDED}"
        error = float(np.sqrt(covariance[number, number]))
        say(
            f"   {title:25} {wall:6.2f} s {cpu:6.2f} s  {again_wall:12.2f} s {again_cpu:6.2f} s "
            f"{values[number]:8.4f} +- {error:.4f}"
        )
        if number == 0:
            continue
        ratios = _times_ours(rounds, ours)
        say("   times hepbatch: " + ", ".join(f"{what} {r:.2f} +- {e:.2f}" for what, (r, e) in ratios.items()))
        variance = covariance[0, 0] + covariance[number, number] - 2 * covariance[0, number]
        difference, error = values[0] - values[number], float(np.sqrt(variance + 2 * spread**2))
        say(f"   AUC of hepbatch less that of {name}: {difference:+.4f} +- {error:.4f} (seed to seed {spread:.4f})")
        if name == "EnergyFlow":
            if abs(difference) > ERRORS * error:
                missed.append(f"the AUC differs from that of EnergyFlow by {abs(difference) / error:.1f} errors")
            kind = f"{'processor' if busy else 'wall'} time{'' if whole else ' without compiling'}"
            ratio = ratios[kind][0]
            say(f"   {ratio:.2f} times as fast as EnergyFlow ({kind}); required {FASTER:g}")
            if ratio < FASTER:
                missed.append(f"one training is {ratio:.2f} times as fast as EnergyFlow's, not {FASTER:g}")
    return missed


def _times_ours(rounds: Sequence[Training], ours: Sequence[Training]) -> dict[str, tuple[float, float]]:
    """Means of the rounds' ratios, and their errors."""

    def ratio(clock: Callable[[Training], float]) -> tuple[float, float]:
        return mean_ratio([clock(one) for one in rounds], [clock(one) for one in ours])

    return {
        "wall time": ratio(lambda one: one.first.wall),
        "processor time": ratio(lambda one: one.first.cpu),
        "wall time without compiling": ratio(lambda one: one.again.wall),
        "processor time without compiling": ratio(lambda one: one.again.cpu),
    }


def report_turns(turns: tuple[list[contestants.Clock], list[contestants.Clock]], *, busy: bool) -> list[str]:
    """Part 2: the mean of the rounds' ratios, as the machine's speed changes from round to round; what was missed."""
    (alone, stacked), missed = turns, []
    wall, wall_error = mean_ratio([one.wall for one in stacked], [one.wall for one in alone])
    cpu, cpu_error = mean_ratio([one.cpu for one in stacked], [one.cpu for one in alone])
    say(
        f"2. an epoch of {REPLICAS} networks: one by one {np.median([one.wall for one in alone]):.2f} s, as a stack "
        f"{np.median([one.wall for one in stacked]):.2f} s; stack / one by one in {len(alone)} rounds "
        f"{wall:.2f} +- {wall_error:.2f} wall, {cpu:.2f} +- {cpu_error:.2f} cpu"
    )
    ratio = cpu if busy else wall
    if ratio > LOSS_OF_A_STACK:
        missed.append(f"a stack of {REPLICAS} takes {ratio:.2f} of the time of {REPLICAS} networks one by one")
    return missed


def mean_ratio(times: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Geometric mean of `times` / `others`, pair by pair, and its standard error, from the spread of the pairs."""
    logarithms = np.log(np.asarray(times) / np.asarray(others))
    mean = float(np.exp(logarithms.mean()))
    return mean, mean * float(logarithms.std(ddof=1)) / math.sqrt(len(logarithms))


def report_stacks(stacks: Stacks, *, gpu: bool, whole: bool) -> list[str]:
    """Part 3: measured and predicted; what was missed."""
    work, device, wall = stacks.work, stacks.device, stacks.clock.wall
    say(
        f"3. {work.trainings} trainings in {len(stacks.each)} stacks of {work.stack}: {wall:.2f} s wall, "
        f"{stacks.clock.cpu:.2f} s cpu, in it {stacks.compilations} compilations of {stacks.compile_wall:.2f} s each; "
        f"stacks {' '.join(f'{clock.wall:.2f}' for clock in stacks.each)} s"
    )
    compile_ = stacks.compilations * stacks.compile_wall
    say(
        f"   useful arithmetic {work.useful / 1e12:.3g} TFLOP: {work.useful / wall / 1e12:.3g} TFLOP/s, "
        f"{work.useful / max(wall - compile_, 1e-9) / 1e12:.3g} without compiling; "
        f"{work.slots / work.particles:.2f} slots per particle"
    )
    say(f"   {device.name}: {_facts(device)}, measured")
    terms = _say_prediction("   formula", work, device, compile_)
    limit = max(terms, key=lambda name: terms[name])
    say(f"   measured / formula {wall / sum(terms.values()):.2f}; what takes most of it: {limit}")
    size = f"{SOURCE_TRAININGS} x {SOURCE_JETS} jets x {SOURCE_EPOCHS} epochs"
    # What a processor prepares is no measure of what XLA compiles on a GPU.
    say(f"   the source's size ({size}), by data sheets{'' if gpu else ', without compiling'}:")
    for other in DEVICES.values():
        say(f"   {other.name}: {_facts(other)}")
        _say_prediction("     formula", source_work(work, *stacks.on_gpu), other, compile_ if gpu else 0.0)
    missed = []
    if gpu and whole and work.trainings >= SOURCE_TRAININGS:
        say(f"   required {REQUIRED_SECONDS:g} s, goal {GOAL_SECONDS:g} s")
        if wall > REQUIRED_SECONDS:
            missed.append(f"{work.trainings} trainings take {wall:.0f} s, not {REQUIRED_SECONDS:g}")
    return missed


def source_work(work: Work, slots: int, rows: int) -> Work:
    """Work of the source's size on a GPU: batches of the same jets, sums as matrix products, stacks of 200."""
    steps = -(-SOURCE_JETS // work.batch) * SOURCE_EPOCHS
    network = replace(work.network, add="matmul")
    return replace(work, network=network, trainings=SOURCE_TRAININGS, stack=200, steps=steps, slots=slots, rows=rows)


def _facts(device: Device) -> str:
    return (
        f"{device.peak / 1e12:.3g} TFLOP/s, {device.bandwidth / 1e9:.3g} GB/s, {device.launch * 1e6:.1f} us per kernel"
    )


def _say_prediction(begin: str, work: Work, device: Device, compile_: float) -> dict[str, float]:
    terms = predicted(work, device, compile_=compile_)
    shown = " + ".join(f"{name} {seconds:.2f}" for name, seconds in terms.items())
    say(f"{begin}: {sum(terms.values()):.1f} s = {shown} (fraction of the peak {FRACTION:g})")
    return terms


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
