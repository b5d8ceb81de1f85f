"""The table of docs/full-dataset.md follows from its rates, the catalogues and the clusters' files by its formulas."""

import math
import re
from pathlib import Path

import yaml

from analysis.configuration import CONFIGS, load_configuration
from analysis.datasets import mod_opendata
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.mod_opendata import SUBDATASETS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "full-dataset.md"
LARGE = "1e9 events"
#: Of the workers [s], as the page says.
START = 10


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose head begins with a word."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def published_numbers(catalogue_name: str) -> tuple[list[int], int]:
    """Events of each file, those of a sample evenly divided where each was not told, and bytes of all.

    Of the samples whose sizes were told.
    """
    catalogue = load_catalogue(catalogue_name)
    events, size = [], 0
    for sample in catalogue.samples:
        about = catalogue.publication(sample)
        if not about.files or any(file.size is None for file in about.files):
            continue
        size += sum(int(file.size or 0) for file in about.files)
        if about.events is None:
            events += [int(file.events or 0) for file in about.files]
        else:
            number = len(about.files)
            events += [about.events // number + (place < about.events % number) for place in range(number)]
    return events, size


def expected_rows(text: str) -> list[list[str]]:
    """The last table of the page, from the others and the catalogues."""
    rates = {name: [float(one.replace(",", "")) for one in rest] for name, *rest in table(text, "rates")}
    sites = {name: (int(workers), float(rate)) for name, workers, rate in table(text, "site")}
    public = {}
    for name in ("higgs4l", "lepton_id", "lepton_id_cms", "ditau_mass_cms"):
        public[name] = published_numbers(load_configuration(name).datasets)
    events, size = public["higgs4l"]
    public[LARGE] = ([50_000] * 20_000, round(1e9 * size / sum(events)))
    rows = []
    for name, (of_files, published) in public.items():
        per_second, part, opening = rates["higgs4l" if name == LARGE else name]
        chunk = load_configuration("higgs4l" if name == LARGE else name).chunk_size
        total, items = sum(of_files), sum(math.ceil(one / chunk) for one in of_files)
        for site, (workers, rate) in sites.items():
            skim = math.ceil(items / workers) * min(chunk, max(of_files)) / per_second
            opened, read = len(of_files) * opening / workers, published * part
            skimmed = (opened + skim) / 60, (opened + max(skim, read / rate / 1e6)) / 60
            held = workers * (START + 60 * skimmed[1]) / 3600
            figures = published / 1e9, published / rate / 6e7, read / 1e9, *skimmed, total / per_second / 3600, held
            rows.append([name, site, f"{len(of_files):,}", f"{total:,}", *map(shown, figures)])
    return rows


def shown(figure: float) -> str:
    """Two digits."""
    return f"{figure:.2g}" if figure < 99.5 else f"{figure:.0f}"


def test_the_table_is_what_its_formulas_give() -> None:
    text = PAGE.read_text()
    assert table(text, "data set") == expected_rows(text)


def test_the_jets_are_those_of_the_tables_at_the_measured_rate() -> None:
    text = PAGE.read_text()
    told = re.search(r"tells ([\d,]+) jets in (\d+) files, ([\d.]+) GB", text)
    rate = re.search(r"skim takes ([\d,]+) jets per second and core", text)
    assert told is not None
    assert rate is not None
    speed = int(rate[1].replace(",", ""))
    assert (
        f"{speed:,} jets per second and core of CPU time with writing" in (PAGE.parent / "dijet-input.md").read_text()
    )
    jets, files, size = int(told[1].replace(",", "")), int(told[2]), float(told[3]) * 1e9
    settings, catalogue = mod_opendata.Settings(samples=tuple(SUBDATASETS)), load_catalogue("dijet_anomaly")
    all_files = sum(len(mod_opendata.files(settings, catalogue, sample)) for sample in SUBDATASETS)
    assert len(mod_opendata.files(settings, catalogue, "CMS")) == files
    rows = []
    for number in (files, all_files):
        some, read = round(jets * number / files), size * number / files
        figures = read / 1e9, read / 100e6 / 60, read / 1000e6 / 60, some / speed / 3600
        rows.append([f"{number}", f"{some:,}", *map(shown, figures)])
    assert [row[1:] for row in table(text, "jets")] == rows


def test_the_trainings_are_those_of_the_analysis() -> None:
    training = load_configuration("dijet_anomaly_full").training
    assert training is not None
    sizes, samples = training["sample_sizes"], training["samples"]
    pairs = len(training["bin_edges"]) - 2
    with_signal = len(training["injection"]["sizes"]) * len(training["injection"]["sample_sizes"]) * samples
    said = re.search(r"has (\d+) trainings\s+without signal and (\d+) with it", PAGE.read_text())
    assert said is not None
    assert [int(one) for one in said.groups()] == [len(sizes) * samples * pairs, with_signal * 2]


def test_the_workers_are_those_of_the_clusters_files() -> None:
    sites = {name: int(workers) for name, workers, _ in table(PAGE.read_text(), "site")}
    for name, file in (("Slurm", "slurm"), ("lxplus", "lxplus")):
        content = yaml.safe_load((CONFIGS / "clusters" / f"{file}.yaml").read_text())
        assert sites[name] == content["pools"]["cpu"]["workers"]["maximum"]
