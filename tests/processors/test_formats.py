"""Every format gives the same entries as its own library, whole or in parts, and the same kinds of errors."""

import errno
import itertools
import os
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.http_files import serving
from support.mini_files import Event, EventMaker, write_mini
from support.mod_files import write_mod

from processors import patient
from processors.chunks import check_finite
from processors.errors import ChangedFile, MissingBranch, MissingTree, ReadError, UnreadableFile
from processors.faults import is_transient
from processors.formats import Reader, reader_of
from processors.patient import Patience

ROWS = 1000
COLUMNS = {"root": "lep_pt", "parquet": "b", "mod_hdf5": "pfcs.pt"}
SUMMED = {"root": "mcWeight", "parquet": "a", "mod_hdf5": "weight"}
TREES = {"root": "mini", "parquet": "", "mod_hdf5": ""}
RANGES = [(0, ROWS), (0, 0), (500, 500), (ROWS, ROWS), (0, 300), (299, 301), (7, 993)]


def table() -> pa.Table:
    return pa.table(
        {
            "a": np.arange(ROWS, dtype=np.float32),
            "b": [[float(i)] * (i % 3) for i in range(ROWS)],
            "n": [None if i % 7 == 0 else i for i in range(ROWS)],
            "s": [str(i) for i in range(ROWS)],
            "flag": np.arange(ROWS) % 2 == 0,
            "p": [[{"x": i, "y": -1.5}] * (i % 2) for i in range(ROWS)],
        }
    )


def make(format: str, path: Path, seed: int = 1) -> str:
    if format == "root":
        write_mini(path, EventMaker(seed).events(ROWS), basket=130)
    elif format == "parquet":
        content = table().replace_schema_metadata({"seed": str(seed)})
        pq.write_table(content, path, row_group_size=300, write_page_checksum=True)
    else:
        write_mod(path, ROWS, seed)
    return str(path)


@pytest.fixture(params=["root", "parquet", "mod_hdf5"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Reader, str]:
    return request.param, reader_of(request.param), make(request.param, tmp_path / "file.data")


def test_facts_and_metadata(file: tuple[str, Reader, str]) -> None:
    format, reader, path = file
    facts = reader.facts(path, TREES[format], [COLUMNS[format]])
    assert (facts.entries, facts.size) == (ROWS, Path(path).stat().st_size)
    chunk = reader.read(path, TREES[format], [COLUMNS[format]], 10, 20, {"dataset": "x"}, facts.uuid)
    assert len(chunk) == len(chunk[COLUMNS[format]]) == 10
    assert chunk.metadata == {
        "dataset": "x",
        "filename": path,
        "fileuuid": facts.uuid,
        "treename": TREES[format],
        "entrystart": 10,
        "entrystop": 20,
    }
    assert chunk.retries == 0
    whole = reader.read(path, TREES[format], [COLUMNS[format], SUMMED[format]], 0, ROWS, {})
    assert 0 < chunk.bytes_read < whole.bytes_read


def test_parts_make_the_whole(file: tuple[str, Reader, str]) -> None:
    format, reader, path = file
    columns = [COLUMNS[format], SUMMED[format]]
    whole = reader.read(path, TREES[format], columns, 0, ROWS, {})
    for start, stop in RANGES:
        part = reader.read(path, TREES[format], columns, start, stop, {})
        for column in columns:
            assert ak.array_equal(ak.Array(part[column]), ak.Array(whole[column])[start:stop], dtype_exact=True)


def test_total(file: tuple[str, Reader, str]) -> None:
    format, reader, path = file
    weights = np.asarray(reader.read(path, TREES[format], [SUMMED[format]], 100, 333, {})[SUMMED[format]], np.float64)
    assert len(weights) == 233
    assert reader.total(path, TREES[format], SUMMED[format], 100, 333) == pytest.approx(weights.sum(), rel=1e-12)
    assert reader.total(path, TREES[format], SUMMED[format], 5, 5) == 0.0


def test_a_total_is_a_number(tmp_path: Path) -> None:
    root = str(write_mini(tmp_path / "nan.root", [Event([], mc_weight=float("nan")), Event([])]))
    pq.write_table(pa.table({"w": [1.0, float("inf")]}), tmp_path / "inf.parquet")
    for format, path, tree, column in (("root", root, "mini", "mcWeight"),
                                       ("parquet", str(tmp_path / "inf.parquet"), "", "w")):  # fmt: skip
        reader = reader_of(format)
        with pytest.raises(UnreadableFile, match=rf"cannot read .*the sum of {column} is (nan|inf)"):
            reader.total(path, tree, column, 0, 2)
        assert reader.total(path, tree, column, 1 if format == "root" else 0, 2 if format == "root" else 1) == 1.0


def test_a_sum_that_is_no_number() -> None:
    good = {"ZZ": {"entries": 2, "cutflow": {"all": {"events": 2, "weighted": 1.5}}, "skims": [{"file": "x"}]}}
    check_finite(good)
    good["ZZ"]["cutflow"]["all"]["weighted"] = float("nan")  # type: ignore[index]
    with pytest.raises(ValueError, match=r"ZZ\.cutflow\.all\.weighted is nan"):
        check_finite(good)


def test_over_http(file: tuple[str, Reader, str]) -> None:
    format, reader, path = file
    columns = [COLUMNS[format], SUMMED[format]]
    local = reader.read(path, TREES[format], columns, 7, 993, {})
    with serving(Path(path).parent, lambda number: "503" if number % 4 == 0 else None) as served:
        address = f"{served.address}/file.data"
        facts = reader.facts(address, TREES[format], columns)
        remote = [reader.read(address, TREES[format], columns, 7, 993, {}, facts.uuid) for _ in range(3)]
        assert served.faults["503"] > 0
    assert facts == reader.facts(path, TREES[format], columns)
    assert sum(chunk.retries for chunk in remote) > 0
    for chunk in remote:
        for column in columns:
            assert ak.array_equal(ak.Array(chunk[column]), ak.Array(local[column]))


def test_another_file_of_the_same_name(file: tuple[str, Reader, str]) -> None:
    format, reader, path = file
    planned = reader.facts(path, TREES[format], ()).uuid
    make(format, Path(path), seed=2)
    assert reader.facts(path, TREES[format], ()).uuid != planned
    with pytest.raises(ChangedFile, match=r"file\.data is not the file that was planned"):
        reader.read(path, TREES[format], [COLUMNS[format]], 0, 5, {}, planned)


def test_errors_name_file_and_column(file: tuple[str, Reader, str]) -> None:
    format, reader, path = file
    wrong = COLUMNS[format] + "x"
    with pytest.raises(MissingBranch, match=rf"file\.data: .* has no (branch|column) '{wrong}'.*'{COLUMNS[format]}'"):
        reader.facts(path, TREES[format], [wrong])
    with pytest.raises(MissingBranch):
        reader.read(path, TREES[format], [wrong], 0, 5, {})
    with pytest.raises(ReadError, match=rf"entries 900 to 1001 are outside .*file\.data, which has {ROWS}"):
        reader.read(path, TREES[format], [COLUMNS[format]], 900, ROWS + 1, {})


def test_an_error_can_be_written_down_whatever_it_quotes() -> None:
    text = str(UnreadableFile("cannot read a.root: KeyError: '\udc82\x00\n' " + "x" * 10_000))
    assert text.encode("utf-8").startswith(rb"cannot read a.root: KeyError: '\udc82\x00\n' x")
    assert len(text) < 1100


def test_no_such_format() -> None:
    with pytest.raises(ValueError, match="unknown file format 'csv'"):
        reader_of("csv")


@pytest.mark.parametrize("format", ["root", "parquet", "mod_hdf5"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "it is a directory"),
        (b"", "it is empty"),
        (b"not what it says\n" * 100, "it is not a (ROOT|Parquet|HDF5) file"),
        (0.5, "cannot read"),
        (0.99, "cannot read"),
    ],
)
def test_unreadable_files(tmp_path: Path, format: str, content: bytes | float | None, message: str) -> None:
    path = tmp_path / "file.data"
    if content is None:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        make(format, path)
        path.write_bytes(path.read_bytes()[: int(content * path.stat().st_size)])
    reader = reader_of(format)
    with pytest.raises(UnreadableFile, match=message) as caught:
        reader.facts(str(path), TREES[format], ())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"cannot read .*absent: there is no such file"):
        reader.facts(str(tmp_path / "absent"), TREES[format], ())


def test_parquet_columns(tmp_path: Path) -> None:
    path = make("parquet", tmp_path / "file.parquet")
    expected = table().to_pylist()[290:310]
    columns = ["a", "b", "n", "s", "flag", "p"]
    chunk = reader_of("parquet").read(path, "", columns, 290, 310, {})
    for column in columns:
        assert ak.to_list(chunk[column]) == [row[column] for row in expected], column
    assert isinstance(chunk["a"], np.ndarray)
    assert str(ak.Array(chunk["b"]).type) == "20 * var * float64"  # no option type, as processors want it
    assert str(ak.Array(chunk["n"]).type) == "20 * ?int64"


def test_parquet_reads_only_what_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    rng = np.random.default_rng(1)
    pq.write_table(pa.table({f"c{i}": rng.random(10_000) for i in range(10)}), path, row_group_size=1000)
    reader = reader_of("parquet")
    fixed = reader.read(str(path), "", ["c3"], 0, 0, {}).bytes_read
    one = reader.read(str(path), "", ["c3"], 2000, 3000, {}).bytes_read - fixed
    assert 8000 <= one < 16_000
    assert 4 * 8000 <= reader.read(str(path), "", ["c3", "c4"], 2500, 3500, {}).bytes_read - fixed < 4 * 16_000


def test_parquet_files_of_equal_layout_are_told_apart(tmp_path: Path) -> None:
    facts = []
    for seed in (1, 2):
        values = np.random.default_rng(seed).random(1000)
        path = tmp_path / f"{seed}.parquet"
        pq.write_table(pa.table({"x": np.zeros(1000), "y": values}), path, compression="none", use_dictionary=False,
                       write_statistics=False)  # fmt: skip
        facts.append(reader_of("parquet").facts(str(path), "", ()))
    assert facts[0].size == facts[1].size
    assert facts[0].uuid != facts[1].uuid


def test_parquet_page_checksums_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    values = np.random.default_rng(1).random(1000)
    pq.write_table(pa.table({"x": values}), path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[content.index(values[500].tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"(?i)cannot read .*file\.parquet.*crc"):
        reader_of("parquet").read(str(path), "", ["x"], 0, 1000, {})


def mod_columns(path: Path, start: int, stop: int) -> dict[str, Any]:
    """The same with h5py alone, jet by jet."""
    with h5py.File(path) as file:
        names = {name: [one.decode() for one in file[name].attrs["cols"]] for name in ("jets_f", "jets_i", "pfcs")}
        bounds, pfcs = file["pfcs_index"][:], file["pfcs"][:]
        jets = [pfcs[bounds[jet] : bounds[jet + 1]] for jet in range(start, stop)]
        return {
            "jet_pt": file["jets_f"][start:stop, names["jets_f"].index("jet_pt")].tolist(),
            "evn": file["jets_i"][start:stop, names["jets_i"].index("evn")].tolist(),
            "pfcs.pid": [jet[:, names["pfcs"].index("pid")].tolist() for jet in jets],
            "pfcs": [[dict(zip(names["pfcs"], row, strict=True)) for row in jet.tolist()] for jet in jets],
        }


@pytest.mark.parametrize(("start", "stop"), [(0, ROWS), (255, 258), (700, 700)])
def test_mod_columns(tmp_path: Path, start: int, stop: int) -> None:
    path = write_mod(tmp_path / "jets.h5", ROWS)
    expected = mod_columns(path, start, stop)
    chunk = reader_of("mod_hdf5").read(str(path), "", list(expected), start, stop, {})
    for column, values in expected.items():
        assert ak.to_list(chunk[column]) == values, column
    assert chunk["evn"].dtype == np.int64


def test_real_mod_file(test_data: Path) -> None:
    path = test_data / "mod" / "SIM300_like_0.h5"
    reader = reader_of("mod_hdf5")
    facts = reader.facts(str(path), "", ["jet_pt", "pfcs", "gens.pt"])
    expected = mod_columns(path, facts.entries - 500, facts.entries)
    chunk = reader.read(str(path), "", list(expected), facts.entries - 500, facts.entries, {}, facts.uuid)
    for column, values in expected.items():
        assert ak.to_list(chunk[column]) == values, column
    assert chunk.bytes_read < facts.size / 10
    assert reader.facts(str(path.with_name("SIM300_like_1.h5")), "", ()).uuid != facts.uuid


def test_mod_files_that_are_not_whole(tmp_path: Path) -> None:
    reader = reader_of("mod_hdf5")
    path = str(write_mod(tmp_path / "no_jets.h5", 10, without=("jets_f",)))
    with pytest.raises(MissingTree, match=r"no_jets\.h5 has no data set 'jets_f'.*its data sets are: filenames, gens"):
        reader.facts(path, "", ())
    path = str(write_mod(tmp_path / "no_pt.h5", 10, without=("jet_pt",)))
    with pytest.raises(MissingBranch, match=r"no_pt\.h5: the file has no column 'jet_pt'; the nearest .* 'jet_phi'"):
        reader.read(path, "", ["jet_pt"], 0, 5, {})
    path = str(write_mod(tmp_path / "no_pfcs.h5", 10, without=("pfcs",)))
    assert reader.facts(path, "", ["jet_pt", "gens"]).entries == 10
    with pytest.raises(MissingBranch, match=r"no column 'pfcs'"):
        reader.facts(path, "", ["pfcs"])
    path = str(write_mod(tmp_path / "index.h5", 10))
    with h5py.File(path, "r+") as file:
        file["pfcs_index"][5] = 10**6
    with pytest.raises(UnreadableFile, match=r"index\.h5: pfcs_index does not ascend"):
        reader.read(path, "", ["pfcs"], 0, 10, {})
    assert len(reader.read(path, "", ["pfcs"], 6, 10, {})["pfcs"]) == 4


def test_faults_below_the_libraries(file: tuple[str, Reader, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth read of the system fails: the numbers are the same, and the retries are counted."""
    format, reader, path = file
    columns = [COLUMNS[format], SUMMED[format]]
    calm = reader.read(path, TREES[format], columns, 7, 993, {})
    real, count = os.pread, itertools.count(1)

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if next(count) % 5 == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    chunks = [reader.read(path, TREES[format], columns, 7, 993, {}) for _ in range(3)]
    assert sum(chunk.retries for chunk in chunks) == (next(count) - 1) // 5 > 0
    for chunk in chunks:
        for column in columns:
            assert ak.array_equal(ak.Array(chunk[column]), ak.Array(calm[column]))


def test_a_fault_that_stays(file: tuple[str, Reader, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library makes of it, it is an OSError that says what the system said, and may go away later."""
    format, reader, path = file
    monkeypatch.setattr(patient, "patience", lambda: Patience(first_pause=0.001, growth=1.0))
    real = os.pread
    reads = itertools.count(1)
    for healthy in (0, 1, 3, 5, 8):
        start = next(reads)

        def pread(descriptor: int, size: int, offset: int, last: int = start + healthy) -> bytes:
            if next(reads) > last:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(descriptor, size, offset)

        monkeypatch.setattr(os, "pread", pread)
        with pytest.raises(OSError, match=r"cannot read .*file\.data: OSError: .*Input/output error") as caught:
            reader.read(path, TREES[format], [COLUMNS[format], SUMMED[format]], 7, 993, {})
        assert is_transient(caught.value)
