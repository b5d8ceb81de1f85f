"""Damaged copies of files, seeded: cut off, with flipped bits in one part or another, or no such file at all."""

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot
from support.mini_files import Event, EventMaker, write_mini
from support.mod_files import JETS_F, JETS_I, cut_mod, write_mod

from processors.higgs4l import BRANCHES, LEPTON_BRANCHES

Region = list[tuple[int, int]]
EVENTS, JETS = 400, 300
MOD_COLUMNS = (*JETS_I, *JETS_F, "pfcs", "gens")
ROOT_CODECS = {"zlib": uproot.ZLIB(1), "lz4": uproot.LZ4(1), "zstd": uproot.ZSTD(1), "uncompressed": None}
PARQUET_CODECS = {"lz4, checksums": ("lz4", True), "lz4": ("lz4", False), "uncompressed": ("none", False)}


@dataclass(frozen=True)
class Damaged:
    """A damaged file: what was done to it, and the good file it was made from."""

    name: str
    kind: str
    path: Path
    donor: str


@dataclass(frozen=True)
class Donor:
    """A good file, its regions by name, and how a copy gets an identity of its own."""

    name: str
    path: Path
    regions: dict[str, Region]
    fresh: Callable[[random.Random], bytes]


class Damager:
    """Makes damaged copies below `folder`, all from one seed."""

    def __init__(self, folder: Path, suffix: str, seed: int) -> None:
        self.folder = folder
        self.suffix = suffix
        self.chance = random.Random(seed)  # noqa: S311
        self.made: list[Damaged] = []
        folder.mkdir(parents=True, exist_ok=True)

    def flip(self, kind: str, donor: Donor, region: str, count: int) -> None:
        """`count` copies: half with one flipped bit of the region, half with up to eight other bytes in a row."""
        for number in range(count):
            content = bytearray(donor.fresh(self.chance))
            start, stop = self._place(donor.regions[region])
            position = self.chance.randrange(start, stop)
            if number % 2:
                content[position] ^= 1 << self.chance.randrange(8)
            else:
                for place in range(position, min(stop, position + self.chance.randint(1, 8))):
                    content[place] ^= self.chance.randint(1, 255)
            self._write(kind, donor, bytes(content))

    def truncate(self, donor: Donor, count: int) -> None:
        """`count` copies, cut off at places all over the file, near both ends among them."""
        size = donor.path.stat().st_size
        places = [3, 8, 60, size - 1, size - 8, size - 100, *(size * n // count for n in range(1, count))]
        for place in places[:count]:
            self._write("cut off", donor, donor.fresh(self.chance)[: max(1, place)])

    def strangers(self, donor: Donor) -> None:
        """What is no such file at all: nothing, text, a directory."""
        self._write("empty", donor, b"")
        self._write("text", donor, b"this is a text\n" * 200)
        self._write("text", donor, donor.fresh(self.chance)[:4] + b" is how it begins\n" * 50)
        self._add("directory", donor).mkdir()

    def other(self, kind: str, donor: Donor, write: Callable[[Path], Any]) -> None:
        """A file that is sound, but not what is needed."""
        write(self._add(kind, donor))

    def _place(self, region: Region) -> tuple[int, int]:
        return self.chance.choices(region, [stop - start for start, stop in region])[0]

    def _write(self, kind: str, donor: Donor, content: bytes) -> None:
        self._add(kind, donor).write_bytes(content)

    def _add(self, kind: str, donor: Donor) -> Path:
        name = f"damaged{len(self.made):03d}"
        path = self.folder / f"{name}{self.suffix}"
        self.made.append(Damaged(name, kind, path, donor.name))
        return path


# ROOT


def root_donors(folder: Path, data: Path | None) -> list[Donor]:
    """Real ATLAS files as they are (small trees, whose baskets lie in the tree's own record), and their events written
    again with each codec in several baskets; without data, events at random."""
    whole = sorted(data.glob("atlas-8tev/*/*.root"))[:4] if data is not None else []
    donors = [root_donor(f"real{number}", path) for number, path in enumerate(whole)]
    if not whole:
        whole = [write_mini(folder / "mini.root", EventMaker(7).events(EVENTS), basket=50)]
        donors = [root_donor("random", whole[0])]
    with uproot.open(whole[-1]) as file:
        events = file["mini"].arrays(list(BRANCHES), entry_stop=EVENTS)
    for name, codec in ROOT_CODECS.items():
        donors.append(root_donor(name, _write_tree(folder / f"{name}.root", events, codec)))
    return donors


def _write_tree(path: Path, events: Any, codec: Any, tree: str = "mini", without: Sequence[str] = ()) -> Path:
    lepton = [name for name in LEPTON_BRANCHES if name not in without]
    columns = {name: events[name] for name in BRANCHES if name not in (*lepton, *without, "lep_n")}
    leptons = ak.zip({name.removeprefix("lep_"): events[name] for name in lepton})
    with uproot.recreate(path, compression=codec) as file:
        types = {name: ak.to_numpy(values).dtype for name, values in columns.items()}
        output = file.mktree(
            tree, {**types, "lep": leptons.type.content},
            counter_name=lambda group: f"{group}_n", field_name=lambda group, name: f"{group}_{name}",
        )  # fmt: skip
        for start in range(0, len(events), 100):
            part = slice(start, start + 100)
            output.extend({**{name: values[part] for name, values in columns.items()}, "lep": leptons[part]})
    return path


def root_donor(name: str, path: Path) -> Donor:
    content = path.read_bytes()
    baskets: Region = []
    stored: Region = []
    basket_keys: Region = []
    with uproot.open(path, array_cache=None, object_cache=None) as file:
        top, key, tree = file.file, file.key("mini"), file["mini"]
        keys = [(file.fSeekKeys, file.fSeekKeys + file.fNbytesKeys), (key.fSeekKey, key.fSeekKey + key.fKeylen)]
        record = (key.fSeekKey + key.fKeylen, key.fSeekKey + key.fNbytes)
        streamers = (top.fSeekInfo, top.fSeekInfo + top.fNbytesInfo)
        for branch in tree.branches:
            seeks, sizes = branch.member("fBasketSeek"), branch.member("fBasketBytes")
            for seek, size in zip(seeks, sizes, strict=False):
                if seek > 0 and size > 0:
                    begin, end = (
                        int(seek) + int.from_bytes(content[seek + 14 : seek + 16], "big"),
                        int(seek) + int(size),
                    )
                    basket_keys.append((int(seek), begin))
                    # What a codec does not make smaller is stored as it is: the key's two lengths agree.
                    as_it_is = int.from_bytes(content[seek + 6 : seek + 10], "big") == end - begin
                    (stored if as_it_is else baskets).append((begin, end))
    regions = {"header": [(0, 75)], "keys": keys, "streamers": [streamers], "tree": [record]}
    regions |= {"baskets": baskets, "stored baskets": stored, "basket keys": basket_keys}

    def fresh(chance: random.Random) -> bytes:
        # A copy with the uuid of another file would be left out as its copy.
        return content[:47] + uuid.UUID(int=chance.getrandbits(128)).bytes + content[63:]

    return Donor(name, path, regions, fresh)


def damaged_root(folder: Path, donors: list[Donor], seed: int, scale: int) -> list[Damaged]:
    """Damaged ROOT files of every kind; `scale` multiplies the numbers."""
    damager = Damager(folder, ".root", seed)
    coded = [donor for donor in donors if donor.name in ROOT_CODECS]
    real = [donor for donor in donors if donor not in coded]
    for donor in (real[0], coded[0]):
        damager.truncate(donor, 12 * scale)
        damager.strangers(donor)
    for donor in (real[-1], coded[0]):
        damager.flip("header", donor, "header", 8 * scale)
        damager.flip("keys", donor, "keys", 8 * scale)
        damager.flip("streamer info", donor, "streamers", 6 * scale)
    for donor in real:
        kind = "tree, zlib, with baskets" if donor.name.startswith("real") else "tree, zlib"
        damager.flip(kind, donor, "tree", 4 * scale)
    for donor in coded:
        damager.flip(f"tree, {donor.name}", donor, "tree", 8 * scale)
        damager.flip("keys of baskets", donor, "basket keys", 4 * scale)
        if donor.regions["baskets"]:
            damager.flip(f"baskets, {donor.name}", donor, "baskets", 10 * scale)
        else:
            damager.flip("baskets, uncompressed", donor, "stored baskets", 10 * scale)
    with uproot.open(coded[0].path) as file:
        events = file["mini"].arrays(list(BRANCHES))
    damager.other("other tree", coded[0], lambda path: _write_tree(path, events, None, tree="nominal"))
    for branch in ("lep_eta", "eventNumber"):
        damager.other("missing branch", coded[0], lambda path, b=branch: _write_tree(path, events, None, without=[b]))
    for number in (float("nan"), float("inf")):
        wrong = [*EventMaker(9).events(20), Event([], mc_weight=number)]
        damager.other("weight is no number", coded[0], lambda path, w=wrong: write_mini(path, w))
    return damager.made


# MOD HDF5


def mod_donors(folder: Path, data: Path | None) -> list[Donor]:
    """The first jets of the real files; without data, random ones."""
    real = sorted(data.glob("mod/*.h5")) if data is not None else []
    paths = [cut_mod(one, folder / f"cut{number}.h5", JETS) for number, one in enumerate(real)]
    paths = paths or [write_mod(folder / f"random{seed}.h5", JETS, seed) for seed in (1, 2)]
    return [mod_donor(f"jets{number}", path) for number, path in enumerate(paths)]


def mod_donor(name: str, path: Path) -> Donor:
    content = path.read_bytes()
    chunks: Region = []
    with h5py.File(path) as file:
        origin = file["filenames"].id.get_offset()
        width = file["filenames"].dtype.itemsize
        for table in (one for one in file.values() if one.chunks):
            for index in range(table.id.get_num_chunks()):
                info = table.id.get_chunk_info(index)
                chunks.append((info.byte_offset, info.byte_offset + info.size))
    chunks.sort()
    ends = [0, *(stop for _, stop in chunks)]
    begins = [*(start for start, _ in chunks), len(content)]
    rest = [(max(start, 96), stop) for start, stop in zip(ends, begins, strict=True) if stop > max(start, 96)]
    regions = {"superblock": [(0, 96)], "metadata": rest, "chunks": chunks}

    def fresh(chance: random.Random) -> bytes:
        mark = bytes(chance.choices(range(65, 91), k=width))
        return content[:origin] + mark + content[origin + width :]

    return Donor(name, path, regions, fresh)


def damaged_mod(folder: Path, donors: list[Donor], seed: int, scale: int) -> list[Damaged]:
    """Damaged HDF5 files of every kind."""
    damager = Damager(folder, ".h5", seed)
    for donor in donors:
        damager.truncate(donor, 8 * scale)
        damager.flip("superblock", donor, "superblock", 8 * scale)
        damager.flip("headers and indices", donor, "metadata", 20 * scale)
        damager.flip("chunks", donor, "chunks", 12 * scale)
    damager.strangers(donors[0])
    for without in ("jets_i", "jets_f", "jet_pt", "pfcs"):
        kind = "missing column" if without == "jet_pt" else "missing data set"
        damager.other(kind, donors[0], lambda path, w=without: write_mod(path, 50, without=(w,)))
    return damager.made


# Parquet


def parquet_donors(folder: Path, data: Path | None) -> list[Donor]:
    """The events of a real ATLAS file, with and without page checksums; without data, events at random."""
    source = data / "atlas-8tev" / "MC" / "skim.mc_105986.ZZ.root" if data is not None else None
    if source is None or not source.is_file():
        source = write_mini(folder / "mini.root", EventMaker(8).events(EVENTS))
    with uproot.open(source) as file:
        events = file["mini"].arrays(list(BRANCHES), entry_stop=EVENTS)
    table = pa.table({name: _arrow(events[name]) for name in BRANCHES})
    return [parquet_donor(name, folder / f"{number}.parquet", table, *codec)
            for number, (name, codec) in enumerate(PARQUET_CODECS.items())]  # fmt: skip


def _arrow(array: Any) -> Any:
    return pa.array(ak.to_list(array)) if array.ndim > 1 else pa.array(np.asarray(array))


def parquet_donor(name: str, path: Path, table: Any, codec: str, checksums: bool) -> Donor:
    def write(mark: str) -> bytes:
        marked = table.replace_schema_metadata({"copy": mark})
        pq.write_table(marked, path, compression=codec, row_group_size=150, write_page_checksum=checksums)
        return path.read_bytes()

    content = write("0" * 12)
    length = int.from_bytes(content[-8:-4], "little")
    pages: Region = []
    metadata = pq.read_metadata(path)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            begin = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            pages.append((begin, begin + column.total_compressed_size))
    regions = {
        "magic": [(0, 4), (len(content) - 8, len(content))],
        "footer": [(len(content) - 8 - length, len(content) - 8)],
        "pages": pages,
    }

    def fresh(chance: random.Random) -> bytes:
        copy = write(f"{chance.getrandbits(48):012x}")
        path.write_bytes(content)
        return copy

    return Donor(name, path, regions, fresh)


def damaged_parquet(folder: Path, donors: list[Donor], seed: int, scale: int) -> list[Damaged]:
    """Damaged Parquet files of every kind."""
    damager = Damager(folder, ".parquet", seed)
    damager.truncate(donors[0], 10 * scale)
    damager.strangers(donors[0])
    damager.flip("magic", donors[0], "magic", 6 * scale)
    for donor in donors:
        damager.flip("footer", donor, "footer", 10 * scale)
        damager.flip(f"pages, {donor.name}", donor, "pages", 12 * scale)
    table = pq.read_table(donors[0].path)
    damager.other("missing column", donors[0], lambda path: pq.write_table(table.drop_columns(["lep_eta"]), path))
    return damager.made


def by_kind(made: list[Damaged]) -> Iterator[tuple[str, list[Damaged]]]:
    """The damaged files of each kind, in the order of the kinds."""
    for kind in dict.fromkeys(one.kind for one in made):
        yield kind, [one for one in made if one.kind == kind]
