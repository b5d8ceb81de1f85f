"""`hepbatch datasets list|check|fetch` on a catalogue whose files are on servers of this machine, also on bad ones."""

import json
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import NAMES, hepbatch, make_source
from support.http_files import serving
from support.mini_files import EventMaker, write_mini
from support.xrootd import XRootD, xrootd

from analysis.configuration import CONFIGS

SAMPLES = ("DataMuons", "ZZ", "ggH125_ZZ4lep")
EVENTS = 300
QUICK = ("--workers", "2", "--set", "retries.first_pause=0.01")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[XRootD]:
    with xrootd(lambda directory: make_source(directory, SAMPLES, EVENTS)) as one:
        yield one


def checksum(path: Path) -> str:
    return f"adler32:{zlib.adler32(path.read_bytes()):08x}"


def analysis(directory: Path, files: Path, *servers: str, change: Callable[[dict[str, Any]], object] = len) -> str:
    """An analysis with three samples whose public files are those of a directory, on the servers."""
    catalogue = yaml.safe_load((CONFIGS / "datasets" / "higgs4l.yaml").read_text())
    catalogue["samples"] = {name: catalogue["samples"][name] for name in SAMPLES}
    catalogue["published"] = {
        "servers": list(servers), "licence": "CC0-1.0", "doi": "10.0/TEST", "source": "the test", "verified": False,
    }  # fmt: skip
    for name in SAMPLES:
        path = files / f"{NAMES[name]}.root"
        listed = {"path": f"{NAMES[name]}.root", "size": path.stat().st_size, "checksum": checksum(path)}
        catalogue["samples"][name]["published"] = {"files": [listed]}
    change(catalogue)
    (directory / "catalogue.yaml").write_text(yaml.safe_dump(catalogue, sort_keys=False))
    configuration = yaml.safe_load((CONFIGS / "analyses" / "higgs4l.yaml").read_text())
    configuration["datasets"] = str(directory / "catalogue.yaml")
    configuration["opendata"] = {"module": "analysis.datasets.listed_opendata", "cache": str(directory / "cache")}
    (directory / "higgs.yaml").write_text(yaml.safe_dump(configuration, sort_keys=False))
    return "./higgs.yaml"


def listed(catalogue: dict[str, Any], sample: str) -> dict[str, Any]:
    entry: dict[str, Any] = catalogue["samples"][sample]["published"]["files"][0]
    return entry


def in_cache(directory: Path) -> list[str]:
    """Data files in the cache, and files that are on their way."""
    found = [path for path in (directory / "cache").rglob("*") if path.suffix in (".root", ".part")]
    return sorted(path.name for path in found)


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def test_fetch_comes_through_every_fault_and_a_second_one_does_nothing(server: XRootD, tmp_path: Path) -> None:
    faults = ("503", "cut", "stall", "truncated", "damaged", "slow")
    with serving(server.data, lambda number: faults[number - 1] if number <= len(faults) else None) as served:
        name = analysis(tmp_path, server.data, served.address)
        words = ("datasets", "fetch", name, *QUICK, "--set", "retries.attempts=8")
        # What a server gives for the file and is not is an error at once: it has to be asked again for that.
        for _ in range(3):
            done = hepbatch(*words, cwd=tmp_path, HEPBATCH_READ_TIMEOUT="1")
            assert "Traceback" not in done.stderr
            for path in (tmp_path / "cache").rglob("*.root"):
                assert checksum(path) == checksum(next(server.data.rglob(path.name)))
            if done.returncode == 0:
                break
            assert done.returncode == 1, done.stderr
            assert "is not the published file" in done.stderr
        assert done.returncode == 0, done.stderr
        assert served.faults == dict.fromkeys(faults, 1)
        asked = served.requests
        again = hepbatch(*words, cwd=tmp_path)
        assert (again.returncode, served.requests) == (0, asked)
        assert "fetched 0 of 3 files (3 were there)" in again.stderr
    assert in_cache(tmp_path) == sorted(f"{Path(NAMES[sample]).name}.root" for sample in SAMPLES)
    assert not (tmp_path / "results" / "higgs4l").exists()  # a run's directory is left alone


def test_the_next_server_is_asked_where_the_first_one_has_something_else(server: XRootD, tmp_path: Path) -> None:
    with serving(server.data, lambda _: "damaged") as bad:
        name = analysis(tmp_path, server.data, bad.address, server.root)
        done = hepbatch("datasets", "fetch", name, *QUICK, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert bad.faults["damaged"] == len(SAMPLES)
    # ... and a skim takes them from the cache.
    options = ("--source", "opendata", "--output", "out", *QUICK)
    done = hepbatch("skim", name, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {one: cuts["all"]["events"] for one, cuts in content(tmp_path / "out" / "cutflow.json").items()} == (
        dict.fromkeys(SAMPLES, EVENTS)
    )


def test_a_skim_reads_in_place_what_it_has_not_to_download(server: XRootD, tmp_path: Path) -> None:
    name = analysis(tmp_path, server.data, server.root, server.http)
    options = ("--source", "opendata", "--set", "opendata.read=in_place", "--output", "out", *QUICK)
    done = hepbatch("skim", name, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert in_cache(tmp_path) == []
    inputs = content(tmp_path / "out" / "manifest.json")["inputs"]
    assert [one["path"] for one in inputs] == [f"{server.root}/{NAMES[sample]}.root" for sample in SAMPLES]
    refused = hepbatch("datasets", "fetch", name, "--set", "opendata.read=in_place", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("hepbatch: opendata.read = in_place: there is nothing to download")


def test_a_wrong_checksum_everywhere_is_an_error_that_leaves_nothing(server: XRootD, tmp_path: Path) -> None:
    def wrong(catalogue: dict[str, Any]) -> None:
        listed(catalogue, "ZZ")["checksum"] = "adler32:00000001"

    name = analysis(tmp_path, server.data, server.root, server.http, change=wrong)
    done = hepbatch("datasets", "fetch", name, *QUICK, cwd=tmp_path)
    assert done.returncode == 1
    found = checksum(server.data / f"{NAMES['ZZ']}.root").partition(":")[2]
    assert f"its Adler-32 is {found}, 00000001 was published; nothing was kept of it" in done.stderr
    assert in_cache(tmp_path) == ["skim.DataMuons.root", "skim.mc_160155.ggH125_ZZ4lep.root"]


def test_a_cache_without_room_is_said_before_anything_is_downloaded(server: XRootD, tmp_path: Path) -> None:
    def large(catalogue: dict[str, Any]) -> None:
        listed(catalogue, "ZZ")["size"] = 10**18

    with serving(server.data) as served:
        name = analysis(tmp_path, server.data, served.address, change=large)
        done = hepbatch("datasets", "fetch", name, *QUICK, cwd=tmp_path)
        assert served.requests == 0
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"hepbatch: the cache {tmp_path / 'cache'} has ")


def test_a_cache_that_fills_up_is_one_sentence_and_has_no_broken_file(server: XRootD, tmp_path: Path) -> None:
    def silent(catalogue: dict[str, Any]) -> None:
        for sample in SAMPLES:  # nobody said how large they are
            listed(catalogue, sample).pop("size")

    name = analysis(tmp_path, server.data, server.http, change=silent)
    sizes = [path.stat().st_size for path in server.data.rglob("*.root")]
    cache = tmp_path / "cache"
    cache.mkdir()
    room = sum(sizes) - min(sizes) // 2
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(cache)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "--lazy", str(cache)], check=True)
        done = hepbatch("datasets", "fetch", name, *QUICK, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"hepbatch: no space is left, or a quota is reached, for what the run writes to {cache}")
        for path in cache.rglob("*.root"):
            assert checksum(path) == checksum(next(server.data.rglob(path.name)))
        subprocess.run(["mount", "-o", "remount,size=1g", str(cache)], check=True)
        done = hepbatch("datasets", "fetch", name, *QUICK, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert in_cache(tmp_path) == sorted(f"{Path(NAMES[sample]).name}.root" for sample in SAMPLES)


def test_check_opens_every_address_and_list_shows_what_it_saw(server: XRootD, tmp_path: Path) -> None:
    name = analysis(tmp_path, server.data, server.root, server.http)
    before = hepbatch("datasets", "list", name, cwd=tmp_path)
    assert before.returncode == 0, before.stderr
    row = next(line.split() for line in before.stdout.splitlines() if line.startswith("ZZ "))
    assert row[1:5] == ["background", "ZZ", "105986", "1.5376"]
    assert row[5:7] == ["1", "?"]
    assert row[-3:] == ["CC0-1.0", "0/1", "10.0/TEST"]
    assert "addresses from the test (not verified: 'hepbatch datasets check' has to see them)" in before.stdout
    done = hepbatch("datasets", "check", name, *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"ZZ: 1 files at 2 addresses, {EVENTS} events" in done.stderr
    assert done.stderr.count("all are right") == len(SAMPLES)
    after = hepbatch("datasets", "list", name, cwd=tmp_path)
    row = next(line.split() for line in after.stdout.splitlines() if line.startswith("ZZ "))
    assert row[6] == str(EVENTS)
    assert row[-2] == "1/1"


def test_check_tells_what_is_wrong_with_a_file(server: XRootD, tmp_path: Path) -> None:
    """At the second address; the first one has all of it."""
    other = tmp_path / "other"
    shutil.copytree(server.data, other)
    (other / f"{NAMES['DataMuons']}.root").unlink()
    write_mini(other / f"{NAMES['ZZ']}.root", EventMaker(9).events(5), without=["lep_etcone20"])
    write_mini(other / f"{NAMES['ggH125_ZZ4lep']}.root", EventMaker(9).events(5))
    with serving(other) as served:
        name = analysis(tmp_path, server.data, server.root, served.address)
        done = hepbatch("datasets", "check", name, *QUICK, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        said = done.stderr
        assert f"missing: DataMuons: {served.address}/{NAMES['DataMuons']}.root: FileNotFoundError" in said
        assert f"other schema: ZZ: {served.address}/{NAMES['ZZ']}.root: MissingBranch" in said
        assert "no branch 'lep_etcone20'" in said
        assert f"other content: ggH125_ZZ4lep: {served.address}/{NAMES['ggH125_ZZ4lep']}.root: it has " in said
        places = content(tmp_path / "results/datasets/check/higgs4l/check.json")["places"]
        assert [one["problem"] for one in places] == [None, "missing", None, "other schema", None, "other content"]
    # A directory is checked in the same way.
    (other / f"{NAMES['ZZ']}.root").write_bytes(b"root, but not really")
    done = hepbatch("datasets", "check", name, "--source", other, *QUICK, cwd=tmp_path)
    assert done.returncode == 1
    assert f"unreadable: ZZ: {other / NAMES['ZZ']}.root: UnreadableFile" in done.stderr


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"servers": ["/eos/somewhere"]}, "'/eos/somewhere' is no address"),
        ({"servers": []}, "the catalogue lists files, but no server that has them"),
        ({"licenze": "CC0-1.0"}, "unknown key 'published.licenze'; did you mean 'licence'?"),
    ],
)
def test_a_mistake_in_a_catalogue_is_one_sentence(
    server: XRootD, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    name = analysis(tmp_path, server.data, server.http, change=lambda catalogue: catalogue["published"].update(change))
    done = hepbatch("datasets", "list", name, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_is_published_and_reported_from_there(server: XRootD, tmp_path: Path) -> None:
    done = hepbatch(
        "skim", "higgs4l", "--source", server.data, "--output", "out", *QUICK, "--publish", tmp_path / "there",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"at {tmp_path / 'there'}" in done.stderr
    with serving(tmp_path / "there") as served:
        report = ("report", "higgs4l", "--output", "here", "--from", served.address)
        done = hepbatch(*report, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        wrong = hepbatch("report", "higgs4l", "--output", "none", "--from", f"{served.address}/other", cwd=tmp_path)
    assert (tmp_path / "here" / "report.html").stat().st_size > 10_000
    assert (wrong.returncode, wrong.stderr) == (
        2, f"hepbatch: there is no published run at {served.address}/other: it has no published.json\n",
    )  # fmt: skip
