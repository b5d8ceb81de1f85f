"""What a training module may say before any task runs."""

from types import SimpleNamespace
from typing import Any

import pytest

from analysis.errors import UserError
from analysis.training_stage import TrainingJob, _check, roles_without_events


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
