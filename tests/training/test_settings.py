import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from training.higgs4l import Settings, tasks
from training.models import make_pipeline
from training.parameters import KINDS, combinations, scanned

# What scikit-learn has and the configuration does not: the seed, threads and class weights are ours, the others change
# what the model is or are of no use here.
NOT_CONFIGURED = {
    "mlp": {"random_state", "verbose", "warm_start"},
    "boosted_trees": {
        "random_state", "verbose", "warm_start", "class_weight", "loss", "categorical_features", "monotonic_cst",
        "interaction_cst", "scoring",
    },
    "forest": {
        "random_state", "verbose", "warm_start", "class_weight", "n_jobs", "oob_score", "monotonic_cst",
    },
    "svm": {
        "random_state", "verbose", "class_weight", "probability", "decision_function_shape", "break_ties",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(NOT_CONFIGURED))
def test_every_parameter_of_scikit_learn_is_a_key(kind: str) -> None:
    pipeline = make_pipeline(kind, KINDS[kind](), seed=1)
    theirs = set(pipeline.named_steps["model"].get_params())
    assert theirs - NOT_CONFIGURED[kind] == set(KINDS[kind].model_fields) - {"max_training_events"}


def test_a_list_is_a_scan_unless_the_parameter_is_a_list() -> None:
    assert scanned("mlp", {"hidden_layer_sizes": [3, 3, 3], "alpha": [0.1, 0.2]}) == ("alpha",)
    assert scanned("mlp", {"hidden_layer_sizes": [[3], [5, 5]]}) == ("hidden_layer_sizes",)
    found = combinations("mlp", {"hidden_layer_sizes": [[3], [5, 5]], "alpha": [0.1, 0.2], "max_iter": 9}, where="m")
    assert [(its.hidden_layer_sizes, its.alpha, its.max_iter) for its in found] == [
        ((3,), 0.1, 9),
        ((3,), 0.2, 9),
        ((5, 5), 0.1, 9),
        ((5, 5), 0.2, 9),
    ]
    assert len(combinations("forest", {}, where="m")) == 1


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ({"bdt": {"kind": "boosted_trees", "parameters": {"learn_rate": 0.1}}},
         "models.bdt.parameters.learn_rate: a model of kind boosted_trees has no parameter learn_rate; the nearest is "
         "learning_rate."),
        ({"bdt": {"kind": "boosted_trees", "parameters": {"max_iter": []}}},
         "max_iter: the list of values to scan is empty"),
        ({"bdt": {"kind": "boosted_trees", "parameters": {"max_iter": [10, "many"]}}},
         "models.bdt.parameters.max_iter: 'many'"),
        ({"bdt": {"kind": "forest", "features": "ful"}}, "there is no feature set ful; the nearest is full"),
    ],
)  # fmt: skip
def test_wrong_models_are_one_sentence(models: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(models=models)
    assert error.value.error_count() == 1
    assert sentence in error.value.errors()[0]["msg"]


def test_tasks_of_the_defaults() -> None:
    settings = Settings()
    made = tasks(settings, seed=4)
    names = [task.name for task in made]
    assert len(set(names)) == len(names)
    assert {"notebook", "baselines", "boosted_trees_full", "boosted_trees_no_mass", "network_no_mass"} <= set(names)
    assert not {"m4l", "m_z1", "m_z2"} & set(settings.features["no_mass"])
    assert all(task.seed == 4 for task in made)
    again = Settings.model_validate(settings.model_dump(mode="json"))
    assert again == settings


def test_two_tasks_of_one_name_are_an_error() -> None:
    forest = {"kind": "forest", "features": "b_full"}
    settings = Settings(
        features={"b_full": ("m4l",), "full": ("m4l",)},
        models={"a": forest, "a_b": forest | {"features": "full"}},
    )
    with pytest.raises(ValueError, match="the name a_b_full"):
        tasks(settings, seed=1)


def test_importing_the_settings_is_light() -> None:
    heavy = ("sklearn", "keras", "tensorflow", "pyarrow", "scipy", "pandas", "skops")
    code = f"import sys, training.higgs4l; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
