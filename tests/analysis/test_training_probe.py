"""What `plan` says of trainings, from those it tries: the line through them, how far it tries, and what it adds up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.engine.attempts import Outcome
from analysis.run import Run
from analysis.training_cost import Point, fit
from analysis.training_probe import Tried, _kinds, learnt_from, try_trainings
from analysis.training_trials import ENOUGH, TooFewEventsError, Trial, Trials
from training import dijet_anomaly, ditau_mass, higgs4l, lepton_id
from training.samples import Sample

MOST = 40_000


def law(units: int, events: float) -> float:
    """7 s of compiling, 3 us to read an event, and 2 ms and a microsecond per event, of MOST at most, for each unit."""
    return 7 + 3e-6 * events + units * (0.002 + 1e-6 * min(events, MOST))


def points(*tried: tuple[int, int]) -> list[Point]:
    return [Point(units, events, law(units, events)) for units, events in tried]


def test_a_training_costs_what_the_line_through_those_tried_says() -> None:
    found = fit(points((10, 20_000), (40, 20_000), (160, 20_000), (160, 10_000), (10, 10_000)), MOST)
    for units, events in ((600, 9_000), (600, 90_000), (2100, 10**8)):
        assert found.seconds(units, events) == pytest.approx(law(units, events), rel=1e-6)
    assert (found.fixed, found.event, found.unit, found.unit_event) == pytest.approx((7, 3e-6, 0.002, 1e-6), rel=1e-4)


def test_what_does_not_vary_is_not_told_apart() -> None:
    found = fit([Point(1, 1000, 3.0), Point(1, 2000, 5.0)])
    assert (found.seconds(1, 2000), found.seconds(1, 10_000)) == pytest.approx((5.0, 21.0))
    found = fit([Point(2, 1000, 3.0), Point(4, 1000, 4.0)])
    assert (found.seconds(32, 1000), found.seconds(32, 10**9)) == pytest.approx((18.0, 18.0))
    assert fit([Point(1, 1000, 3.0)]).seconds(1, 1000) == pytest.approx(3.0)


def test_no_part_is_below_zero() -> None:
    """Where more work took less time, by chance, the rest is predicted as it was."""
    found = fit([Point(1, 1000, 3.0), Point(4, 1000, 2.9)])
    assert found.unit == 0
    assert found.seconds(64, 1000) == pytest.approx(2.95, rel=0.02)


Took = Callable[[int, float], float | str]


def kind(units: int, *, scales: bool = True, rows: int = 1000, expected: float = 1000) -> Trials:
    return Trials("a", None, units, scales, None, rows, expected)


def tried_by(trials: Trials, seconds: Took) -> list[tuple[int, float]]:
    """What is tried, one after another, where a trial takes `seconds(units, share)`; a text is an error."""
    found = []
    while (trial := trials.next()) is not None:
        took = seconds(trial.units, trial.share)
        failed = isinstance(took, str)
        trials.note(Outcome(trial, error=took if failed else None, seconds=0.0 if failed else took))  # type: ignore[arg-type]
        found.append((trial.units, trial.share))
    return found


def test_more_and_more_is_tried_until_it_shows() -> None:
    assert tried_by(kind(640), lambda units, _: 0.01 * units) == [(10, 1.0), (40, 1.0), (160, 1.0), (640, 1.0)]
    many = kind(640, expected=5000)
    assert tried_by(many, lambda units, _: 0.1 * units) == [(10, 1.0), (40, 1.0), (40, 0.5), (10, 0.5)]
    # Compiling takes long, and tells nothing: more is tried until the work shows beside it.
    same = kind(640, scales=False, expected=5000)
    assert tried_by(same, lambda units, _: 3 * ENOUGH + 0.1 * units) == [(10, 1.0), (40, 1.0), (160, 1.0)]
    # Of a large skim a part is enough.
    large = kind(640, rows=700_000, expected=700_000)
    assert tried_by(large, lambda units, _: 0.1 * units) == [(10, 0.25), (40, 0.25), (40, 0.125), (10, 0.125)]


def test_what_has_no_parts_is_tried_with_more_and_more_events() -> None:
    assert tried_by(kind(1), lambda _, share: 0.1 * share) == [(1, 0.5), (1, 1.0)]
    assert tried_by(kind(1, rows=100_000), lambda _, share: 400 * share) == [(1, 0.125), (1, 0.25)]
    assert tried_by(kind(1, scales=False), lambda _, __: 1.0) == [(1, 1.0)]


def too_few(_: int, share: float) -> float | str:
    return "ValueError: too few events" if share < 1 else 5.0


def test_a_cost_that_is_not_known_is_not_made_up() -> None:
    """With half of the events it fails: what more events cost is known only where the run has no more."""
    for units, tried in ((1, [(1, 0.5), (1, 1.0)]), (64, [(1, 1.0), (4, 1.0), (16, 1.0), (64, 1.0), (64, 0.5)])):
        many = kind(units, expected=5000)
        assert tried_by(many, too_few) == tried
        with pytest.raises(TooFewEventsError, match="with a part of the events that were tried it fails: ValueError"):
            many.cost()
        all_of_them = kind(units)
        tried_by(all_of_them, too_few)
        assert all_of_them.cost().seconds(units, 1000) == pytest.approx(5.0)
    none = kind(64)
    assert tried_by(none, lambda _, __: "ValueError: no signal") == [(1, 1.0)]
    with pytest.raises(TooFewEventsError, match="a: ValueError: no signal"):
        none.cost()
    # A part of a large skim may be too small, and the whole not.
    large = kind(64, rows=700_000, expected=700_000)
    assert tried_by(large, too_few)[:3] == [(1, 0.25), (1, 1.0), (4, 1.0)]


@dataclass(frozen=True)
class Task:
    """A training of so many epochs."""

    name: str
    epochs: int


class Module:
    """A training module whose tasks take what the law says."""

    __name__ = "training.of_the_test"

    @staticmethod
    def units(task: Task) -> int:
        return task.epochs

    @staticmethod
    def kind_of(task: Task) -> str:
        return task.name[0]

    @staticmethod
    def most_events(_: Task) -> int:
        return MOST

    @staticmethod
    def roles(_: Any) -> tuple[str, ...]:
        return ("signal",)


def run_of_the_law(workers: int, rows: int) -> Any:
    """A run whose workers take what the law says for `rows` events; the first call of all takes 11 s more."""
    calls: list[Trial] = []

    def mapped(_: str, function: Any, trials: Sequence[Trial], *__: object, **___: object) -> Iterator[Outcome]:
        for trial in trials:
            assert {sample.name for sample in function.args[0][trial.share].samples} == {"HTT", "DY"}
            calls.append(trial)
            yield Outcome(trial, seconds=law(trial.units, trial.share * rows) + (11 if len(calls) == 1 else 0))

    cluster = SimpleNamespace(facts=lambda: {"pools": {"gpu": {"workers": workers}}})
    return SimpleNamespace(map=mapped, cluster=cluster)


def test_all_trainings_are_what_the_law_says_of_the_events_that_they_learn_from(tmp_path: Path) -> None:
    """The background, which none of them reads, does not count; the libraries count once for each worker."""
    samples = []
    for name, role, number in (("HTT", "signal", 64), ("DY", "background", 640)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"x": np.arange(number)}), path)
        samples.append(Sample(name, role, name, (str(path),)))
    rows, expected = {"HTT": 16_000, "DY": 160_000}, {"HTT": 90_000.0, "DY": 9e6}
    tried = Tried(samples, rows, expected, tmp_path)
    tasks = [Task("a1", 600), Task("a2", 600), Task("b1", 2100)]
    for workers in (1, 2):
        run = cast(Run, run_of_the_law(workers, 16_000))
        found = try_trainings(run, cast(Any, Module), None, tasks, tried)
        each = [law(task.epochs, 90_000) for task in tasks]
        assert (found.number, found.workers) == (3, workers)
        assert found.start == pytest.approx(11)
        assert found.busy == pytest.approx(sum(each) + 11 * workers, rel=1e-3)
        wall = sum(each) if workers == 1 else max(sum(each[:2]), each[2], each[0] + each[2])
        assert found.wall <= wall + 11 + 1e-3
        assert set(found.points) == {"a", "b"}


def test_every_part_of_the_events_is_of_every_sample(tmp_path: Path) -> None:
    samples = []
    for name, rows in (("a", 10), ("b", 3)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"x": np.arange(rows), "list": [[k] * k for k in range(rows)]}), path)
        samples.append(Sample(name, "signal", name, (str(path),)))
    tried = Tried(samples, {"a": 10, "b": 3}, {"a": 10.0, "b": 3.0}, tmp_path / "models")
    assert tried.part(1.0) == tuple(samples)
    half = tried.part(0.5)
    assert half is tried.part(0.5)
    tables = [pq.read_table(one.files[0]) for one in half]
    assert [table["x"].to_pylist() for table in tables] == [[0, 2, 4, 6, 8], [0, 2]]
    assert tables[0]["list"].to_pylist()[2] == [4] * 4


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        (higgs4l, {}), (lepton_id, {"leptons": 5000, "study_leptons": 500}),
        (ditau_mass, {"trees": {"few": {"n_estimators": 7}}}),
        (dijet_anomaly, {"bin_edges": [660, 760, 860], "sample_sizes": [600, 800], "samples": 40, "stack": 32}),
    ],
)  # fmt: skip
def test_what_the_modules_say_of_their_tasks_hangs_together(module: Any, settings: dict[str, Any]) -> None:
    tasks = module.tasks(module.Settings.model_validate(settings), seed=1)
    kinds = _kinds(module, tasks, 100, 1000.0)
    assert len(kinds) <= len(tasks)
    units = getattr(module, "units", lambda _: 1)
    for one in kinds.values():
        assert one.units == units(one.task)
        if one.units > 1:
            less = module.shortened(one.task, 1)
            assert (units(less), less.name, type(less)) == (1, one.task.name, type(one.task))
            assert module.shortened(one.task, one.units) == one.task
    if module is dijet_anomaly:
        assert {one.units for one in kinds.values()} >= {32}
        assert sum(task.stop - task.first for task in tasks if task.kind == "pairs" and task.size == 600) == 40
    if module is lepton_id:
        assert (kinds["limits"].units, kinds["improved"].most, kinds["scan"].most) == (1, 5000, 1000)
        assert module.shortened(kinds["scan"].task, 3).settings.scan.recipe.epochs == 3


def test_what_is_learnt_from_counts() -> None:
    roles = {"S": "signal", "T": "signal", "B": "background"}
    samples = [Sample(name, role, name, ("a.parquet",)) for name, role in roles.items()]

    def names(module: Any, **settings: Any) -> list[str]:
        return [one.name for one in learnt_from(module, module.Settings.model_validate(settings), samples)]

    assert names(higgs4l) == ["S", "T", "B"]
    assert names(lepton_id, double_sample="B") == ["S", "T"]  # the same leptons, which count once
    assert names(ditau_mass) == ["S", "T"]
    assert names(ditau_mass, samples=["T"]) == ["T"]
    assert names(dijet_anomaly, bin_edges=[660, 760, 860]) == ["S", "T", "B"]
