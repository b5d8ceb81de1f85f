"""Reading the dijet skims: order, range, weights, particles; what is wrong with them is one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.dijet_skims import EDGES, make_events, write_events

from training.dijet_pool import Pool, read_pool


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    return make_events(np.random.default_rng(1), 500)


def _read(*samples: Any, **changes: Any) -> Pool:
    return read_pool(samples, EDGES, **({"fraction": 1.0, "seed": 3, "particles": True} | changes))


def _equal(one: Pool, two: Pool) -> None:
    for name in ("mass", "weight", "bins", "partons"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.particles is not None
    assert two.particles is not None
    for name in ("pt", "y", "phi", "pid", "offsets"):
        np.testing.assert_array_equal(getattr(one.particles, name), getattr(two.particles, name))


def test_every_event_in_the_range_is_read_with_its_jets(tmp_path: Path, columns: dict[str, Any]) -> None:
    pool = _read(write_events(tmp_path, "QCD", columns, scale=2.0))
    rows = [row for row in pa.table(columns).to_pylist() if EDGES[0] <= row["mjj"] < EDGES[-1]]
    assert len(rows) < 500
    rows.sort(key=lambda row: (row["file"], row["run"], row["lumi"], row["event"], row["entry"]))
    assert pool.mass.tolist() == [row["mjj"] for row in rows]
    assert pool.weight.tolist() == [2 * row["weight"] for row in rows]
    assert pool.partons.tolist() == [row["jet_parton_id"] for row in rows]
    assert pool.jets_per_event == 2
    assert pool.particles is not None
    jets = [jet for row in rows for jet in row["particle_phi"]]
    found = np.split(pool.particles.phi, pool.particles.offsets[1:-1])
    assert [list(map(float, jet)) for jet in found] == jets
    pids = [pid for row in rows for jet in row["particle_pid"] for pid in jet]
    assert pool.particles.pid.tolist() == pids


def test_the_layout_of_files_does_not_show(tmp_path: Path, columns: dict[str, Any]) -> None:
    other = make_events(np.random.default_rng(2), 200)
    a = [write_events(tmp_path / "a", "A", columns, files=1), write_events(tmp_path / "a", "B", other, files=3)]
    b = [write_events(tmp_path / "b", "B", other, files=1), write_events(tmp_path / "b", "A", columns, files=7)]
    _equal(_read(*a), _read(*b))


def test_without_particles_the_events_are_the_same(tmp_path: Path, columns: dict[str, Any]) -> None:
    sample = write_events(tmp_path, "QCD", columns)
    whole, light = _read(sample, fraction=0.5), _read(sample, fraction=0.5, particles=False)
    assert light.particles is None
    np.testing.assert_array_equal(whole.mass, light.mass)


def test_a_fraction_is_a_random_part_of_the_seed(tmp_path: Path, columns: dict[str, Any]) -> None:
    sample = write_events(tmp_path, "QCD", columns)
    whole, part, other = _read(sample), _read(sample, fraction=0.25), _read(sample, fraction=0.25, seed=4)
    assert len(part) == round(0.25 * len(whole))
    assert set(part.mass.tolist()) < set(whole.mass.tolist())
    assert part.mass.tolist() != other.mass.tolist()


def test_wrong_skims_are_one_sentence(tmp_path: Path, columns: dict[str, Any]) -> None:
    sample = write_events(tmp_path / "short", "QCD", {k: v for k, v in columns.items() if k != "jet_parton_id"})
    with pytest.raises(ValueError, match="of sample QCD has no column jet_parton_id"):
        _read(sample)
    sample = write_events(tmp_path / "far", "QCD", columns | {"mjj": np.asarray(columns["mjj"]) + 1000})
    with pytest.raises(ValueError, match=r"bin_edges: no event has a mass of 660 to 1160 GeV \(QCD\)"):
        _read(sample)
    sample = write_events(tmp_path / "nan", "QCD", columns | {"mjj": np.full(500, np.nan)})
    with pytest.raises(ValueError, match="500 events whose mjj is no number"):
        _read(sample)
    sample = write_events(tmp_path / "none", "QCD", columns)
    with pytest.raises(ValueError, match=r"fraction = 0\.0001: that is none of the"):
        _read(sample, fraction=1e-4)


def test_events_with_another_number_of_jets_are_an_error(tmp_path: Path, columns: dict[str, Any]) -> None:
    sample = write_events(tmp_path, "QCD", columns)
    table = pa.table(columns).slice(0, 3)
    partons = pa.array([[21], [1], [2]], pa.list_(pa.int32()))
    index = table.column_names.index("jet_parton_id")
    pq.write_table(table.set_column(index, "jet_parton_id", partons), sample.files[0])
    with pytest.raises(ValueError, match="same number of jets, but those of QCD have 1, 2"):
        _read(sample)
