"""The leading lepton of both schemas, its representations, and what is dropped, against plain arithmetic per lepton."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
from coffea.processor import accumulate
from pydantic import ValidationError
from support.lepton_files import lepton, write, write_nano_leptons

from processors.errors import MissingBranch
from processors.formats import reader_of
from processors.lepton_id import SCHEMAS, Settings, branches, build, schema_of
from processors.lepton_mass import ELECTRON_MASS, MUON_MASS, Stored, energy_of

READER = reader_of("root")
KEYS = ("pt", "eta", "phi", "e", "flavour")


def process(
    path: Path, tree: str, directory: Path, pieces: int = 1, **options: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    processor = build(Settings(**options), luminosity=None, skim_directory=str(directory))
    facts = {"dataset": "leptons", "role": "background", "tree": tree}
    columns = processor.branches_of(facts)
    entries = READER.facts(str(path), tree, columns).entries
    results, rows = [], []
    for piece in range(pieces):
        chunk = READER.read(str(path), tree, columns, piece * entries // pieces, (piece + 1) * entries // pieces, facts)
        results.append(processor.process(chunk))
        for record in results[-1]["leptons"].pop("skims"):
            rows += pq.read_table(directory / record["file"]).to_pylist()
    return accumulate(results)["leptons"], rows


EVENTS: list[list[tuple[float, ...]]] = [
    [lepton(20.0, 0.3, 1.0, 0, ELECTRON_MASS), lepton(45.0, -1.2, -2.0, 1, MUON_MASS)],
    [],
    [lepton(30.0, 2.1, 0.5, 0, ELECTRON_MASS)],
    [lepton(60.0, 0.1, 3.0, 1, MUON_MASS), lepton(60.0, 0.2, 3.1, 0, ELECTRON_MASS)],
    [(25.0, 0.2, 0.1, math.nan, 1)],
    [(25.0, 0.2, 0.1, 26.0, 7)],
    [(math.nan, 0.2, 0.1, 26.0, 1), lepton(20.0, 0.1, 0.2, 0, ELECTRON_MASS)],
]


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_the_leading_lepton_and_what_is_dropped(tmp_path: Path, pieces: int) -> None:
    path = write(tmp_path / "a.root", "worldTree", EVENTS)
    result, rows = process(path, "worldTree", tmp_path, pieces)
    counts = {cut: one["events"] for cut, one in result["cutflow"].items()}
    assert counts == {"all": 7, "has_lepton": 6, "known_flavour": 5, "finite": 3}
    assert result["entries"] == result["sum_mc_weight"] == 7
    assert [(row["entry"] if pieces == 1 else None, row["pt"], row["is_muon"]) for row in rows] == [
        (0 if pieces == 1 else None, 45.0, 1),
        (2 if pieces == 1 else None, 30.0, 0),
        (3 if pieces == 1 else None, 60.0, 1),  # the first of equals
    ]
    assert result["histograms"]["mass_muon"].sum().value == 2


def test_the_entry_is_that_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", "worldTree", EVENTS)
    _, rows = process(path, "worldTree", tmp_path, 7)
    assert [row["entry"] for row in rows] == [0, 2, 3]


def test_both_schemas_give_the_same_leptons(tmp_path: Path) -> None:
    events = [[lepton(pt, eta, 0.3, flavour, (ELECTRON_MASS, MUON_MASS)[flavour])] for pt, eta, flavour in
              ((20.5, 0.7, 0), (33.25, -1.5, 1), (80.0, 2.2, 1))]  # fmt: skip
    mini = [[(1e3 * pt, eta, phi, 1e3 * e, (11, 13)[int(f)]) for pt, eta, phi, e, f in event] for event in events]
    _, ours = process(write(tmp_path / "a.root", "worldTree", events, "float64"), "worldTree", tmp_path)
    _, atlas = process(write(tmp_path / "b.root", "mini", mini, "float64"), "mini", tmp_path)
    assert [row["is_muon"] for row in atlas] == [0, 1, 1]
    for one, other in zip(ours, atlas, strict=True):
        for column in ("pt", "eta", "phi", "e", "p", "p2", "e2"):
            assert one[column] == pytest.approx(other[column], rel=1e-14), column
        assert other["m2"] == pytest.approx(one["m2"], abs=1e-10)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_the_representations_equal_exact_arithmetic(kind: str) -> None:
    rng = np.random.default_rng(1)
    pt, eta, phi = rng.uniform(15, 300, 200), rng.uniform(-2.5, 2.5, 200), rng.uniform(-3, 3, 200)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + MUON_MASS**2)
    stored = Stored(*(values.astype(kind) for values in (pt, eta, phi, energy)))
    found = stored.columns()
    rounding = sum(found[f"rounding_{name}"] for name in ("e", "pt", "eta"))
    for row in range(200):
        # The square of an integer ratio has no rounding; cosh is the only inexact step.
        p = Fraction(float(stored.pt[row])) * Fraction(math.cosh(float(stored.eta[row])))
        e = Fraction(float(stored.energy[row]))
        assert float(p * p) == pytest.approx(found["p2"][row], rel=1e-14)
        assert float(e * e) == pytest.approx(found["e2"][row], rel=1e-14)
        assert float(e * e - p * p) == pytest.approx(found["m2"][row], abs=1e-14 * float(e * e))
        assert found["p2_minus_e2"][row] == pytest.approx(-found["m2"][row], abs=1e-14 * float(e * e))
        assert found["p2_decimal"][row] == pytest.approx(10 * (found["p2"][row] % 1), abs=1e-9)
        assert found["mass"][row] == (-1 if e < p else pytest.approx(math.sqrt(found["m2"][row])))
        assert abs(found["m2"][row] - MUON_MASS**2) <= rounding[row] + 1e-14 * float(e * e)
    if kind == "float32":
        assert (found["mass"] == -1).any()
        assert np.std(found["m2_single"] - MUON_MASS**2) > np.std(found["m2"] - MUON_MASS**2)
    else:
        assert np.abs(found["m2"] - MUON_MASS**2).max() < 1e-9


NANO: list[list[tuple[float, ...]]] = [
    [(*lepton(20.0, 0.3, 1.0, 0, ELECTRON_MASS), 1), (*lepton(45.0, -1.2, -2.0, 1, MUON_MASS), 1)],
    [],
    [(*lepton(30.0, 2.1, 0.5, 0, ELECTRON_MASS), 15), (*lepton(80.0, 0.4, 0.5, 0, ELECTRON_MASS), 22)],  # a photon's
    [(*lepton(50.0, 0.1, 3.0, 1, MUON_MASS), 5), (*lepton(40.0, 0.2, 3.1, 1, MUON_MASS), 0)],  # of a b, unmatched
    [(*lepton(60.0, 0.1, 3.0, 1, MUON_MASS), 1), (*lepton(60.0, 0.2, 3.1, 0, ELECTRON_MASS), 1)],
    [(60.0, 0.1, 3.0, math.nan, 1, 1)],
]


@pytest.mark.parametrize("energy", ["single", "double"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_leptons_of_nanoaod_are_prompt_and_of_the_two_collections(tmp_path: Path, energy: str, pieces: int) -> None:
    path = write_nano_leptons(tmp_path / "a.root", NANO)
    result, rows = process(path, "Events", tmp_path, pieces, energy=energy)
    counts = {cut: one["events"] for cut, one in result["cutflow"].items()}
    assert counts == {"all": 6, "has_lepton": 4, "known_flavour": 4, "finite": 3}
    assert [(row["entry"], row["pt"], row["is_muon"]) for row in rows] == [
        (0, 45.0, 1),
        (2, 30.0, 0),
        (4, 60.0, 0),  # of equals that of the first collection
    ]
    for row in rows:
        mass = float(np.float32((ELECTRON_MASS, MUON_MASS)[row["is_muon"]]))
        exact = math.hypot(row["p"], mass)
        assert row["e"] == (float(np.float32(exact)) if energy == "single" else pytest.approx(exact, rel=1e-15))
        assert row["m2"] == pytest.approx(mass**2, abs=row["rounding_e"] + 1e-15 * exact**2)


def test_a_negative_mass_is_a_negative_square() -> None:
    pt, eta = np.array([20.0, 1.0], np.float32), np.zeros(2, np.float32)
    found = energy_of(pt, eta, np.array([-0.5, -2.0], np.float32))
    assert found[0] == math.sqrt(400 - 0.25)
    assert math.isnan(found[1])


def test_real_nanoaod(test_data: Path, tmp_path: Path) -> None:
    """Against a loop over the events."""
    path = test_data / "cms-nanoaod" / "nano_dy.root"
    if not path.is_file():
        pytest.skip(f"no file {path}")
    with uproot.open(path) as file:
        events = file["Events"].arrays(filter_name="/(Electron|Muon)_(pt|genPartFlav)/").to_list()
    expected = []
    for number, event in enumerate(events):
        prompt = [
            (pt, muon)
            for muon, name in enumerate(("Electron", "Muon"))
            for pt, origin in zip(event[f"{name}_pt"], event[f"{name}_genPartFlav"], strict=True)
            if origin in (1, 15)
        ]
        if prompt:
            expected.append((number, *max(prompt)))
    _, rows = process(path, "Events", tmp_path, 2)
    assert [(row["entry"], row["pt"], row["is_muon"]) for row in rows] == expected
    assert len({row["is_muon"] for row in rows}) == 2
    with pytest.raises(MissingBranch, match="Electron_genPartFlav"):  # recorded events have no truth
        process(test_data / "cms-nanoaod" / "nano_dimuon.root", "Events", tmp_path)


def test_a_range_that_does_not_ascend_is_refused() -> None:
    with pytest.raises(ValidationError, match="the range must ascend"):
        Settings(histogram_range=(0.2, 0.2))


def test_an_unknown_tree_is_named() -> None:
    with pytest.raises(ValueError, match="knows the trees worldTree, mini and Events, not 'events'"):
        schema_of("events")
    assert branches("data") == SCHEMAS["worldTree"].branches


def test_branches_of_other_lengths_are_an_error(tmp_path: Path) -> None:
    processor = build(Settings(), luminosity=None, skim_directory=None)

    class Chunk(dict[str, Any]):
        def __init__(self, content: dict[str, Any]) -> None:
            super().__init__(content)
            self.metadata = {"treename": "worldTree", "filename": "a.root", "dataset": "x", "entrystart": 0}

    lists = {name: ak.Array([[1.0], [2.0]]) for name in SCHEMAS["worldTree"].branches}
    lists["eve.lepton_e_"] = ak.Array([[1.0, 2.0], []])
    with pytest.raises(ValueError, match=r"eve.lepton_e_ has other numbers of leptons than eve.lepton_pt_ in a\.root"):
        processor.process(Chunk(lists))


def test_the_real_files(test_data: Path, tmp_path: Path) -> None:
    for path, tree, leptons in (
        (test_data / "simulated" / "ttbar_leptons.root", "worldTree", 45413),
        (test_data / "atlas-8tev" / "MC" / "skim.mc_117050.ttbar_lep.root", "mini", 897),
    ):
        result, rows = process(path, tree, tmp_path, 2)
        assert result["cutflow"]["finite"]["events"] == len(rows) == leptons
        masses = np.array([row["m2"] for row in rows])
        muon = np.array([row["is_muon"] for row in rows]) == 1
        soft = np.array([row["p"] for row in rows]) < 60
        assert np.all((masses > 0.0056)[soft] == muon[soft])
