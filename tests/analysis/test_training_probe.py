"""What `plan` says of trainings, from those it tries: the line through them, and how far it tries."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.engine.attempts import Outcome
from analysis.training_cost import Point, fit
from analysis.training_probe import ENOUGH, Trials, Tried, _kinds
from training import dijet_anomaly, ditau_mass, higgs4l, lepton_id
from training.samples import Sample


def law(units: int, events: int) -> Point:
    """7 s of compiling, and 2 ms and a microsecond per event for each unit."""
    return Point(units, events, 7 + units * (0.002 + 1e-6 * events))


def test_a_training_costs_what_the_line_through_those_tried_says() -> None:
    tried = [law(10, 5000), law(40, 5000), law(160, 5000), law(160, 2500)]
    found = fit(tried)
    assert found.seconds(600, 90_000) == pytest.approx(law(600, 90_000).seconds)
    assert (found.fixed, found.unit, found.unit_event) == pytest.approx((7, 0.002, 1e-6))


def test_what_does_not_vary_is_not_told_apart() -> None:
    found = fit([Point(1, 1000, 3.0), Point(1, 2000, 5.0)])
    assert (found.seconds(1, 2000), found.seconds(1, 10_000)) == pytest.approx((5.0, 21.0))
    found = fit([Point(2, 1000, 3.0), Point(4, 1000, 4.0)])
    assert (found.seconds(32, 1000), found.seconds(32, 10**9)) == pytest.approx((18.0, 18.0))
    assert fit([Point(1, 1000, 3.0)]).seconds(1, 10**6) == pytest.approx(3.0)


def test_no_part_is_below_zero() -> None:
    """Where more work took less time, by chance, the rest is predicted as it was."""
    found = fit([Point(1, 1000, 3.0), Point(4, 1000, 2.9)])
    assert found.unit == 0
    assert found.seconds(64, 1000) == pytest.approx(2.95, rel=0.02)


def tried_by(trials: Trials, seconds: Any) -> list[tuple[int, float]]:
    """What is tried, one after another, where a trial takes `seconds(units, share)`; a text is an error."""
    found = []
    while (trial := trials.next()) is not None:
        took = seconds(trial.units, trial.share)
        error = took if isinstance(took, str) else None
        outcome = Outcome(trial, error=error, seconds=0.0 if error else took)
        trials.note(outcome, 1000)
        found.append((trial.units, trial.share))
    return found


def test_more_and_more_is_tried_until_it_shows() -> None:
    kind = Trials("a", None, 640, scales=True, extrapolated=False)
    assert tried_by(kind, lambda units, _: 0.01 * units) == [(10, 1.0), (40, 1.0), (160, 1.0), (640, 1.0)]
    kind = Trials("a", None, 640, scales=True, extrapolated=True)
    assert tried_by(kind, lambda units, _: 0.1 * units) == [(10, 1.0), (40, 1.0), (40, 0.5)]
    # Compiling takes long, and tells nothing: more is tried until the work shows beside it.
    kind = Trials("a", None, 640, scales=False, extrapolated=True)
    assert tried_by(kind, lambda units, _: 3 * ENOUGH + 0.1 * units) == [(10, 1.0), (40, 1.0), (160, 1.0)]


def test_what_has_no_parts_is_tried_with_more_and_more_events() -> None:
    kind = Trials("a", None, 1, scales=True, extrapolated=True)
    assert tried_by(kind, lambda _, share: 0.1 * share) == [(1, 0.25), (1, 0.5), (1, 1.0)]
    kind = Trials("a", None, 1, scales=True, extrapolated=True)
    assert tried_by(kind, lambda _, share: 40 * share) == [(1, 0.25), (1, 0.5)]
    kind = Trials("a", None, 1, scales=True, extrapolated=True)
    too_few = "ValueError: too few events"
    assert tried_by(kind, lambda _, share: too_few if share < 1 else 5.0) == [(1, 0.25), (1, 0.5), (1, 1.0)]
    assert [one.events for one in kind.points] == [1000]
    kind = Trials("a", None, 1, scales=False, extrapolated=True)
    assert tried_by(kind, lambda _, __: 1.0) == [(1, 1.0)]


def test_every_part_of_the_events_is_of_every_sample(tmp_path: Any) -> None:
    samples = []
    for name, rows in (("a", 10), ("b", 3)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"x": np.arange(rows), "list": [[k] * k for k in range(rows)]}), path)
        samples.append(Sample(name, "signal", name, (str(path),)))
    tried = Tried(samples, 13, 13.0, tmp_path / "models")
    assert tried.part(1.0) == tuple(samples)
    half = tried.part(0.5)
    assert half is tried.part(0.5)
    tables = [pq.read_table(one.files[0]) for one in half]
    assert [table["x"].to_pylist() for table in tables] == [[0, 2, 4, 6, 8], [0, 2]]
    assert tables[0]["list"].to_pylist()[2] == [4] * 4


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        (higgs4l, {}), (lepton_id, {}), (ditau_mass, {"trees": {"few": {"n_estimators": 7}}}),
        (dijet_anomaly, {"bin_edges": [660, 760, 860], "sample_sizes": [600, 800], "samples": 40, "stack": 32}),
    ],
)  # fmt: skip
def test_what_the_modules_say_of_their_tasks_hangs_together(module: Any, settings: dict[str, Any]) -> None:
    tasks = module.tasks(module.Settings.model_validate(settings), seed=1)
    kinds = _kinds(module, tasks, extrapolated=True)
    assert len(kinds) <= len(tasks)
    units = getattr(module, "units", lambda _: 1)
    for kind in kinds.values():
        assert kind.units == units(kind.task)
        if kind.units > 1:
            less = module.shortened(kind.task, 1)
            assert (units(less), less.name, type(less)) == (1, kind.task.name, type(kind.task))
            assert module.shortened(kind.task, kind.units) == kind.task
    if module is dijet_anomaly:
        assert {kind.units for kind in kinds.values()} >= {32}
        assert sum(task.stop - task.first for task in tasks if task.kind == "pairs" and task.size == 600) == 40
    if module is lepton_id:
        assert kinds["limits"].units == 1
        assert SimpleNamespace(**vars(module.shortened(kinds["scan"].task, 3))).settings.scan.recipe.epochs == 3
