"""What `plan` proposes beside what it predicts: sizes of both pools."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from analysis.forecast import Load, Probe, forecast, rates
from analysis.plan_report import Findings, content, lines
from analysis.stages import Request
from analysis.training_probe import Trainings

REQUEST = cast(
    Request, SimpleNamespace(configuration=SimpleNamespace(name="higgs4l", chunk_size=1000), cluster_name="local")
)


def planned(trainings: Trainings | None, tasks: int) -> dict[str, Any]:
    """A plan of 7200 entries of a second each."""
    loads = {"ZZ": Load(1, 7200, 7200, (7200,))}
    probes = [Probe("ZZ", 10, 10.0, 10, 10**6, "one", first=False)]
    measured = rates(probes, loads)
    found = Findings(probes, loads, 1, 1, 1, 0.0, 0.0, 2)
    return content(REQUEST, found, measured, forecast(loads, measured, 2), tasks, trainings)


@pytest.mark.parametrize(
    ("number", "busy", "expected"),
    [
        (500, 36_000.0, {"600": 60, "3600": 10}),
        (8, 36_000.0, {"600": 8, "3600": 8}),  # a training is not divided
        (4, 20.0, {"600": 1, "3600": 1}),
    ],
)
def test_gpu_workers_are_proposed_for_the_same_times_as_the_others(
    number: int, busy: float, expected: dict[str, int]
) -> None:
    facts = planned(Trainings(number, busy, busy, 0.0, 1, {}), number)
    assert facts["proposed"]["workers"] == {"600": 12, "3600": 2}
    assert facts["proposed"]["gpu_workers"] == expected
    *_, said = lines(facts, None)
    assert f"; gpu workers: {expected['600']} for 10 min 0 s, {expected['3600']} for 60 min 0 s" in said


@pytest.mark.parametrize("tasks", [0, 500])
def test_without_a_prediction_of_trainings_no_gpu_workers_are_proposed(tasks: int) -> None:
    facts = planned(None, tasks)
    assert facts["proposed"]["gpu_workers"] is None
    assert "gpu" not in "".join(lines(facts, None))
