"""Sources: names carry samples, side-cars carry numbers, and what cannot be right is said before a file is opened."""

import json
from pathlib import Path

import pytest

from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.directories import from_directory
from analysis.datasets.sources import resolve
from analysis.errors import UserError

CATALOGUE = load_catalogue("higgs4l")
DSID = {"ZZ": 105986, "Zee": 147770, "Zmumu": 147771, "ttbar_lep": 117050, "ggH125_ZZ4lep": 160155}


def lay_out(directory: Path, *samples: str, part: str = "") -> Path:
    for sample in samples:
        data = sample.startswith("Data")
        name = f"Data/skim.{sample}{part}.root" if data else f"MC/skim.mc_{DSID[sample]}.{sample}{part}.root"
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    return directory


def side_car(directory: Path, name: str, **changes: float | None) -> None:
    content = {"sumw": 10.0, "xsec_pb": 0.5, "red_eff": 1.0, "entries": 7, "sum_mcweight": 7.0} | changes
    (directory / f"{name}.json").write_text(json.dumps(content))


def test_the_public_layout_gives_samples_with_catalogued_numbers(tmp_path: Path) -> None:
    found = resolve(CATALOGUE, str(lay_out(tmp_path, "ZZ", "DataMuons")), None)
    assert list(found.samples) == ["DataMuons", "ZZ"]
    assert found.samples["ZZ"].xsec == 1.5376
    assert found.samples["ZZ"].sumw == 243674.74
    assert found.samples["DataMuons"].xsec is None
    assert not found.samples["ZZ"].simulated
    assert "ggH125_ZZ4lep" in found.absent


def test_parts_of_a_sample_are_summed_over_their_side_cars(tmp_path: Path) -> None:
    for part in (".0000", ".0001"):
        lay_out(tmp_path, "ggH125_ZZ4lep", part=part)
        side_car(tmp_path, f"MC/skim.mc_160155.ggH125_ZZ4lep{part}.root")
    sample = resolve(CATALOGUE, str(tmp_path), None).samples["ggH125_ZZ4lep"]
    assert len(sample.files) == 2
    assert (sample.sumw, sample.xsec, sample.reduction_efficiency) == (20.0, 0.5, 1.0)
    assert sample.simulated


def test_side_cars_that_disagree_are_an_error(tmp_path: Path) -> None:
    for part, xsec in ((".0000", 0.5), (".0001", 0.6)):
        lay_out(tmp_path, "ggH125_ZZ4lep", part=part)
        side_car(tmp_path, f"MC/skim.mc_160155.ggH125_ZZ4lep{part}.root", xsec_pb=xsec)
    with pytest.raises(UserError, match="disagree"):
        resolve(CATALOGUE, str(tmp_path), None)


def test_a_missing_side_car_among_others_is_an_error(tmp_path: Path) -> None:
    lay_out(tmp_path, "ZZ", part=".0000")
    lay_out(tmp_path, "ZZ", part=".0001")
    side_car(tmp_path, "MC/skim.mc_105986.ZZ.0000.root")
    with pytest.raises(UserError, match=r"ZZ\.0001\.root\.json is missing"):
        resolve(CATALOGUE, str(tmp_path), None)


def test_a_sample_without_cross_section_is_an_error(tmp_path: Path) -> None:
    lay_out(tmp_path, "ZZ")
    (tmp_path / "MC" / "skim.mc_999999.Wgamma.root").touch()
    with pytest.raises(UserError, match=r"the sample Wgamma .*mc_999999.* has no cross section"):
        resolve(CATALOGUE, str(tmp_path), None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MC/skim.mc_105986.Zee.root", "carries DSID 105986, which the catalogue lists as ZZ, not Zee"),
        ("MC/skim.mc_1.ZZ.root", "carries DSID 1, but the catalogue lists 105986 for ZZ"),
        ("MC/ZZ.root", "does not tell its sample"),
        ("Data/skim.DataTaus.root", "no data sample 'DataTaus'"),
    ],
)
def test_a_name_that_cannot_be_right_is_an_error(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=expected):
        resolve(CATALOGUE, str(tmp_path), None)


def test_a_source_is_completed_from_another(tmp_path: Path) -> None:
    first = lay_out(tmp_path / "first", "ZZ")
    second = tmp_path / "second"
    second.mkdir()
    for name in ("ggH125_ZZ4lep", "ZZ", "HTT_m125"):  # flat; one is there already, one is of another analysis
        (second / f"{name}.root").touch()
        side_car(second, f"{name}.root")
    found = resolve(CATALOGUE, str(first), str(second))
    assert set(found.samples) == {"ZZ", "ggH125_ZZ4lep"}
    assert found.samples["ZZ"].origin == str(first)
    assert found.samples["ggH125_ZZ4lep"].origin == str(second)


def test_simulated_completes_what_is_absent(tmp_path: Path) -> None:
    found = resolve(CATALOGUE, str(lay_out(tmp_path, "ZZ", "Zee", "Zmumu", "ttbar_lep", "DataMuons")), "simulated")
    assert found.to_simulate == ("DataEgamma", "ggH125_ZZ4lep", "VBFH125_ZZ4lep")
    assert not found.absent


@pytest.mark.parametrize("source", ["nowhere", "opendata"])
def test_a_source_that_is_not_there_is_an_error(source: str) -> None:
    with pytest.raises(UserError, match=f"{source}|no public files|lists no public files"):
        resolve(CATALOGUE, source, None)


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sample of this analysis"):
        from_directory(tmp_path, CATALOGUE)


def test_a_yaml_source_takes_numbers_from_the_catalogue_and_its_own(tmp_path: Path) -> None:
    lay_out(tmp_path, "ZZ")
    source = tmp_path / "mine.yaml"
    source.write_text(
        "samples:\n  ZZ: {files: [MC/skim.mc_105986.ZZ.root], xsec: 2.0}\n"
        "  WZ: {files: ['https://example.org/WZ.root'], role: background, xsec: 1.0, sumw: 5.0}\n"
    )
    found = resolve(CATALOGUE, str(source), None).samples
    assert (found["ZZ"].xsec, found["ZZ"].sumw) == (2.0, 243674.74)
    assert found["WZ"].files == ("https://example.org/WZ.root",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("samples: {ZZ: {files: [no.root]}}", "lists the file .*no.root, which does not exist"),
        ("samples: {ZZ: {file: [a.root]}}", "unknown key 'samples.ZZ.file'; did you mean 'files'"),
        ("samples: {WZ: {files: ['https://a/b.root'], role: background}}", "the sample WZ .* has no cross section"),
        ("samples: {WZ: {files: ['https://a/b.root'], role: noise}}", "role = 'noise'"),
    ],
)
def test_a_wrong_yaml_source_is_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    source = tmp_path / "mine.yaml"
    source.write_text(text)
    with pytest.raises(UserError, match=expected):
        resolve(CATALOGUE, str(source), None)


JETS = load_catalogue("dijet_anomaly")


def test_files_of_other_formats_are_found_by_the_patterns_of_their_names(tmp_path: Path) -> None:
    for name in (
        "SIM300_like_0.h5",
        "deep/er/SIM300_1.hdf5",
        "CMS_Jet300_0.h5",
        "GEN300_0.h5",
        ".SIM470_0.h5",
        "a.root",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = resolve(JETS, str(tmp_path), None)
    assert {name: len(sample.files) for name, sample in found.samples.items()} == {"CMS": 1, "SIM300": 2}
    assert (found.samples["SIM300"].role, found.samples["SIM300"].xsec) == ("background", None)
    assert "SIM470" in found.absent


def test_parquet_files_are_found_by_their_samples(tmp_path: Path) -> None:
    catalogue = CATALOGUE.model_copy(update={"format": "parquet", "tree": ""})
    for name in ("ZZ.parquet", "Zee.0.parquet", "Zee.1.parquet", "ZZ.root"):
        (tmp_path / name).touch()
    assert {name: len(sample.files) for name, sample in from_directory(tmp_path, catalogue).items()} == {
        "Zee": 2,
        "ZZ": 1,
    }


def test_a_directory_without_such_files_says_which_are_expected(tmp_path: Path) -> None:
    (tmp_path / "SIM300_0.root").touch()
    with pytest.raises(UserError, match=r"expected files \*\.h5 or \*\.hdf5 with names such as CMS\*, SIM170\*"):
        from_directory(tmp_path, JETS)


def test_a_name_that_fits_two_samples_is_an_error(tmp_path: Path) -> None:
    samples = dict(JETS.samples)
    samples["SIM300"] = samples["SIM300"].model_copy(update={"files": "*0*"})
    (tmp_path / "SIM170.h5").touch()
    with pytest.raises(UserError, match=r"SIM170\.h5 fits the patterns of SIM170 and SIM300"):
        from_directory(tmp_path, JETS.model_copy(update={"samples": samples}))


def test_sources_offer_the_samples_they_have() -> None:
    assert resolve(JETS, "simulated", None).to_simulate == ("SIM300", "SIM470")
    public = resolve(JETS, "opendata", None, public=("CMS", "SIM300"))
    assert (public.to_fetch, public.to_simulate) == (("CMS", "SIM300"), ())
    both = resolve(JETS, "opendata", "simulated", public=("CMS", "SIM300"))
    assert (both.to_fetch, both.to_simulate) == (("CMS", "SIM300"), ("SIM470",))
    with pytest.raises(UserError, match="lists no public files"):
        resolve(JETS, "opendata", None)
