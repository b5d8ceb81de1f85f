"""A public file comes into the cache whole and right, or not at all; what broke off is resumed."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from support.http_files import serving

from analysis.datasets.download import PublicFile, fetch_file
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
        "SIM300", f"{address}/record/1/files/jets.h5?download=1", MD5, str(directory / "cache" / "jets.h5")
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
    with serving(published(tmp_path), lambda number: "cut" if number == 1 else None, ranges=ranges) as served:
        file = public_file(served.address, tmp_path)
        with pytest.raises(OSError, match="broke off 1500000 bytes before the end") as caught:
            fetch_file(file)
        assert is_transient(caught.value)
        assert left(tmp_path) == [".jets.h5.part"]
        assert fetch_file(file, 1)
        assert served.sent == len(CONTENT) * (1.0 if ranges else 1.5)
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


def test_only_web_servers_are_asked(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no address of a web server"):
        fetch_file(PublicFile("CMS", "file:///etc/hosts", MD5, str(tmp_path / "cache" / "jets.h5")))
