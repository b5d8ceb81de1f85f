"""Tasks of dijet_anomaly and what they train: the same however they are divided, nothing shared between subsets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from support.dijet_skims import EDGES, make_events, write_events
from support.dijet_training import OBSERVABLES, samples_of, settings, small_sample

from processors.dijet_anomaly import Settings as ProcessorSettings
from training.dijet_anomaly import Settings, check, completed, roles, run, tasks
from training.dijet_evaluation import area, cached_pool, flavour_facts
from training.dijet_members import Key, Samples, jet_flavour, keys
from training.jet_observables import observables
from training.samples import Sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return small_sample(tmp_path_factory.mktemp("skim"))


@pytest.fixture(scope="module")
def drawn(sample: Sample) -> Samples:
    return samples_of(sample)


def _members(directory: Path, some: Settings, sample: Sample, seed: int = 5) -> dict[Any, Any]:
    """All members of all tasks, without the time they took."""
    found = {}
    for task in tasks(some, seed=seed):
        result = run(task, [sample], str(directory))
        assert json.loads((directory / task.name / "result.json").read_text()) == result
        for number, member in enumerate(result["members"]):
            numbers = [member[name] for name in ("size", "sample", "pair", "signal") if name in member]
            found[(result["task"], *(numbers or [number]))] = member
    return found


def test_every_training_is_in_one_task() -> None:
    some = settings(stack=4, sample_sizes=[1500, 1000])
    found = tasks(some, seed=5)
    assert len({task.name for task in found}) == len(found)
    for size in (1000, 1500):
        for signal, number in ((0, 6), (10, 6), (30, 6)):
            of_kind = [t for t in found if (t.kind, t.size, t.signal) == ("pairs", size, signal)]
            assert [i for t in of_kind for i in range(t.first, t.stop)] == list(range(number))
            assert len(keys(some, size, signal)) == number
    assert [task.name for task in found if task.kind == "composition"] == ["composition"]


def test_the_source_s_work_is_600_trainings() -> None:
    found = tasks(Settings(composition_trainings=0), seed=1)
    assert sum(task.stop - task.first for task in found) == 600
    assert max(task.stop - task.first for task in found) <= 25


def test_more_samples_or_signals_leave_finished_tasks_as_they_are() -> None:
    before = {task.name: task for task in tasks(settings(stack=2), seed=5)}
    more = settings(stack=2, samples=9, sample_sizes=[1500, 1200], injection={"bin": 2, "sizes": [10, 20, 30]})
    after = {task.name: task for task in tasks(more, seed=5)}
    assert before.items() <= after.items()
    # A last stack that was not full is another with more samples; so are disjoint samples, parts of one larger draw.
    full, fuller = ({task.name: task for task in tasks(settings(stack=4, samples=n), seed=5)} for n in (3, 4))
    assert full["null_1500_000"] == fuller["null_1500_000"]
    assert full["null_1500_001"] != fuller["null_1500_001"]
    disjoint = [tasks(settings(stack=2, samples=n, sample_sizes=[500], disjoint=True), seed=5) for n in (3, 4)]
    assert not {str(task) for task in disjoint[0] if task.kind == "pairs"} & {str(task) for task in disjoint[1]}
    other = {task.name: task for task in tasks(settings(stack=2, train_jets=302), seed=5)}
    assert not before.items() & other.items()
    elsewhere = {task.name: task for task in tasks(settings(stack=2, injection={"bin": 1, "sizes": [10, 30]}), seed=5)}
    assert before["null_1500_000"] == elsewhere["null_1500_000"]
    assert before["signal_10_in_1500_000"] != elsewhere["signal_10_in_1500_000"]


def test_results_do_not_depend_on_how_trainings_are_divided_into_tasks(tmp_path: Path, sample: Sample) -> None:
    one = _members(tmp_path / "one", settings(), sample)
    many = _members(tmp_path / "many", settings(stack=1, threads=1), sample)
    assert one == many
    assert len(one) == 3 * 2 + 2 * 3 * 2 + 1
    other = _members(tmp_path / "other", settings(), sample, seed=6)
    assert all(other[key]["auc"] != one[key]["auc"] for key in one)


def test_the_training_needs_events_of_its_pool() -> None:
    assert roles(settings()) == ("background",)
    assert roles(settings(pool="data", injection=None)) == ("data",)


def test_signal_does_not_touch_other_pairs() -> None:
    assert settings(injection={"bin": 1, "sizes": [5]}).touched_pairs == (0,)
    assert settings(injection={"bin": 2, "sizes": [5]}).touched_pairs == (0, 1)
    assert settings(injection={"bin": 3, "sizes": [5]}).touched_pairs == (1,)
    assert Settings(injection={"bin": 4, "sizes": [5]}).touched_pairs == (2, 3)  # type: ignore[arg-type]


def test_the_recorded_numbers_are_those_of_the_sample(tmp_path: Path, sample: Sample, drawn: Samples) -> None:
    task = next(task for task in tasks(settings(), seed=5) if task.signal == 30)
    result = run(task, [sample], str(tmp_path))
    for member in result["members"]:
        events = drawn.events(1500, member["sample"], 30)
        for offset, facts in enumerate(member["bins"]):
            low, high = settings().bin_edges[member["pair"] + offset : member["pair"] + offset + 2]
            chosen = [i for i in events.tolist() if low <= drawn.pool.mass[i] < high]
            partons = drawn.pool.partons[chosen]
            assert facts["events"] == facts["known_events"] == len(chosen)
            assert facts["known_jets"] == 2 * len(chosen)
            assert facts["gluons"] == pytest.approx(float(np.mean(partons == 21)))
            assert facts["all_gluon"] == pytest.approx(float(np.mean((partons == 21).all(axis=1))))
            assert facts["no_gluon"] + facts["mixed"] + facts["all_gluon"] == pytest.approx(1.0)
        assert sum(member["jets"]["train"]) == 300
        assert sum(member["jets"]["test"]) == 200
        mine = drawn.member(Key(1500, member["sample"], member["pair"], 30))
        particles = drawn.pool.particles
        assert particles is not None
        counts = np.diff(particles.offsets)[mine.test]
        upper, lower = counts[mine.test_labels == 1][:, None], counts[mine.test_labels == 0]
        assert member["observables"]["multiplicity"] == pytest.approx(np.mean((upper > lower) + 0.5 * (upper == lower)))
    assert result["shared_fraction"] == 1500 / len(drawn.pool)
    assert [facts["low"] for facts in result["pool"]["bins"]] == [660, 760, 860]


def test_shares_are_among_the_jets_of_known_flavour(tmp_path: Path) -> None:
    """Of 1000 events 300 have a first jet, 100 of these a second one, too, whose parton is not known."""
    columns = make_events(np.random.default_rng(2), 1000)
    partons = np.array(columns["jet_parton_id"].flatten()).reshape(1000, 2)
    partons[:300, 0], partons[:100, 1] = 0, 0
    columns["jet_parton_id"] = pa.ListArray.from_arrays(np.arange(1001, dtype=np.int32) * 2, partons.ravel())
    some = settings()
    sample = write_events(tmp_path, "QCD", columns)
    pool = Samples(cached_pool([sample], some, 5), some, 5)
    facts = flavour_facts(pool, np.arange(len(pool.pool)))
    inside = (columns["mjj"] >= 660) & (columns["mjj"] < 1160)
    known = partons[inside] != 0
    assert (facts["known_jets"], facts["known_events"]) == (known.sum(), known.all(axis=1).sum())
    assert facts["events"] == inside.sum() > facts["known_events"] > 0
    assert facts["gluons"] == pytest.approx((partons[inside][known] == 21).mean())
    assert facts["all_gluon"] == pytest.approx((partons[inside][known.all(axis=1)] == 21).all(axis=1).mean())


def test_quarks_and_gluons_are_told_apart(tmp_path: Path, sample: Sample, drawn: Samples) -> None:
    task = next(task for task in tasks(settings(), seed=5) if task.kind == "composition")
    result = run(task, [sample], str(tmp_path))
    member = result["members"][0]
    assert member["auc"] == member["auc_gluon_quark"] > 0.9
    composition = drawn.composition_member(0)
    assert len(composition.validation) == settings().most_validation_jets
    flavour = jet_flavour(drawn.pool)
    assert composition.train_labels.tolist() == flavour[composition.train].tolist()
    assert not set((composition.train // 2).tolist()) & set((composition.test // 2).tolist())


def test_classifiers_are_kept_where_asked_for(tmp_path: Path, sample: Sample, drawn: Samples) -> None:
    import skops.io

    some = settings(keep_models=True, samples=1, injection=None)
    for task in tasks(some, seed=5):
        run(task, [sample], str(tmp_path))
    kept = sorted(path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("trees.skops"))
    assert kept == ["composition/gluon_quark0", "null_1500_000/sample0_pair0", "null_1500_000/sample0_pair1"]
    path = tmp_path / "null_1500_000" / "sample0_pair1"
    assert json.loads((path / "trees.json").read_text())["features"] == OBSERVABLES
    model = skops.io.load(path / "trees.skops", trusted=skops.io.get_untrusted_types(file=path / "trees.skops"))
    member = drawn.member(Key(1500, 0, 1))
    assert drawn.pool.particles is not None
    scores = model.predict_proba(observables(drawn.pool.particles, member.test, OBSERVABLES))[:, 1]
    result = json.loads((tmp_path / "null_1500_000" / "result.json").read_text())
    assert area(member.test_labels, scores) == pytest.approx(result["members"][1]["auc"])


def test_a_pair_that_lacks_events_is_left_out_and_counted(tmp_path: Path, sample: Sample, drawn: Samples) -> None:
    counts = [np.bincount(drawn.pool.bins[drawn.null(1500, k)], minlength=3) for k in range(3)]
    limit = int(sorted(count[1] for count in counts)[1])
    some = settings(min_events=limit, injection=None)
    check(some, [sample], seed=5)
    task = tasks(some, seed=5)[0]
    result = run(task, [sample], str(tmp_path))
    expected = {(k, p) for k in range(3) for p in range(2) if min(counts[k][p], counts[k][p + 1]) < limit}
    assert 0 < len(expected) < 6
    assert {(one["sample"], one["pair"]) for one in result["left_out"]} == expected
    assert {(one["sample"], one["pair"]) for one in result["members"]}.isdisjoint(expected)
    assert {(one["lack"]["of"], one["lack"]["needed"]) for one in result["left_out"]} == {("events in bin 2", limit)}


def test_a_sample_with_signal_enters_the_pairs_it_enters_without(
    tmp_path: Path, sample: Sample, drawn: Samples
) -> None:
    """With signal bin 2 has enough events, without it has not: then no pair of it is trained with signal either."""
    most = max(int(np.count_nonzero(drawn.pool.bins[drawn.null(1500, k)] == 1)) for k in range(3))
    some = settings(min_events=most + 1)
    with_signal = drawn.events(1500, 0, 30)
    assert np.count_nonzero(drawn.pool.bins[with_signal] == 1) <= most + 30
    for signal in (0, 30):
        task = next(task for task in tasks(some, seed=5) if (task.kind, task.signal) == ("pairs", signal))
        result = run(task, [sample], str(tmp_path))
        assert result["members"] == []
        assert len(result["left_out"]) == 6


def test_a_sample_that_is_left_out_needs_no_events_to_replace(sample: Sample, drawn: Samples) -> None:
    """One of three samples lacks events in the bin: the signal, which is more than it has there, does not matter."""
    small: dict[str, Any] = {"sample_sizes": [160], "train_jets": 40, "test_jets": 20, "validation_jets": 2}
    counts = sorted(int(np.count_nonzero(drawn.pool.bins[drawn.null(160, k)] == 1)) for k in range(3))
    assert counts[0] < counts[1]
    injection = {"bin": 2, "sizes": [counts[0] + 1], "mode": "replace"}
    check(settings(**small, min_events=counts[1], injection=injection), [sample], seed=5)
    with pytest.raises(ValueError, match=f"but a sample of 160 has only {counts[0]} there"):
        check(settings(**small, min_events=1, injection=injection), [sample], seed=5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sample_sizes": [5000]}, "sample_sizes: a sample has 5000 events, but only 3"),
        ({"disjoint": True}, "3 disjoint samples of 1500 events need 4500"),
        (
            {"min_events": 5000},
            "bins 660-760 and 760-860 GeV: a sample of 1500 events has .* of 5000 events in bin 1",
        ),
        (
            {"train_jets": 4000},
            "no sample can fill the bins .*: a sample of 1500 events has .* of 4220 jets in the pair",
        ),
        ({"train_jets": 301}, "train_jets = 301: all 2 jets of an event go to the same subset"),
        ({"injection": {"bin": 2, "sizes": [600]}}, "600 events are to be injected, but bin 2 has only"),
        (
            {"injection": {"bin": 2, "sizes": [600], "mode": "replace"}, "sample_sizes": [700]},
            "600 events are to be injected, but bin 2 has only",
        ),
        ({"bin_edges": [2000, 2100, 2200]}, "bin_edges: no event has a mass of 2000 to 2200 GeV"),
        ({"pool": "data", "injection": None}, "pool = data: none of the samples is of that kind"),
        (
            {"classifier": "pfn", "network": {"patience": 2}, "validation_jets": 1},
            "validation_jets = 1: network.patience needs at least the 2 jets of an event",
        ),
        (
            {"classifier": "pfn", "network": {"patience": 2}, "most_validation_jets": 0},
            "most_validation_jets = 0: network.patience needs",
        ),
    ],
)
def test_what_cannot_be_trained_is_said_before_any_training(
    sample: Sample, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        check(settings(**changes), [sample], seed=5)


def test_a_pool_without_gluons_is_an_error_where_they_are_needed(tmp_path: Path) -> None:
    columns = make_events(np.random.default_rng(1), 4000, gluons=(0.0, 0.0))
    sample = write_events(tmp_path, "QCD", columns)
    with pytest.raises(ValueError, match="but bin 2 has only 0 events of gluons"):
        check(settings(), [sample], seed=5)
    with pytest.raises(ValueError, match="use composition_trainings: 0"):
        check(settings(injection=None), [sample], seed=5)
    check(settings(injection=None, composition_trainings=0), [sample], seed=5)


def test_data_and_simulation_are_not_mixed(tmp_path: Path, sample: Sample) -> None:
    columns = make_events(np.random.default_rng(9), 3000)
    data = write_events(tmp_path, "Jet", columns, role="data")
    task = tasks(settings(), seed=5)[0]
    assert run(task, [sample, data], str(tmp_path / "a"))["pool"] == run(task, [sample], str(tmp_path / "b"))["pool"]
    some = settings(pool="data", injection=None)
    check(some, [sample, data], seed=5)
    assert [task.kind for task in tasks(some, seed=5)] == ["pairs"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bin_edges": [660, 760, 700]}, "must ascend"),
        ({"sample_sizes": [100, 100]}, "positive and differ"),
        ({"stack": 0}, "at least one training"),
        ({"injection": {"bin": 9, "sizes": [3]}}, "injection.bin = 9: there are 3 bins"),
        ({"injection": {"bin": 1, "sizes": [3, 2]}}, "positive and ascending"),
        ({"injection": {"bin": 1, "sizes": [3], "samples": 99}}, "injection.samples = 99: there are 3"),
        ({"injection": {"bin": 1, "sizes": [3], "sample_sizes": [7]}}, "7 is none of sample_sizes"),
        ({"pool": "data"}, "no partons"),
        ({"trees": {"observables": ["charge"]}}, "multiplicity"),
    ],
)
def test_wrong_settings_are_errors(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        settings(**changes)


def test_the_area_counts_pairs() -> None:
    rng = np.random.default_rng(2)
    labels, scores = rng.integers(0, 2, 60).astype(np.int8), rng.integers(0, 9, 60) / 8
    wins = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert area(labels, scores) == pytest.approx(np.mean(wins))
    assert area(np.zeros(3, np.int8), np.zeros(3)) is None


def test_the_edges_of_the_default_are_the_source_s() -> None:
    assert Settings().bin_edges == EDGES


def test_bins_follow_the_range_of_the_processor() -> None:
    def edges(processor: dict[str, Any], **training: Any) -> list[float]:
        found: list[float] = completed(training, ProcessorSettings.model_validate(processor))["bin_edges"]
        return found

    assert edges({}) == edges({}, bin_edges=None) == list(EDGES)
    assert edges({"event_mass": "corrected"}) == list(EDGES[1:])
    assert edges({"mass_range": [700, 950]}) == [700, 800, 900]
    assert edges({}, bin_edges=[700, 800, 1000]) == [700, 800, 1000]
    with pytest.raises(ValueError, match=r"660.*no events .*event_mass = corrected, mass_range 760 to 1160.*null"):
        edges({"event_mass": "corrected"}, bin_edges=list(EDGES))
    with pytest.raises(ValueError, match="two bins of 100 GeV do not fit"):
        edges({"mass_range": [700, 850]})
