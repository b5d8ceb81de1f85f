"""A cluster that exists, by its address: its tags are checked, its workers are left alone."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest
from distributed import Client, LocalCluster

from cluster.code import PACKAGES, fingerprint, forget, pack
from cluster.errors import ClusterError
from cluster.opening import open_cluster
from cluster.pools import tagged_workers
from cluster.probe import probe
from cluster.security import run_certificates
from cluster.settings import ClusterSettings, CredentialSettings
from cluster.versions import check_code

PROJECT = Path(__file__).resolve().parents[2]

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
def bare(program: str, directory: Path, *options: str, also: Path | None = None) -> Iterator[None]:
    """A scheduler or worker whose Python has the installed packages, but nothing of ours unless it is in `also`."""
    paths = [str(Path(distributed.__file__).parent.parent), *([str(also)] if also else [])]
    start = f"import sys; sys.path += {paths!r}; from distributed.cli.dask_{program} import main; main()"
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


@contextmanager
def bare_cluster(directory: Path, also: Path | None = None) -> Iterator[str]:
    """A scheduler and a worker without our code, or with that in `also`; gives the address."""
    file = directory / "scheduler.json"
    with ExitStack() as stack:
        stack.enter_context(bare("scheduler", directory, "--port", "0", "--scheduler-file", str(file), also=also))
        stack.enter_context(
            bare("worker", directory, "--scheduler-file", str(file), "--name", "bare", "--nthreads", "1", "--no-nanny",
                 "--resources", "CPU=1", also=also)
        )  # fmt: skip
        with Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(1)
            address = str(client.scheduler_info()["address"])
        yield address


def test_code_travels_to_workers_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "my_processor.py").write_text("CUT = 25.0\n")
    monkeypatch.syspath_prepend(mine)
    with bare_cluster(tmp_path) as address:
        with (
            pytest.raises(ClusterError, match=r"other code of hepbatch than this one, or none .*set ship_code"),
            open_cluster(settings(address), tmp_path),
        ):
            pass
        ship = settings(address, ship_code=True, own_modules=["my_processor"])
        with open_cluster(ship, tmp_path) as cluster:
            cluster.need("cpu")
            place = cluster.client.submit(probe, None, CredentialSettings(), resources={"CPU": 1}, pure=False).result()
            assert place.worker == "bare"
            (found,) = cluster.client.run(eval, "__import__('cluster').__file__").values()
            assert "hepbatch-code.zip" in found
        for cut in (30.0, 35.0):
            (mine / "my_processor.py").write_text(f"CUT = {cut}\n")
            fingerprint.cache_clear()  # as in another process
            with open_cluster(ship, tmp_path) as cluster:
                cluster.need("cpu")
                assert list(cluster.client.run(eval, "__import__('my_processor').CUT").values()) == [cut]


def test_a_module_that_cannot_be_sent(tmp_path: Path) -> None:
    for module, words in (("nowhere", "finds no module or package nowhere"), ("zlib", "zlib is no Python source")):
        with pytest.raises(ClusterError, match=words):
            pack(tmp_path, [module])


def test_a_worker_with_other_code(tmp_path: Path) -> None:
    """It is not used; when its files are those of the driver, it imports them anew."""
    theirs = tmp_path / "theirs"
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, theirs / package, ignore=shutil.ignore_patterns("__pycache__"))
    changed = theirs / "processors" / "kinematics.py"
    with bare_cluster(tmp_path, also=theirs) as address, ExitStack() as stack:
        first = stack.enter_context(open_cluster(settings(address), tmp_path))
        first.need("cpu")
        first.client.run(__import__, "processors.kinematics")
        stack.close()
        content = changed.read_text()
        changed.write_text(f"{content}\nCHANGED = True\n")
        with open_cluster(settings(address), tmp_path) as second:
            second.need("cpu")  # what it has imported is what the driver has
            second.client.run(eval, forget())
            with pytest.raises(ClusterError, match=r"the worker bare has other code of hepbatch than this one: \w+ "):
                check_code(second.client, worker_names(second.client), renew=True)
            changed.write_text(content)
            check_code(second.client, worker_names(second.client), renew=True)


def worker_names(client: Client) -> dict[str, str]:
    return {address: str(facts["name"]) for address, facts in client.scheduler_info()["workers"].items()}


def test_runs_with_different_code_do_not_share_workers(
    facility: tuple[str, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = facility
    monkeypatch.setattr("cluster.shared_code.LONGEST_LEASE", 1.0)
    with open_cluster(settings(address), tmp_path), open_cluster(settings(address), tmp_path):
        monkeypatch.setattr("cluster.shared_code.fingerprint", lambda *_: "another")
        with pytest.raises(ClusterError, match=r"a run of hepbatch with other code uses the cluster at tcp://"):
            open_cluster(settings(address), tmp_path).__enter__()


def test_certificates_given_or_in_dasks_configuration(tmp_path: Path) -> None:
    with (
        run_certificates(tmp_path / "mounted") as tls,
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", protocol="tls://", security=tls.security(),
            dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0", resources={"CPU": 1},
        ) as there,
    ):  # fmt: skip
        address = there.scheduler_address
        assert address.startswith("tls://")
        with open_cluster(settings(address, certificates=tls.as_dict()), tmp_path) as cluster:
            cluster.need("cpu")
        at = "distributed.comm.tls"
        mounted = {f"{at}.ca-file": tls.ca_file, f"{at}.client.cert": tls.cert, f"{at}.client.key": tls.key}
        with dask.config.set(mounted), open_cluster(settings(address), tmp_path) as cluster:
            cluster.need("cpu")
        with pytest.raises(ClusterError, match=f"{address} speaks TLS: give cluster.certificates, or name them"):
            open_cluster(settings(address), tmp_path).__enter__()
        wrong = settings(address, certificates={**tls.as_dict(), "key": "/nowhere.pem"})
        with pytest.raises(ClusterError, match=r"cluster\.certificates\.key: there is no file /nowhere\.pem"):
            open_cluster(wrong, tmp_path).__enter__()


def test_nobody_at_the_address(tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        open_cluster(settings("tcp://127.0.0.1:9"), tmp_path),
    ):
        pass
