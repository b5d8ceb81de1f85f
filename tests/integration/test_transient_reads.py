"""A fault in one of five reads, below the libraries that read: the run ends complete, with the undisturbed numbers."""

import itertools
import json
import math
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import uproot
from support.command import NAMES, hepbatch, make_source
from support.http_files import one_in_five, serving

SAMPLES = ("DataEgamma", "ZZ", "ggH125_ZZ4lep")
OPTIONS = ("--set", "chunk_size=100", "--set", "retries.first_pause=0.1", "--workers", "2")
FAULTY = Path(__file__).resolve().parents[1] / "support" / "faulty"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"), SAMPLES)


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "undisturbed"
    done = hepbatch("skim", "higgs4l", "--source", source, "--output", output, *OPTIONS, cwd=output.parent)
    assert done.returncode == 0, done.stderr
    return output


def outcome(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def rows(directory: Path) -> list[Any]:
    table = pq.read_table(directory).sort_by([("event", "ascending"), ("entry", "ascending")])
    return [repr(table[name].to_pylist()) for name in table.column_names]  # repr: NaN equals NaN


def assert_equal(output: Path, reference: Path, samples: tuple[str, ...] = SAMPLES) -> None:
    """Counts and skims are equal; weighted sums to 1e-12, as the order of the items may differ."""
    mine, theirs = outcome(output, "cutflow.json"), outcome(reference, "cutflow.json")
    assert list(mine) == list(theirs)
    for sample, cut in itertools.product(samples, theirs["ZZ"]):
        assert mine[sample][cut]["events"] == theirs[sample][cut]["events"]
        scale = max(1.0, abs(theirs[sample]["all"]["weighted"]))
        assert abs(mine[sample][cut]["weighted"] - theirs[sample][cut]["weighted"]) <= 1e-12 * scale
    for sample in samples:
        assert rows(output / "skim" / sample) == rows(reference / "skim" / sample)


def retries(output: Path) -> int:
    """What the workers' logs tell of reads that were tried again."""
    return sum(len(re.findall(r"attempt \d+ failed", log.read_text())) for log in (output / "logs").glob("*.log"))


def environment(mode: str, log: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(FAULTY), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "FAULTY_READS": mode, "FAULTY_LOG": str(log)}


@pytest.mark.parametrize("mode", ["fifth", "random:20120704"])
def test_local_files(
    source: Path, undisturbed: Path, tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output, log = tmp_path / "out", tmp_path / "reads.log"
    done = hepbatch(
        "skim", "higgs4l", "--source", source, "--output", output, *OPTIONS, cwd=tmp_path, **environment(mode, log)
    )
    assert done.returncode == 0, done.stderr
    assert outcome(output, "manifest.json")["status"] == "complete"
    assert_equal(output, undisturbed)
    counted = Counter(log.read_text().split())
    again = retries(output)
    with capsys.disabled():
        print(
            f"\n{mode}: {counted.total()} reads, {counted['fault']} faults, {again} reads tried again by the file layer"
        )
    # One in five, to five standard deviations: how many reads there are depends on which worker has which item.
    assert abs(counted["fault"] - 0.2 * counted.total()) < 5 * math.sqrt(0.2 * 0.8 * counted.total())
    # A read that fails five times in a row is left to the engine, which tries the whole item again.
    assert 0.95 * counted["fault"] <= again <= counted["fault"]


def test_a_server(source: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    with serving(source, one_in_five, stall=3.0) as served:
        entries = {sample: f"files: [{served.address}/{NAMES[sample]}.root]" for sample in SAMPLES}
        text = "\n".join(f"  {sample}: {{{entry}}}" for sample, entry in entries.items())
        (tmp_path / "source.yaml").write_text(f"samples:\n{text}\n")
        done = hepbatch(
            "skim", "higgs4l", "--source", "source.yaml", "--output", output, *OPTIONS, cwd=tmp_path,
            HEPBATCH_READ_TIMEOUT="1",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert outcome(output, "manifest.json")["status"] == "complete"
    assert_equal(output, undisturbed)
    again = retries(output)
    with capsys.disabled():
        print(
            f"\nserver: {served.requests} requests, faults {dict(served.faults)}, {again} tried again by the file layer"
        )
    assert all(served.faults[kind] > 0 for kind in ("503", "cut", "stall"))
    assert again > 0


def test_a_fault_that_stays(source: Path, undisturbed: Path, tmp_path: Path) -> None:
    """The item that needs these bytes fails after all attempts; nothing else does."""
    path = source / f"{NAMES['ZZ']}.root"
    with uproot.open(path) as file:
        key = file["mini/lep_pt"].basket_key(4)  # the last of five: entries 256 to 300
        start, stop = key.data_cursor.index, key.data_cursor.index + key.data_compressed_bytes
    output, log = tmp_path / "out", tmp_path / "reads.log"
    mode = f"region:{path.name}:{start}:{stop}"
    done = hepbatch(
        "skim", "higgs4l", "--source", source, "--output", output, *OPTIONS, "--set", "retries.attempts=2",
        cwd=tmp_path, **environment(mode, log),
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (failure,) = outcome(output, "manifest.json")["failures"]
    assert (failure["sample"], failure["start"], failure["stop"]) == ("ZZ", 200, 300)
    assert re.search(r"ZZ\.root: OSError: .*Input/output error \(5 attempts at bytes \d+ to \d+\)", failure["error"])
    assert failure["error"] in done.stderr
    # Five attempts of the file layer in each of the engine's two.
    assert Counter(log.read_text().split())["fault"] == 10
    assert_equal(output, undisturbed, ("DataEgamma", "ggH125_ZZ4lep"))
    assert outcome(output, "cutflow.json")["ZZ"]["all"]["events"] == 200
