"""Configuration: what is right is read, what is wrong is one sentence that names the key."""

from pathlib import Path

import pytest

from analysis.cluster_choice import load_cluster
from analysis.configuration import CONFIGS, load_configuration, set_key
from analysis.errors import UserError


def test_every_shipped_analysis_is_valid() -> None:
    names = [path.stem for path in (CONFIGS / "analyses").glob("*.yaml")]
    assert "higgs4l" in names
    for name in names:
        assert load_configuration(name).name == name


def test_every_shipped_cluster_is_valid() -> None:
    for path in (CONFIGS / "clusters").glob("*.yaml"):
        assert load_cluster(path.stem).kind


def test_set_changes_nested_keys_and_reads_values_as_yaml() -> None:
    configuration = load_configuration(
        "higgs4l", ("processor.electron_pt=8.5", "seed=3", "processor.leptons=at_least_4")
    )
    assert configuration.seed == 3
    assert configuration.settings("processor").electron_pt == 8.5
    assert configuration.settings("processor").leptons == "at_least_4"


def test_options_win_over_the_file() -> None:
    assert load_configuration("higgs4l", source="somewhere").source == "somewhere"
    assert load_configuration("higgs4l", source=None).source == "simulated"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("chunk_sise=5", "unknown key 'chunk_sise'; did you mean 'chunk_size'?"),
        ("processor.electron_tp=5", "unknown key 'processor.electron_tp'; did you mean 'electron_pt'?"),
        ("training.models.mlp.kinds=mlp", "unknown key 'training.models.mlp.kinds'; did you mean 'kind'?"),
        ("chunk_size=0", "chunk_size = 0: input should be greater than 0"),
        ("luminosity=-3", "luminosity = -3: input should be greater than 0"),
        ("seed=many", "seed = 'many'"),
        ("processor.z1_mass=[106, 50]", "z1_mass: the first value must be below the second"),
        ("training.models.mlp.features=fulll", "training: models.mlp.features: there is no feature set fulll"),
        ("chunk_size", "expected key=value"),
        ("seed.deeper.key=1", "'seed' is a single value and has no keys below it"),
        ("processor.module=processors.none", "processor.module = 'processors.none': there is no such Python module"),
        ("seed=[1", "'[1' is not a YAML value"),
    ],
)
def test_a_wrong_key_or_value_is_one_sentence(override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load_configuration("higgs4l", (override,))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_lepton_id_has_no_use_for_is_refused() -> None:
    assert load_configuration("dijet_anomaly", ("luminosity=5",)).luminosity == 5
    for override, sentence in (
        ("luminosity=1000", "luminosity = 1000: lepton_id scales nothing with a luminosity; leave it null"),
        ("training.scan.recipe.hidden=[3]", "unknown key 'training.scan.recipe.hidden' (known here: epochs, "),
    ):
        with pytest.raises(UserError) as caught:
            load_configuration("lepton_id", (override,))
        assert sentence in str(caught.value)


def test_an_unknown_analysis_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown analysis 'higs4l'; did you mean 'higgs4l'\?"):
        load_configuration("higs4l")


def test_an_analysis_may_be_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text((CONFIGS / "analyses" / "higgs4l.yaml").read_text().replace("seed: 20120704", "seed: 5"))
    assert load_configuration(str(own)).seed == 5


@pytest.mark.parametrize("text", ["a: [1", "- a\n- b", "a: !!python/object:os.system x"])
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, text: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(UserError, match=r"own\.yaml"):
        load_configuration(str(own))


def test_set_key_makes_missing_levels() -> None:
    content: dict[str, object] = {}
    set_key(content, "a.b.c=[1, 2]")
    assert content == {"a": {"b": {"c": [1, 2]}}}


def test_cluster_overrides_and_workers() -> None:
    settings = load_cluster("local", ("pools.cpu.memory=1GiB",), workers=3)
    assert settings.pools.cpu.workers == 3
    assert settings.pools.cpu.memory == "1GiB"


@pytest.mark.parametrize(
    ("name", "override", "expected"),
    [
        ("locale", (), "unknown cluster 'locale'; did you mean 'local'?"),
        ("local", ("pools.cpu.worker=3",), "unknown key 'pools.cpu.worker'; did you mean 'workers'?"),
        ("local", ("kind=cloud",), "kind = 'cloud'"),
    ],
)
def test_a_wrong_cluster_is_one_sentence(name: str, override: tuple[str, ...], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load_cluster(name, override)
    assert expected in str(caught.value)


def test_corrected_masses_alone_give_bins_that_have_events() -> None:
    corrected = load_configuration("dijet_anomaly", ("processor.event_mass=corrected",))
    assert corrected.settings("training").bin_edges == (760, 860, 960, 1060, 1160)
    assert load_configuration("dijet_anomaly").settings("training").bin_edges == (660, 760, 860, 960, 1060, 1160)
    with pytest.raises(UserError, match=r"bin_edges.*no events.*event_mass = corrected.*bin_edges: null"):
        load_configuration(
            "dijet_anomaly", ("processor.event_mass=corrected", "training.bin_edges=[660, 760, 860, 960]")
        )


def extending(directory: Path, text: str, name: str = "own.yaml") -> str:
    (directory / name).write_text(text)
    return str(directory / name)


def test_an_analysis_extends_another_key_by_key(tmp_path: Path) -> None:
    base = load_configuration("lepton_id")
    first = extending(tmp_path, "extends: lepton_id\nname: first\ntraining: {scan: {nodes: [1, 2]}}\n", "first.yaml")
    found = load_configuration(first)
    assert found.name == "first"
    assert found.settings("training").scan.nodes == (1, 2)
    assert found.settings("training").scan.recipe == base.settings("training").scan.recipe
    assert found.model_dump(exclude={"name", "training"}) == base.model_dump(exclude={"name", "training"})
    # A file beside it, which extends one in its turn; null is a value; --set is the last to speak.
    second = extending(tmp_path, "extends: first.yaml\nname: second\nsimulation: null\nseed: 3\n")
    found = load_configuration(second, ("training.scan.seeds=7",))
    assert (found.name, found.simulation, found.seed) == ("second", None, 3)
    assert (found.settings("training").scan.nodes, found.settings("training").scan.seeds) == ((1, 2), 7)


def test_what_is_to_be_replaced_has_nothing_of_the_other(tmp_path: Path) -> None:
    text = "extends: higgs4l\nname: own\ntraining: {models: {few: {kind: boosted_trees}}}\n"
    assert len(load_configuration(extending(tmp_path, text)).settings("training").models) > 1
    found = load_configuration(extending(tmp_path, f"{text}replace: [training.models]\n"))
    assert list(found.settings("training").models) == ["few"]
    assert found.settings("training").folds == load_configuration("higgs4l").settings("training").folds
    for wrong, expected in (
        ("[training.modles]", "replace: training.modles: the file does not give this key"),
        ("[seed.deeper]", "replace: seed.deeper: the file does not give this key"),
        ("training.models", "must be a list of dotted keys"),
    ):
        with pytest.raises(UserError, match=expected):
            load_configuration(extending(tmp_path, f"{text}replace: {wrong}\n"))
    with pytest.raises(UserError, match="nothing to replace without extends"):
        load_configuration(extending(tmp_path, "name: a\nreplace: [seed]\n"))


def test_a_list_of_the_other_has_no_keys_to_replace(tmp_path: Path) -> None:
    text = "extends: higgs4l\nname: own\ntraining: {features: {full: {deep: [m4l]}}}\n"
    with pytest.raises(UserError, match=r"features\.full"):
        load_configuration(extending(tmp_path, f"{text}replace: [training.features.full.deep]\n"))


def test_the_name_is_its_own(tmp_path: Path) -> None:
    """Else it would run in the other's directory, and make what is there out of date."""
    with pytest.raises(UserError, match="the key 'name' is missing"):
        load_configuration(extending(tmp_path, "extends: lepton_id\nchunk_size: 5\n"))


def test_a_block_of_another_module_replaces_the_whole_one(tmp_path: Path) -> None:
    text = "extends: lepton_id\nname: own\nsimulation: {module: analysis.datasets.simulation.fourlepton, scale: 2}\n"
    found = load_configuration(extending(tmp_path, text))
    assert found.simulation == {"module": "analysis.datasets.simulation.fourlepton", "scale": 2}


@pytest.mark.parametrize(
    ("extends", "expected"),
    [
        ("lepton_di", "unknown analysis 'lepton_di'; did you mean 'lepton_id'"),
        ("none.yaml", "there is no analysis file .*none.yaml"),
        ("own.yaml", "extends = 'own.yaml': that one extends this one"),
        ("[a]", r"extends = \['a'\]: must be the name of an analysis"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path: Path, extends: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_configuration(extending(tmp_path, f"extends: {extends}\n"))


def test_two_that_extend_each_other_are_an_error(tmp_path: Path) -> None:
    extending(tmp_path, "extends: own.yaml\n", "other.yaml")
    with pytest.raises(UserError, match="that one extends this one"):
        load_configuration(extending(tmp_path, "extends: other.yaml\n"))
