"""A ledger that several processes read and write, some of which are killed."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from analysis.engine.ledger import NAME, Ledger, read_ledger
from tests.support.ledger_rows import done, entry

ROOT = Path(__file__).resolve().parents[3]


def test_where_there_is_no_ledger_nothing_is_counted_or_made(tmp_path: Path) -> None:
    assert read_ledger(tmp_path / "ledger") == ({}, [])
    assert list(tmp_path.iterdir()) == []


def test_reading_counts_states_and_names_the_failed(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.plan("skim", [entry(1), entry(2), entry(3)])
        ledger.record("skim", done(1))
        ledger.record("skim", entry(2, state="failed", error="ValueError: bad", attempts=3))
    counts, failed = read_ledger(tmp_path)
    assert counts == {("skim", "ZZ"): Counter(done=1, failed=1, planned=1)}
    assert failed == [("skim", entry(2, state="failed", error="ValueError: bad", attempts=3))]


# Does items in an endless loop; a sum, the states and the skims of each commit belong together.
WRITER = textwrap.dedent("""
    import itertools, json, random, sys
    from pathlib import Path
    from analysis.engine.ledger import Entry, Ledger, Skim

    chance = random.Random(int(sys.argv[2]))
    with Ledger(Path(sys.argv[1])) as ledger:
        keys = [f"ZZ/u/{number:06d}" for number in range(3000)]
        ledger.plan("skim", (Entry(key, "v1", "ZZ", "ZZ.root", number) for number, key in enumerate(keys)))
        total = json.loads(ledger.sums("skim").get("ZZ", "0"))
        print("ready", flush=True)
        while True:
            for row in ledger.rows("skim", "planned"):
                skim = Skim(f"ZZ/{row.start}.parquet", "ZZ", f".staged/{row.start}", 1, row.start)
                ledger.record("skim", Entry(row.key, "v1", "ZZ", "ZZ.root", row.start, state="done"), skim)
                total += row.start
                if chance.random() < 0.05:
                    ledger.commit("skim", {"ZZ": json.dumps(total)})
                if chance.random() < 0.01:
                    ledger.commit("skim", {"ZZ": json.dumps(total)})
                    names = [one.name for one in ledger.skims("ZZ")][:50]
                    rows = sum(one.rows for one in ledger.skims("ZZ")[:50])
                    ledger.record_joined(names, Skim(f"ZZ/part-{row.start}", "ZZ", "-", 1, rows))
            ledger.commit("skim", {"ZZ": json.dumps(total)})
            ledger.begin_again("skim", "ZZ")
            total = 0
""")


def writer(directory: Path, seed: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), str(seed)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_kill_at_any_moment_leaves_sums_states_and_skims_of_the_same_items(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  (not for security)
    seen = set()
    for session in range(3):
        with writer(tmp_path, 10 * seed + session) as process:
            time.sleep(chance.uniform(0.0, 0.6))
            process.send_signal(signal.SIGKILL)
        counts, _ = read_ledger(tmp_path)
        with Ledger(tmp_path) as ledger:
            finished = [row.start or 0 for row in ledger.rows("skim", "done")]
            assert counts["skim", "ZZ"]["done"] == len(finished)
            assert json.loads(ledger.sums("skim").get("ZZ", "0")) == sum(finished)
            assert sum(one.rows for one in ledger.skims("ZZ")) == sum(finished)
        seen.add(len(finished))
    assert seen != {0}


def test_a_ledger_is_read_while_another_process_writes_it(tmp_path: Path) -> None:
    with writer(tmp_path, 1) as process:
        try:
            for _ in range(20):
                counts, failed = read_ledger(tmp_path)
                assert counts["skim", "ZZ"].total() == 3000
                assert failed == []
        finally:
            process.kill()


# Dies while its transaction is half in the database file.
HALF = textwrap.dedent("""
    import os, signal, sqlite3, sys
    database = sqlite3.connect(sys.argv[1], isolation_level=None)
    database.execute("PRAGMA cache_size = 1")  # changed pages go to the file before the commit
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE items SET state = 'done', error = hex(zeroblob(300))")
    database.execute("UPDATE sums SET content = 'never committed'")
    os.kill(os.getpid(), signal.SIGKILL)
""")


def test_a_half_written_commit_is_taken_back_by_whoever_comes_next(tmp_path: Path) -> None:
    for reader in ("status", "run"):
        directory = tmp_path / reader
        with Ledger(directory) as ledger:
            ledger.plan("skim", (entry(number) for number in range(2000)))
            ledger.record("skim", done(5))
            ledger.commit("skim", {"ZZ": "5"})
        subprocess.run([sys.executable, "-c", HALF, str(directory / NAME)], check=False)
        assert (directory / f"{NAME}-journal").stat().st_size > 0
        if reader == "status":
            assert read_ledger(directory)[0] == {("skim", "ZZ"): Counter(done=1, planned=1999)}
        with Ledger(directory) as ledger:
            assert [row.start for row in ledger.rows("skim", "done")] == [5]
            assert ledger.sums("skim") == {"ZZ": "5"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_reader_without_the_right_to_write_sees_the_ledger(tmp_path: Path) -> None:
    directory = tmp_path / "ledger"
    with Ledger(directory) as ledger:
        ledger.plan("skim", [entry(1)])
    (directory / NAME).chmod(0o444)
    directory.chmod(0o555)
    try:
        assert read_ledger(directory)[0] == {("skim", "ZZ"): Counter(planned=1)}
    finally:
        directory.chmod(0o755)


PLANNER = textwrap.dedent("""
    import itertools, resource, sys
    from pathlib import Path
    from analysis.engine.ledger import Entry, Ledger

    def entries(number):
        return (Entry(f"ZZ/u/{one:06d}", "v1", "ZZ", f"{one}.root", one, one + 1) for one in range(number))

    with Ledger(Path(sys.argv[1])) as ledger:
        ledger.plan("skim", entries(5000))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ledger.plan("skim", entries(200_000))
        walked = sum(1 for _ in itertools.islice(ledger.rows("skim", "planned"), 50_000))
        print(walked, ledger.count("skim", "planned"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
""")


@pytest.mark.slow
def test_a_large_plan_takes_little_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLANNER, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    walked, planned, kilobytes = map(int, done.stdout.split())
    assert (walked, planned) == (50_000, 200_000)
    assert kilobytes < 30_000  # as Python objects the rows would be more than 100 MB
