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


def test_of_the_13_tev_collection_each_process_is_there_once() -> None:
    """All data, and no process in two simulations: neither slices beside the whole nor another version of it."""
    catalogue = load_catalogue("higgs4l_13tev")
    assert len(catalogue.samples) == 45
    numbers = {entry.dsid for entry in catalogue.samples.values() if entry.role != "data"}
    assert len(numbers) == 41
    assert {361106, 361107, 361108, 363490} <= numbers
    assert not numbers & {*range(364100, 364142), 364250}
    files = [file for sample in catalogue.samples for file in catalogue.publication(sample).files]
    # Of the record's 975,705,245 bytes, 446,971,392 are the archive, 178,874,366 other versions, 7,689,629 signals.
    assert sum(file.size or 0 for file in files) == 342_169_858
    for name, entry in catalogue.samples.items():
        (file,) = catalogue.publication(name).files
        assert re.fullmatch("adler32:[0-9a-f]{8}", str(file.checksum))
        if entry.role != "data":
            assert file.path == f"MC/mc_{entry.dsid}.{name}.4lep.root"
            assert entry.xsec is not None
            assert entry.sumw is not None


def test_the_b_jets_of_the_ditau_samples_are_tagged_as_in_their_year() -> None:
    """All of 2016 postVFP: the first part of the year (preVFP, of the APV samples) has other working points."""
    configuration, catalogue = load_configuration("ditau_mass_cms"), load_catalogue("ditau_mass")
    settings = configuration.settings("opendata")
    addresses = [
        address
        for sample in listed_opendata.samples(settings, catalogue)
        for file in listed_opendata.files(settings, catalogue, sample)
        for address in file.addresses
    ]
    assert addresses
    assert all("/RunIISummer20UL16NanoAODv9/" in one and "106X_mcRun2_asymptotic_v17-" in one for one in addresses)
    assert configuration.settings("processor").b_tag == 0.2489
    assert load_configuration("ditau_mass").settings("processor").b_tag == 0.2783


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
    with pytest.raises(UserError, match="lists no public files of 'HTT'"):
        listed_opendata.samples(Settings(samples=("HTT",)), load_catalogue("ditau_mass"))


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


LIST = """# record 12345
root://eospublic.cern.ch//eos/opendata/cms/mc/RunIISummer20UL16NanoAODv9/VBF/a.root\t1234\tadler32:0123abcd
http://opendata.cern.ch/eos/opendata/cms/mc/RunIISummer20UL16NanoAODv9/VBF/b.root 5 adler32:0123abce events=7
VBF/c.root -

"""


def with_list(directory: Path, text: str) -> str:
    content = yaml.safe_load((CONFIGS / "datasets" / "ditau_mass.yaml").read_text())
    entry = content["samples"]["VBFHToTauTau_M125"]
    entry["published"]["list"] = "vbf.txt"
    content["samples"] = {"VBFHToTauTau_M125": entry}
    (directory / "vbf.txt").write_text(text)
    (directory / "catalogue.yaml").write_text(yaml.safe_dump(content))
    return str(directory / "catalogue.yaml")


def test_a_list_of_the_portals_client_is_taken_as_it_is(tmp_path: Path) -> None:
    files = load_catalogue(with_list(tmp_path, LIST)).publication("VBFHToTauTau_M125").files
    assert [(one.path, one.size, one.checksum, one.events) for one in files] == [
        ("VBF/a.root", 1234, "adler32:0123abcd", None),
        ("VBF/b.root", 5, "adler32:0123abce", 7),
        ("VBF/c.root", None, None, None),
    ]


def test_a_long_list_is_read(tmp_path: Path) -> None:
    lines = [f"VBF/{number:06d}.root {number} adler32:{number:08x}" for number in range(20_000)]
    path = with_list(tmp_path, "\n".join(lines))
    catalogue = load_catalogue(path)
    files = listed_opendata.files(Settings(cache=str(tmp_path)), catalogue, "VBFHToTauTau_M125")
    assert len(files) == 20_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root://elsewhere//eos/other/a.root", "vbf.txt, line 1: root://elsewhere//eos/other/a.root is below none"),
        ("\nVBF/a.root large", "vbf.txt, line 2: 'large' is no size"),
        ("VBF/a.root adler32:xyz", "files.0.checksum"),
    ],
)
def test_a_mistake_in_a_list_is_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    path = with_list(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_catalogue(path)
    assert expected in str(caught.value)
    (tmp_path / "vbf.txt").unlink()
    with pytest.raises(UserError, match=r"samples\.VBFHToTauTau_M125\.published\.list: there is no file"):
        load_catalogue(path)
