"""The stamp of a file changes when the file may have changed, and is the same as long as it has not."""

import os
from pathlib import Path

import fsspec
import pytest

from analysis.engine.identity import stamp


def test_an_untouched_file_keeps_its_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    path.write_bytes(b"root")
    before = stamp(str(path))
    path.read_bytes()
    assert stamp(str(path)) == before


def test_another_size_or_time_is_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    path.write_bytes(b"root")
    marks = {stamp(str(path))}
    path.write_bytes(b"root of a larger tree")
    marks.add(stamp(str(path)))
    os.utime(path, ns=(0, 0))
    marks.add(stamp(str(path)))
    assert len(marks) == 3


def test_a_copy_over_it_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    path, other = tmp_path / "a.root", tmp_path / "b.root"
    for one, content in ((path, b"one"), (other, b"two")):
        one.write_bytes(content)
        os.utime(one, ns=(10**18, 10**18))
    before = stamp(str(path))
    other.replace(path)
    assert path.stat().st_mtime_ns == 10**18
    assert stamp(str(path)) != before


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        stamp(str(tmp_path / "a.root"))


def test_a_remote_file_has_a_stamp_of_size_and_tag() -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/identity/a.root", b"root")
    try:
        assert stamp("memory://identity/a.root").startswith("4:")
        system.pipe("/identity/a.root", b"root of a larger tree")
        assert stamp("memory://identity/a.root").startswith("21:")
    finally:
        system.rm("/identity", recursive=True)
    with pytest.raises(FileNotFoundError):
        stamp("memory://identity/a.root")
