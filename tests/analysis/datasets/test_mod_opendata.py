"""The public jets by the tables of energyflow."""

import re
from pathlib import Path

import pytest

from analysis.configuration import load_configuration
from analysis.datasets import mod_opendata
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.directories import from_directory
from analysis.datasets.mod_opendata import Settings
from analysis.errors import UserError

JETS = load_catalogue("dijet_anomaly")
RECORDS = {3340205, 3341413, 3341419, 3341498, 3341500, 3341502, 3341770, 3341772, 3364139}


def test_every_file_has_a_record_a_checksum_and_a_place(tmp_path: Path) -> None:
    settings = Settings(cache=str(tmp_path))
    files = [file for name in mod_opendata.samples(settings, JETS) for file in mod_opendata.files(settings, JETS, name)]
    assert {int(re.findall(r"/record/(\d+)/", file.addresses[0])[0]) for file in files} == RECORDS
    assert all(re.fullmatch(r"md5:[0-9a-f]{32}", file.checksum) for file in files)
    assert len({file.checksum for file in files}) == len({file.path for file in files}) == len(files) == 18 + 355
    for file in files:
        path = Path(file.path)
        assert (
            file.addresses[0]
            == f"https://zenodo.org/record/{file.addresses[0].split('/')[4]}/files/{path.name}?download=1"
        )
        # The layout is energyflow's own.
        assert path.parent.parent == tmp_path / "datasets" / "CMS2011AJets"
        assert path.name.startswith(path.parent.name)


def test_the_catalogue_finds_each_file_as_its_sample(tmp_path: Path) -> None:
    settings = Settings(cache=str(tmp_path), amount=0.01)
    for name in settings.samples:
        (file,) = mod_opendata.files(settings, JETS, name)
        Path(file.path).parent.mkdir(parents=True)
        Path(file.path).touch()
    found = from_directory(tmp_path, JETS)
    assert {name: len(sample.files) for name, sample in found.items()} == dict.fromkeys(settings.samples, 1)


def test_a_part_is_rounded_up_to_whole_files() -> None:
    assert [len(mod_opendata.files(Settings(amount=part), JETS, "CMS")) for part in (0.01, 0.5, 0.51, 1.0)] == [
        1,
        9,
        10,
        18,
    ]


def test_another_server_has_the_same_paths() -> None:
    (ours,) = mod_opendata.files(Settings(address="http://127.0.0.1:8000/", amount=0.01), JETS, "SIM300")
    assert ours.addresses[0].startswith(
        "http://127.0.0.1:8000/record/3341498/files/SIM300_Jet300_pT375-infGeV_0_compressed"
    )


def test_totals_are_the_published_cross_sections() -> None:
    totals = mod_opendata.totals(Settings(), JETS)
    assert totals.keys() == set(Settings().samples)
    # Jets above 375 GeV in 2.3 fb^-1: 1,785,625 (arXiv:1908.08542), each of the inverse luminosity.
    assert totals["CMS"] * 2.3e6 == pytest.approx(1_785_625, rel=0.02)


def test_a_sample_that_is_not_public_is_named() -> None:
    with pytest.raises(UserError, match="there is no sample 'SIM99'"):
        load_configuration("dijet_anomaly", ("opendata.samples=[SIM99]",))
