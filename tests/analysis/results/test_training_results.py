"""Training results: every flag is said of the model it belongs to."""

from pathlib import Path

import numpy as np
from support.runs import edit_json, make_run

from analysis.results.run_files import RunDirectory
from analysis.results.training_results import load_training


def test_a_flag_names_its_own_model(tmp_path: Path) -> None:
    directory = make_run(tmp_path, np.random.default_rng(5))
    names = [model.name for model in RunDirectory(directory).models if model.result["task"] == "model"]
    assert len(names) > 1
    for name in names:
        edit_json(
            directory / "models" / name / "result.json", lambda result, own=name: result.update(flags=[f"of {own}"])
        )
    training = load_training(RunDirectory(directory))
    assert training is not None
    assert set(training.flags) == {f"{name}: of {name}" for name in names}
