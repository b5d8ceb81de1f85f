"""The scripts of a driver that is a batch job, word for word."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.driver_job import DriverRecord, DriverRequest, driver_record, render_htcondor, render_slurm
from cluster.scheduler_process import python_path
from cluster.settings import ClusterSettings, DriverSettings

REQUEST = DriverRequest(
    "hepbatch-00c0ffee",
    ["/opt/bin/python", "-P", "-m", "analysis.driver_process", "/data/run", "skim", "higgs4l", "--set", "a={b: 'c'}"],
    Path("/home/jane"),
    Path("/data/run/logs/driver.log"),
    {"X509_USER_PROXY": "/data/run/private-driver/x509_proxy.pem"},
)
LAST = "exec /opt/bin/python -P -m analysis.driver_process /data/run skim higgs4l --set 'a={b: '\"'\"'c'\"'\"'}'"


def test_a_driver_for_slurm() -> None:
    driver = DriverSettings.model_validate(
        {
            "where": "job", "walltime": "2 days", "stop_before": "4 min", "queue": "long", "account": "atlas",
            "qos": "low", "cores": 1, "memory": "3GiB", "directives": ["--constraint=rome"],
            "setup": ["module load slurm"],
        }
    )  # fmt: skip
    assert (
        render_slurm(REQUEST, driver)
        == f"""\
#!/usr/bin/env bash
#SBATCH -J hepbatch-00c0ffee-driver
#SBATCH -p long
#SBATCH -A atlas
#SBATCH --qos=low
#SBATCH -n 1
#SBATCH --cpus-per-task=1
#SBATCH --mem=3072M
#SBATCH -t 48:00:00
#SBATCH -D /home/jane
#SBATCH -o /data/run/logs/driver.log
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@240
#SBATCH --requeue
#SBATCH --constraint=rome
export X509_USER_PROXY=/data/run/private-driver/x509_proxy.pem
export PYTHONPATH={python_path()}
module load slurm
{LAST}
"""
    )


def test_a_driver_for_htcondor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "HOME", "BEARER_TOKEN"):
        monkeypatch.setenv(name, f"/{name}")
    monkeypatch.setattr("cluster.driver_job.KEPT", ("PATH", "HOME"))
    driver = DriverSettings.model_validate(
        {"where": "job", "account": "atlas", "job_flavour": "tomorrow", "directives": {"MY.SendCredential": "True"}}
    )
    description, script = render_htcondor(REQUEST, driver, Path("/data/run/logs/driver.sh"))
    assert (
        description
        == """\
executable = /bin/bash
arguments = "'/data/run/logs/driver.sh'"
transfer_executable = False
initialdir = /home/jane
batch_name = hepbatch-00c0ffee-driver
RequestCpus = 2
RequestMemory = 4096
log = /data/run/logs/driver.events
+MaxRuntime = 86400
job_max_vacate_time = 300
on_exit_remove = ExitCode =!= 75
accounting_group = atlas
+JobFlavour = "tomorrow"
MY.SendCredential = True
queue 1
"""
    )
    assert (
        script
        == f"""\
#!/usr/bin/env bash
exec >>/data/run/logs/driver.log 2>&1
cd /home/jane || exit 1
export PATH=/PATH
export HOME=/HOME
export X509_USER_PROXY=/data/run/private-driver/x509_proxy.pem
export PYTHONPATH={python_path()}
{LAST}
"""
    )


def test_the_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert driver_record(tmp_path) is None
    record = DriverRecord("slurm", "hepbatch-1", "driver.job", 10, 3600.0, job="7", ended=0)
    record.save(tmp_path)
    assert driver_record(tmp_path) == record


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"kind": "local", "driver": {"where": "job"}}, "means nothing for the kind local"),
        ({"kind": "local", "driver": {"queue": "long"}}, "driver.queue means nothing for the kind local"),
        ({"kind": "local", "driver": {"walltime": 60, "stop_before": 60}}, "stop_before must be less"),
        ({"kind": "local", "credentials": {"copy_proxy": True}}, "copy_proxy needs x509_proxy"),
        ({"kind": "local", "credentials": {"x509_proxy": 3}}, "expected true, false or a path"),
        (
            {"kind": "local", "credentials": {"copy_proxy": True, "x509_proxy": True}},
            "credentials.copy_proxy means nothing for the kind local",
        ),
    ],
)
def test_a_mistake_is_named(content: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ClusterSettings.model_validate(content)
