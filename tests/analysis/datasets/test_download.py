"""A public file comes into the cache whole and right, or not at all; what broke off is resumed."""

import errno
import hashlib
import json
import multiprocessing
import os
import stat
import struct
import time
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.http_files import serving
from support.xrootd import xrootd

from analysis.datasets.download import compared, fetch_file
from analysis.datasets.plausibility import implausible
from analysis.datasets.publication import PublicFile
from analysis.datasets.shared_cache import refusals_named
from analysis.datasets.transfer import checksum_of_server
from processors.errors import UnreadableFile
from processors.faults import is_transient

CONTENT = np.random.default_rng(1).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def published(directory: Path, content: bytes = CONTENT) -> Path:
    place = directory / "server" / "record" / "1" / "files"
    place.mkdir(parents=True, exist_ok=True)
    (place / "jets.h5").write_bytes(content)
    return directory / "server"


def public_file(address: str, directory: Path) -> PublicFile:
    return PublicFile(
        "SIM300", (f"{address}/record/1/files/jets.h5?download=1",), str(directory / "cache" / "jets.h5"), f"md5:{MD5}"
    )


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "cache").iterdir())


def test_a_file_is_downloaded_once(tmp_path: Path) -> None:
    with serving(published(tmp_path)) as served:
        file = public_file(served.address, tmp_path)
        assert fetch_file(file)
        assert not fetch_file(file)
        assert served.requests == 1
    assert Path(file.path).read_bytes() == CONTENT
    assert left(tmp_path) == [".jets.h5.verified", "jets.h5"]


def test_a_file_that_another_program_put_there_is_taken_if_it_is_right(tmp_path: Path) -> None:
    place = tmp_path / "cache" / "jets.h5"
    place.parent.mkdir()
    place.write_bytes(CONTENT)
    with serving(published(tmp_path)) as served:
        assert not fetch_file(public_file(served.address, tmp_path))
        assert served.requests == 0
        place.write_bytes(CONTENT[:-1] + b"x")
        os.utime(place, ns=(1, 1))
        assert fetch_file(public_file(served.address, tmp_path))
    assert place.read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_what_broke_off_is_resumed_where_the_server_gives_parts(tmp_path: Path, ranges: bool) -> None:
    # Half of it, then half of the rest, which is too little to go on at once: the next attempt does.
    with serving(published(tmp_path), lambda number: "cut" if number <= 2 else None, ranges=ranges) as served:
        file = public_file(served.address, tmp_path)
        with pytest.raises(OSError, match=f"broke off {750000 if ranges else 1500000} bytes before the end") as caught:
            fetch_file(file)
        assert is_transient(caught.value)
        assert left(tmp_path) == [".jets.h5.part"]
        assert fetch_file(file, 1)
        assert served.sent == len(CONTENT) * (1.0 if ranges else 2.0)
        assert served.requests == 3
    assert Path(file.path).read_bytes() == CONTENT


def test_the_rest_of_another_file_is_not_glued_on(tmp_path: Path) -> None:
    part = tmp_path / "cache" / ".jets.h5.part"
    part.parent.mkdir()
    for begin in (b"not its beginning", b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)):
        part.write_bytes(begin)
        with serving(published(tmp_path)) as served:
            file = public_file(served.address, tmp_path)
            assert fetch_file(file)
        assert Path(file.path).read_bytes() == CONTENT
        Path(file.path).unlink()


def test_a_wrong_checksum_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    other = b"something else"
    with (
        serving(published(tmp_path, other)) as served,
        pytest.raises(UnreadableFile, match=r"is not the published file jets\.h5: its MD5 is [0-9a-f]{32}, ") as caught,
    ):
        fetch_file(public_file(served.address, tmp_path))
    assert hashlib.md5(other, usedforsecurity=False).hexdigest() in str(caught.value)
    assert MD5 in str(caught.value)
    assert not is_transient(caught.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize(("fault", "transient"), [("503", True), ("404", False)])
def test_errors_of_the_server_are_told_apart(tmp_path: Path, fault: str, transient: bool) -> None:
    with serving(published(tmp_path), lambda _: fault) as served, pytest.raises(OSError, match=fault) as caught:
        fetch_file(public_file(served.address, tmp_path))
    assert is_transient(caught.value) is transient


def test_a_server_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="refused") as caught:
        fetch_file(public_file("http://127.0.0.1:1", tmp_path))
    assert is_transient(caught.value)


def test_only_servers_are_asked(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no address of a server"):
        fetch_file(PublicFile("CMS", ("file:///etc/hosts",), str(tmp_path / "cache" / "jets.h5"), f"md5:{MD5}"))


@pytest.mark.parametrize(
    "checksum", [f"md5:{MD5}", f"adler32:{zlib.adler32(CONTENT):08x}", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"]
)
def test_every_kind_of_published_checksum_is_compared(tmp_path: Path, checksum: str) -> None:
    with serving(published(tmp_path)) as served:
        file = replace(public_file(served.address, tmp_path), checksum=checksum)
        assert fetch_file(file)
        Path(file.path).unlink()
        wrong = replace(file, checksum=checksum[:-1] + ("0" if checksum[-1] != "0" else "1"))
        with pytest.raises(UnreadableFile, match="was published; nothing was kept"):
            fetch_file(wrong)
    assert [name for name in left(tmp_path) if "verified" not in name] == []


@pytest.mark.parametrize("fault", ["truncated", "damaged"])
def test_a_file_that_is_not_the_published_one_at_one_address_comes_from_another(tmp_path: Path, fault: str) -> None:
    with serving(published(tmp_path), lambda _: fault) as bad, serving(published(tmp_path)) as good:
        both = (public_file(bad.address, tmp_path).addresses[0], public_file(good.address, tmp_path).addresses[0])
        file = replace(public_file("", tmp_path), addresses=both, size=len(CONTENT))
        with pytest.raises(UnreadableFile, match="is not the published file"):
            fetch_file(file, 0)
        assert left(tmp_path) == []
        assert fetch_file(file, 1)
    assert Path(file.path).read_bytes() == CONTENT


def test_without_a_published_checksum_the_size_is_compared(tmp_path: Path) -> None:
    with serving(published(tmp_path)) as served:
        file = replace(public_file(served.address, tmp_path), checksum=None, size=len(CONTENT) + 1)
        with pytest.raises(UnreadableFile, match="it has 3000000 bytes, 3000001 were published"):
            fetch_file(file)
        assert left(tmp_path) == []
        assert fetch_file(replace(file, size=len(CONTENT)))


def unpublished(address: str, directory: Path, name: str) -> PublicFile:
    return PublicFile("SIM300", (f"{address}/record/1/files/{name}",), str(directory / "cache" / name))


@pytest.mark.parametrize("name", ["jets.root", "jets.h5", "jets.parquet"])
def test_a_page_in_place_of_a_file_is_not_taken_for_it(tmp_path: Path, name: str) -> None:
    server = published(tmp_path)
    (server / "record/1/files" / name).write_bytes(b"<html>The portal is being maintained.</html>")
    with (
        serving(server) as served,
        pytest.raises(UnreadableFile, match=rf"cannot be the file {name}: it does not begin"),
    ):
        fetch_file(unpublished(served.address, tmp_path, name))
    assert left(tmp_path) == []


@pytest.mark.parametrize("version", [62206, 1062206])
def test_a_root_file_must_reach_to_the_end_it_names(tmp_path: Path, version: int) -> None:
    head = b"root" + struct.pack(">iiq" if version > 10**6 else ">iii", version, 100, 300)
    path = tmp_path / "a"
    for size, wrong in ((300, None), (299, "it has 299 bytes, and by its own header it ends at 300")):
        path.write_bytes(head.ljust(size, b"x"))
        assert implausible(path, ".root") == wrong


def test_a_part_that_is_longer_than_the_file_is_not_taken_for_it(tmp_path: Path) -> None:
    server, part = published(tmp_path), tmp_path / "cache" / ".jets.dat.part"
    (server / "record/1/files/jets.dat").write_bytes(b"y" * 100)
    part.parent.mkdir()
    with serving(server) as served:
        file = unpublished(served.address, tmp_path, "jets.dat")
        for tag in (None, f'"{zlib.crc32(b"y" * 100)}"'):  # the second one: the server says 416
            part.write_bytes(b"x" * 150)
            if tag is not None:
                part.with_suffix(".version").write_text(json.dumps({"address": file.addresses[0], "version": tag}))
            assert fetch_file(file)
            assert Path(file.path).read_bytes() == b"y" * 100
            Path(file.path).unlink()


@pytest.mark.parametrize("changed", [True, False])
def test_a_part_is_of_one_version_of_the_file(tmp_path: Path, changed: bool) -> None:
    server = published(tmp_path)
    place = server / "record/1/files/jets.dat"
    place.write_bytes(CONTENT[:1_000_000])
    with serving(server, lambda number: "cut" if number == 1 else None) as served:
        file = unpublished(served.address, tmp_path, "jets.dat")
        with pytest.raises(OSError, match="broke off"):
            fetch_file(file)
        assert left(tmp_path) == [".jets.dat.part", ".jets.dat.version"]
        if changed:
            place.write_bytes(CONTENT[1_000_000:2_000_000])
        assert fetch_file(file)
        assert served.sent == (1_500_000 if changed else 1_000_000)
    assert Path(file.path).read_bytes() == place.read_bytes()
    assert left(tmp_path) == [".jets.dat.verified", "jets.dat"]


@pytest.mark.parametrize(("mode", "folder", "file"), [(0o2770, 0o2775, 0o664), (0o755, 0o755, 0o644)])
def test_a_cache_is_as_open_to_its_group_as_its_root(tmp_path: Path, mode: int, folder: int, file: int) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    before = os.umask(0o022)
    try:
        with serving(published(tmp_path)) as served:
            wanted = replace(public_file(served.address, tmp_path), path=str(cache / "a" / "b" / "jets.h5"))
            assert fetch_file(wanted)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in cache.rglob("*")}
    assert modes == {"a": folder, "b": folder, "jets.h5": file, ".jets.h5.verified": file}


def test_who_may_not_write_hears_whose_the_folder_is(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "a"
    folder.mkdir(parents=True)
    owner = Path(folder).owner()
    with (
        pytest.raises(PermissionError, match=rf"b\.root cannot .* the folder {folder} belongs to {owner}, ") as caught,
        refusals_named(folder / "b.root"),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / ".b.root.part"))
    assert not is_transient(caught.value)


def test_a_server_that_gives_a_byte_now_and_then_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPBATCH_READ_TIMEOUT", "0.5")
    with (
        serving(published(tmp_path), lambda _: "slow") as served,
        pytest.raises(OSError, match="it is too slow") as caught,
    ):
        fetch_file(public_file(served.address, tmp_path))
    assert is_transient(caught.value)


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPBATCH_READ_TIMEOUT", "0.3")
    with (
        serving(published(tmp_path), lambda _: "stall") as served,
        pytest.raises(OSError, match="timed out") as caught,
    ):
        fetch_file(public_file(served.address, tmp_path))
    assert is_transient(caught.value)


def test_many_processes_that_want_a_file_download_it_once(tmp_path: Path) -> None:
    """Half of them meet a first one who is at it, and whose attempt is in vain."""
    with serving(published(tmp_path), lambda number: "damaged" if number == 1 else None) as served:
        file = public_file(served.address, tmp_path)
        with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("forkserver")) as pool:
            outcomes = list(pool.map(_fetched, [file] * 8))
        # The first one downloads a wrong file, another the right one, and six find it.
        assert Counter(outcomes) == {"wrong": 1, "fetched": 1, "there": 6}
        assert served.requests == 2
    assert Path(file.path).read_bytes() == CONTENT
    assert left(tmp_path) == [".jets.h5.verified", "jets.h5"]


def _fetched(file: PublicFile) -> str:
    try:
        return "fetched" if fetch_file(file) else "there"
    except UnreadableFile:
        return "wrong"


@pytest.mark.slow
def test_a_file_comes_over_xrootd_and_is_resumed(tmp_path: Path) -> None:
    with xrootd(lambda directory: (directory / "jets.h5").write_bytes(CONTENT)) as server:
        path = tmp_path / "cache" / "jets.h5"
        file = PublicFile("SIM300", (f"{server.root}//jets.h5",), str(path), f"adler32:{zlib.adler32(CONTENT):08x}")
        assert fetch_file(file)
        assert path.read_bytes() == CONTENT
        path.unlink()
        part = path.with_name(".jets.h5.part")
        for begin in (CONTENT[:1_000_001], b"not its beginning", CONTENT + b"more"):
            part.write_bytes(begin)
            assert fetch_file(file)
            assert path.read_bytes() == CONTENT
            path.unlink()
        gone = replace(file, addresses=(f"{server.root}//none.h5",))
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            fetch_file(gone)
    assert [name for name in left(tmp_path) if "verified" not in name] == []


@pytest.mark.slow
def test_where_no_checksum_is_published_the_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with xrootd(lambda directory: (directory / "jets.h5").write_bytes(CONTENT)) as server:
        path = str(tmp_path / "cache" / "jets.h5")
        file = PublicFile("SIM300", (f"{server.root}//jets.h5",), path, size=len(CONTENT))
        assert checksum_of_server(file.addresses[0]) == f"adler32:{zlib.adler32(CONTENT):08x}"
        assert checksum_of_server(f"{server.root}//none.h5") is None
        assert checksum_of_server(f"{server.http}/jets.h5") is None
        assert fetch_file(file)
        assert compared(file)
        assert not fetch_file(file)
        Path(path).unlink()
        with monkeypatch.context() as patch:  # what goes wrong on the way
            patch.setattr("analysis.datasets.download.checksum_of_server", lambda *_: "adler32:00000001")
            with pytest.raises(UnreadableFile, match="00000001 is what its server tells"):
                fetch_file(file)
        assert not Path(path).exists()
        over_http = replace(file, addresses=(f"{server.http}/jets.h5",))
        assert fetch_file(over_http)
        assert not compared(over_http)


@pytest.mark.slow
def test_a_server_that_is_away_while_its_checksum_is_asked_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with xrootd(lambda directory: (directory / "jets.h5").write_bytes(CONTENT)) as server:
        path = tmp_path / "cache" / "jets.h5"
        file = PublicFile("SIM300", (f"{server.root}//jets.h5",), str(path), size=len(CONTENT))
        server.stop()
        with pytest.raises(OSError, match=r"jets\.h5: ConnectionError: .* \(5 attempts at its checksum\)$") as caught:
            fetch_file(file)
        assert is_transient(caught.value)
        assert not path.exists()
        caplog.clear()
        with ThreadPoolExecutor(1) as pool:
            fetching = pool.submit(fetch_file, file)
            while "another follows" not in caplog.text and not fetching.done():
                time.sleep(0.01)
            server.start()
            assert fetching.result(60)
        assert compared(file)


@pytest.mark.slow
def test_a_server_that_does_not_answer_for_its_checksum_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEPBATCH_READ_TIMEOUT", "0.5")
    with xrootd(lambda directory: (directory / "jets.h5").write_bytes(CONTENT)) as server:
        silence = r"TimeoutError: no answer within 1 s \(5 attempts"
        with server.frozen(), pytest.raises(OSError, match=silence) as caught:
            checksum_of_server(f"{server.root}//jets.h5", len(CONTENT))
        assert is_transient(caught.value)


@pytest.mark.slow
def test_what_a_server_says_of_its_checksums_is_believed(tmp_path: Path) -> None:
    """None where it has no checksums; a right that is missing is an error, not a file without a checksum."""

    def fill(directory: Path) -> None:
        (directory / "jets.h5").write_bytes(CONTENT)
        (directory / "private.h5").write_bytes(CONTENT)
        (directory / "private.h5").chmod(0)

    with xrootd(fill, checksums=False) as server:
        assert checksum_of_server(f"{server.root}//jets.h5") is None
        file = PublicFile("SIM300", (f"{server.root}//jets.h5",), str(tmp_path / "jets.h5"), size=len(CONTENT))
        assert fetch_file(file)
        assert not compared(file)
    with xrootd(fill) as server, pytest.raises(OSError, match=r"private\.h5: PermissionError: \[3010\]") as caught:
        checksum_of_server(f"{server.root}//private.h5")
    assert not is_transient(caught.value)
