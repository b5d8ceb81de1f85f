"""Clusters as YAML says them: durations, sizes, numbers of workers, and keys that a kind does not have."""

from typing import Any

import pytest
from pydantic import ValidationError

from analysis.cluster_choice import load_cluster
from analysis.configuration import CONFIGS
from cluster.quantities import Range, seconds, size
from cluster.settings import ClusterSettings, PoolSettings, retirement

JOB = {"workers": 2, "memory": "2GiB"}


@pytest.mark.parametrize(
    ("text", "value"),
    [(90, 90), ("90 s", 90), ("30 min", 1800), ("1.5h", 5400), ("2 days", 172800), ("01:30:00", 5400), ("0:45", 2700),
     ("1-00:00:30", 86430)],
)  # fmt: skip
def test_durations(text: Any, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["soon", "5 parsecs", 0, -3, "0 s", True, None, [1]])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        seconds(text)


@pytest.mark.parametrize(("text", "value"), [("4GiB", 2**32), ("2 GB", 2 * 10**9), (1024, 1024)])
def test_sizes(text: Any, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["much", 0, True, None])
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        size(text)


def test_workers_are_a_number_auto_or_a_range() -> None:
    assert PoolSettings.model_validate({"workers": 3}).workers == 3
    assert PoolSettings.model_validate({"workers": {"maximum": 9}}).workers == Range(minimum=1, maximum=9)
    for wrong in (0, -1, "many", True, {"maximum": 0}, {"minimum": 3, "maximum": 2}, {"maximum": 3, "most": 4}):
        with pytest.raises(ValidationError):
            PoolSettings.model_validate({"workers": wrong})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"kind": "local", "pools": {"cpu": {"queue": "short"}}}, "pools.cpu.queue means nothing for the kind local"),
        ({"kind": "local", "pools": {"cpu": {"workers": {"maximum": 3}}}}, "a number or auto"),
        ({"kind": "slurm"}, "pools.cpu.workers must be given"),
        ({"kind": "slurm", "pools": {"cpu": {"workers": 1}}}, "pools.cpu.memory must be given"),
        ({"kind": "slurm", "pools": {"cpu": {**JOB, "job_flavour": "x"}, "gpu": JOB}}, "job_flavour means nothing"),
        ({"kind": "slurm", "pools": {"cpu": {**JOB, "directives": {"a": "b"}}, "gpu": JOB}}, "is a list of options"),
        (
            {"kind": "slurm", "pools": {"cpu": {**JOB, "walltime": 60, "retire_before": 60}, "gpu": JOB}},
            "retire_before must be less than its walltime",
        ),
        ({"kind": "slurm", "pools": {"cpu": JOB, "gpu": JOB}, "address": "tcp://a:1"}, "has no key address"),
        ({"kind": "address"}, "needs the key address"),
        ({"kind": "local", "xrootd_prefix": "https://cache"}, "xrootd_prefix\n.*expected the address of a cache"),
        ({"kind": "local", "xrootd_prefix": "root://"}, "expected the address of a cache"),
        ({"kind": "slurm", "scheduler": {"interface": "ib0", "host": "a"}}, "not both"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ClusterSettings.model_validate(content)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("root://cache:1094//", "root://cache:1094//"), ("root://cache", "root://cache//"), ("root://c/", "root://c//"),
     ("xroot://cache//mirror", "xroot://cache//mirror/")],
)  # fmt: skip
def test_the_prefix_of_a_cache(text: str, prefix: str) -> None:
    assert ClusterSettings(kind="local", xrootd_prefix=text).xrootd_prefix == prefix
    assert load_cluster("local", (f"xrootd_prefix={text}",)).xrootd_prefix == prefix


def test_workers_retire_before_the_walltime() -> None:
    assert retirement(PoolSettings(walltime=3600)) == 360
    assert retirement(PoolSettings(walltime=86400)) == 900
    assert retirement(PoolSettings(walltime=86400, retire_before=1800)) == 1800


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "clusters").glob("*.yaml")))
def test_the_clusters_that_come_with_it_are_valid(name: str) -> None:
    settings = load_cluster(name)
    assert settings.kind == name


def test_workers_of_the_command_line_are_those_of_the_cpu_pool() -> None:
    assert load_cluster("slurm", ("pools.gpu.queue=a100",), workers=7).pools.cpu.workers == 7
    assert load_cluster("slurm", ("pools.gpu.queue=a100",)).pools.gpu.queue == "a100"
