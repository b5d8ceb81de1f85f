"""What is done, missing and failed: the same at a run's end and later, while it goes on, and after a kill."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from analysis.cli import main
from analysis.configuration import load_configuration
from analysis.datasets.catalogue import load_catalogue
from analysis.engine.items import Failure
from analysis.engine.ledger import Entry, Ledger
from analysis.engine.lock import run_lock
from analysis.errors import UserError
from analysis.manifest import Manifest
from analysis.run_status import describe, show_status

LONG = "/eos/opendata/" + "a-directory-with-a-long-name/" * 12
ERROR = "DeserializationError: not enough bytes"


def new_manifest(directory: Path) -> Manifest:
    configuration = load_configuration("higgs4l")
    return Manifest.begin(directory, configuration, load_catalogue(configuration.datasets))


def entry(sample: str, number: int, state: str = "planned", **facts: Any) -> Entry:
    start = 10 * number
    return Entry(f"{sample}/{number}", "mark", sample, f"{LONG}{sample}.root", start, start + 10, state, **facts)


def failed(sample: str, number: int, **facts: Any) -> Entry:
    return entry(sample, number, "failed", error=ERROR, **({"attempts": 1} | facts))


def write_ledger(directory: Path, stage: str, entries: list[Entry]) -> None:
    with Ledger(directory / "ledger") as ledger:
        ledger.plan(stage, [Entry(e.key, e.fingerprint, e.sample, e.path, e.start, e.stop) for e in entries])
        for one in entries:
            if one.state != "planned":
                ledger.record(stage, one)


def make_run(directory: Path, entries: list[Entry], failures: tuple[Failure, ...] = ()) -> Manifest:
    """A run that has ended after its skim."""
    manifest = new_manifest(directory)
    with manifest.stage("plan"):
        pass
    manifest.add_failures(list(failures))
    with manifest.stage("skim"):
        write_ledger(directory, "skim", entries)
    manifest.add_failures([Failure("skim", e.sample, e.path, e.start, e.stop, ERROR) for e in entries if e.error])
    manifest.settle()
    manifest.save()
    return manifest


def test_a_complete_run(tmp_path: Path) -> None:
    make_run(tmp_path, [entry("ZZ", number, "done") for number in range(3)] + [entry("Zee", 0, "done")])
    lines, complete = describe(tmp_path, "higgs4l")
    assert complete
    assert lines[0].startswith(f"{tmp_path}: complete, started ")
    assert lines[1:] == ["skim ZZ: 3 done, 0 missing, 0 failed", "skim Zee: 1 done, 0 missing, 0 failed"]


def test_every_failure_is_one_whole_line_in_order(tmp_path: Path) -> None:
    unopened = Failure("plan", "ZZ", "b.root", None, None, "UnreadableFile: zero bytes", 2, "cpu-1", "node1")
    made = Failure("simulate", "Zee", "c.root", None, None, "RuntimeError: no")
    entries = [
        failed("Zee", 2, attempts=5, worker="cpu-0", host="node7"), failed("Zee", 0), failed("ZZ", 10, attempts=3),
        entry("ZZ", 1, "done"), failed("ZZ", 2),
    ]  # fmt: skip
    make_run(tmp_path, entries, (unopened, made))
    lines, complete = describe(tmp_path, "higgs4l")
    assert not complete
    assert lines[1:] == [
        "plan ZZ: 1 failed",
        "simulate Zee: 1 failed",
        "skim ZZ: 1 done, 0 missing, 2 failed",
        "skim Zee: 0 done, 0 missing, 2 failed",
        "failed: simulate: Zee: c.root: RuntimeError: no",
        "failed: plan: ZZ: b.root: UnreadableFile: zero bytes (2 attempts, cpu-1 on node1)",
        f"failed: skim: ZZ: {LONG}ZZ.root entries 20 to 30: {ERROR} (1 attempt)",
        f"failed: skim: ZZ: {LONG}ZZ.root entries 100 to 110: {ERROR} (3 attempts)",
        f"failed: skim: Zee: {LONG}Zee.root entries 0 to 10: {ERROR} (1 attempt)",
        f"failed: skim: Zee: {LONG}Zee.root entries 20 to 30: {ERROR} (5 attempts, cpu-0 on node7)",
    ]


def test_the_end_of_a_run_lists_some_and_the_verb_status_all(tmp_path: Path) -> None:
    samples = [f"sample{number:02d}" for number in range(25)]
    entries = [entry(sample, 0, "done") for sample in samples]
    entries += [failed("sample24", number) for number in range(1, 31)]
    make_run(tmp_path, entries)
    everything, _ = describe(tmp_path, "higgs4l")
    assert len(everything) == 1 + 25 + 30
    some, _ = describe(tmp_path, "higgs4l", most=20)
    assert some[0] == everything[0]
    assert some[1] == "skim sample24: 1 done, 0 missing, 30 failed"  # the one in trouble is not among those left out
    assert some[21] == "... and 5 more data sets"
    assert some[22:42] == everything[26:46]
    assert some[42:] == [f"... and 10 more: hepbatch status higgs4l --output {tmp_path} shows all"]
    # What is shown at the end of a run, and by the verb.
    console = Console(file=io.StringIO(), soft_wrap=True, highlight=False)
    assert not show_status(tmp_path, "higgs4l", console, terminal=False, most=20)
    assert console.file.getvalue().splitlines()[-len(some) :] == some  # type: ignore[attr-defined]
    result = CliRunner().invoke(main, ["status", "higgs4l", "--output", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.splitlines()[-len(everything) :] == everything


def test_the_verb_shows_the_tables_of_the_end_again(tmp_path: Path) -> None:
    manifest = make_run(tmp_path, [entry("ZZ", 0, "done")])
    manifest.content["stages"]["skim"] |= {"items": 1, "done_now": 1, "kept": 0, "failed": 0}
    manifest.content["cluster"] = {"retries": 4}
    manifest.save()
    result = CliRunner().invoke(main, ["status", "higgs4l", "--output", str(tmp_path)])
    assert result.exit_code == 0
    assert "retries 4" in result.output.splitlines()
    assert any(line.split()[:5] == ["skim", "1", "1", "0", "0"] for line in result.output.splitlines())


def test_a_training_of_an_earlier_skim_is_out_of_date(tmp_path: Path) -> None:
    write_ledger(tmp_path, "train", [failed("network", 0)])
    manifest = make_run(tmp_path, [entry("ZZ", 0, "done")])
    lines, complete = describe(tmp_path, "higgs4l")
    assert complete
    assert not [line for line in lines if "network" in line]
    with manifest.stage("train"):
        pass
    manifest.settle()
    manifest.save()
    lines, complete = describe(tmp_path, "higgs4l")
    assert not complete
    assert "train network: 0 done, 0 missing, 1 failed" in lines


def test_items_that_are_missing_are_not_complete(tmp_path: Path) -> None:
    make_run(tmp_path, [entry("ZZ", 0, "done"), entry("ZZ", 1)])
    lines, complete = describe(tmp_path, "higgs4l")
    assert lines[1:] == ["skim ZZ: 1 done, 1 missing, 0 failed"]
    assert not complete


def test_a_directory_without_a_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run in"):
        describe(tmp_path, "higgs4l")


def test_a_ledger_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    make_run(tmp_path, [entry("ZZ", 0, "done")])
    (tmp_path / "ledger" / "ledger.sqlite").write_text("this is no database, but long enough to look like one\n" * 99)
    with pytest.raises(UserError, match="cannot be read now: file is not a database"):
        describe(tmp_path, "higgs4l")


# A run in the middle of its skim, in a process of its own: one item done, and a transaction under way that is so large
# that a part of it is in the file already (with its journal beside it).
RUNNING = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_run_status as test
from analysis.engine.ledger import Ledger
from analysis.engine.lock import run_lock
directory = Path(sys.argv[1])
with run_lock(directory):
    print("starting", flush=True)
    sys.stdin.readline()
    manifest = test.new_manifest(directory)
    with manifest.stage("plan"):
        pass
    with manifest.stage("skim"), Ledger(directory / "ledger") as ledger:
        ledger.plan("skim", [test.entry("ZZ", number) for number in range(20_000)])
        ledger.record("skim", test.entry("ZZ", 0, "done"))
        ledger.commit()
        print("running", flush=True)
        sys.stdin.readline()
        ledger._database.execute("PRAGMA cache_size = 10")
        for number in range(1, 20_000):
            ledger.record("skim", test.entry("ZZ", number, "done"))
        print("writing", flush=True)
        sys.stdin.readline()
"""


@contextmanager
def a_run(directory: Path) -> Iterator[subprocess.Popen[str]]:
    program = RUNNING.format(tests=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def step(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_while_a_run_goes_on_and_after_it_was_killed(tmp_path: Path) -> None:
    with a_run(tmp_path) as process:
        assert step(process, "") == "starting"
        running = f"{tmp_path}: running on {socket.gethostname()}, process {process.pid}, last sign of life "
        (line,), complete = describe(tmp_path, "higgs4l")
        assert not complete
        assert line.startswith(running)
        assert line.endswith(" ago, starting")
        assert step(process, "\n") == "running"
        (first, *lines), complete = describe(tmp_path, "higgs4l")
        assert not complete
        assert first.startswith(running)
        assert first.endswith(" ago, stage skim")
        assert lines == ["skim ZZ: 1 done, 19999 missing, 0 failed"]
        assert step(process, "\n") == "writing"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "lock.json").exists()
    assert (tmp_path / "ledger" / "ledger.sqlite-journal").stat().st_size > 100_000  # a commit that must be taken back
    (first, *lines), complete = describe(tmp_path, "higgs4l")
    assert not complete
    assert first.startswith(f"{tmp_path}: interrupted in the stage skim: the same command goes on")
    assert lines == ["skim ZZ: 1 done, 19999 missing, 0 failed"]


def test_a_run_of_another_host(tmp_path: Path) -> None:
    manifest = new_manifest(tmp_path)
    with manifest.stage("plan"):
        pass
    lock = {"host": "node7", "pid": 321, "born": 0.0}
    for heartbeat, expected in ((2e9, "running on node7, process 321, "), (1e9, "interrupted")):
        (tmp_path / "lock.json").write_text(json.dumps({**lock, "heartbeat": heartbeat}))
        (line,), complete = describe(tmp_path, "higgs4l")
        assert line.startswith(f"{tmp_path}: {expected}")
        assert not complete


def test_a_run_at_its_end_does_not_call_itself_running(tmp_path: Path) -> None:
    make_run(tmp_path, [entry("ZZ", 0, "done")])
    with run_lock(tmp_path):
        lines, complete = describe(tmp_path, "higgs4l")
    assert complete
    assert lines[0].startswith(f"{tmp_path}: complete, ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_who_may_not_write_may_look(tmp_path: Path) -> None:
    make_run(tmp_path, [entry("ZZ", 0, "done")])
    before = describe(tmp_path, "higgs4l")
    (tmp_path / "ledger" / "ledger.sqlite").chmod(0o444)
    (tmp_path / "ledger").chmod(0o555)
    assert describe(tmp_path, "higgs4l") == before
