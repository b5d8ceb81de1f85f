"""The public files that the catalogues list."""

import re
from pathlib import Path

import pytest
import yaml

from analysis.configuration import CONFIGS, load_configuration
from analysis.datasets import listed_opendata
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.listed_opendata import Settings
from analysis.errors import UserError

CATALOGUES = sorted(path.stem for path in (CONFIGS / "datasets").glob("*.yaml"))


@pytest.mark.parametrize("name", CATALOGUES)
def test_every_public_file_has_addresses_a_place_and_a_source(name: str, tmp_path: Path) -> None:
    catalogue = load_catalogue(name)
    settings = Settings(cache=str(tmp_path))
    places: set[str] = set()
    for sample in listed_opendata.samples(settings, catalogue):
        about = catalogue.publication(sample)
        assert about.licence == "CC0-1.0"
        assert about.source
        assert about.xsec_source or catalogue.samples[sample].xsec is None
        for file in listed_opendata.files(settings, catalogue, sample):
            assert [address.partition("://")[0] for address in file.addresses] == ["root", "https"]
            # A server's path and the same below another: the first with XRootD's two slashes.
            root, https = file.addresses
            assert re.fullmatch(r"root://eospublic\.cern\.ch//eos/opendata/.+\.root", root)
            assert https == root.replace("root://eospublic.cern.ch//", "https://opendata.cern.ch/")
            assert file.path == str(tmp_path / root.removeprefix("root://eospublic.cern.ch//"))
            places.add(file.path)
    assert len(places) == sum(len(catalogue.publication(sample).files) for sample in catalogue.samples)


def test_addresses_that_nobody_has_seen_say_so() -> None:
    for name in CATALOGUES:
        catalogue = load_catalogue(name)
        assert not any(catalogue.publication(sample).verified for sample in catalogue.samples)


def test_the_samples_of_both_energies_are_all_public() -> None:
    for name, data in (("higgs4l", 2), ("higgs4l_13tev", 4)):
        configuration, catalogue = load_configuration(name), load_catalogue(name)
        assert listed_opendata.samples(configuration.settings("opendata"), catalogue) == tuple(catalogue.samples)
        assert sum(entry.role == "data" for entry in catalogue.samples.values()) == data


def test_the_8_tev_files_have_sizes_checksums_and_events() -> None:
    catalogue = load_catalogue("higgs4l")
    for sample in catalogue.samples:
        (file,) = catalogue.publication(sample).files
        assert file.size is not None
        assert file.events is not None
        assert re.fullmatch("adler32:[0-9a-f]{8}", str(file.checksum))


def test_other_servers_have_the_same_paths_and_the_cache_the_same_places(tmp_path: Path) -> None:
    catalogue = load_catalogue("higgs4l")
    usual = listed_opendata.files(Settings(cache=str(tmp_path)), catalogue, "ZZ")
    settings = Settings(cache=str(tmp_path), servers=("http://mirror/atlas/", "root://host/"))
    (file,) = listed_opendata.files(settings, catalogue, "ZZ")
    assert file.addresses == ("http://mirror/atlas/MC/mc_105986.ZZ.root", "root://host//MC/mc_105986.ZZ.root")
    assert [file.path] == [one.path for one in usual]


def test_a_sample_without_public_files_is_named() -> None:
    with pytest.raises(UserError, match="lists no public files of 'VBFHToTauTau_M125'"):
        listed_opendata.samples(Settings(samples=("VBFHToTauTau_M125",)), load_catalogue("ditau_mass"))


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({"path": "../a.root"}, "must be a path below the servers"),
        ({"path": "a.root", "checksum": "md5:12"}, "must be one of adler32:<8 hex digits>"),
        ({"path": "a.root", "checksum": "crc:12345678"}, "must be one of adler32:<8 hex digits>"),
        ({"path": "a.root", "size": -1}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_file_in_a_catalogue_is_one_sentence(tmp_path: Path, listed: dict[str, object], expected: str) -> None:
    content = yaml.safe_load((CONFIGS / "datasets" / "lepton_id.yaml").read_text())
    content["samples"]["ttbar_lep"]["published"]["files"] = [listed]
    path = tmp_path / "catalogue.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(
        UserError, match=r"the catalogue catalogue\.yaml: samples\.ttbar_lep\.published\.files\.0"
    ) as caught:
        load_catalogue(str(path))
    assert expected in str(caught.value)
