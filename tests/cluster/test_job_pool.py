"""The bookkeeping of a pool of jobs: what is renewed, what is not, and what is said when nothing comes."""

from pathlib import Path
from typing import Any

import pytest

from cluster.batch_system import JobState
from cluster.errors import ClusterError
from cluster.job_pool import JobPool, Plan
from cluster.settings import PoolSettings

RUNNING = JobState("running")


def pool(**settings: Any) -> JobPool:
    one = JobPool("cpu", PoolSettings.model_validate({"memory": "1GiB", **settings}))
    one.begin(None)
    return one


def submit(one: JobPool, plan: Plan, log: Path = Path("nowhere")) -> list[str]:
    """Does what the plan says; gives the new jobs."""
    numbers = [str(100 + len(one.submitted) + more) for more in range(plan.submit)]
    for number in numbers:
        one.add(number, one.next_worker(), log)
    return numbers


def workers(*names: str, status: str = "running") -> dict[str, Any]:
    return {f"tls://{name}": {"name": name, "status": status} for name in names}


def nobody() -> set[str]:
    return set()


def test_a_pool_is_filled_and_stays_full() -> None:
    one = pool(workers=3)
    assert submit(one, one.update({}, {}, nobody)) == ["100", "101", "102"]
    states = dict.fromkeys(one.jobs, RUNNING)
    assert one.update(states, workers("cpu-0", "cpu-1"), nobody) == Plan()
    del states["101"]  # cancelled, or its time was over
    assert one.update(states, workers("cpu-0", "cpu-2"), nobody) == Plan(submit=1)


def test_several_processes_are_one_job() -> None:
    one = pool(workers=5, processes=2)
    plan = one.update({}, {}, nobody)
    assert plan.submit == 3
    submit(one, plan)
    states = dict.fromkeys(one.jobs, RUNNING)
    assert one.update(states, workers("cpu-0-0", "cpu-0-1", "cpu-1-0"), nobody) == Plan()
    assert [job.arrived for job in one.jobs.values()] == [True, True, False]


def test_a_retiring_worker_is_replaced_before_its_job_ends() -> None:
    one = pool(workers=1)
    submit(one, one.update({}, {}, nobody))
    states = {"100": RUNNING}
    assert one.update(states, workers("cpu-0"), nobody) == Plan()
    assert one.update(states, workers("cpu-0", status="closing_gracefully"), nobody) == Plan(submit=1)


def test_nothing_is_renewed_without_work() -> None:
    one = pool(workers=4)
    submit(one, one.update({}, {}, nobody))
    one.update(dict.fromkeys(one.jobs, RUNNING), workers("cpu-0", "cpu-1", "cpu-2", "cpu-3"), nobody)
    one.remaining(2)
    left = {"100": RUNNING, "101": RUNNING}
    assert one.update(left, workers("cpu-0", "cpu-1"), nobody) == Plan()
    one.begin(50)
    assert one.update(left, workers("cpu-0", "cpu-1"), nobody) == Plan(submit=2)


def test_a_range_follows_the_work_and_spares_the_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.job_pool.LEAST_SURPLUS", 0.0)
    one = pool(workers={"minimum": 1, "maximum": 5})
    one.remaining(4)
    submit(one, one.update({}, {}, nobody))
    assert len(one.jobs) == 4
    states = {**dict.fromkeys(("100", "101", "102"), RUNNING), "103": JobState("pending", "Priority")}
    there = workers("cpu-0", "cpu-1", "cpu-2")
    one.update(states, there, nobody)
    one.remaining(2)
    plan = one.update(states, there, lambda: {"tls://cpu-0", "tls://cpu-2"})
    assert plan == Plan(cancel=("103",), dismiss=("tls://cpu-1",))
    one.remaining(0)
    assert one.wanted == 1


def test_a_moment_without_work_does_not_cost_the_place_in_the_queue() -> None:
    one = pool(workers={"minimum": 1, "maximum": 5})
    submit(one, one.update({}, {}, nobody))
    waiting = dict.fromkeys(one.jobs, JobState("pending", "Priority"))
    one.remaining(0)
    assert one.update(waiting, {}, nobody) == Plan()
    one.begin(50)
    assert one.update(waiting, {}, nobody) == Plan()


def test_jobs_that_there_is_no_work_for_are_no_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.job_pool.LEAST_SURPLUS", 0.0)
    one = pool(workers={"minimum": 1, "maximum": 9})
    submit(one, one.update({}, {}, nobody))
    waiting = dict.fromkeys(one.jobs, JobState("pending", "Priority"))
    one.remaining(0)
    given_up = tuple(f"{100 + number}" for number in range(1, 9))
    assert one.update(waiting, {}, nobody) == Plan(cancel=given_up)
    # The command may have failed: they are cancelled until they are gone, and then nobody misses them.
    assert one.update(waiting, {}, nobody) == Plan(cancel=given_up)
    assert one.update({"100": RUNNING}, {}, nobody) == Plan()
    assert one.problem is None
    one.begin(4)
    assert one.update({"100": RUNNING}, {}, nobody) == Plan(submit=3)


def test_a_worker_that_comes_late_ends_the_problem() -> None:
    one = pool(workers=2)
    submit(one, one.update({}, {}, nobody))
    for _ in range(3):
        submit(one, one.update({"100": RUNNING}, {}, nobody))
    assert one.problem is not None
    assert one.update({"100": RUNNING}, workers("cpu-0"), nobody) == Plan(submit=1)
    assert one.problem is None


def test_the_limit_on_submitted_jobs_holds() -> None:
    one = pool(workers=10, job_limit=3)
    submit(one, one.update({}, {}, nobody))
    assert len(one.jobs) == 3
    states = {number: JobState("pending", "QOSMaxJobsPerUserLimit") for number in one.jobs}
    assert one.update(states, {}, nobody) == Plan()


def test_jobs_that_end_at_once_are_a_problem_with_the_end_of_their_log(tmp_path: Path) -> None:
    log = tmp_path / "cpu-0.log"
    log.write_text("one\n\ntwo\nthree\nfour\nfive\nsix\n")
    one = pool(workers=1)
    for _ in range(3):
        assert one.problem is None
        submit(one, one.update({}, {}, nobody), log)
    assert one.update({}, {}, nobody) == Plan()
    assert one.problem is not None
    assert one.problem.endswith("ends with: two | three | four | five | six")


def test_a_worker_that_came_makes_up_for_those_that_did_not() -> None:
    one = pool(workers=1)
    for _ in range(2):
        submit(one, one.update({}, {}, nobody))
    (job,) = submit(one, one.update({}, {}, nobody))
    one.update({job: RUNNING}, workers(one.jobs[job].worker), nobody)
    assert submit(one, one.update({}, {}, nobody))
    assert one.problem is None


def test_a_refusal_is_final_only_without_jobs() -> None:
    refusal = ClusterError("sbatch failed: Invalid account or account/partition combination specified")
    one = pool(workers=2)
    one.add("100", one.next_worker(), Path("nowhere"))
    for _ in range(5):
        one.refused(refusal)
    assert one.problem is None
    one = pool(workers=2)
    for _ in range(3):
        one.refused(refusal)
    assert one.problem == f"the pool cpu has no worker: {refusal}"


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit sbatch: error: Batch job submission failed: Job violates "
        "accounting/QOS policy (job submit limit, user's size and/or time limits)",
        "sbatch: error: AssocMaxSubmitJobLimit sbatch: error: Batch job submission failed",
        "ERROR: Number of submitted jobs would exceed MAX_JOBS_PER_OWNER",
    ],
)
def test_a_limit_on_submitted_jobs_passes(words: str) -> None:
    """Other runs of the user may have them all: it is the start_limit that ends the waiting."""
    one = pool(workers=2)
    for _ in range(20):
        one.refused(ClusterError(words))
    assert one.problem is None
    assert one.update({}, {}, nobody) == Plan(submit=2)
    assert one.why() == f"no more jobs can be submitted ({words})"
    one.add("100", one.next_worker(), Path("nowhere"))
    assert one.limit is None


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({}, "the batch system has none of its jobs"),
        ({"100": JobState("pending", "Resources")}, "job 100 is pending (Resources)"),
        (
            {"100": JobState("pending", "Priority"), "101": JobState("pending", "Priority")},
            "job 100, 101 is pending (Priority)",
        ),
    ],
)
def test_why_nothing_comes(states: dict[str, JobState], words: str) -> None:
    one = pool(workers=2)
    submit(one, one.update({}, {}, nobody))
    one.update(states, {}, nobody)
    assert one.why() == words
