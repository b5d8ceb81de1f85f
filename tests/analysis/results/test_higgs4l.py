"""The higgs4l report from a run directory: figures, flags, plots and the page."""

import json
import math
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.runs import CUTS, MODELS, SAMPLES, edit_json, make_run, write_skim

from analysis.errors import UserError
from analysis.results.document import Picture
from analysis.results.higgs4l import Settings, produce
from analysis.results.higgs4l_plots import Gallery

# Plots are tested once; the other tests are about figures and text.
QUICK = Settings(formats=("png",), n_minus_one=False)


class Page(HTMLParser):
    """What a test asks of a page: its tags with attributes, its text, and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(directory: Path) -> Page:
    return Page((directory / "report.html").read_text(encoding="utf-8"))


def results_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    return content


def skims_of(directory: Path, name: str) -> dict[str, Any]:
    table = pq.read_table(directory / "skim" / name)
    return {column: table.column(column).to_numpy() for column in table.column_names}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A whole report of a run with training whose signal is simulated."""
    directory = make_run(tmp_path_factory.mktemp("finished"), np.random.default_rng(11))
    return directory, produce(directory, Settings())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a report, to copy and change."""
    return make_run(tmp_path_factory.mktemp("template"), np.random.default_rng(12))


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw every plot but write an empty file instead of rendering it: most tests are about figures and text."""

    def keep(self: Gallery, figure: object, name: str, caption: str, alt: str, *, wide: bool = False) -> Picture:
        self.directory.mkdir(exist_ok=True)
        (self.directory / f"{name}.png").write_bytes(b"")
        return Picture(self.directory / f"{name}.png", caption, alt, wide)

    monkeypatch.setattr(Gallery, "keep", keep)


def test_yields_are_those_of_the_skims(finished: tuple[Path, list[str]]) -> None:
    """Independent sums over the Parquet files."""
    directory, flags = finished
    assert flags == []
    results = results_of(directory)
    totals = {"signal": [0.0, 0.0], "background": [0.0, 0.0], "data": [0.0, 0.0]}
    for name, (role, *_) in SAMPLES.items():
        columns = skims_of(directory, name)
        keep = np.logical_and.reduce([columns[f"pass_{cut}"] for cut in CUTS[1:]])
        weights = columns["weight"][keep]
        figure = results[f"yield.{name}.cut_based"]
        assert figure["value"] == pytest.approx(math.fsum(weights), rel=1e-12)
        assert figure["unit"] == "events"
        if role != "data":
            assert figure["uncertainty"] == pytest.approx(math.sqrt(math.fsum(weights**2)), rel=1e-12)
        window = columns["weight"][(columns["m4l"] > 120) & (columns["m4l"] < 130)]
        assert results[f"yield.{name}.no_cuts"]["value"] == pytest.approx(math.fsum(window), rel=1e-12)
        totals[role][0] += math.fsum(weights)
        totals[role][1] += math.fsum(weights**2)
    for role, (value, variance) in totals.items():
        assert results[f"yield.{role}.cut_based"]["value"] == pytest.approx(value, rel=1e-12)
        if role != "data":
            assert results[f"yield.{role}.cut_based"]["uncertainty"] == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_figures_of_the_training_are_taken_over(finished: tuple[Path, list[str]]) -> None:
    directory, _ = finished
    results = results_of(directory)
    for name in MODELS:
        raw = json.loads((directory / "models" / name / "result.json").read_text())
        assert results[f"auc.{name}"]["value"] == raw["auc"]["value"]
        assert results[f"auc.{name}"]["uncertainty"] == raw["auc"]["uncertainty"]
        assert results[f"significance.asimov.{name}"]["value"] == raw["yields"]["asimov"]["value"]
        assert results[f"ratio.cut_based.{name}"]["value"] == raw["ratio"]["cut_based"]["value"]
        assert results[f"yield.background.{name}"]["value"] == raw["yields"]["background"]["value"]
    assert results["notebook.accuracy"]["value"] == 0.9625
    assert results["notebook.confusion_matrix.background_called_signal"]["value"] == 461
    assert (
        len([name for name in results if name.startswith(("notebook.weight.", "notebook.bias."))]) == 3 + 9 + 9 + 3 + 10
    )


def test_every_number_of_the_comparison_stands_on_the_page(finished: tuple[Path, list[str]]) -> None:
    from analysis.results.quantities import Quantity

    directory, _ = finished
    text = "\n".join(page_of(directory).text)
    for name, figure in results_of(directory).items():
        if name.startswith(
            ("yield.", "significance.", "ratio.cut_based", "auc.", "cutflow.", "cross_stream", "stage.")
        ):
            assert Quantity(figure["value"], figure["uncertainty"]).text in text, name


def test_plots_are_written_in_both_formats_and_embedded(finished: tuple[Path, list[str]]) -> None:
    directory, _ = finished
    plots = sorted((directory / "plots").iterdir())
    assert {path.suffix for path in plots} == {".png", ".pdf"}
    assert all(path.stat().st_size > 2000 for path in plots)
    names = {path.stem for path in plots}
    assert {
        "m4l_four_leptons", "m4l_selected", "m4l_boosted_trees_full", "m4l_score_weighted_boosted_trees_full",
        "m4l_network_no_mass", "cutflow", "correlations_signal", "correlations_background", "roc", "significance",
        "scores_network_full", "importance_network_full", "learning_network_full", "notebook_confusion",
        "notebook_loss", "scatter_lepton_number", "scatter_leading_pt", "m4l_boxes", "n_minus_one_m_z1",
    } <= names  # fmt: skip
    assert len(page_of(directory).all("img")) == len(names)


def test_the_page_is_self_contained_and_accessible(finished: tuple[Path, list[str]]) -> None:
    page = page_of(finished[0])
    assert page.open == []
    for _, attributes in page.tags:
        for key in ("src", "href"):
            target = attributes.get(key)
            assert target is None or target.startswith(("data:", "#"))
    assert not page.all("script")
    assert all(image["alt"] for image in page.all("img"))
    assert page.all("html")[0]["lang"] == "en"
    tags = [name for name, _ in page.tags]
    assert tags.count("h1") == 1
    assert tags.count("h2") >= 8
    assert tags.count("caption") == tags.count("table")
    targets = {attributes.get("id") for attributes in page.all("section")}
    assert {link["href"] for link in page.all("a")} == {f"#{target}" for target in targets}
    text = " ".join(page.text)
    assert "Simulated with Pythia 8" in text
    assert "From files: DataEgamma" in text


def test_after_a_skim_alone_the_report_says_so(run: Path, no_plots: None) -> None:
    shutil.rmtree(run / "models")
    flags = produce(run, QUICK)
    assert flags == ["No model was trained in this run: the report holds the cut-based results only."]
    results = results_of(run)
    s, b = (results[f"yield.{role}.cut_based"]["value"] for role in ("signal", "background"))
    asimov = math.sqrt(2 * ((s + b) * math.log(1 + s / b) - s))
    assert results["significance.asimov.cut_based"]["value"] == pytest.approx(asimov, rel=1e-9)
    assert results["significance.s_over_sqrt_b.cut_based"]["value"] == pytest.approx(s / math.sqrt(b), rel=1e-12)
    assert results["significance.asimov.cut_based"]["uncertainty"] > 0
    assert not any(name.startswith(("auc.", "notebook.")) for name in results)
    assert (run / "plots" / "m4l_selected.png").exists()
    assert not (run / "plots" / "roc.png").exists()


def test_an_unknown_scale_makes_every_figure_with_it_unknown(run: Path, no_plots: None) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["samples"]["ZZ"] |= {"scale": None, "processed": 500}
        error = {
            "stage": "skim",
            "sample": "ZZ",
            "file": "ZZ.root",
            "start": 500,
            "stop": 812,
            "error": "OSError: gone",
        }
        manifest["failures"].append(error)

    edit_json(run / "manifest.json", change)
    flags = produce(run, QUICK)
    assert flags[0] == "1 item failed (skim): see the table of failures"
    assert flags[1] == "ZZ: yield not known, 500 of 812 entries processed"
    results = results_of(run)
    unknown = [
        "yield.ZZ.cut_based", "yield.ZZ.four_leptons", "yield.background.cut_based", "yield.background.no_cuts",
        "cutflow.ZZ.m_z2.weighted", "cutflow.process.zz.all", "significance.asimov.cut_based",
        "significance.s_over_sqrt_b.no_cuts", "significance.asimov.boosted_trees_full", "ratio.cut_based.network_full",
        "yield.background.network_full", "effective_background.network_full",
    ]  # fmt: skip
    for name in unknown:
        assert results[name]["value"] is None, name
        assert results[name]["uncertainty"] is None, name
        assert any("ZZ: yield not known" in flag for flag in results[name]["flags"]), name
    for name in ("yield.signal.cut_based", "yield.Zee.cut_based", "cutflow.process.z_tt.all", "auc.network_full"):
        assert results[name]["value"] is not None, name
    text = " ".join(page_of(run).text)
    assert "OSError: gone" in text
    assert "finished with 1 failed item" in text


def test_a_scaled_yield_is_scaled_and_flagged(run: Path, no_plots: None) -> None:
    shutil.rmtree(run / "models")
    produce(run, QUICK)
    before = results_of(run)
    edit_json(run / "manifest.json", lambda m: m["samples"]["Zee"].update(scale=1.25, processed=250))
    flags = produce(run, QUICK)
    assert flags[0] == "Zee: 250 of 312 entries processed, yields scaled by 1.25"
    after = results_of(run)
    for name in ("yield.Zee.selected", "cutflow.Zee.charge.weighted"):
        for key in ("value", "uncertainty"):
            assert after[name][key] == pytest.approx(1.25 * before[name][key], rel=1e-12)
        assert after[name]["flags"] == [flags[0]]
    difference = after["yield.background.selected"]["value"] - before["yield.background.selected"]["value"]
    assert difference == pytest.approx(0.25 * before["yield.Zee.selected"]["value"], rel=1e-9)
    assert after["yield.background.selected"]["flags"] == [flags[0]]
    assert after["cutflow.Zee.charge.events"] == before["cutflow.Zee.charge.events"]


def test_missing_data_are_flagged_and_not_scaled(run: Path, no_plots: None) -> None:
    edit_json(run / "manifest.json", lambda m: m["samples"]["DataMuons"].update(processed=100))
    flags = produce(run, QUICK)
    assert flags == ["DataMuons: 100 of 122 entries processed, the events of the others are missing"]
    assert results_of(run)["yield.data.four_leptons"] == {
        "value": 200, "uncertainty": None, "unit": "events", "flags": flags
    }  # fmt: skip


def test_an_event_of_both_streams_counts_once(run: Path, no_plots: None) -> None:
    """The first event of DataMuons that passes everything also becomes an event of DataEgamma."""
    shutil.rmtree(run / "models")
    egamma, muons = (skims_of(run, name) for name in ("DataEgamma", "DataMuons"))
    for columns in (egamma, muons):
        for cut in CUTS[1:]:
            columns[f"pass_{cut}"] = columns[f"pass_{cut}"].copy()
            columns[f"pass_{cut}"][0] = True
        columns["m4l"] = columns["m4l"].copy()
        columns["m4l"][0] = 125.0
    egamma["run"], egamma["event"] = egamma["run"].copy(), egamma["event"].copy()
    egamma["run"][0], egamma["event"][0] = muons["run"][0], muons["event"][0]
    counts = {}
    for name, columns in (("DataEgamma", egamma), ("DataMuons", muons)):
        shutil.rmtree(run / "skim" / name)
        write_skim(run, name, columns)
        counts[name] = int(np.logical_and.reduce([columns[f"pass_{cut}"] for cut in CUTS[1:]]).sum())
    flags = produce(run, QUICK)
    results = results_of(run)
    assert results["cross_stream_duplicates"]["value"] == 1
    assert results["yield.data.cut_based"]["value"] == sum(counts.values()) - 1
    assert results["yield.data.four_leptons"]["value"] == 199
    assert results["cutflow.data.four_leptons"]["value"] == 199
    assert "1 data event is in two streams and counts once" in flags


def test_duplicates_are_left_out_of_the_mass_plots(run: Path) -> None:
    from analysis.results.higgs4l_events import load_events
    from analysis.results.higgs4l_plots import masks_of, stack_of
    from analysis.results.run_files import RunDirectory

    shutil.copytree(run / "skim" / "DataEgamma", run / "skim" / "Doubled")
    shutil.rmtree(run / "skim" / "DataMuons")
    (run / "skim" / "Doubled").rename(run / "skim" / "DataMuons")
    edit_json(run / "cutflow.json", lambda c: c.update(DataMuons=c["DataEgamma"]))
    events = load_events(RunDirectory(run))
    stack = stack_of(events, "m4l", np.array([0.0, 1000.0]), masks_of(events, ()))
    assert events.duplicates == 90
    assert stack.data is not None
    assert stack.data.tolist() == [90]


def test_names_from_outside_are_escaped(run: Path, no_plots: None) -> None:
    shutil.rmtree(run / "models")
    nasty = '<script>alert("1")</script>&.root'

    def change(manifest: dict[str, Any]) -> None:
        manifest["inputs"][0]["path"] = nasty
        manifest["title"] = "<b>bold</b>"
        failure = {"stage": "skim", "sample": "ZZ", "file": nasty, "start": 0, "stop": 9, "error": "<img src=x>"}
        manifest["failures"] = [failure]

    edit_json(run / "manifest.json", change)
    produce(run, QUICK)
    page = page_of(run)
    assert not page.all("script")
    assert not page.all("b")
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in page.all("img"))
    assert sum(nasty in text for text in page.text) == 2


def test_stale_trainings_and_histograms_are_told(run: Path, no_plots: None) -> None:
    def lower(content: dict[str, Any]) -> None:
        content["cut_based"]["background"]["value"] *= 0.9

    edit_json(run / "models" / "baselines" / "result.json", lower)
    edit_json(run / "histograms.json", lambda c: c["Zee"].update(m4l=c["Zmumu"]["m4l"]))
    flags = produce(run, QUICK)
    assert any(flag.startswith("Zee: the m4l histogram holds") for flag in flags)
    assert any("the skim changed after the training" in flag for flag in flags)


def test_a_skim_that_lacks_events_is_an_error(run: Path) -> None:
    next((run / "skim" / "ZZ").glob("*.parquet")).unlink()
    with pytest.raises(UserError, match=r"the skim of ZZ .* has 400 events where cutflow\.json counts 800"):
        produce(run, QUICK)
    assert not (run / "report.html").exists()


def test_no_skim_is_an_error(run: Path) -> None:
    shutil.rmtree(run / "skim")
    with pytest.raises(UserError, match="run 'hepbatch skim higgs4l' first"):
        produce(run, QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["ZZ"].pop("mass_window"), "every sample needs the same cuts"),
        (lambda c: c.update(WW=c["ZZ"]), "has the sample 'WW', which manifest.json does not know"),
        (lambda c: c.clear(), "nothing was skimmed"),
    ],
)
def test_a_cutflow_that_does_not_belong_is_an_error(
    run: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    edit_json(run / "cutflow.json", change)
    with pytest.raises(UserError, match=message):
        produce(run, QUICK)


def test_plots_of_an_earlier_report_go(run: Path, no_plots: None) -> None:
    (run / "plots").mkdir()
    (run / "plots" / "scores_old_model.png").write_bytes(b"old")
    (run / "plots" / "notes.txt").write_text("mine")
    produce(run, QUICK)
    assert not (run / "plots" / "scores_old_model.png").exists()
    assert (run / "plots" / "notes.txt").exists()


def test_without_data_there_is_a_report(run: Path, no_plots: None) -> None:
    def drop(content: dict[str, Any]) -> None:
        samples = content.get("samples", content)
        for name in ("DataEgamma", "DataMuons"):
            del samples[name]

    for name in ("manifest.json", "cutflow.json", "histograms.json"):
        edit_json(run / name, drop)
    shutil.rmtree(run / "models")
    produce(run, QUICK)
    results = results_of(run)
    assert "yield.data.cut_based" not in results
    assert results["gaussian_fit.mean"]["flags"] == ["there is no data sample"]


def test_pseudo_data_are_called_so(run: Path, no_plots: None) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for sample in manifest["samples"].values():
            sample["simulated"] = True

    edit_json(run / "manifest.json", change)
    produce(run, QUICK)
    text = " ".join(page_of(run).text)
    assert "pseudo-data, simulated like the other samples; no collision was recorded" in text
    assert "ATLAS Open Data format, for education only" in text
