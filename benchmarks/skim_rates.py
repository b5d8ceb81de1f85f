"""The rates of skims that docs/full-dataset.md calculates with: events per second and core, bytes read, opening a file.

    python -m benchmarks.skim_rates [--data DIR] [--events N] [--repetitions N]

Each skim reads one file from a local disk in one chunk and writes Parquet, in a process of its own with one thread,
after a small chunk that loads the libraries. Rates are of CPU time, the median of the repetitions. Of NanoAOD, the
events are those of `simulated/HTT_m125.root` repeated, which has few branches; the part of a file that is read is
therefore that of the bytes of a whole file, `cms-nanoaod/nano_tt_v15.root`, that are in the branches of the analysis.

Prints the rows of the page's table.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Analysis, file with its events, file whose bytes are counted (None: the same).
SKIMS = (
    ("higgs4l", "simulated/ggH125_ZZ4lep.root", None),
    ("lepton_id", "simulated/ggH125_ZZ4lep.root", None),
    ("lepton_id_cms", "simulated/HTT_m125.root", "cms-nanoaod/nano_tt_v15.root"),
    ("ditau_mass_cms", "simulated/HTT_m125.root", "cms-nanoaod/nano_tt_v15.root"),
)
WARM_UP = 500  # entries


@dataclass(frozen=True)
class Rate:
    """Entries per second of CPU time, the part of a file's bytes that is read, seconds to open a file."""

    entries: int
    per_second: float
    part: float
    opening: float


def tree_of(analysis: str) -> str:
    """The tree that is read: the mini files stand for all of ATLAS, also for lepton_id."""
    return "Events" if analysis.endswith("_cms") else "mini"


def one_pass(analysis: str, path: str) -> tuple[int, float, float, int, tuple[str, ...]]:
    """Entries, CPU time of the skim and wall time of opening [s], bytes read, columns; in this process."""
    from analysis.configuration import load_configuration
    from analysis.datasets.catalogue import load_catalogue
    from processors.formats import reader_of

    configuration = load_configuration(analysis)
    catalogue, module = load_catalogue(configuration.datasets), configuration.module("processor")
    reader, tree = reader_of(catalogue.format), tree_of(analysis)
    metadata = {"dataset": "events", "role": "background", "tree": tree, "xsec": 1.0, "sumw": 1.0}
    metadata["reduction_efficiency"] = 1.0
    with tempfile.TemporaryDirectory() as directory:
        processor = module.build(
            configuration.settings("processor"), luminosity=configuration.luminosity, skim_directory=directory
        )
        own = getattr(processor, "branches_of", None)
        columns = own(metadata) if own is not None else module.branches("background")
        reader.facts(path, tree, columns)
        clock = time.perf_counter()
        entries = reader.facts(path, tree, columns).entries
        opening = time.perf_counter() - clock
        processor.process(reader.read(path, tree, columns, 0, min(WARM_UP, entries), metadata).events)
        cpu = time.process_time()
        chunk = reader.read(path, tree, columns, 0, entries, metadata)
        processor.process(chunk.events)
        return entries, time.process_time() - cpu, opening, chunk.bytes_read, tuple(columns)


def repeated(source: Path, output: Path, events: int) -> Path:
    """The entries of a file again and again, in all of its branches that are needed by one of the analyses."""
    import awkward as ak
    import uproot

    with uproot.open(source) as file:
        name = next(key for key, kind in file.classnames(cycle=False).items() if kind == "TTree")
        tree = file[name]
        arrays = tree.arrays()
    counters = {f"n{one.partition('_')[0]}" for one in arrays.fields} | {"lep_n", "jet_n"}
    lists: dict[str, dict[str, Any]] = {}
    flat: dict[str, Any] = {}
    for one in arrays.fields:
        if arrays[one].ndim > 1:
            collection, _, field = one.partition("_")
            lists.setdefault(collection, {})[field] = arrays[one]
        elif one not in counters:
            flat[one] = ak.to_numpy(arrays[one])
    filled = {**flat, **{collection: ak.zip(fields) for collection, fields in lists.items()}}
    types = {n: c.type.content if isinstance(c, ak.Array) else c.dtype for n, c in filled.items()}
    counter = (lambda n: f"{n}_n") if name == "mini" else (lambda n: f"n{n}")
    with uproot.recreate(output) as out:
        made = out.mktree(name, types, counter_name=counter, field_name=lambda o, i: f"{o}_{i}")
        for _ in range(-(-events // len(arrays))):
            made.extend(filled)
    return output


def part_of(path: Path, columns: Sequence[str]) -> float:
    """The part of a tree's compressed bytes that is in the branches of these columns, and in their counters."""
    import uproot

    from processors.nanoaod import resolve

    with uproot.open(path) as file:
        tree = file["Events"]
        sizes = {name: int(branch.compressed_bytes) for name, branch in zip(tree.keys(), tree.branches, strict=True)}
    branches = resolve(columns, sizes, str(path))
    wanted = {*branches, *(f"n{name.partition('_')[0]}" for name in branches)}
    return sum(size for name, size in sizes.items() if name in wanted) / sum(sizes.values())


def measure(analysis: str, events: Path, bytes_of: Path | None, repetitions: int) -> Rate:
    """The median of some passes, each in a new process with one thread."""
    passes = []
    for _ in range(repetitions):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            passes.append(pool.submit(one_pass, analysis, str(events)).result())
    entries, _, _, read, columns = passes[0]
    part = read / events.stat().st_size if bytes_of is None else part_of(bytes_of, columns)
    rate = entries / statistics.median(one[1] for one in passes)
    return Rate(entries, rate, part, statistics.median(one[2] for one in passes))


def row(analysis: str, rate: Rate) -> str:
    """A row of the page's table."""
    digits = max(0, len(str(int(rate.per_second))) - 3)
    return f"| `{analysis}` | {round(rate.per_second, -digits):,.0f} | {rate.part:.2g} | {rate.opening:.2g} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 0 also where the files are not there, which is said."""
    data = os.environ.get("HEPBATCH_TEST_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skim_rates", description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--events", type=int, default=100_000, help="of each file, by repeating those that there are")
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    for analysis, source, whole in SKIMS:
        missing = [one for one in (source, whole) if one is not None and not (given.data / one).is_file()]
        if missing:
            sys.stdout.write(f"skipped: {analysis}: no file {missing[0]} in {given.data}\n")
            continue
        with tempfile.TemporaryDirectory() as directory:
            path = repeated(given.data / source, Path(directory) / "events.root", given.events)
            rate = measure(analysis, path, given.data / whole if whole else None, given.repetitions)
        sys.stdout.write(row(analysis, rate) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
