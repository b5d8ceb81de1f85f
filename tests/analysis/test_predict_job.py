"""What a worker of `hepbatch predict` writes and counts, without a cluster."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
from support.ditau_models import make_model, make_published
from support.nano_files import write_nano

from analysis.configuration import load_configuration
from analysis.engine.items import OpenedFile, WorkItem
from analysis.predict_job import Output, PredictJob, predict_item, shift, write_output
from analysis.predicting import _convention
from processors.ditau_mass import INPUTS, Settings, build
from processors.formats import reader_of

EVENTS = 300
SETTINGS = json.dumps({"convention": "corrected", "published_inputs": True})


def predicted(model: Path, source: Path, target: Path, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns and side-car of a file of predictions that is written in two pieces."""
    facts = {
        "processor": "processors.ditau_mass", "settings": SETTINGS, "training": "training.ditau_mass",
        "model": str(model), "directory": str(target), "format": "nanoaod", "tree": "Events", "kind": "root",
        "fingerprint": "mark", "xrootd_prefix": None,
    }  # fmt: skip
    job = PredictJob(**{**facts, **changes})
    with uproot.open(source) as file:
        uuid = str(file.file.uuid)
    items = tuple(WorkItem("input", str(source), uuid, start, start + EVENTS // 2) for start in (0, EVENTS // 2))
    for item in items:
        predict_item(job, item, 0)
    path = target / f"out.{job.kind}"
    write_output(
        job, Output(OpenedFile("input", str(source), uuid, EVENTS, source.stat().st_size), items, str(path)), 0
    )
    counts = json.loads(path.with_name(f"{path.name}.json").read_text())
    if job.kind == "parquet":
        return pq.read_table(path).to_pydict(), counts
    with uproot.open(path) as file:
        return file["Friends"].arrays(library="np"), counts


def inputs_of(source: Path) -> tuple[Any, Any]:
    """Channel of each entry, and the inputs of those that are selected."""
    from processors.ditau_mass import branches

    with uproot.open(source) as file:
        uuid = str(file.file.uuid)
    facts = {"role": "data", "dataset": "input"}
    chunk = reader_of("nanoaod").read(str(source), "Events", branches("data"), 0, EVENTS, facts, uuid)
    found = build(Settings(), luminosity=None, skim_directory=None).predictable(chunk.events)
    return found.channel, found.inputs


def test_an_event_with_an_input_that_is_not_finite_has_no_mass_and_the_others_have(tmp_path: Path) -> None:
    met = np.random.default_rng(1).exponential(30, EVENTS).astype("f4")
    met[::7], met[3::11] = np.nan, np.inf
    source = write_nano(tmp_path / "in.root", 3, EVENTS, replace={"PuppiMET_pt": met})
    model = make_model(tmp_path / "m")
    tree, counts = predicted(model, source, tmp_path / "root")
    selected, finite = tree["channel"] >= 0, np.isfinite(met)
    lost = selected & ~finite
    assert 0 < lost.sum() < selected.sum()
    np.testing.assert_array_equal(tree["ml_mass"] != -1, selected & finite)
    np.testing.assert_array_equal(tree["extrapolated"] >= 0, selected & finite)
    assert (counts["selected"], counts["not_finite"]) == (selected.sum(), lost.sum())
    assert sum(counts["channels"].values()) == selected.sum()
    table, same = predicted(model, source, tmp_path / "parquet", kind="parquet")
    np.testing.assert_array_equal(np.array(table["ml_mass"]) == -1, lost[selected])
    assert same["not_finite"] == lost.sum()


def test_a_published_model_has_the_inputs_of_its_convention_and_the_shift_is_told(tmp_path: Path) -> None:
    source = write_nano(tmp_path / "in.root", 4, EVENTS)
    weights = {"jet1_pt_reco": 0.5, "remaining_jets_N_reco": 10.0, "tau1_phi_reco": 3.0}
    model = make_published(tmp_path / "DNN1", weights, 100.0)
    channel, inputs = inputs_of(source)
    assert set(weights) <= set(INPUTS)
    masses = {
        convention: 100 + sum(weight * inputs[f"{prefix}{name}"] for name, weight in weights.items())
        for convention, prefix in (("published", "published_"), ("corrected", ""))
    }
    assert not np.allclose(masses["published"], masses["corrected"])
    ratio = masses["published"] / masses["corrected"] - 1
    low, median, high = np.quantile(ratio, (0.16, 0.5, 0.84), method="inverted_cdf")
    for convention, expected in masses.items():
        tree, counts = predicted(model, source, tmp_path / convention, convention=convention)
        np.testing.assert_allclose(tree["ml_mass"][channel >= 0], expected, rtol=1e-5)
        told = counts["shift"]
        assert told["events"] == np.sum(channel >= 0)
        assert told["median"] == pytest.approx(median, abs=6e-4)
        assert told["width"] == pytest.approx((high - low) / 2, abs=1.1e-3)
    assert predicted(model, source, tmp_path / "none")[1]["shift"] is None


def test_the_convention_is_the_models_unless_the_user_says_one(tmp_path: Path) -> None:
    published, own = make_published(tmp_path / "DNN1", {}, 1.0), make_model(tmp_path / "m")
    plain = load_configuration("ditau_mass")
    set_by_hand = load_configuration("ditau_mass", ("processor.convention=corrected",))
    both = {"convention": "corrected", "published_inputs": True}
    assert _convention(plain, published) == ("published", both)
    assert _convention(load_configuration("ditau_mass_full"), published) == ("published", both)
    assert _convention(set_by_hand, published) == ("corrected", both)
    assert _convention(plain, own) == (None, {})
    assert _convention(load_configuration("ditau_mass", ("processor.convention=published",)), own) == (
        "published",
        both,
    )
    trained = {name: make_model(tmp_path / name, convention=name) for name in ("corrected", "published")}
    assert _convention(plain, trained["corrected"]) == (None, {})
    assert _convention(plain, trained["published"]) == ("published", both)
    assert _convention(set_by_hand, trained["published"]) == ("corrected", both)


def test_a_shift_is_summed_over_files() -> None:
    assert shift({}) is None
    found = shift({"-10": 1, "20": 2, "0": 7})
    assert found is not None
    assert (found["median"], found["width"], found["events"]) == (0.0, 0.01, 10)


def test_events_of_other_channels_than_the_models_are_extrapolated(tmp_path: Path) -> None:
    source = write_nano(tmp_path / "in.root", 5, EVENTS)
    tree, counts = predicted(make_model(tmp_path / "lt", group="lt"), source, tmp_path / "out")
    other = (tree["channel"] >= 0) & ~np.isin(tree["channel"], (1, 2))
    assert 0 < other.sum() < counts["selected"]
    np.testing.assert_array_equal(tree["extrapolated"] == 1, other)
    assert counts["untrained_channel"] == counts["extrapolated"] == other.sum()
    _, counts = predicted(make_model(tmp_path / "all"), source, tmp_path / "all_out")
    assert counts["untrained_channel"] == counts["extrapolated"] == 0
