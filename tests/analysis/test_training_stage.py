"""What a training module may say before any task runs."""

from types import SimpleNamespace
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.training_stage import TrainingJob, _check, roles_without_events, task_fingerprint
from training import dijet_anomaly, higgs4l, lepton_id


def _run(module: Any, samples: dict[str, Any] | None = None) -> Any:
    configuration = SimpleNamespace(module=lambda _: module, settings=lambda _: "the settings", seed=7)
    return SimpleNamespace(
        configuration=configuration, directory="out", manifest=SimpleNamespace(content={"samples": samples or {}})
    )


def test_a_skim_that_does_not_suit_the_training_is_one_sentence() -> None:
    def check(settings: Any, samples: Any, *, seed: int) -> None:
        raise ValueError(f"{samples[0]} has too few events for {settings} with seed {seed}")

    module = SimpleNamespace(check=check)
    sentence = "skim in out does not suit the block 'training': QCD has too few events for the settings with seed 7"
    with pytest.raises(UserError, match=sentence):
        _check(module, _run(module), TrainingJob("m", ("QCD",), "models"))
    _check(SimpleNamespace(), _run(module), TrainingJob("m", ("QCD",), "models"))


def test_a_training_names_the_roles_that_need_events() -> None:
    samples = {
        "QCD": {"role": "background", "scale": 1.0, "processed": 5},
        "CMS": {"role": "data", "scale": 1.0, "processed": 0},
    }
    assert roles_without_events(_run(SimpleNamespace(), samples)) == ["signal"]
    assert roles_without_events(_run(SimpleNamespace(roles=lambda _: ("background",)), samples)) == []
    assert roles_without_events(_run(SimpleNamespace(roles=lambda _: ("data",)), samples)) == ["data"]


@pytest.mark.parametrize("module", [dijet_anomaly, higgs4l, lepton_id])
def test_another_backend_of_keras_is_another_training_of_networks(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job, tasks = TrainingJob(module.__name__, (), "models"), module.tasks(module.Settings(), seed=1)

    def marks(backend: str | None) -> dict[str, str]:
        if backend is None:
            monkeypatch.delenv("KERAS_BACKEND", raising=False)
        else:
            monkeypatch.setenv("KERAS_BACKEND", backend)
        return {task.name: task_fingerprint(job, task, "skim") for task in tasks}

    default, named, other = marks(None), marks("tensorflow"), marks("jax")
    assert default == named
    assert other == marks("jax")
    networks = [name for name in default if module is not higgs4l or name.startswith("network")]
    assert networks
    assert {name for name in default if default[name] != other[name]} == set(networks)


def test_trees_do_not_depend_on_the_backend_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = dijet_anomaly.Settings(classifier="trees", trees={"observables": ["multiplicity"]})
    job, found = TrainingJob(dijet_anomaly.__name__, (), "models"), set()
    for backend in ("tensorflow", "jax"):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        found.add(task_fingerprint(job, dijet_anomaly.tasks(trees, seed=1)[0], "skim"))
    assert len(found) == 1
