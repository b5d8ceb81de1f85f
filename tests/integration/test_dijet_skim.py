"""`hepbatch skim dijet_anomaly` with real workers: each source, and the same numbers however it is split."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.command import hepbatch, python_path
from support.http_files import serving
from support.independent_dijets import read_jets, select
from support.mod_files import jet_tables, write_jets

pytestmark = pytest.mark.slow

OPENDATA = '''
"""Public files that a test serves."""
import json
from pathlib import Path
from analysis.datasets.publication import PublicFile, PublicSettings

class Settings(PublicSettings):
    samples: tuple[str, ...] = ()
    amount: float = 1.0
    address: str

FACTS = json.loads(Path(__file__).with_name("facts.json").read_text())

def samples(settings, catalogue): return ("SIM300",)
def totals(settings, catalogue): return {"SIM300": FACTS["total"]}
def files(settings, catalogue, sample):
    return [
        PublicFile(sample, (f"{settings.address}/{name}",), f"{settings.cache}/{name}", f"md5:{md5}")
        for name, md5 in FACTS["md5"].items()
    ]
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose events adjoin, one where they lie apart, and recorded jets."""
    directory = tmp_path_factory.mktemp("source")
    write_jets(directory / "SIM300_0.h5", jet_tables(1, 250), 1)
    tables = jet_tables(2, 200)
    order = np.random.default_rng(1).permutation(len(tables["jet_pt"]))
    write_jets(directory / "SIM300_1.h5", {name: column[order] for name, column in tables.items()}, 2)
    write_jets(directory / "CMS_0.hdf5", jet_tables(3, 200), 3, without=("hard_pid",))
    return directory


def outcome(directory: Path, name: str = "cutflow.json") -> Any:
    return json.loads((directory / name).read_text())


def rows(directory: Path, sample: str) -> list[dict[str, Any]]:
    table = pq.read_table(directory / "skim" / sample)
    return sorted(table.to_pylist(), key=lambda row: (row["mjj"], row["event"]))


def test_workers_and_chunk_sizes_do_not_change_the_numbers(source: Path, tmp_path: Path) -> None:
    outputs = []
    for workers, chunk_size in ((1, 100_000), (2, 37), (1, 150)):
        outputs.append(tmp_path / f"{workers}-{chunk_size}")
        done = hepbatch(
            "skim", "dijet_anomaly", "--source", source, "--output", outputs[-1], "--workers", str(workers),
            "--set", f"chunk_size={chunk_size}", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "absent from the source: SIM170, SIM470" in done.stderr
    reference = outcome(outputs[0])
    plain = {
        "CMS": [select(source / "CMS_0.hdf5")],
        "SIM300": [select(source / f"SIM300_{number}.h5") for number in (0, 1)],
    }
    for sample, parts in plain.items():
        for cut, counts in reference[sample].items():
            assert counts["events"] == sum(part.counts[cut] for part in parts) > 0
    for output in outputs[1:]:
        cutflow = outcome(output)
        for sample, cut in itertools.product(plain, reference["CMS"]):
            assert cutflow[sample][cut]["events"] == reference[sample][cut]["events"]
            scale = reference[sample]["jets"]["weighted"]
            assert abs(cutflow[sample][cut]["weighted"] - reference[sample][cut]["weighted"]) <= 1e-12 * scale
        for sample in plain:
            assert rows(output, sample) == rows(outputs[0], sample)
            assert len(rows(output, sample)) == reference[sample]["events_mass"]["events"]
        assert outcome(output, "manifest.json")["stages"]["skim"]["items"] > 5
    histograms = [outcome(output, "histograms.json") for output in outputs]
    for sample, name in itertools.product(plain, ("mjj", "jet_pt", "jets_per_event", "particles_per_jet")):
        values = [np.array(one[sample][name]["storage"]["values"]) for one in histograms]
        assert values[0].sum() > 0
        for other in values[1:]:
            assert np.allclose(other, values[0], rtol=0, atol=1e-12 * values[0].sum())


def test_the_simulated_source_is_kept_and_skimmed(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    command = (
        "skim",
        "dijet_anomaly",
        "--output",
        tmp_path / "out",
        "--workers",
        "2",
        "--set",
        "simulation.scale=0.005",
    )
    done = hepbatch(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out" / "simulated").glob("*/*.h5"))
    assert [path.parent.name for path in files] == ["SIM300", "SIM470"]
    jets = {path.parent.name: read_jets(path) for path in files}
    cutflow = outcome(tmp_path / "out")
    for sample, of_sample in jets.items():
        assert cutflow[sample]["jets"]["events"] == len(of_sample)
    assert 30 < cutflow["SIM300"]["events_mass"]["events"] < 200
    again = hepbatch(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "simulated 0 of 2 tasks (2 were there)" in again.stderr
    assert outcome(tmp_path / "out") == cutflow


def test_public_files_are_downloaded_verified_and_scaled_to_their_total(source: Path, tmp_path: Path) -> None:
    names = ("SIM300_0.h5", "SIM300_1.h5")
    sums = {name: hashlib.md5((source / name).read_bytes(), usedforsecurity=False).hexdigest() for name in names}
    weight = sum(jet["weight"] for name in names for jet in read_jets(source / name))
    (tmp_path / "tiny_opendata.py").write_text(OPENDATA)
    (tmp_path / "facts.json").write_text(json.dumps({"md5": sums, "total": 2 * weight}))
    with serving(source, lambda number: "cut" if number == 1 else None) as served:
        options = [
            "dijet_anomaly", "--output", tmp_path / "out", "--workers", "1", "--set", "opendata.module=tiny_opendata",
            "--set", f"opendata.address={served.address}", "--set", f"opendata.cache={tmp_path / 'cache'}",
            "--set", "retries.first_pause=0.01",
        ]  # fmt: skip
        done = hepbatch("datasets", "fetch", *options, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
        assert done.returncode == 0, done.stderr
        assert "fetched 2 of 2 files (0 were there)" in done.stderr
        requests = served.requests
        assert requests == 3
        done = hepbatch("skim", *options, "--source", "opendata", cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
        assert done.returncode == 0, done.stderr
        assert served.requests == requests
    sample = outcome(tmp_path / "out", "manifest.json")["samples"]["SIM300"]
    assert sample["scale"] == pytest.approx(2.0)
    assert "scaled by 2 to the total of the published sample" in sample["flags"][0]
    assert outcome(tmp_path / "out")["SIM300"]["events_mass"]["events"] > 0


def test_a_server_with_other_files_is_one_sentence(tmp_path: Path) -> None:
    """energyflow's table says which MD5 is right; what the server has is not it."""
    name = "SIM170_Jet300_pT375-infGeV_0_compressed.h5"
    place = tmp_path / "server" / "record" / "3341500" / "files" / name
    write_jets(place, jet_tables(1, 10))
    with serving(tmp_path / "server") as served:
        done = hepbatch(
            "datasets", "fetch", "dijet_anomaly", "--output", tmp_path / "out", "--workers", "1",
            "--set", "opendata.samples=[SIM170]", "--set", f"opendata.address={served.address}",
            "--set", f"opendata.cache={tmp_path / 'cache'}", cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"is not the published file {name}: its MD5 is" in done.stderr
    assert not list((tmp_path / "cache").rglob("*.h5"))


def test_a_run_without_training_says_so_before_it_begins(source: Path, tmp_path: Path) -> None:
    content = Path(__file__).resolve().parents[2] / "configs" / "analyses" / "dijet_anomaly.yaml"
    import yaml

    configuration = yaml.safe_load(content.read_text())
    for block in ("training", "results"):
        configuration.pop(block, None)
    (tmp_path / "skim_only.yaml").write_text(yaml.safe_dump(configuration))
    done = hepbatch("run", "./skim_only.yaml", "--source", source, "--output", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == "hepbatch: the configuration of dijet_anomaly has no block 'training'"
    assert not (tmp_path / "out").exists()
