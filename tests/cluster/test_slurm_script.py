"""The job scripts for Slurm, word for word."""

import sys
from pathlib import Path

import pytest

from cluster.batch_system import JobRequest
from cluster.scheduler_process import python_path
from cluster.security import TlsFiles
from cluster.settings import PoolSettings
from cluster.slurm import clock, render

TLS = TlsFiles("/run/private/cert.pem", "/run/private/cert.pem", "/run/private/key.pem")


def request(pool: str) -> JobRequest:
    return JobRequest("hepbatch-00c0ffee", pool, f"{pool}-4", "tls://10.0.0.1:8786", Path(f"/run/logs/{pool}-4.log"))


def test_a_job_of_the_cpu_pool() -> None:
    pool = PoolSettings.model_validate(
        {
            "workers": 8, "threads": 2, "processes": 4, "memory": "2GiB", "walltime": "02:00:00", "queue": "short",
            "account": "atlas", "qos": "normal", "directives": ["--constraint=haswell", "--licenses=scratch"],
            "environment": {"OMP_NUM_THREADS": "1"}, "setup": ["module load cvmfs"], "scratch": "$TMPDIR",
        }
    )  # fmt: skip
    assert (
        render(request("cpu"), pool, TLS)
        == f"""\
#!/usr/bin/env bash

#SBATCH -J hepbatch-00c0ffee-cpu
#SBATCH -p short
#SBATCH -A atlas
#SBATCH -n 1
#SBATCH --cpus-per-task=8
#SBATCH --mem=9012M
#SBATCH -t 2:00:00
#SBATCH -o /run/logs/cpu-4.log
#SBATCH --open-mode=append
#SBATCH --qos=normal
#SBATCH --constraint=haswell
#SBATCH --licenses=scratch
export PYTHONPATH={python_path()}
export DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=120s
export HEPBATCH_GPUS=0
export HEPBATCH_STAGGER=720
export OMP_NUM_THREADS=1
export CUDA_VISIBLE_DEVICES=''
now=`date +%s`
export HEPBATCH_JOB_END=`expr $now + 7200` HEPBATCH_RETIRE_AT=`expr $now + 6480`
module load cvmfs
{sys.executable} -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name cpu-4 --nthreads 2 --memory-limit 2.00GiB \
--nworkers 4 --nanny --death-timeout 120 --local-directory $TMPDIR --resources CPU=2 --preload cluster.worker_setup \
--no-dashboard --dashboard-address 127.0.0.1:0 --protocol tls:// --tls-ca-file /run/private/cert.pem \
--tls-cert /run/private/cert.pem --tls-key /run/private/key.pem
"""
    )


def test_a_job_of_the_gpu_pool_in_a_container() -> None:
    pool = PoolSettings.model_validate(
        {
            "workers": 4, "processes": 2, "gpus": 1, "cores": 16, "memory": "32GiB", "job_memory": "80GiB",
            "walltime": "1 day", "retire_before": "1h", "queue": "gpu", "gpu_request": "--gpus=a100:{gpus}",
            "container": "/cvmfs/images/hepbatch.sif", "container_command": "apptainer exec --nv {image}",
            "python": "/opt/conda/bin/python",
        }
    )  # fmt: skip
    assert (
        render(request("gpu"), pool, TLS)
        == """\
#!/usr/bin/env bash

#SBATCH -J hepbatch-00c0ffee-gpu
#SBATCH -p gpu
#SBATCH -n 1
#SBATCH --cpus-per-task=16
#SBATCH --mem=81920M
#SBATCH -t 24:00:00
#SBATCH -o /run/logs/gpu-4.log
#SBATCH --open-mode=append
#SBATCH --gpus=a100:2
export DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=120s
export HEPBATCH_GPUS=1
export HEPBATCH_STAGGER=3600
now=`date +%s`
export HEPBATCH_JOB_END=`expr $now + 86400` HEPBATCH_RETIRE_AT=`expr $now + 82800`
apptainer exec --nv /cvmfs/images/hepbatch.sif /opt/conda/bin/python -m distributed.cli.dask_worker \
tls://10.0.0.1:8786 --name gpu-4 --nthreads 1 --memory-limit 32.00GiB --nworkers 2 --nanny --death-timeout 120 \
--resources GPU=1 --preload cluster.worker_setup --no-dashboard --dashboard-address 127.0.0.1:0 --protocol tls:// \
--tls-ca-file /run/private/cert.pem --tls-cert /run/private/cert.pem --tls-key /run/private/key.pem
"""
    )


@pytest.mark.parametrize(("duration", "text"), [(40, "0:00:40"), (5400, "1:30:00"), (172800, "48:00:00")])
def test_durations_for_slurm(duration: float, text: str) -> None:
    assert clock(duration) == text
