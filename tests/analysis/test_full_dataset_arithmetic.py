"""The table of docs/full-dataset.md follows from its rates, the catalogues and the clusters' files by its formulas."""

import math
from pathlib import Path

import yaml

from analysis.configuration import CONFIGS
from analysis.datasets.catalogue import load_catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "full-dataset.md"
LARGE = "1e9 events"


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


def expected_rows(text: str) -> list[list[str]]:
    """The last table of the page, from the others and the catalogues."""
    rates = {name: [float(one.replace(",", "")) for one in rest] for name, *rest in table(text, "rates")}
    sites = {name: (int(workers), float(rate)) for name, workers, rate in table(text, "site")}
    chunk = yaml.safe_load((CONFIGS / "analyses" / "higgs4l.yaml").read_text())["chunk_size"]
    public = {}
    for name in ("higgs4l", "lepton_id"):
        catalogue = load_catalogue(name)
        files = [file for sample in catalogue.samples for file in catalogue.publication(sample).files]
        public[name] = ([int(file.events or 0) for file in files], sum(int(file.size or 0) for file in files))
    events, size = public["higgs4l"]
    public[LARGE] = ([50_000] * 20_000, round(1e9 * size / sum(events)))
    rows = []
    for name, (of_files, published) in public.items():
        per_second, part, opening = rates["higgs4l" if name == LARGE else name]
        total, items = sum(of_files), sum(math.ceil(one / chunk) for one in of_files)
        for site, (workers, rate) in sites.items():
            skim = math.ceil(items / workers) * min(chunk, max(of_files)) / per_second
            opened, read = len(of_files) * opening / workers, published * part
            skimmed = (opened + skim) / 60, (opened + max(skim, read / rate / 1e6)) / 60
            figures = published / 1e9, published / rate / 6e7, read / 1e9, *skimmed, total / per_second / 3600
            rows.append([name, site, f"{len(of_files):,}", f"{total:,}", *map(shown, figures)])
    return rows


def shown(figure: float) -> str:
    """Two digits."""
    return f"{figure:.2g}" if figure < 99.5 else f"{figure:.0f}"


def test_the_table_is_what_its_formulas_give() -> None:
    text = PAGE.read_text()
    assert table(text, "data set") == expected_rows(text)


def test_the_workers_are_those_of_the_clusters_files() -> None:
    sites = {name: int(workers) for name, workers, _ in table(PAGE.read_text(), "site")}
    for name, file in (("Slurm", "slurm"), ("lxplus", "lxplus")):
        content = yaml.safe_load((CONFIGS / "clusters" / f"{file}.yaml").read_text())
        assert sites[name] == content["pools"]["cpu"]["workers"]["maximum"]
