"""`hepbatch datasets pin`: the portal's own client asks a stand-in of the portal, and a catalogue comes of it."""

import re
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import hepbatch
from support.http_files import serving
from support.mini_files import EventMaker, write_mini
from support.portal import EOS, listed, portal, record

from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.portal import Key, key_of
from analysis.datasets.publication import Publication

DOI = "10.7483/OPENDATA.TEST.AAAA.BBBB"
HTTP = "https://opendata.cern.ch/eos/opendata"
CATALOGUE: dict[str, Any] = {
    "label": "Test",
    "sqrt_s_tev": 13,
    "tree": "mini",
    "weight_branch": "mcWeight",
    "layout": {"data": "Data/{sample}.4lep.root", "simulation": "MC/mc_{dsid}.{sample}.4lep.root"},
    "published": {"record": "https://opendata.cern.ch/record/15005", "servers": [f"{EOS}/atlas", f"{HTTP}/atlas"]},
    "samples": {
        "data_A": {"role": "data", "process": "Data", "published": {"files": [{"path": "Data/data_A.4lep.root"}]}},
        "ZZ": {
            "role": "background", "process": "ZZ", "dsid": 7, "xsec": 1.0, "sumw": 2.0,
            "published": {"files": [{"path": "MC/mc_7.ZZ.4lep.root", "size": 1}, {"path": "MC/mc_7.ZZ.0002.root"}]},
        },
        "tt": {"role": "background", "process": "tt", "dsid": 8, "xsec": 1.0, "sumw": 2.0, "published": {"doi": DOI}},
        "own": {"role": "signal", "process": "H", "dsid": 9, "xsec": 1.0, "sumw": 2.0},
    },
}  # fmt: skip
MIB = 2**20
COLLECTION = [
    listed("atlas/all.zip", 10**9, "adler32:00000000"), listed("atlas/Data/data_A.4lep.root", 5, "adler32:0000000a"),
    listed("atlas/MC/mc_7.ZZ.4lep.root", 2 * MIB, "adler32:0000000b"),
    listed("atlas/MC/mc_99.WW.4lep.root", 3, "adler32:0c0c0c0c"),
]  # fmt: skip
TOP = [listed(f"atlas/tt/part{k}.root", MIB + k, f"adler32:0000001{k}") for k in range(5)]


def analysis(directory: Path, address: str, catalogue: dict[str, Any] = CATALOGUE) -> Path:
    """An analysis of the catalogue that asks the stand-in."""
    (directory / "samples.yaml").write_text(yaml.safe_dump(catalogue))
    own = {
        "extends": "higgs4l",
        "name": "own",
        "datasets": str(directory / "samples.yaml"),
        "opendata": {"portal": address},
    }
    (directory / "own.yaml").write_text(yaml.safe_dump(own))
    return directory / "own.yaml"


def pin(path: Path, *more: str | Path) -> Any:
    return hepbatch("datasets", "pin", path, "--output", path.parent / "pinned", *more, cwd=path.parent)


def test_what_the_records_list_becomes_a_catalogue(tmp_path: Path) -> None:
    """One record of several samples, and one of its own that is asked for by DOI and has lists of files."""
    top = record("700", "ttbar", TOP, doi=DOI, indexed=True, number_files=5, number_events=1234)
    with portal(record("15005", "collection", COLLECTION, number_files=4, number_events=99), top) as served:
        done = pin(analysis(tmp_path, served.address))
        assert done.returncode == 0, done.stderr
        assert "ZZ: 1 files, 2.0 MiB, of record 15005: 1 gone, 1 of another content" in done.stderr
        assert re.search(r"tt: 5 files, 5.0 MiB, 1234 events, of record 700: none was listed", done.stderr)
        assert "data_A: 1 files, 0.0 MiB, of record 15005: as they were listed" in done.stderr
        again = pin(tmp_path / "own.yaml", "--set", f"datasets={tmp_path}/pinned/samples.yaml")
        assert again.returncode == 2  # not onto the catalogue that it reads
    pinned = load_catalogue(str(tmp_path / "pinned" / "samples.yaml"))
    found = {
        name: [(one.path, one.size, one.checksum) for one in pinned.publication(name).files] for name in pinned.samples
    }
    assert found == {
        "data_A": [("Data/data_A.4lep.root", 5, "adler32:0000000a")],
        "ZZ": [("MC/mc_7.ZZ.4lep.root", 2 * MIB, "adler32:0000000b")],
        "tt": [(f"tt/part{k}.root", MIB + k, f"adler32:0000001{k}") for k in range(5)],
        "own": [],
    }  # fmt: skip
    assert pinned.publication("tt").events == 1234
    assert pinned.publication("ZZ").events is None  # those of the record are of all its samples
    assert (pinned.samples["ZZ"].xsec, pinned.layout) == (1.0, load_catalogue(str(tmp_path / "samples.yaml")).layout)
    listing = hepbatch("datasets", "list", tmp_path / "own.yaml", "--set", f"datasets={tmp_path}/pinned/samples.yaml",
                       cwd=tmp_path)  # fmt: skip
    assert re.search(r"tt +background +tt +8 +1 +5 +1234 +5.0 MiB", listing.stdout), listing.stdout
    assert "record 700, by cernopendata-client" in listing.stdout


def test_a_portal_that_fails_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    whole = (record("15005", "collection", COLLECTION), record("700", "ttbar", TOP, doi=DOI))
    with portal(*whole, fault=lambda number: 503 if number in (1, 4) else None) as served:
        done = pin(analysis(tmp_path, served.address), "--set", "retries.first_pause=0.1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("once more in 0.1 s") == 2
    assert len(load_catalogue(str(tmp_path / "pinned" / "samples.yaml")).publication("tt").files) == 5


def test_what_the_portal_does_not_tell_is_said_and_left_as_it_was(tmp_path: Path) -> None:
    elsewhere = [*COLLECTION[:2], listed("moved/MC/mc_7.ZZ.4lep.root", 2 * MIB, "adler32:0000000b")]
    with portal(
        record("15005", "collection", elsewhere), record("700", "ttbar", TOP, doi=DOI, number_files=6)
    ) as served:
        done = pin(analysis(tmp_path, served.address), "--set", "retries.attempts=1")
    assert done.returncode == 1
    assert f"ZZ: {EOS}/moved/MC/mc_7.ZZ.4lep.root is below none of its published.servers" in done.stderr
    assert f"tt: DOI {DOI} lists 5 files, and says that it has 6" in done.stderr
    assert "left as they were: ZZ, tt" in done.stderr
    pinned = load_catalogue(str(tmp_path / "pinned" / "samples.yaml"))
    assert len(pinned.publication("ZZ").files) == 2


def test_a_record_of_a_whole_collection_gives_a_sample_its_own_files_alone(tmp_path: Path) -> None:
    """As of lepton_id_13tev, whose catalogue has one sample of the collection."""
    one = {**CATALOGUE, "samples": {"ZZ": CATALOGUE["samples"]["ZZ"]}}
    with portal(record("15005", "collection", COLLECTION, number_files=4, number_events=99)) as served:
        done = pin(analysis(tmp_path, served.address, one))
    assert done.returncode == 0, done.stderr
    pinned = load_catalogue(str(tmp_path / "pinned" / "samples.yaml")).publication("ZZ")
    assert [file.path for file in pinned.files] == ["MC/mc_7.ZZ.4lep.root"]
    assert pinned.events is None


def test_what_is_left_keeps_its_own_files_and_those_of_an_earlier_pin(tmp_path: Path) -> None:
    """Lists of one name in two folders are not mixed up; a pin when the portal is down takes nothing back."""
    own = {**CATALOGUE, "samples": {}}
    for name, number in (("tt", "700"), ("WW", "701")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "files.txt").write_text(f"{name}/old.root 5\n")
        published = {"record": f"https://opendata.cern.ch/record/{number}", "list": f"{name}/files.txt"}
        own["samples"][name] = {"role": "background", "process": name, "dsid": int(number), "published": published}
    options = ("--set", "retries.attempts=1")

    def paths() -> dict[str, list[str]]:
        pinned = load_catalogue(str(tmp_path / "pinned" / "samples.yaml"))
        return {name: [file.path for file in pinned.publication(name).files] for name in pinned.samples}

    with portal(record("700", "ttbar", TOP)) as served:
        done = pin(analysis(tmp_path, served.address, own), *options)
        assert (done.returncode, "left as they were: WW" in done.stderr) == (1, True)
        assert paths() == {"tt": [f"tt/part{k}.root" for k in range(5)], "WW": ["WW/old.root"]}
    with portal() as served:
        done = pin(analysis(tmp_path, served.address, own), *options)
        assert (done.returncode, "left as they were: WW, tt" in done.stderr) == (1, True)
        assert paths() == {"tt": [f"tt/part{k}.root" for k in range(5)], "WW": ["WW/old.root"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"checksum": "sha1:12"}, "atlas/tt/part0.root: checksum 'sha1:12'"),
        ({"size": -1}, "atlas/tt/part0.root: size -1"),
        ({"size": None}, f"for DOI {DOI} what is no record: TypeError"),
    ],
)
def test_what_a_record_says_and_cannot_be_is_that_samples_problem(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    files = [TOP[0] | change, *TOP[1:]]
    with portal(record("15005", "collection", COLLECTION), record("700", "ttbar", files, doi=DOI)) as served:
        done = pin(analysis(tmp_path, served.address), "--set", "retries.attempts=1")
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert len(load_catalogue(str(tmp_path / "pinned" / "samples.yaml")).publication("ZZ").files) == 1


@pytest.mark.parametrize("records", [(), (record("15005", "on tape", []),)])
def test_no_record_or_no_file_is_one_sentence(tmp_path: Path, records: tuple[dict[str, Any], ...]) -> None:
    with portal(*records) as served:
        done = pin(analysis(tmp_path, served.address), "--set", "retries.attempts=1")
    assert done.returncode == 1
    expected = "lists no file of record 15005" if records else "gave no record 15005: ==> ERROR: The record ID number"
    assert expected in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_wrong_input_is_one_sentence(tmp_path: Path) -> None:
    path = analysis(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "pinned").mkdir()
    (tmp_path / "pinned" / "samples.yaml").write_text("mine: true\n")
    (tmp_path / "a-file").touch()
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "ZZ.txt").write_text("mine\n")
    for words, expected in (
        (("pin", path, "--output", tmp_path / "pinned"), "is there, and no pin has made it: give another --output"),
        (("pin", path, "--output", tmp_path / "lists"), "ZZ.txt is there, and no pin has made it"),
        (("pin", path, "--output", tmp_path / "a-file"), "a-file cannot be made a directory: File exists"),
        (("pin", path, "--output", tmp_path), "samples.yaml is the catalogue that is pinned: give another --output"),
        (("pin", "dijet_anomaly"), "names no record of the CERN Open Data portal"),
        (("pin", path, "--set", "opendata.portal=portal"), "opendata.portal = 'portal': it must begin with https://"),
    ):
        done = hepbatch("datasets", *words, cwd=tmp_path)
        assert (done.returncode, expected in done.stderr) == (2, True), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_what_was_pinned_is_fetched_and_compared(tmp_path: Path) -> None:
    server = tmp_path / "server"
    path = write_mini(server / "atlas" / "tt" / "part.root", EventMaker(3).events(50))
    content = path.read_bytes()
    own = {**CATALOGUE, "samples": {"tt": CATALOGUE["samples"]["tt"]}}
    files = [listed("atlas/tt/part.root", len(content), f"adler32:{zlib.adler32(content):08x}")]
    with (
        portal(record("700", "ttbar", files, doi=DOI, number_files=1, number_events=50)) as served,
        serving(server) as mirror,
    ):
        assert pin(analysis(tmp_path, served.address, own)).returncode == 0
        keys = {"datasets": f"{tmp_path}/pinned/samples.yaml", "opendata.cache": f"{tmp_path}/cache",
                "opendata.servers": f"[{mirror.address}/atlas]"}  # fmt: skip
        choice = (tmp_path / "own.yaml", *(word for key, value in keys.items() for word in ("--set", f"{key}={value}")))
        checked = hepbatch("datasets", "check", *choice, cwd=tmp_path)
        assert (checked.returncode, "all are right" in checked.stderr) == (0, True), checked.stderr
        text = (tmp_path / "pinned" / "samples.yaml").read_text()
        (tmp_path / "pinned" / "samples.yaml").write_text(text.replace("events: 50", "events: 51"))
        short = hepbatch("datasets", "check", *choice, cwd=tmp_path)
        assert (short.returncode, "tt: its files have 50 events in all, 51 were published" in short.stderr) == (1, True)
        fetched = hepbatch("datasets", "fetch", *choice, cwd=tmp_path)
        assert fetched.returncode == 0, fetched.stderr
    (arrived,) = (tmp_path / "cache").rglob("part.root")
    assert arrived.read_bytes() == content


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (None, None),
        (Publication(record="https://zenodo.org/record/1", doi="10.5281/zenodo.1"), None),
        (Publication(record="https://opendata.cern.ch/record/CMS-35669"), Key("recid", "CMS-35669")),
        (Publication(record="http://opendata.cern.ch/record/3860/", doi=DOI), Key("recid", "3860")),
        (Publication(record="https://opendata.cern.ch/docs/about", doi=DOI), Key("doi", DOI)),
    ],
)
def test_what_a_publication_is_asked_for_by(published: Publication | None, expected: Key | None) -> None:
    assert key_of(published) == expected
