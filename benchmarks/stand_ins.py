"""A catalogue of any number of small ROOT files, for `catalogue_scale`: each a file of its own, with its own uuid.

The events are there: a tree with one branch of zeros, which compression makes a few hundred bytes. One file is written
by uproot; the others are copies with another uuid, which takes a thousandth of the time.
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np

TREE = "events"
BASKET = 25_000  # entries
SERVER = "https://public.invalid/store"  # nobody asks it: its files are in the cache


@dataclass(frozen=True)
class Size:
    """How many data sets a catalogue has, how many files and events all of them have, and entries per work item."""

    datasets: int
    files: int
    events: int
    chunk: int

    @property
    def events_per_file(self) -> int:
        """Entries of each file."""
        return self.events // self.files

    @property
    def items(self) -> int:
        """Work items of all files."""
        return self.files * -(-self.events_per_file // self.chunk)

    def files_of(self, dataset: int) -> range:
        """The numbers of a data set's files."""
        return range(dataset * self.files // self.datasets, (dataset + 1) * self.files // self.datasets)


def make_analysis(directory: Path, size: Size, seed: int = 1) -> int:
    """Writes the stand-ins into the cache, with lists, catalogue and analysis; gives the bytes of all files."""
    template, uuid = _template(directory, size.events_per_file)
    rng = np.random.default_rng(seed)
    total, samples = 0, {}
    for dataset in range(size.datasets):
        name = f"dataset{dataset:03d}"
        folder = directory / "cache" / "store" / name
        folder.mkdir(parents=True)
        lines = []
        for number in size.files_of(dataset):
            content = template.replace(uuid, rng.bytes(16))
            path = folder / f"{number:06d}.root"
            path.write_bytes(content)
            address = f"{SERVER}/{name}/{path.name}"
            facts = f"adler32:{zlib.adler32(content):08x} events={size.events_per_file}"
            lines.append(f"{address} {len(content)} {facts}")
            total += len(content)
        (directory / f"{name}.txt").write_text("\n".join(lines) + "\n")
        samples[name] = {
            "role": "data", "process": "Data", "files": f"{name}*", "published": {"list": f"{name}.txt"},
        }  # fmt: skip
    catalogue = {
        "label": "none", "sqrt_s_tev": 13, "tree": TREE, "weight_branch": "x", "samples": samples,
        "published": {"licence": "CC0-1.0", "servers": [SERVER]},
    }  # fmt: skip
    (directory / "catalogue.yaml").write_text(json.dumps(catalogue))  # JSON is YAML
    module = {"module": "benchmarks.noop_processor"}
    analysis = {
        "name": "catalogue_scale", "title": "Nothing", "datasets": str(directory / "catalogue.yaml"), "seed": seed,
        "source": "opendata", "chunk_size": size.chunk,
        "processor": {**module, "began": str(directory / "began")}, "training": module, "results": module,
        "opendata": {"module": "analysis.datasets.listed_opendata", "cache": str(directory / "cache")},
    }  # fmt: skip
    (directory / "analysis.yaml").write_text(json.dumps(analysis))
    return total


def _template(directory: Path, entries: int) -> tuple[bytes, bytes]:
    """The content of a file, and its uuid as it is in there."""
    import uproot

    path = directory / "template.root"
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree(TREE, {"x": np.dtype("i4")})
        for first in range(0, entries, BASKET):
            tree.extend({"x": np.zeros(min(BASKET, entries - first), "i4")})
    content = path.read_bytes()
    with uproot.open(path) as file:
        uuid: UUID = file.file.uuid
    if uuid.bytes not in content:
        raise RuntimeError(f"{path} does not hold its uuid {uuid}")
    path.unlink()
    return content, uuid.bytes
