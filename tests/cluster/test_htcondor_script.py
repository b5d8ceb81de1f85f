"""The submit descriptions for HTCondor and for CERN's pool, word for word."""

import sys
from pathlib import Path
from typing import Any

import pytest

from cluster import htcondor
from cluster.batch_system import JobRequest
from cluster.opening import KINDS
from cluster.scheduler_process import python_path
from cluster.security import TlsFiles
from cluster.settings import ClusterSettings, PoolSettings

TLS = TlsFiles("/run/private/cert.pem", "/run/private/cert.pem", "/run/private/key.pem")
CONNECT = "export DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=120s"
WORKER = (
    "--nthreads {threads} --memory-limit {memory} {several}--nanny --death-timeout 120 {local}--resources {tag} "
    "--preload cluster.worker_setup --no-dashboard --dashboard-address 127.0.0.1:0 {ports}--protocol tls:// "
    "--tls-ca-file /run/private/cert.pem --tls-cert /run/private/cert.pem --tls-key /run/private/key.pem"
)


def request(pool: str) -> JobRequest:
    return JobRequest("hepbatch-00c0ffee", pool, f"{pool}-4", "tls://10.0.0.1:8786", Path(f"/run/logs/{pool}-4.log"))


@pytest.fixture(autouse=True)
def _own_dask_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path))  # dask-lxplus writes a file there when it is imported


def test_a_job_of_the_cpu_pool() -> None:
    from cluster.htcondor import render

    pool = PoolSettings.model_validate(
        {"workers": 8, "threads": 2, "memory": "2GiB", "disk": "5GiB", "walltime": "1h", "account": "atlas.higgs",
         "setup": ["source $(dirname /opt/x)/setup.sh 'a b'"],
         "directives": {"requirements": 'OpSysAndVer == "AlmaLinux9"'}}
    )  # fmt: skip
    worker = WORKER.format(threads=2, memory="2.00GiB", several="", local="", tag="CPU=2", ports="")
    assert (
        render(request("cpu"), pool, TLS)
        == f"""\
# cpu-4 of hepbatch-00c0ffee-cpu

MY.DaskWorkerName = "htcondor--$F(MY.JobId)--"
batch_name = hepbatch-00c0ffee-cpu
RequestCpus = 2
RequestMemory = 2253
RequestDisk = floor(MY.DaskWorkerDisk / 1024)
MY.JobId = "$(ClusterId).$(ProcId)"
MY.DaskWorkerCores = 2
MY.DaskWorkerMemory = 2147483648
MY.DaskWorkerDisk = 5368709120
Output = /run/logs/cpu-4.log
Log = /run/logs/cpu-4.events
Stream_Output = True
+MaxRuntime = 3600
accounting_group = atlas.higgs
requirements = OpSysAndVer == "AlmaLinux9"

Arguments = "-c 'exec 2>&1; export PYTHONPATH={python_path()}; {CONNECT}; export HEPBATCH_GPUS=0; export \
HEPBATCH_STAGGER=360; export CUDA_VISIBLE_DEVICES=''''; \
now=`date +%s`; export HEPBATCH_JOB_END=`expr $now + 3600` HEPBATCH_RETIRE_AT=`expr $now + 3240`; \
source $(DOLLAR)(dirname /opt/x)/setup.sh ''a b''; exec {sys.executable} -m distributed.cli.dask_worker \
tls://10.0.0.1:8786 --name cpu-4 {worker}'"
Executable = /bin/sh

Queue
"""
    )


def test_a_job_of_the_gpu_pool_in_a_container() -> None:
    from cluster.htcondor import render

    pool = PoolSettings.model_validate(
        {"workers": 2, "processes": 2, "gpus": 1, "cores": 8, "memory": "8GiB", "job_memory": "20GiB", "walltime": "2h",
         "container": "docker://registry/hepbatch:1", "python": "python3", "scratch": "/scratch"}
    )  # fmt: skip
    worker = WORKER.format(
        threads=1, memory="8.00GiB", several="--nworkers 2 ", local="--local-directory /scratch ", tag="GPU=1", ports=""
    )
    assert (
        render(request("gpu"), pool, TLS)
        == f"""\
# gpu-4 of hepbatch-00c0ffee-gpu

MY.DaskWorkerName = "htcondor--$F(MY.JobId)--"
batch_name = hepbatch-00c0ffee-gpu
RequestCpus = 8
RequestMemory = 20480
RequestDisk = floor(MY.DaskWorkerDisk / 1024)
MY.JobId = "$(ClusterId).$(ProcId)"
MY.DaskWorkerCores = 2
MY.DaskWorkerMemory = 17179869184
MY.DaskWorkerDisk = 10737418240
universe = container
container_image = docker://registry/hepbatch:1
Output = /run/logs/gpu-4.log
Log = /run/logs/gpu-4.events
Stream_Output = True
+MaxRuntime = 7200
request_gpus = 2

Arguments = "-c 'exec 2>&1; {CONNECT}; export HEPBATCH_GPUS=1; export HEPBATCH_STAGGER=720; now=`date +%s`; export \
HEPBATCH_JOB_END=`expr $now + 7200` HEPBATCH_RETIRE_AT=`expr $now + 6480`; exec python3 -m distributed.cli.dask_worker \
tls://10.0.0.1:8786 --name gpu-4 {worker}'"
Executable = /bin/sh

Queue
"""
    )


ON_AFS = """\
Output = /run/logs/gpu-4.log
Log = /run/logs/gpu-4.events
MY.SendCredential = True
initialdir = /run/logs
+JobFlavour = "workday"
"""
ON_EOS = """\
Output = gpu-4.log
MY.SendCredential = True
+JobFlavour = "workday"
"""


@pytest.mark.parametrize(
    ("spool", "paths", "speaks"), [(False, ON_AFS, "exec 2>&1"), (True, ON_EOS, "exec >>/run/logs/gpu-4.log 2>&1")]
)
def test_a_job_at_cern(spool: bool, paths: str, speaks: str) -> None:
    from cluster.htcondor import render_lxplus

    pool = PoolSettings.model_validate(
        {"workers": 2, "gpus": 1, "cores": 4, "memory": "10GiB", "walltime": "8h", "retire_before": "1h",
         "job_flavour": "workday", "container": "/cvmfs/unpacked.cern.ch/hepbatch:1", "python": "python3",
         "directives": {"MY.SendCredential": "True"}}
    )  # fmt: skip
    worker = WORKER.format(
        threads=1, memory="10.00GiB", several="", local="--local-directory /tmp/ ", tag="GPU=1",
        ports="--worker-port 10000:10100 ",
    )  # fmt: skip
    assert (
        render_lxplus(request("gpu"), pool, TLS, spool)
        == f"""\
# gpu-4 of hepbatch-00c0ffee-gpu

MY.DaskWorkerName = "htcondor--$F(MY.JobId)--"
batch_name = hepbatch-00c0ffee-gpu
RequestCpus = 4
RequestMemory = 11264
RequestDisk = floor(MY.DaskWorkerDisk / 1024)
MY.JobId = "$(ClusterId).$(ProcId)"
MY.DaskWorkerCores = 1
MY.DaskWorkerMemory = 10737418240
MY.DaskWorkerDisk = 10737418240
transfer_output_files = ""
JobBatchName = "hepbatch-00c0ffee-gpu"
{paths}MY.IsDaskWorker = true
request_gpus = 1
MY.SingularityImage = "/cvmfs/unpacked.cern.ch/hepbatch:1"
universe = vanilla

Arguments = "-c '{speaks}; {CONNECT}; export HEPBATCH_GPUS=1; export HEPBATCH_STAGGER=2880; now=`date +%s`; export \
HEPBATCH_JOB_END=`expr $now + 28800` HEPBATCH_RETIRE_AT=`expr $now + 25200`; exec python3 -m \
distributed.cli.dask_worker tls://10.0.0.1:8786 --name gpu-4 {worker}'"
Executable = /bin/sh

Queue
"""
    )


class Spoken(htcondor.HTCondor):
    """An HTCondor that answers without being there, and remembers what it was asked."""

    def command(self, *words: str) -> str:
        COMMANDS.append(words)
        return "1 job(s) submitted to cluster 17." if words[0] == "condor_submit" else ANSWER


COMMANDS: list[tuple[str, ...]] = []
ANSWER = "17.0|5|16|Spooling input data files\n18.0|5|13|Transfer input files failure\n19.0|1|0|\n20.0|4|0|\n"


@pytest.mark.parametrize(("directory", "spooled"), [("/eos/user/l/lab/run", True), ("/afs/cern.ch/user/l/lab", False)])
def test_from_eos_jobs_are_spooled(monkeypatch: pytest.MonkeyPatch, directory: str, spooled: bool) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("cluster.opening.open_batch", lambda *given: opened.extend(given))
    monkeypatch.setattr("cluster.htcondor.HTCondor", Spoken)
    COMMANDS.clear()
    pool = {"workers": 1, "memory": "2GiB"}
    settings = ClusterSettings.model_validate({"kind": "lxplus", "pools": {"cpu": pool, "gpu": pool}})
    KINDS["lxplus"](settings, Path(directory))
    _, _, system, render = opened
    assert system.submit(Path("/x/cpu-0.job")) == "17.0"
    assert [("condor_submit", *(["-spool"] if spooled else []), "/x/cpu-0.job")] == COMMANDS
    text = render(request("cpu"), settings.pools.cpu, TLS)
    assert ("Output = cpu-4.log" in text) == spooled


def test_a_job_that_is_being_spooled_is_not_stopped() -> None:
    states = Spoken().jobs("hepbatch-00c0ffee")
    assert {number: state.state for number, state in states.items()} == {
        "17.0": "pending",
        "18.0": "held",
        "19.0": "pending",
    }
    assert states["18.0"].reason == "Transfer input files failure"


def test_an_environment_as_an_archive() -> None:
    from cluster.htcondor import render

    pool = PoolSettings.model_validate({"workers": 1, "memory": "2GiB", "archive": "/eos/me/hepbatch env.tar.gz"})
    text = render(request("cpu"), pool, TLS)
    assert "tar -xzf ''/eos/me/hepbatch env.tar.gz'' -C " in text
    assert 'exec ""$HEPBATCH_ENVIRONMENT/bin/python"" -m distributed.cli.dask_worker' in text
    assert "export PYTHONPATH" not in text


def test_every_kind_that_the_settings_name_can_be_opened() -> None:
    from typing import get_args

    from cluster.settings import Kind

    assert set(KINDS) == set(get_args(Kind))
