from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.skims import make_columns, make_skims, write_sample

from training.features import checked_features, feature_matrix, required_columns, uses_mass
from training.higgs4l import FEATURE_SETS, THROUGH_SFOS_MASS
from training.samples import Sample, read_events, require_both_classes

FEATURES = FEATURE_SETS["full"]


def test_order_of_files_and_rows_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    columns = {name: make_columns(name, rng, 300) for name in ("ZZ", "ggH125_ZZ4lep")}
    first = [write_sample(tmp_path / "a", name, its, files=1) for name, its in columns.items()]
    second = []
    for name, its in reversed(columns.items()):
        order = rng.permutation(300)
        sample = write_sample(tmp_path / "b", name, {column: values[order] for column, values in its.items()}, files=5)
        second.append(replace(sample, files=sample.files[::-1]))
    a, b = (read_events(samples, FEATURES, THROUGH_SFOS_MASS) for samples in (first, second))
    assert a.names == b.names == ("ZZ", "ggH125_ZZ4lep")
    assert np.array_equal(a.weight, b.weight)
    for column in a.columns:
        assert np.array_equal(a[column], b[column], equal_nan=a[column].dtype.kind == "f"), column


def test_scale_multiplies_weights(tmp_path: Path) -> None:
    samples = make_skims(tmp_path, np.random.default_rng(2), 50)
    plain = read_events(samples, ("m4l",), ())
    scaled = read_events([replace(s, scale=2.5) if s.name == "ZZ" else s for s in samples], ("m4l",), ())
    zz = plain.sample == plain.names.index("ZZ")
    assert scaled.weight[zz] == pytest.approx(2.5 * plain.weight[zz])
    assert np.array_equal(scaled.weight[~zz], plain.weight[~zz])


def test_labels_and_cuts(tmp_path: Path) -> None:
    samples = make_skims(tmp_path, np.random.default_rng(3), 80)
    events = read_events(samples, ("m4l",), ("charge", "sfos_mass"))
    assert {events.names[i]: int(events.label[events.sample == i][0]) for i in range(len(events.names))} == {
        "ggH125_ZZ4lep": 1,
        "VBFH125_ZZ4lep": 1,
        "ZZ": 0,
        "Zmumu": 0,
        "DataEgamma": -1,
        "DataMuons": -1,
    }
    chosen = events.select(events.passed(("charge", "sfos_mass")))
    assert chosen["pass_charge"].all()
    assert chosen["pass_sfos_mass"].all()
    assert 0 < len(chosen) < len(events)


def test_missing_column_names_the_nearest(tmp_path: Path) -> None:
    samples = make_skims(tmp_path, np.random.default_rng(4), 20)
    with pytest.raises(ValueError, match=r"no column lep1_et; the nearest column is lep1_eta"):
        read_events(samples, ("lep1_et",), ())


def test_a_class_without_events_is_named(tmp_path: Path) -> None:
    samples = make_skims(tmp_path, np.random.default_rng(5), 20)
    events = read_events(samples, ("m4l",), THROUGH_SFOS_MASS)
    none = events.select(events.label != 1)
    with pytest.raises(ValueError, match=r"signal events.*four_leptons to sfos_mass.*VBFH125_ZZ4lep, ggH125_ZZ4lep"):
        require_both_classes(none, THROUGH_SFOS_MASS)
    only = [sample for sample in samples if sample.role != "background"]
    with pytest.raises(ValueError, match=r"background events.*no sample has that role"):
        require_both_classes(read_events(only, ("m4l",), ()), ())


def test_empty_files_and_samples_are_valid(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    empty = write_sample(tmp_path, "Zmumu", make_columns("Zmumu", rng, 0), files=1)
    some = write_sample(tmp_path, "ZZ", make_columns("ZZ", rng, 9), files=1)
    events = read_events([empty, some, Sample("DataMuons", "data", "data", ())], ("m4l",), ())
    assert len(events) == 9
    assert len(read_events([empty], ("m4l",), ())) == 0


def test_unknown_role(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "ZZ", make_columns("ZZ", np.random.default_rng(7), 9))
    with pytest.raises(ValueError, match=r"'other'.*signal, background, data"):
        read_events([replace(sample, role="other")], ("m4l",), ())


def test_features_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    samples = make_skims(tmp_path, np.random.default_rng(8), 400)
    events = read_events(samples, FEATURES, THROUGH_SFOS_MASS)
    with pytest.raises(ValueError, match="feature m_z1 is not finite"):
        checked_features(events, FEATURES)
    chosen = events.select(events.passed(THROUGH_SFOS_MASS))
    assert checked_features(chosen, FEATURES).shape == (len(chosen), len(FEATURES))


def test_derived_features(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "ZZ", make_columns("ZZ", np.random.default_rng(9), 50), files=1)
    names = ("n_electrons", "max_isolation", "max_d0_significance", "m4l_near_higgs")
    columns = {name: pq.read_table(sample.files[0])[name].to_numpy() for name in required_columns(names)}
    matrix = feature_matrix(columns, names)
    expected = sum((columns[f"lep{i}_type"] == 11).astype(int) for i in (1, 2, 3, 4))
    assert np.array_equal(matrix[:, 0], expected)
    ratios = np.array([columns[f"lep{i}_etcone20"] / columns[f"lep{i}_pt"] for i in (1, 2, 3, 4)])
    assert matrix[:, 1] == pytest.approx(ratios.max(axis=0))
    assert (matrix[:, 2] >= np.abs(columns["lep3_d0_significance"])).all()
    assert (np.sign(matrix[:, 3]) == np.sign(columns["m4l"] - 125)).all()


def test_which_sets_use_a_mass() -> None:
    assert {name: uses_mass(its) for name, its in FEATURE_SETS.items() if name in ("full", "no_mass", "m4l")} == {
        "full": True,
        "no_mass": False,
        "m4l": True,
    }
