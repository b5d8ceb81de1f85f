"""The tables of what a run cost: numbers of the manifest, only columns that have any, never more than a screen."""

import io
from typing import Any

import pytest
from rich.console import Console

from analysis.summary import MOST_WORKERS, show_summary, summarise

CLUSTER = {"name": "local", "retries": 3, "lost_workers": 1, "isolated": 2, "split": 1}
STAGES: dict[str, Any] = {
    "plan": {"seconds": 3.0, "files": 10, "remembered": 4, "failed": 1},
    "skim": {
        "seconds": 200.0, "items": 805, "done_now": 500, "kept": 300, "failed": 5, "entries": 10**6,
        "entries_now": 500_000, "bytes_read": 4_000_000_000,
    },
    "train": {"seconds": 61.5, "tasks": 7, "done_now": 4, "failed": 1},
    "report": {"seconds": 0.4},
}  # fmt: skip


def worker(number: int, memory: int, pool: str = "cpu", **facts: Any) -> dict[str, Any]:
    basic = {"name": f"{pool}-{number}", "pool": pool, "host": "node1", "tasks": 10, "busy_seconds": 60.0}
    return basic | {"peak_memory_bytes": memory * 10**6} | facts


def manifest(**content: Any) -> dict[str, Any]:
    return {"stages": STAGES, "cluster": CLUSTER, "workers": [worker(0, 400), worker(1, 800)]} | content


def shown(content: dict[str, Any], *, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False, soft_wrap=True, force_terminal=terminal)
    show_summary(content, console, terminal=terminal)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_stages_with_what_was_done_kept_and_failed() -> None:
    lines = summarise(manifest())[0].lines()
    assert [line.split() for line in lines[:-1]] == [
        ["stage", "items", "done", "kept", "failed", "wall", "events/s", "MB", "read", "MB/s"],
        ["plan", "10", "5", "4", "1", "3.0", "s", "-", "-", "-"],
        ["skim", "805", "500", "300", "5", "3", "min", "20", "s", "2,500", "4,000", "20"],
        ["train", "7", "4", "2", "1", "62", "s", "-", "-", "-"],
        ["report", "-", "-", "-", "-", "0.4", "s", "-", "-", "-"],
    ]
    assert lines[-1] == "retries 3, lost workers 1, isolated items 2, split items 1"


def test_columns_stand_under_their_names() -> None:
    lines = summarise(manifest())[0].lines()[:-1]
    end = lines[0].index("items") + len("items")
    assert [line[:end].split()[-1] for line in lines] == ["items", "10", "805", "7", "-"]


def test_a_column_without_numbers_is_left_out() -> None:
    stages = {"skim": {key: value for key, value in STAGES["skim"].items() if key != "bytes_read"}}
    stages_table, workers_table = summarise(manifest(stages=stages))
    assert stages_table.columns[-1] == "events/s"
    assert workers_table.columns == ("worker", "pool", "host", "tasks", "busy", "peak MB")
    _, workers_table = summarise(manifest(workers=[worker(0, 1, bytes_read=123_000_000), worker(1, 2)]))
    assert workers_table.columns == ("worker", "pool", "host", "tasks", "busy", "MB read", "peak MB")
    assert [row[5] for row in workers_table.rows] == ["123", "-"]


def test_a_session_that_did_nothing_has_no_rate() -> None:
    skim = {**STAGES["skim"], "done_now": 0, "kept": 800, "entries_now": 0, "bytes_read": 0, "seconds": 0.0}
    assert summarise(manifest(stages={"skim": skim}))[0].rows == [("skim", "805", "0", "800", "5", "0.0 s")]


@pytest.mark.parametrize("count", [2, MOST_WORKERS, MOST_WORKERS + 1, 500])
def test_many_workers_are_the_largest_ones_and_totals(count: int) -> None:
    workers = [worker(number, 100 + number) for number in range(count)] + [worker(0, 9000, pool="gpu")]
    table = summarise(manifest(workers=workers))[1]
    assert len(table.rows) == min(count + 1, MOST_WORKERS)
    assert {row[0] for row in table.rows} >= {"gpu-0", f"cpu-{count - 1}"}
    *rest, cpu, gpu = table.notes
    assert rest == ([f"... and {count + 1 - MOST_WORKERS} workers with less memory"] if count >= MOST_WORKERS else [])
    spread = f"100/{100 + (count - 1) / 2:,.0f}/{99 + count}"
    assert cpu.startswith(f"cpu: {count} workers, {10 * count} tasks, ")
    assert cpu.endswith(f" busy, peak memory min/median/max {spread} MB")
    assert gpu == "gpu: 1 worker, 10 tasks, 60 s busy, peak memory min/median/max 9,000/9,000/9,000 MB"


def test_in_a_log_the_table_is_plain_lines() -> None:
    text = shown(manifest(), terminal=False)
    expected = [line for table in summarise(manifest()) for line in table.lines()]
    assert text.splitlines() == expected
    assert "\x1b" not in text


def test_on_a_terminal_the_table_is_drawn_with_the_same_numbers() -> None:
    text = shown(manifest(), terminal=True)
    assert "─" in text
    for table in summarise(manifest()):
        for row in table.rows:
            assert any(all(cell in line for cell in row) for line in text.splitlines())
        assert all(note in text for note in table.notes)


def test_a_run_of_which_nothing_has_ended_has_no_tables() -> None:
    assert shown(manifest(stages={}, cluster={}, workers=[]), terminal=False) == ""
