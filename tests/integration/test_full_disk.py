"""A disk that is too small before a run, and one that fills up in the middle: one sentence, and nothing is lost."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command import hepbatch, make_source

from cluster.space import afs_quota_left, free_space, shortage

EVENTS, CHUNK = 4000, 10
PAGES = 8192  # a small file takes whole pages [bytes]

pytestmark = pytest.mark.slow


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of its own at `place`; gives a function that changes its size."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield lambda other: _run("mount", "-o", f"remount,size={other}", str(place))
    finally:
        _run("umount", "--lazy", str(place))


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ", "Zee"), events=EVENTS)
    words = ("skim", "higgs4l", "--source", source, "--set", f"chunk_size={CHUNK}", "--set", "cluster.free_space=100kB",
             "--set", "retries.first_pause=0.1", "--workers", "2")  # fmt: skip
    done = hepbatch(*words, "--output", tmp_path / "roomy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # Room for the whole and, before they are joined, half of the items' own small files: by then some are recorded.
    needed = sum(path.stat().st_blocks * 512 for path in (tmp_path / "roomy").rglob("*") if path.is_file())
    needed += 2 * EVENTS // CHUNK // 2 * PAGES
    disk = tmp_path / "disk"
    with small_disk(disk, f"{needed // 1024}k") as change_size:
        done = hepbatch(*words, "--output", disk / "out", cwd=tmp_path)
        assert done.returncode == 2, done.stderr[-3000:]
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("hepbatch: no space is left, or a quota is reached")
        assert "the same command goes on" in last
        assert "Traceback" not in done.stderr
        change_size("1g")
        status = hepbatch("status", "higgs4l", "--output", disk / "out", cwd=tmp_path)
        assert "interrupted in the stage skim" in status.stdout
        assert "failed: skim" not in status.stdout
        done = hepbatch(*words, "--output", disk / "out", cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        kept = json.loads((disk / "out" / "manifest.json").read_text())["stages"]["skim"]["kept"]
        assert 0 < kept < 2 * EVENTS // CHUNK
        mine, theirs = (json.loads((one / "cutflow.json").read_text()) for one in (disk / "out", tmp_path / "roomy"))
    assert {name: one["all"]["events"] for name, one in mine.items()} == dict.fromkeys(("Zee", "ZZ"), EVENTS)
    for sample, cuts in theirs.items():
        assert {cut: one["events"] for cut, one in mine[sample].items()} == {
            cut: one["events"] for cut, one in cuts.items()
        }


def test_too_little_room_is_said_before_anything_begins(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",), events=10)
    words = ("skim", "higgs4l", "--source", source, "--output", tmp_path / "out")
    done = hepbatch(*words, "--set", "cluster.free_space=900000TiB", cwd=tmp_path)
    assert done.returncode == 2
    assert f"the file system of the run directory {tmp_path / 'out'} has" in done.stderr
    assert "900000TiB are needed (free_space)" in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_more_files(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as _:
        _run("mount", "-o", "remount,nr_inodes=1", str(tmp_path / "disk"))
        assert os.statvfs(tmp_path / "disk").f_favail == 0
        assert "takes no more files" in str(shortage(tmp_path / "disk" / "out", "1kB"))


def test_the_room_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not" / "yet").bytes == pytest.approx(free_space(tmp_path).bytes, rel=0.2)


@pytest.mark.parametrize(
    ("listing", "left"),
    [
        ("Volume Name  Quota  Used %Used  Partition\nuser.jane  10000000  9999000  100%<<  80%\n", 1024000),
        ("Volume Name  Quota  Used %Used  Partition\nuser.jane  1000  2000  200%<<  80%\n", 0),
        ("Volume Name  Quota  Used %Used  Partition\np.sw  no limit  2000  0%  80%\n", None),
        ("fs: You don't have the required access rights on '/afs/x'\n", None),
    ],
)
def test_the_quota_of_afs(listing: str, left: int | None) -> None:
    assert afs_quota_left(listing) == left
