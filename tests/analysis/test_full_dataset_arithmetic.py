"""The table of docs/full-dataset.md follows from its rates, the catalogues and the clusters' files by its formulas."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from analysis.configuration import CONFIGS, load_configuration
from analysis.datasets import mod_opendata
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.mod_opendata import SUBDATASETS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "full-dataset.md"
LARGE = "1e9 events"
WITHOUT_SIZES = "H → ττ of ditau_mass_cms"
#: Analyses that have no rates of their own: the formats are those of 8 TeV.
RATES_OF = {"higgs4l_13tev": "higgs4l", "lepton_id_13tev": "lepton_id"}
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


@dataclass(frozen=True)
class Numbers:
    """Of some samples: files, events of each file or None, and bytes of all or None, where these were not told."""

    files: int
    events: list[int] | None
    size: int | None


def published_numbers(catalogue_name: str, *, sized: bool = True) -> Numbers:
    """Of the samples whose sizes were told, or of the others; events of a sample are evenly divided among its files
    where each was not told.
    """
    catalogue = load_catalogue(catalogue_name)
    files, events, size, told = 0, [], 0, True
    for sample in catalogue.samples:
        about = catalogue.publication(sample)
        if not about.files or all(file.size is not None for file in about.files) != sized:
            continue
        number = len(about.files)
        files += number
        size += sum(file.size or 0 for file in about.files)
        if about.events is not None:
            events += [about.events // number + (place < about.events % number) for place in range(number)]
        else:
            told = told and all(file.events is not None for file in about.files)
            events += [file.events or 0 for file in about.files]
    return Numbers(files, events if told else None, size if sized else None)


def expected_rows(text: str) -> list[list[str]]:
    """The last table of the page, from the others and the catalogues."""
    rates = {name: [float(one.replace(",", "")) for one in rest] for name, *rest in table(text, "rates")}
    sites = {name: (int(workers), float(rate)) for name, workers, rate in table(text, "site")}
    rows = []
    for name, analysis, numbers in data_sets():
        per_second, part, opening = rates[RATES_OF.get(analysis, analysis)]
        chunk = load_configuration(analysis).chunk_size
        for site, (workers, rate) in sites.items():
            opened = numbers.files * opening / workers
            read = None if numbers.size is None else numbers.size * part
            cells: list[float | None] = [None] * 7
            if numbers.size is not None and read is not None:
                cells[:3] = numbers.size / 1e9, numbers.size / rate / 6e7, read / 1e9
            if numbers.events is not None:
                items = sum(math.ceil(one / chunk) for one in numbers.events)
                skim = math.ceil(items / workers) * min(chunk, max(numbers.events)) / per_second
                cells[3], cells[5] = (opened + skim) / 60, sum(numbers.events) / per_second / 3600
                if read is not None:
                    in_place = opened + max(skim, read / rate / 1e6)
                    cells[4], cells[6] = in_place / 60, workers * (START + in_place) / 3600
            total = "?" if numbers.events is None else f"{sum(numbers.events):,}"
            rows.append(
                [name, site, f"{numbers.files:,}", total, *("?" if one is None else shown(one) for one in cells)]
            )
    return rows


def data_sets() -> Iterator[tuple[str, str, Numbers]]:
    """Each row's name, the analysis whose settings it has, and what is known of its files."""
    for name in ("higgs4l", "higgs4l_13tev", "lepton_id", "lepton_id_13tev", "lepton_id_cms", "ditau_mass_cms"):
        yield name, name, published_numbers(load_configuration(name).datasets)
    yield WITHOUT_SIZES, "ditau_mass_cms", published_numbers("ditau_mass", sized=False)
    like = published_numbers("higgs4l")
    assert like.events is not None
    assert like.size is not None
    yield LARGE, "higgs4l", Numbers(20_000, [50_000] * 20_000, round(1e9 * like.size / sum(like.events)))


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


def test_what_is_not_known_is_not_made_up() -> None:
    """Cells are empty where neither records nor bookkeeping tell events or bytes, and nowhere else."""
    unknown = {name for name, _, numbers in data_sets() if numbers.events is None or numbers.size is None}
    assert unknown == {"higgs4l_13tev", "lepton_id_13tev", WITHOUT_SIZES}
    assert {row[0] for row in table(PAGE.read_text(), "data set") if "?" in row} == unknown
