"""What is shown while items run: rates of late, lines in a log whether anything arrives or not, a bar on a terminal."""

import os
import pty
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from analysis.engine.attempts import Outcome
from analysis.progress import Tally, announce_dashboard, duration, follow, last_line, plain_line, say, speed
from cluster.opening import open_cluster
from cluster.settings import ClusterSettings

DONE, FAILED = Outcome(0), Outcome(0, error="OSError: no")


def steady(tally: Tally, start: float, stop: float, rate: float) -> float:
    """Items that end at equal intervals; gives the time of the last one."""
    count = round((stop - start) * rate)
    for number in range(1, count + 1):
        tally.add(DONE, start + number / rate)
    return start + count / rate


@pytest.mark.parametrize("wait", [0.0, 10.0, 3600.0])
def test_a_slow_start_does_not_mislead(wait: float) -> None:
    tally = Tally(10_000, now=0.0)
    assert tally.left(wait) is None
    now = steady(tally, wait, wait + 5, rate=40.0)
    assert tally.rate(now) == pytest.approx(40.0, rel=0.05)
    assert tally.left(now) == pytest.approx((10_000 - 200) / 40.0, rel=0.05)


def test_the_rate_is_that_of_the_last_minute() -> None:
    tally = Tally(10**6, now=0.0)
    now = steady(tally, 0.0, 600.0, rate=100.0)
    assert tally.rate(now) == pytest.approx(100.0, rel=0.05)
    now = steady(tally, now, now + 61.0, rate=5.0)
    assert tally.rate(now) == pytest.approx(5.0, rel=0.05)


def test_while_nothing_arrives_the_rate_falls() -> None:
    tally = Tally(1000, now=0.0)
    now = steady(tally, 0.0, 50.0, rate=10.0)
    rates = [tally.rate(now + pause) for pause in (0.0, 30.0, 300.0, 3000.0)]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.5


def test_the_rate_of_few_long_items_is_that_of_all_of_them() -> None:
    tally = Tally(5, now=0.0)
    for number in (1, 2, 3):
        tally.add(DONE, 300.0 * number)
    assert tally.rate(900.0) == pytest.approx(3 / 900)
    assert tally.left(900.0) == pytest.approx(600.0)


def test_batches_that_arrive_at_once_count_with_the_time_they_took() -> None:
    tally = Tally(10**6, now=0.0)
    for batch in range(1, 31):
        for _ in range(200):
            tally.add(DONE, 2.0 * batch)
    assert tally.rate(60.0) == pytest.approx(100.0, rel=0.05)


def test_a_tally_does_not_grow_with_the_items() -> None:
    tally = Tally(10**6, now=0.0)
    steady(tally, 0.0, 3000.0, rate=100.0)
    assert len(tally._moments) < 80


def test_a_split_item_is_replaced_by_its_parts() -> None:
    tally = Tally(3, now=0.0)
    for outcome in (DONE, Outcome(1, split=("a", "b")), Outcome("a", split=("c", "d")), DONE, DONE, FAILED):
        tally.add(outcome, 1.0)
    assert (tally.done, tally.failed, tally.total) == (3, 1, 5)


def test_the_lines_of_a_log() -> None:
    tally = Tally(5000, now=0.0)
    assert plain_line(tally, "skimming", 45.0) == "skimming: 0 of 5000 done, waiting for 45 s"
    now = steady(tally, 0.0, 30.0, rate=40.0)
    assert plain_line(tally, "skimming", now) == "skimming: 1200 of 5000 done, 40.0 items/s, 95 s left"
    for _ in range(3):
        tally.add(FAILED, now)
    assert plain_line(tally, "skimming", now).startswith("skimming: 1200 of 5000 done, 3 failed, 40.1 items/s, ")
    assert last_line(tally, "skimming", 60.0).startswith("skimming: 1200 of 5000 done, 3 failed, stopped after 60 s")
    steady(tally, now, now + 3797, rate=1.0)
    assert last_line(tally, "skimming", 5000.0) == (
        "skimming: 4997 of 5000 done, 3 failed, in 83 min 20 s, 1.0 items/s"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (119.4, "119 s"), (119.6, "2 min 0 s"), (7199, "119 min 59 s"),
     (12_000, "3 h 20 min"), (3 * 86_400, "72 h 0 min")],
)  # fmt: skip
def test_times_as_one_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(41.26, "41.3 items/s"), (0.5, "30.0 items/min"), (0.01, "36.0 items/h"), (0, "0.0 items/h")]
)
def test_slow_rates_have_a_larger_unit(rate: float, text: str) -> None:
    assert speed(rate) == text


def test_a_log_has_lines_while_nothing_arrives_and_one_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    seen = ""

    def outcomes() -> Iterator[Outcome]:
        nonlocal seen
        while seen.count("skimming: 0 of 2 done, waiting for") < 2:
            seen += capsys.readouterr().err
        yield DONE
        while "skimming: 1 of 2 done, " not in seen:
            seen += capsys.readouterr().err
        yield FAILED

    assert list(follow(outcomes(), 2, "skimming", interval=0.01)) == [DONE, FAILED]
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("skimming: 1 of 2 done, 1 failed, in ")
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_a_stage_that_is_cut_off_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    def outcomes() -> Iterator[Outcome]:
        yield DONE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(follow(outcomes(), 7, "skimming"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("skimming: 1 of 7 done, stopped after ")


def test_nothing_to_do_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(follow([], 0, "skimming", interval=0.001)) == []
    assert capsys.readouterr().err == ""


def test_a_long_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = "failed: skim: ZZ: /" + "a-long-path/" * 50 + "f.root: [red] is not markup"
    say(text)
    assert capsys.readouterr().err == text + "\n"


SHOW = """
from analysis.engine.attempts import Outcome
from analysis.progress import follow, say
for number, _ in enumerate(follow([Outcome(0, error="no" if i % 4 == 0 else None) for i in range(12)], 12, "skimming")):
    if number % 5 == 2:
        say(f"word {number} " + "x" * 120)
"""


def show_on_terminal(**environment: str) -> str:
    ours, theirs = pty.openpty()
    settings = {"TERM": "xterm-256color", "COLUMNS": "90"} | environment
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", SHOW], env={**os.environ, **settings}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux says so when the other end of a terminal is closed
            pass
    os.close(ours)
    assert running.returncode == 0, shown
    return shown.decode()


def test_on_a_terminal_a_bar_counts_and_words_in_between_stay_whole() -> None:
    shown = show_on_terminal()
    lines = shown.replace("\x1b[2K", "\r").split("\r")
    for number in (2, 7):
        assert lines.count(f"word {number} " + "x" * 120) == 1
    last = [line for line in lines if "skimming" in line][-1]
    assert "9/12" in last
    assert "\x1b[1;31m 3 failed" in last  # bold red
    assert "items/" in last
    assert shown.count("\x1b[?25h") == 1  # the cursor is back


def test_a_terminal_without_control_codes_has_lines() -> None:
    assert "skimming: 9 of 12 done, 3 failed, in " in show_on_terminal(TERM="dumb")


@pytest.mark.slow
def test_the_dashboard_answers_at_the_address_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"kind": "local", "pools": {"cpu": {"workers": 1}, "gpu": {"workers": 1}}}
    with open_cluster(ClusterSettings.model_validate(settings), tmp_path) as cluster:
        for pool in ("cpu", "gpu"):
            cluster.need(pool)
        announce_dashboard(cluster.client)
        (line,) = capsys.readouterr().err.splitlines()
        name, _, address = line.partition(": ")
        assert name == "dashboard"
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as answer:  # noqa: S310  (our own scheduler)
            assert answer.status == 200
            assert b"Dask" in answer.read()
        ours = psutil.Process()
        listening = [
            connection.laddr.ip
            for one in (ours, *ours.children(recursive=True))
            for connection in one.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(listening) >= 4  # scheduler, dashboard, two workers
        assert set(listening) == {"127.0.0.1"}
