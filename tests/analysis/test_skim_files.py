"""The skim directory is that of the ledger, each row once, whenever a run was killed."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import skim_files
from analysis.engine.attempts import Outcome
from analysis.engine.ledger import Entry, Ledger, Skim
from analysis.skim_files import Join, finish, join, join_small, publish, restore, skim_paths, staged_name

ITEMS = 5
ROWS = 4  # of each item


class Killed(BaseException):
    """Stands for a kill: nothing of the project catches it."""


def items(mark: str) -> list[Entry]:
    return [Entry(f"ZZ/u/{number}", mark, "ZZ", "ZZ.root", number, number + 1) for number in range(ITEMS)]


def events(number: int) -> list[int]:
    return list(range(number * ROWS, (number + 1) * ROWS))


def work(directory: Path, number: int, mark: str) -> Skim:
    """What a worker does: it writes the rows of an item where they are staged."""
    name = f"ZZ/u_{number}.parquet"
    path = directory / staged_name(mark, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"event": events(number), "mark": [mark] * ROWS}), path)
    return Skim(name, "ZZ", staged_name(mark, name), path.stat().st_size, ROWS)


def at_once(function: Callable[[Join, int], Skim], joins: list[Join]) -> Iterator[Outcome]:
    for one in joins:
        yield Outcome(one, function(one, 0))


def skim(directory: Path, ledger: Ledger, mark: str) -> None:
    """The skim stage in small: what is due, two items to a commit; then the files are joined."""
    ledger.plan("skim", items(mark))
    for sample in restore(directory, ledger):
        ledger.begin_again("skim", sample)
        finish(directory, ledger)
    staged = []
    for row in list(ledger.rows("skim", "planned")):
        staged.append(work(directory, row.start or 0, mark))
        ledger.record("skim", Entry(row.key, mark, "ZZ", "ZZ.root", row.start, row.stop, "done"), staged[-1])
        if len(staged) == 2:
            ledger.commit("skim", {"ZZ": "sum"})
            publish(directory, staged)
            staged.clear()
    ledger.commit("skim", {"ZZ": "sum"})
    publish(directory, staged)
    assert join_small(directory, ledger, at_once) == []
    finish(directory, ledger)


def seen(directory: Path) -> list[tuple[int, str]]:
    """The rows that somebody sees who reads the skim now, sorted."""
    tables = [pq.read_table(path) for path in skim_paths(directory.parent, "ZZ")]
    return sorted((row["event"], row["mark"]) for table in tables for row in table.to_pylist())


def of_done(ledger: Ledger, mark: str) -> list[tuple[int, str]]:
    return sorted((event, mark) for row in ledger.rows("skim", "done") for event in events(row.start or 0))


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """`kill_at(k)`: the process is gone before the k-th change of the file system or commit from now on."""
    left: list[int | None] = [None]

    def step(do: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **options: Any) -> Any:
            if left[0] is not None:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
            return do(*arguments, **options)

        return stepping

    for owner, name in ((Path, "replace"), (Path, "unlink"), (Ledger, "commit"), (Ledger, "record_joined"),
                        (shutil, "rmtree"), (skim_files, "join")):  # fmt: skip
        monkeypatch.setattr(owner, name, step(getattr(owner, name)))

    def set_step(number: int | None) -> None:
        left[0] = number

    return set_step


def killed(directory: Path, mark: str, step: int, kill_at: Callable[[int | None], None]) -> bool:
    """Whether a session of the skim was killed at that step; otherwise it came to its end."""
    try:
        with Ledger(directory.parent / "ledger") as ledger:
            kill_at(step)
            skim(directory, ledger, mark)
    except Killed:
        return True
    finally:
        kill_at(None)
    return False


@pytest.mark.parametrize("before", [None, "v0"], ids=["from nothing", "after a run with other cuts"])
def test_after_a_kill_at_any_step_the_skim_is_that_of_the_ledger(
    tmp_path: Path, kill_at: Callable[[int | None], None], before: str | None
) -> None:
    for step in itertools.count():
        directory = tmp_path / str(step) / "skim"
        directory.mkdir(parents=True)
        if before is not None:
            assert not killed(directory, before, -1, kill_at)
        interrupted = killed(directory, "v1", step, kill_at)
        with Ledger(directory.parent / "ledger") as ledger:
            visible = seen(directory)
            assert len(visible) == len(set(visible))
            if all(row.fingerprint == "v1" for row in ledger.rows("skim", "planned", "done")) and before is None:
                assert set(visible) <= set(of_done(ledger, "v1"))
            ledger.plan("skim", items("v1"))
            assert restore(directory, ledger) == []
            assert seen(directory) == of_done(ledger, "v1")
            skim(directory, ledger, "v1")
            assert seen(directory) == [(event, "v1") for event in range(ITEMS * ROWS)]
            assert [path.name for path in directory.iterdir()] == ["ZZ"]
            assert [f"ZZ/{path.name}" for path in (directory / "ZZ").iterdir()] == [
                one.name for one in ledger.skims("ZZ")
            ]
        if not interrupted:
            break
    assert step > 12


def test_after_two_kills_the_skim_is_whole(tmp_path: Path, kill_at: Callable[[int | None], None]) -> None:
    for first, second in itertools.product(range(2, 26, 3), range(8)):
        directory = tmp_path / f"{first}-{second}" / "skim"
        directory.mkdir(parents=True)
        killed(directory, "v1", first, kill_at)
        killed(directory, "v1", second, kill_at)
        assert len(seen(directory)) == len(set(seen(directory)))
        assert not killed(directory, "v1", -1, kill_at)
        assert seen(directory) == [(event, "v1") for event in range(ITEMS * ROWS)]


@pytest.fixture
def skimmed(tmp_path: Path) -> Path:
    directory = tmp_path / "skim"
    directory.mkdir()
    with Ledger(tmp_path / "ledger") as ledger:
        skim(directory, ledger, "v1")
    return directory


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [remove, truncate, empty])
def test_a_sample_whose_skim_is_lost_or_cut_is_named_and_made_again(
    skimmed: Path, harm: Callable[[Path], None]
) -> None:
    harm(Path(skim_paths(skimmed.parent, "ZZ")[0]))
    with Ledger(skimmed.parent / "ledger") as ledger:
        ledger.plan("skim", items("v1"))
        assert restore(skimmed, ledger) == ["ZZ"]
        skim(skimmed, ledger, "v1")
    assert seen(skimmed) == [(event, "v1") for event in range(ITEMS * ROWS)]


def test_a_whole_skim_is_left_as_it_is(skimmed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in skimmed.rglob("*.parquet")}
    with Ledger(skimmed.parent / "ledger") as ledger:
        ledger.plan("skim", items("v1"))
        assert restore(skimmed, ledger) == []
    assert {path: path.stat().st_mtime_ns for path in skimmed.rglob("*.parquet")} == before


def test_what_others_staged_or_left_never_appears(skimmed: Path) -> None:
    for number in range(ITEMS):
        work(skimmed, number, "v0")
    stale = work(skimmed, 7, "v0")
    pq.write_table(pa.table({"event": [999], "mark": ["v0"]}), skimmed / stale.name)
    (skimmed / "Zee").mkdir()
    (skimmed / "Zee" / ".part.parquet.tmp").touch()
    with Ledger(skimmed.parent / "ledger") as ledger:
        assert restore(skimmed, ledger) == []
        assert seen(skimmed) == [(event, "v1") for event in range(ITEMS * ROWS)]
        finish(skimmed, ledger)
    assert [path for path in skimmed.rglob("*") if path.is_file()] == [
        Path(p) for p in skim_paths(skimmed.parent, "ZZ")
    ]


def test_small_files_become_one_and_large_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "skim"
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.plan("skim", items("v1"))
        made = [work(directory, number, "v1") for number in range(ITEMS)]
        monkeypatch.setattr(skim_files, "JOINED_SIZE", max(one.bytes for one in made) + 1)
        for row, one in zip(items("v1"), made, strict=True):
            ledger.record("skim", Entry(row.key, "v1", "ZZ", "ZZ.root", row.start, row.stop, "done"), one)
        ledger.commit("skim", {"ZZ": "sum"})
        publish(directory, made)
        join_small(directory, ledger, at_once)
        assert [one.rows for one in ledger.skims("ZZ")] == [2 * ROWS, 2 * ROWS, ROWS]
        assert restore(directory, ledger) == []
    assert len(seen(directory)) == len(set(seen(directory))) == ITEMS * ROWS


def test_a_group_that_cannot_be_joined_stays_as_it_is(tmp_path: Path) -> None:
    directory = tmp_path / "skim"

    def failing(function: Callable[[Join, int], Skim], joins: list[Join]) -> Iterator[Outcome]:
        yield Outcome(joins[0], error="OSError: no space left")

    with Ledger(tmp_path / "ledger") as ledger:
        made = [work(directory, number, "v1") for number in range(ITEMS)]
        for row, one in zip(items("v1"), made, strict=True):
            ledger.record("skim", Entry(row.key, "v1", "ZZ", "ZZ.root", row.start, row.stop, "done"), one)
        ledger.commit("skim", {"ZZ": "sum"})
        publish(directory, made)
        (problem,) = join_small(directory, ledger, failing)
        assert "ZZ could not be joined: OSError: no space left" in problem
        assert ledger.skims("ZZ") == made
    assert len(seen(directory)) == ITEMS * ROWS


def test_a_join_that_was_cut_off_does_not_meet_the_next_one(skimmed: Path) -> None:
    """A worker of a killed run may still be writing while the next run joins the same files."""
    group = Join(str(skimmed), "ZZ", tuple(path.relative_to(skimmed).as_posix() for path in skimmed.glob("ZZ/*")))
    assert join(group, 0).staged != join(group, 0).staged
