"""Pools of this machine: each starts when it is needed, and ends when it is released or the scheduler is gone."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from cluster.errors import SchedulerGone
from cluster.local import LOOPBACK
from cluster.opening import open_cluster
from cluster.pools import Cluster, tagged_workers
from cluster.settings import ClusterSettings

SETTINGS = ClusterSettings.model_validate({"kind": "local", "pools": {"cpu": {"workers": 2}, "gpu": {"workers": 1}}})

pytestmark = pytest.mark.slow


def names(cluster: Cluster) -> set[str]:
    return {str(facts["name"]) for facts in cluster.client.scheduler_info()["workers"].values()}


def test_pools_come_and_go(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with open_cluster(SETTINGS, tmp_path) as cluster:
        assert names(cluster) == set()
        cluster.need("cpu")
        assert names(cluster) == {"cpu-0", "cpu-1"}
        assert cluster.facts()["pools"].keys() == {"cpu"}
        cluster.need("cpu")
        assert names(cluster) == {"cpu-0", "cpu-1"}
        cluster.release("cpu")
        cluster.need("gpu")
        assert names(cluster) == {"gpu-0"}
        assert len(tagged_workers(cluster.client, "GPU")) == 1
        cluster.need("cpu")
        assert names(cluster) == {"cpu-0", "cpu-1", "gpu-0"}
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = {
            connection.laddr.ip
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {LOOPBACK}
    after = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert not [one for one in after if "resource_tracker" not in " ".join(one.cmdline())]


def test_a_scheduler_that_is_gone_is_said(tmp_path: Path) -> None:
    with open_cluster(SETTINGS, tmp_path) as cluster:
        cluster.need("gpu")
        (scheduler,) = [
            process
            for process in psutil.Process().children(recursive=True)
            if "cluster.scheduler_process" in " ".join(process.cmdline())
        ]
        os.kill(scheduler.pid, signal.SIGKILL)
        scheduler.wait()
        with pytest.raises(SchedulerGone):
            cluster.need("cpu")
