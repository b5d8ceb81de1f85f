"""A cluster that exists, by its address: its tags are checked, its workers are left alone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import distributed
import pytest
from distributed import Client, LocalCluster

from cluster.errors import ClusterError
from cluster.opening import open_cluster
from cluster.pools import tagged_workers
from cluster.probe import probe
from cluster.settings import ClusterSettings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[{"CPU": 1.0}, {}], ids=["tagged", "untagged"])
def facility(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, float]]]:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0", resources=request.param,
    ) as there:  # fmt: skip
        yield there.scheduler_address, request.param


def settings(address: str, **keys: Any) -> ClusterSettings:
    pools = {"cpu": {"start_limit": 2, "untagged": keys.pop("untagged", False)}, "gpu": {"start_limit": 2}}
    return ClusterSettings.model_validate({"kind": "address", "address": address, "pools": pools, **keys})


@contextmanager
def bare(program: str, directory: Path, *options: str) -> Iterator[None]:
    """A scheduler or worker whose Python has the installed packages, but nothing of ours."""
    packages = Path(distributed.__file__).parent.parent
    start = f"import sys; sys.path.append({str(packages)!r}); from distributed.cli.dask_{program} import main; main()"
    common = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
    with (directory / f"{program}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", start, *options, *common], cwd=directory, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def test_tags_are_checked_and_workers_stay(facility: tuple[str, dict[str, float]], tmp_path: Path) -> None:
    address, resources = facility
    with open_cluster(settings(address, untagged=not resources), tmp_path) as cluster:
        cluster.need("cpu")
        assert len(tagged_workers(cluster.client, cluster.tag("cpu"))) == 1
        assert cluster.facts() == {"scheduler": address, "pools": {"cpu": {"workers": 1}}}
        with pytest.raises(ClusterError, match=r"no worker with the tag GPU after 2 s: its 1 workers have the tags"):
            cluster.need("gpu")
        cluster.release("cpu")
    with open_cluster(settings(address), tmp_path) as cluster:
        assert len(cluster.client.scheduler_info()["workers"]) == 1
        if not resources:
            with pytest.raises(ClusterError, match=r"pools\.cpu\.untagged: true would use the 1 workers"):
                cluster.need("cpu")


def test_code_travels_to_workers_without_it(tmp_path: Path) -> None:
    ours = "__import__('cluster.probe', fromlist=['*']).__file__"
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        stack.enter_context(bare("scheduler", tmp_path, "--port", "0", "--scheduler-file", str(file)))
        stack.enter_context(
            bare("worker", tmp_path, "--scheduler-file", str(file), "--name", "bare", "--nthreads", "1", "--no-nanny",
                 "--resources", "CPU=1")
        )  # fmt: skip
        client = stack.enter_context(Client(scheduler_file=str(file), timeout=60))
        client.wait_for_workers(1)
        address = client.scheduler_info()["address"]
        with open_cluster(settings(address), tmp_path) as cluster:
            (failed,) = cluster.client.run(eval, ours, on_error="return").values()
            assert isinstance(failed, ModuleNotFoundError)
        with open_cluster(settings(address, ship_code=True), tmp_path) as cluster:
            cluster.need("cpu")
            place = cluster.client.submit(probe, None, resources={"CPU": 1}, pure=False).result()
            assert place.worker == "bare"
            (found,) = cluster.client.run(eval, ours).values()
            assert "hepbatch-code.zip" in found


def test_nobody_at_the_address(tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        open_cluster(settings("tcp://127.0.0.1:9"), tmp_path),
    ):
        pass
