"""The higgs4l skim of one worker against ROOT's RDataFrame: the same events, cuts, quantities and columns.

    python -m benchmarks.higgs4l_rdataframe [--data DIR] [--events N] [--repetitions N] [--chunk-size N]

Input: the real files of `--data` (a directory with `Data/*.root` and `MC/*.root`), repeated one after another in one
ROOT file of 600,000 events, all branches kept, written by ROOT with zlib level 1 as the real files are and ROOT's own
basket sizes. Because events repeat, LZ4 compresses the output of both sides better than it would real data.

Contestants, each in a process of its own, one thread, taking turns; the first turn of each, on a small file, is not
counted (ROOT compiles then):

- `hepbatch`: `processors.readers.read_root` and the processor, chunk by chunk: selection, cutflow, histogram, Parquet;
- `RDataFrame, TTree`: typed C++ compiled with -O2, Snapshot of the same columns to a TTree, LZ4 as in our Parquet;
- `RDataFrame, RNTuple`: the same with Snapshot to ROOT's columnar format;
- `hepbatch in coffea`: the same processor under coffea's Runner, IterativeExecutor, virtual arrays;
- `uproot read`: `tree.arrays` of the same branches and nothing else;
- both sides without writing.

Every contestant's counts of every cut must be the same. Rates are events per second of wall time and of CPU time; the
ratio is taken to the faster of ROOT's two formats. Exit status 1 if counts differ or the ratio in CPU time is below 1.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

METADATA = {"dataset": "mixture", "role": "background", "xsec": 1.5, "sumw": 2.0e5, "reduction_efficiency": 0.95}
LUMINOSITY = 1000.0
REQUIRED, GOAL = 1.0, 1.5

Counts = list[int]


def use_root() -> Any:
    """ROOT with an optimising interpreter."""
    os.environ["EXTRA_CLING_ARGS"] = "-O2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ROOT
    ROOT.gROOT.SetBatch(True)
    if not hasattr(ROOT, "hepbatch"):
        ROOT.gInterpreter.Declare(Path(__file__).with_suffix(".hpp").read_text())
    return ROOT


def make_input(sources: Sequence[str], output: str, events: int) -> int:
    """Repeats the trees of the source files in one file until it has that many events; gives the number."""
    root = use_root()
    chain = root.TChain("mini")
    while chain.GetEntries() < events:
        for source in sources:
            chain.Add(source)
    file = root.TFile(output, "RECREATE", "", 101)
    tree = chain.CloneTree(events)
    tree.Write()
    entries = int(tree.GetEntries())
    file.Close()
    return entries


def rdataframe(path: str, output: str, ntuple: bool) -> Counts:
    """One pass of the compiled RDataFrame; no output name, no Snapshot."""
    root = use_root()
    normalisation = LUMINOSITY * METADATA["xsec"] / (METADATA["sumw"] * METADATA["reduction_efficiency"])  # type: ignore[operator]
    result = root.hepbatch.run(path, f"{output}/skim.root" if output else "", normalisation, ntuple)
    return [int(count) for count in result.events]


def hepbatch(path: str, output: str, chunk: int) -> Counts:
    """One pass of our own reading and processing; no output name, no Parquet."""
    from coffea.processor import accumulate

    from processors.higgs4l import BRANCHES, TREE, Settings, build
    from processors.readers import read_root, root_file_facts

    processor = build(Settings(), luminosity=LUMINOSITY, skim_directory=output or None)
    entries = root_file_facts(path, TREE, BRANCHES).entries
    parts = [
        processor.process(read_root(path, TREE, BRANCHES, start, min(start + chunk, entries), METADATA))
        for start in range(0, entries, chunk)
    ]
    return [entry["events"] for entry in accumulate(parts)["mixture"]["cutflow"].values()]


def coffea_runner(path: str, output: str, chunk: int) -> Counts:
    """One pass under coffea's Runner."""
    from coffea import processor
    from coffea.nanoevents import BaseSchema

    from processors.higgs4l import TREE, Settings, build

    runner = processor.Runner(
        executor=processor.IterativeExecutor(status=False), schema=BaseSchema, chunksize=chunk, align_clusters=False
    )
    metadata = {key: value for key, value in METADATA.items() if key != "dataset"}
    result = runner(
        {"mixture": {"files": {path: TREE}, "metadata": metadata}},
        processor_instance=build(Settings(), luminosity=LUMINOSITY, skim_directory=output),
    )
    return [entry["events"] for entry in result["mixture"]["cutflow"].values()]


def uproot_read(path: str, _output: str, chunk: int) -> Counts:
    """The plain reading of the same branches; has no cuts to count."""
    import uproot

    from processors.higgs4l import BRANCHES, TREE

    for _ in uproot.iterate({path: TREE}, list(BRANCHES), step_size=chunk):
        pass
    return []


def timed(call: Callable[..., Counts], path: str, output: str, option: Any) -> tuple[float, float, Counts]:
    """Wall seconds, CPU seconds of this process, and the counts of one pass."""
    with contextlib.redirect_stdout(io.StringIO()):
        wall, cpu = time.perf_counter(), time.process_time()
        counts = call(path, output, option)
        return time.perf_counter() - wall, time.process_time() - cpu, counts


def data_directory(given: str | None) -> Path:
    """The directory of the real files, or an exit with what to give."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(given or Path(os.environ.get("HEPBATCH_TEST_DATA", default)) / "atlas-8tev")
    if not list(folder.glob("*/*.root")):
        raise SystemExit(f"no Data/*.root and MC/*.root files in {folder}: name their directory with --data")
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table and gives the exit status."""
    parser = argparse.ArgumentParser(description="higgs4l skim against ROOT's RDataFrame")
    parser.add_argument("--data", help="directory with Data/*.root and MC/*.root")
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--chunk-size", type=int, default=200_000)
    options = parser.parse_args(arguments)
    sources = sorted(str(path) for path in data_directory(options.data).glob("*/*.root"))
    contestants: dict[str, tuple[Callable[..., Counts], bool, Any]] = {
        "hepbatch": (hepbatch, True, options.chunk_size),
        "RDataFrame, TTree": (rdataframe, True, False),
        "RDataFrame, RNTuple": (rdataframe, True, True),
        "hepbatch in coffea": (coffea_runner, True, options.chunk_size),
        "uproot read": (uproot_read, False, options.chunk_size),
        "hepbatch, no writing": (hepbatch, False, options.chunk_size),
        "RDataFrame, no writing": (rdataframe, False, False),
    }
    # Idle threads of numerical libraries would count as CPU time.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="hepbatch-benchmark-") as folder, contextlib.ExitStack() as stack:
        pools = {name: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for name in contestants}
        path = f"{folder}/input.root"
        entries = pools["RDataFrame, TTree"].submit(make_input, sources, path, options.events).result()
        _say(f"input: {entries} events, {Path(path).stat().st_size / 1e6:.0f} MB, from {len(sources)} files, repeated")

        sizes: dict[str, int] = {}

        def turn(name: str, source: str) -> tuple[float, float, Counts]:
            call, writes, option = contestants[name]
            output = Path(folder) / "skim"
            output.mkdir()
            try:
                measured = pools[name].submit(timed, call, source, str(output) if writes else "", option).result()
                sizes[name] = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
                if writes != bool(sizes[name]):
                    raise RuntimeError(f"{name} wrote {sizes[name]} bytes")
                return measured
            finally:
                shutil.rmtree(output)

        for name in contestants:
            turn(name, sources[0])
        turns: dict[str, list[tuple[float, float, Counts]]] = {name: [] for name in contestants}
        for _ in range(options.repetitions):
            for name in contestants:
                turns[name].append(turn(name, path))
        _say("written: " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items() if size))
    return report(turns, entries)


def report(turns: dict[str, list[tuple[float, float, Counts]]], entries: int) -> int:
    """Prints rates and ratios; 1 if counts differ or the requirement is missed, else 0."""
    _say(f"{'':24} {'kHz wall: median (min-max)':>28} {'kHz CPU: median (min-max)':>28}")
    wall, cpu = {}, {}
    for name, measured in turns.items():
        rates = [[entries / seconds / 1e3 for seconds in column] for column in list(zip(*measured, strict=True))[:2]]
        wall[name], cpu[name] = (statistics.median(column) for column in rates)
        shown = [f"{statistics.median(column):.0f} ({min(column):.0f}-{max(column):.0f})" for column in rates]
        _say(f"{name:24} {shown[0]:>28} {shown[1]:>28}")
    rival = max(("RDataFrame, TTree", "RDataFrame, RNTuple"), key=lambda name: cpu[name])
    for name, other in (
        ("hepbatch", rival),
        ("hepbatch", "RDataFrame, TTree"),
        ("hepbatch, no writing", "RDataFrame, no writing"),
        ("hepbatch in coffea", rival),
    ):
        _say(f"{name} / {other}: {wall[name] / wall[other]:.2f} wall, {cpu[name] / cpu[other]:.2f} CPU")
    counts = {tuple(result[2]) for name, measured in turns.items() if name != "uproot read" for result in measured}
    if len(counts) != 1:
        _say(f"FAILED: the counts differ: {counts}")
        return 1
    _say(f"counts of every cut agree: {list(counts.pop())}")
    ratio = cpu["hepbatch"] / cpu[rival]
    _say(f"required {REQUIRED}, goal {GOAL}: {'FAILED' if ratio < REQUIRED else 'passed'} with {ratio:.2f}")
    return int(ratio < REQUIRED)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
