"""States, sums and skims of a ledger are those of the same items."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.engine.ledger import NAME, PAGE, Ledger, RememberedFile, Skim
from tests.support.ledger_rows import done, entry, skim


def states(ledger: Ledger) -> dict[str, str]:
    return {row.key: row.state for row in ledger.rows("skim", "planned", "done", "failed", "split")}


def test_what_is_planned_again_unchanged_keeps_its_state(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(3)])
        ledger.record("skim", done(1, attempts=2, worker="cpu-0"), skim(1))
        ledger.record("skim", entry(2, state="failed", error="ValueError: bad"))
        ledger.commit("skim", {"ZZ": "sum of 1"})
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(3), entry(2), entry(1), entry(4)])
        assert list(ledger.rows("skim", "done")) == [done(1, attempts=2, worker="cpu-0")]
        assert [row.error for row in ledger.rows("skim", "failed")] == ["ValueError: bad"]
        assert [row.start for row in ledger.rows("skim", "planned")] == [3, 4]
        assert ledger.sums("skim") == {"ZZ": "sum of 1"}
        assert ledger.skims("ZZ") == [skim(1)]


def test_another_fingerprint_starts_that_sample_again_and_no_other(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(1, "Zee"), entry(2, "Zee")])
        for sample in ("ZZ", "Zee"):
            ledger.record("skim", done(1, sample), skim(1, sample))
        ledger.commit("skim", {"ZZ": "sum of ZZ", "Zee": "sum of Zee"})
        ledger.plan("skim", [entry(1, mark="v2"), entry(2, mark="v2"), entry(1, "Zee"), entry(2, "Zee")])
        assert list(ledger.rows("skim", "planned", "done")) == [
            entry(1, mark="v2"), entry(2, mark="v2"), done(1, "Zee"), entry(2, "Zee")
        ]  # fmt: skip
        assert ledger.sums("skim") == {"Zee": "sum of Zee"}
        assert (ledger.skims("ZZ"), ledger.skims("Zee")) == ([], [skim(1, "Zee")])
        assert ledger.samples_with_skims() == ["Zee"]


def test_a_done_item_that_is_not_wanted_any_more_starts_its_sample_again(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(1, "Zee")])
        for one in (done(1), done(2), done(1, "Zee")):
            ledger.record("skim", one)
        ledger.commit("skim", {"ZZ": "1 and 2", "Zee": "1"})
        ledger.plan("skim", [entry(1), entry(1, "Zee")])
        assert states(ledger) == {entry(1).key: "planned", entry(1, "Zee").key: "done"}
        assert ledger.sums("skim") == {"Zee": "1"}


def test_an_unwanted_item_that_added_nothing_goes_alone(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(3)])
        ledger.record("skim", done(1))
        ledger.record("skim", entry(2, state="failed"))
        ledger.commit("skim", {"ZZ": "1"})
        ledger.plan("skim", [entry(1)])
        assert states(ledger) == {entry(1).key: "done"}
        assert ledger.sums("skim") == {"ZZ": "1"}


def test_a_file_that_was_moved_is_read_where_it_is_now(tmp_path: Path) -> None:
    part = entry(30, parent=entry(3).key)
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(3)])
        for one in (done(1), entry(3, state="split"), part):
            ledger.record("skim", one)
        ledger.commit("skim", {"ZZ": "1"})
        ledger.plan("skim", [replace(entry(number), path="moved.root") for number in (1, 2, 3)])
        rows = list(ledger.rows("skim", "planned", "done", "split"))
        assert {(row.start, row.state, row.path) for row in rows} == {
            (1, "done", "moved.root"), (2, "planned", "moved.root"), (3, "split", "moved.root"),
            (30, "planned", "moved.root"),
        }  # fmt: skip


def test_the_plan_of_one_stage_leaves_the_other_alone(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1)])
        ledger.record("skim", done(1), skim(1))
        ledger.commit("skim", {"ZZ": "1"})
        ledger.plan("train", [entry(1)])
        ledger.record("train", done(1))
        ledger.plan("train", [entry(1, mark="v2")])
        assert (ledger.count("skim", "done"), ledger.count("train", "done")) == (1, 0)
        assert (ledger.sums("skim"), ledger.skims("ZZ")) == ({"ZZ": "1"}, [skim(1)])


def test_the_parts_of_a_split_item_are_kept_while_the_item_is_wanted(tmp_path: Path) -> None:
    parts = [done(10, parent=entry(1).key), entry(11, parent=entry(1).key)]
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2)])
        for one in (entry(1, state="split"), *parts):
            ledger.record("skim", one)
        ledger.commit("skim", {"ZZ": "10"})
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2)])
        assert list(ledger.rows("skim", "planned")) == [entry(2), parts[1]]
        assert list(ledger.rows("skim", "done")) == [parts[0]]
        assert ledger.sums("skim") == {"ZZ": "10"}
        ledger.plan("skim", [entry(2)])
        assert states(ledger) == {entry(2).key: "planned"}
        assert ledger.sums("skim") == {}


def test_what_was_recorded_after_the_last_commit_goes_with_an_exception(tmp_path: Path) -> None:
    def session() -> None:
        with Ledger(tmp_path) as ledger:
            ledger.plan("skim", [entry(1), entry(2)])
            ledger.record("skim", done(1), skim(1))
            ledger.commit("skim", {"ZZ": "1"})
            ledger.record("skim", done(2), skim(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        session()
    with Ledger(tmp_path) as ledger:
        assert states(ledger) == {entry(1).key: "done", entry(2).key: "planned"}
        assert ledger.skims("ZZ") == [skim(1)]


def test_a_plan_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield entry(1, mark="v2")
        raise OSError("the file list ends here")

    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1)])
        ledger.record("skim", done(1))
        ledger.commit("skim", {"ZZ": "1"})
        with pytest.raises(OSError, match="ends here"):
            ledger.plan("skim", broken())  # type: ignore[arg-type]
        assert list(ledger.rows("skim", "planned", "done")) == [done(1)]
        ledger.plan("skim", [entry(1)])
        assert ledger.sums("skim") == {"ZZ": "1"}


def test_beginning_again_forgets_all_of_a_sample(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(3), entry(1, "Zee")])
        ledger.record("skim", done(1, worker="cpu-0", seconds=1.0, attempts=1), skim(1))
        ledger.record("skim", entry(2, state="split"))
        ledger.record("skim", done(20, parent=entry(2).key), skim(20))
        ledger.record("skim", entry(3, state="failed", error="OSError"))
        ledger.record("skim", done(1, "Zee"), skim(1, "Zee"))
        ledger.commit("skim", {"ZZ": "1 and 20", "Zee": "1"})
        ledger.begin_again("skim", "ZZ")
        rows = list(ledger.rows("skim", "planned", "done", "failed", "split"))
        assert rows == [entry(1), entry(2), entry(3), done(1, "Zee")]
        assert (ledger.sums("skim"), ledger.skims("ZZ"), ledger.skims("Zee")) == ({"Zee": "1"}, [], [skim(1, "Zee")])


def test_joined_skims_are_seen_as_the_file_they_became(tmp_path: Path) -> None:
    joined = Skim("ZZ/part-1.parquet", "ZZ", ".staged/joined/ZZ/part-1.parquet", 250, 20)
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(3)])
        for number in (1, 2, 3):
            ledger.record("skim", done(number), skim(number))
        ledger.commit("skim", {"ZZ": "all"})
        ledger.record_joined([skim(1).name, skim(2).name], joined)
    with Ledger(tmp_path) as ledger:
        assert ledger.skims("ZZ") == [skim(3), joined]
        twice = Skim("ZZ/part-2.parquet", "ZZ", ".staged/joined/ZZ/part-2.parquet", 350, 30)
        ledger.record_joined([joined.name, skim(3).name], twice)
        assert ledger.skims("ZZ") == [twice]


def test_rows_are_read_while_they_change(tmp_path: Path) -> None:
    number = 2 * PAGE + 7
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", (entry(one) for one in range(number)))
        seen = []
        for row in ledger.rows("skim", "planned"):
            seen.append(row.start)
            ledger.record("skim", done(row.start or 0))
            if len(seen) % 300 == 0:
                ledger.commit("skim", {"ZZ": str(len(seen))})
        assert seen == list(range(number))
        assert (ledger.count("skim", "done"), ledger.count("skim", "planned")) == (number, 0)


def test_an_item_that_fails_again_is_not_met_twice(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", (entry(one) for one in range(PAGE + 5)))
        for one in range(PAGE + 5):
            ledger.record("skim", entry(one, state="failed"))
        met = 0
        for row in ledger.rows("skim", "planned", "failed"):
            ledger.record("skim", entry(row.start or 0, state="failed", attempts=2))
            met += 1
        assert met == PAGE + 5


@settings(max_examples=40)
@given(
    first=st.dictionaries(st.integers(0, 30), st.sampled_from(["planned", "done", "failed"])),
    second=st.dictionaries(st.integers(0, 30), st.sampled_from(["v1", "v2"])),
)
def test_after_planning_again_the_sums_are_those_of_the_done_rows(
    tmp_path_factory: pytest.TempPathFactory, first: dict[int, str], second: dict[int, str]
) -> None:
    with Ledger(tmp_path_factory.mktemp("ledger")) as ledger:
        ledger.plan("skim", [entry(number) for number in first])
        for number, state in first.items():
            ledger.record("skim", entry(number, state=state))
        finished = [number for number, state in first.items() if state == "done"]
        ledger.commit("skim", {"ZZ": json.dumps(sum(finished))})
        ledger.plan("skim", [entry(number, mark=mark) for number, mark in second.items()])
        rows = list(ledger.rows("skim", "planned", "done", "failed", "split"))
        assert {row.start: row.fingerprint for row in rows} == second
        kept = [row.start or 0 for row in rows if row.state == "done"]
        assert json.loads(ledger.sums("skim").get("ZZ", "0")) == sum(kept)
        # As long as none of them is out of date, nothing that is done is done again.
        if all(second.get(number) == "v1" for number in finished):
            assert sorted(kept) == sorted(finished)


def test_files_are_remembered_with_their_stamp(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.file("a.root") is None
        ledger.remember_file("a.root", RememberedFile("stamp 1", "uuid 1", 10, 100))
        ledger.remember_file("a.root", RememberedFile("stamp 2", "uuid 2", 20, 200, divisible=False))
    with Ledger(tmp_path) as ledger:
        assert ledger.file("a.root") == RememberedFile("stamp 2", "uuid 2", 20, 200, divisible=False)


def test_what_is_not_a_ledger_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("this is not a database, and long enough that SQLite looks at its header " * 20)
    with pytest.raises(sqlite3.DatabaseError), Ledger(tmp_path):
        pass
