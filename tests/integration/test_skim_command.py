"""`hepbatch skim` with real workers: the same numbers however it is split, and bad input named, never hidden."""

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import uproot
from support.command import NAMES, hepbatch, make_source
from support.mini_files import EventMaker, write_mini

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"))


def outcome(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def rows(directory: Path) -> list[Any]:
    table = pq.read_table(directory).sort_by([("event", "ascending"), ("m4l", "ascending")])
    return [table.num_rows, *(table[name].to_pylist() for name in ("event", "entry", "m4l", "weight"))]


def test_workers_and_chunk_sizes_do_not_change_the_numbers(source: Path, tmp_path: Path) -> None:
    outputs = []
    for workers, chunk_size in itertools.product((1, 2), (100, 100_000)):
        output = tmp_path / f"{workers}-{chunk_size}"
        done = hepbatch(
            "skim", "higgs4l", "--source", source, "--output", output, "--workers", str(workers),
            "--set", f"chunk_size={chunk_size}", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        outputs.append(output)
    reference = outcome(outputs[0], "cutflow.json")
    assert sum(counts["mass_window"]["events"] for counts in reference.values()) > 0
    for output in outputs[1:]:
        cutflow = outcome(output, "cutflow.json")
        assert list(cutflow) == list(reference) == list(NAMES)
        for sample, cut in itertools.product(cutflow, reference["ZZ"]):
            assert cutflow[sample][cut]["events"] == reference[sample][cut]["events"]
            # The weights of `all` have one scale: their sum bounds the sum of absolute weights from below.
            scale = max(abs(reference[sample]["all"]["weighted"]), 1.0)
            assert abs(cutflow[sample][cut]["weighted"] - reference[sample][cut]["weighted"]) <= 1e-12 * scale
        for sample in NAMES:
            assert rows(output / "skim" / sample) == rows(outputs[0] / "skim" / sample)
        assert not list(output.rglob("*.tmp*"))
    with uproot.open(outputs[0] / "histograms.root") as file:
        filled = {sample: file[f"{sample}/m4l"].values(flow=True).sum() for sample in NAMES}
    for sample in NAMES:
        assert filled[sample] == pytest.approx(reference[sample]["m_z2"]["weighted"])


def test_bad_files_fail_alone_and_yields_are_scaled_or_unknown(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("DataEgamma", "ggH125_ZZ4lep", "ZZ"))
    zee, zmumu, ttbar = (source / NAMES[name] for name in ("Zee", "Zmumu", "ttbar_lep"))
    good, bad = EventMaker(21).events(200), EventMaker(22).events(150)
    write_mini(zee.with_name(f"{zee.name}.0000.root"), good)
    write_mini(zee.with_name(f"{zee.name}.0001.root"), bad, without=("lep_eta",))
    write_mini(zmumu.with_name(f"{zmumu.name}.root"), good, tree="nominal")
    write_mini(ttbar.with_name(f"{ttbar.name}.0000.root"), good)
    ttbar.with_name(f"{ttbar.name}.0001.root").touch()
    write_mini(source / f"{NAMES['ZZ']}.0001.root", [])
    (source / f"{NAMES['DataMuons']}.root").write_text("this is not a ROOT file\n")
    output = tmp_path / "out"

    done = hepbatch("skim", "higgs4l", "--source", source, "--output", output, cwd=tmp_path)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for text in ("Zee.0001.root", "lep_eta", "Zmumu.root", "'mini'", "nominal", "ttbar_lep.0001.root", "zero bytes",
                 "DataMuons.root", "not a ROOT file", "VBFH125_ZZ4lep"):  # fmt: skip
        assert text in done.stderr
    samples = outcome(output, "manifest.json")["samples"]
    weights = [[event.mc_weight for event in part] for part in (good, bad)]
    total, processed = sum(map(sum, weights)), sum(weights[0])
    assert samples["Zee"]["scale"] == pytest.approx(total / processed, rel=1e-6)  # weights are stored as float32
    assert (samples["Zee"]["entries"], samples["Zee"]["processed"]) == (350, 200)
    assert samples["Zee"]["flags"]
    assert samples["Zmumu"]["scale"] is None
    assert samples["ttbar_lep"]["scale"] is None
    assert (samples["ZZ"]["scale"], samples["ZZ"]["flags"]) == (1.0, [])
    assert samples["DataMuons"]["flags"]
    assert outcome(output, "cutflow.json")["DataEgamma"]["all"]["events"] == 300

    later = hepbatch("status", "higgs4l", "--output", output, cwd=tmp_path)
    assert later.returncode == 1
    assert "skim Zee: 1 done, 0 missing, 1 failed" in later.stdout
    assert "lep_eta" in later.stdout


def test_a_limited_run_is_scaled_to_the_whole_sample(tmp_path: Path) -> None:
    source = tmp_path / "source"
    parts = [EventMaker(seed).events(count) for seed, count in ((5, 200), (6, 100))]
    for number, events in enumerate(parts):
        write_mini(source / f"{NAMES['ZZ']}.{number:04d}.root", events)
    output = tmp_path / "out"
    done = hepbatch("skim", "higgs4l", "--source", source, "--output", output, "--limit-files", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sample = outcome(output, "manifest.json")["samples"]["ZZ"]
    sums = [sum(event.mc_weight for event in events) for events in parts]
    assert sample["scale"] == pytest.approx(sum(sums) / sums[0], rel=1e-6)
    assert outcome(output, "cutflow.json")["ZZ"]["all"]["events"] == 200


def test_a_file_with_bad_entries_in_no_item_but_one(tmp_path: Path) -> None:
    """A damaged basket fails the work items that read it; the others of the same file go on."""
    source = make_source(tmp_path / "source", ("ZZ",), events=640)
    path = source / f"{NAMES['ZZ']}.root"
    with uproot.open(path) as file:
        branch = file["mini/lep_pt"]
        position, size = branch.basket_key(5).data_cursor.index, branch.basket_key(5).data_compressed_bytes
    content = bytearray(path.read_bytes())
    content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
    output = tmp_path / "out"
    done = hepbatch("skim", "higgs4l", "--source", source, "--output", output, "--set", "chunk_size=64", cwd=tmp_path)
    assert done.returncode == 1
    manifest = outcome(output, "manifest.json")
    (failure,) = manifest["failures"]
    assert (failure["start"], failure["stop"]) == (5 * 64, 6 * 64)
    assert manifest["samples"]["ZZ"]["processed"] == 640 - 64
    assert len(rows(output / "skim" / "ZZ")[1]) == outcome(output, "cutflow.json")["ZZ"]["four_leptons"]["events"]


def test_a_copy_of_a_file_is_left_out_and_named(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", ("ZZ",))
    path = source / f"{NAMES['ZZ']}.root"
    path.with_name(f"{Path(NAMES['ZZ']).name}.0001.root").write_bytes(path.read_bytes())
    output = tmp_path / "out"
    done = hepbatch("skim", "higgs4l", "--source", source, "--output", output, cwd=tmp_path)
    assert done.returncode == 1
    assert "ZZ.root: the same file as" in done.stderr
    assert outcome(output, "cutflow.json")["ZZ"]["all"]["events"] == 300
    assert outcome(output, "manifest.json")["samples"]["ZZ"]["scale"] == 1.0
