"""Inputs behind a real XRootD server, its HTTP door and a cache: the run on local files, also when the server goes."""

import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from support.command import HEPBATCH, NAMES, hepbatch, make_source
from support.http_files import serving
from support.xrootd import XRootD, free_ports, xrootd, xrootd_cache

from analysis.engine.ledger import read_ledger

EVENTS, SMALL = 300, 10
SMALL_ITEMS = len(NAMES) * EVENTS // SMALL
OUTAGE = 6.0  # longer than the file layer is patient [s]
OPTIONS = ("--workers", "2", "--set", "chunk_size=100", "--set", "training.folds=3", "--set", "training.bootstrap=20",
           "--set", "training.models={trees: {kind: boosted_trees}}")  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[XRootD]:
    with xrootd(lambda directory: make_source(directory, events=EVENTS)) as one:
        yield one


@pytest.fixture(scope="module")
def local(server: XRootD, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A skim of the same files by their paths."""
    output = tmp_path_factory.mktemp("local") / "out"
    done = hepbatch("skim", "higgs4l", "--source", server.data, "--output", output, *OPTIONS, cwd=output.parent)
    assert done.returncode == 0, done.stderr
    return output


def source_of(directory: Path, prefix: str, *samples: str) -> Path:
    """A YAML source of files below an address."""
    path = directory / "source.yaml"
    entries = [f"  {sample}: {{files: ['{prefix}/{NAMES[sample]}.root']}}" for sample in samples or NAMES]
    path.write_text("\n".join(["samples:", *entries, ""]))
    return path


def content(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def rows(directory: Path) -> list[str]:
    table = pq.read_table(directory).sort_by([("event", "ascending"), ("entry", "ascending")])
    return [repr(table[name].to_pylist()) for name in table.column_names]  # repr: NaN equals NaN


def assert_equal(output: Path, reference: Path) -> None:
    """Counts and skims are equal; weighted sums to 1e-12, as the order of the items may differ."""
    mine, theirs = content(output, "cutflow.json"), content(reference, "cutflow.json")
    assert list(mine) == list(theirs) == list(NAMES)
    for sample, cut in itertools.product(NAMES, theirs["ZZ"]):
        assert mine[sample][cut]["events"] == theirs[sample][cut]["events"]
        scale = max(1.0, abs(theirs[sample]["all"]["weighted"]))
        assert abs(mine[sample][cut]["weighted"] - theirs[sample][cut]["weighted"]) <= 1e-12 * scale
    for sample in NAMES:
        assert rows(output / "skim" / sample) == rows(reference / "skim" / sample)


def done_items(output: Path) -> int:
    if not (output / "ledger" / "ledger.sqlite").exists():
        return 0
    return sum(states["done"] for (stage, _), states in read_ledger(output / "ledger")[0].items() if stage == "skim")


@contextmanager
def started(verb: str, source: Path, output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(HEPBATCH), verb, "higgs4l", "--source", str(source), "--output", str(output), *OPTIONS, *options],
        text=True, cwd=output.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def await_(process: subprocess.Popen[str], what: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(("door", "verb"), [("root", "run"), ("http", "skim")])
def test_a_server_that_is_away_in_the_midst_of_a_skim(
    server: XRootD, local: Path, tmp_path: Path, door: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address, output = getattr(server, door), tmp_path / "out"
    with started(verb, source_of(tmp_path, address), output, "--set", f"chunk_size={SMALL}") as process:
        await_(process, lambda: done_items(output) >= 10)
        server.stop()
        try:
            time.sleep(OUTAGE)
            assert process.poll() is None
            before = done_items(output)
        finally:
            server.start()
        said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert before < SMALL_ITEMS - 10
    assert_equal(output, local)
    manifest = content(output, "manifest.json")
    assert manifest["status"] == "complete"
    assert [one["path"] for one in manifest["inputs"]] == [f"{address}/{name}.root" for name in NAMES.values()]
    logs = "".join(path.read_text() for path in (output / "logs").glob("*.log"))
    again = len(re.findall(r"attempt \d+ failed, another follows", logs))
    with capsys.disabled():
        print(
            f"\n{door}: stopped for {OUTAGE:.0f} s after {before} of {SMALL_ITEMS} items; {again} reads tried again, "
            f"{manifest['cluster']['retries']} items"
        )
    assert again > 0
    assert manifest["cluster"]["retries"] > 0
    if verb == "run":
        assert {"plan", "skim", "train", "report"} <= set(manifest["stages"])
        assert (output / "report.html").is_file()


def test_a_cache_is_read_through_and_files_keep_their_names(server: XRootD, local: Path, tmp_path: Path) -> None:
    source, output = source_of(tmp_path, server.root), tmp_path / "out"
    with xrootd_cache() as cache:
        through = ("--set", f"cluster.xrootd_prefix={cache.root}")
        done = hepbatch("skim", "higgs4l", "--source", source, "--output", output, *OPTIONS, *through, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        kept = sorted(path.name for path in (cache.directory / "cache").rglob("*.root"))
    assert kept == sorted(f"{Path(name).name}.root" for name in NAMES.values())
    assert_equal(output, local)
    published = [f"{server.root}/{name}.root" for name in NAMES.values()]
    manifest = content(output, "manifest.json")
    assert [one["path"] for one in manifest["inputs"]] == published
    assert {one["uuid"] for one in manifest["inputs"]} == {
        one["uuid"] for one in content(local, "manifest.json")["inputs"]
    }
    # The same work under the same names: without the cache nothing is left to do.
    again = hepbatch("skim", "higgs4l", "--source", source, "--output", output, *OPTIONS, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    stages = content(output, "manifest.json")["stages"]
    assert (stages["skim"]["kept"], stages["skim"]["done_now"]) == (len(NAMES) * EVENTS // 100, 0)


def test_the_bytes_that_are_counted_are_those_that_were_sent(server: XRootD, tmp_path: Path) -> None:
    samples, read = ("ZZ", "DataEgamma"), {}
    with serving(server.data) as served:
        for door, address in {"http": served.address, "root": server.root}.items():
            output = tmp_path / door
            done = hepbatch(
                "skim", "higgs4l", "--source", source_of(tmp_path, address, *samples), "--output", output, *OPTIONS,
                cwd=tmp_path,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            manifest = content(output, "manifest.json")
            read[door] = sum(manifest["stages"][stage]["bytes_read"] for stage in ("plan", "skim"))
            assert sum(worker["bytes_read"] for worker in manifest["workers"]) == read[door]
        assert read["http"] == served.sent
    assert read["root"] == read["http"]  # the same parts of the same files


def test_a_server_that_is_away_at_the_start(server: XRootD, tmp_path: Path) -> None:
    output = tmp_path / "out"
    server.stop()
    try:
        with started("skim", source_of(tmp_path, server.root, "ZZ"), output) as process:
            logs = output / "logs"
            await_(process, lambda: any("another follows" in path.read_text() for path in logs.glob("*.log")))
            server.start()
            said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    finally:
        server.stop()
        server.start()


def test_a_server_that_stays_away_is_an_error_that_names_file_and_reason(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    reasons = {
        f"root://localhost:{port}//ZZ.root": "ConnectionError: Connection error",
        f"http://localhost:{port}/Zee.root": r"ConnectionRefusedError: \[Errno 111\] Connect call failed.*",
    }
    lines = [f"  {Path(address).stem}: {{files: ['{address}']}}" for address in reasons]
    (tmp_path / "source.yaml").write_text("\n".join(["samples:", *lines, ""]))
    done = hepbatch(
        "skim", "higgs4l", "--source", "source.yaml", "--output", "out", *OPTIONS, "--set", "retries.attempts=2",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    failures = content(tmp_path / "out", "manifest.json")["failures"]
    assert {failure["file"] for failure in failures} == set(reasons)
    for failure in failures:
        file = failure["file"]
        assert re.search(rf"cannot read {file}: {reasons[file]} \(5 attempts at its size\)", failure["error"])
        assert (failure["stage"], failure["attempts"]) == ("plan", 2)
        assert failure["error"] in done.stderr


def test_a_server_that_never_answers_does_not_hang_the_run(server: XRootD, tmp_path: Path) -> None:
    addresses = [f"{server.root}/{NAMES['ZZ']}.root", f"{server.http}/{NAMES['Zee']}.root"]
    lines = [f"  {name}: {{files: ['{address}']}}" for name, address in zip(("ZZ", "Zee"), addresses, strict=True)]
    (tmp_path / "source.yaml").write_text("\n".join(["samples:", *lines, ""]))
    with server.frozen():
        done = hepbatch(
            "skim", "higgs4l", "--source", "source.yaml", "--output", "out", *OPTIONS, "--set", "retries.attempts=2",
            cwd=tmp_path, HEPBATCH_READ_TIMEOUT="1",
        )  # fmt: skip
    assert done.returncode == 1
    failures = content(tmp_path / "out", "manifest.json")["failures"]
    assert {failure["file"] for failure in failures} == set(addresses)
    for failure in failures:
        assert re.search(r"TimeoutError: no answer within 1 s \(5 attempts at its size\)", failure["error"])
    left = [one.pid for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(tmp_path)]
    assert left == []


def test_a_cluster_check_reads_through_the_cache(server: XRootD, tmp_path: Path) -> None:
    source = source_of(tmp_path, server.root, "ZZ")
    size = (server.data / f"{NAMES['ZZ']}.root").stat().st_size
    with xrootd_cache() as cache:
        done = hepbatch(
            "cluster", "check", "local", "--analysis", "higgs4l", "--source", source, "--output", tmp_path / "out",
            "--set", f"cluster.xrootd_prefix={cache.root}", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert any((cache.directory / "cache").rglob("*.root"))
    assert done.stderr.count(f"reads the input: {size} bytes") == 2
