"""A real Slurm of one's own on the loopback interface: slurmctld and two nodes of this machine, with fake GPUs."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.packages import installed

NODES, CPUS, GPUS, MEMORY = 2, 8, 2, 16000


@dataclass(frozen=True)
class SlurmSite:
    """The site: `environment` makes sbatch and its like speak to it."""

    environment: dict[str, str]

    def command(self, *words: str) -> str:
        """Output of a Slurm command."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    def queue(self, form: str = "%i %j %t %b") -> list[str]:
        """A line for every job that is not over."""
        return self.command("squeue", "--noheader", f"--format={form}").splitlines()

    def empty(self) -> None:
        """Ends what a test that failed has left in the queue."""
        numbers = self.queue("%i")
        if numbers:
            self.command("scancel", *numbers)
        until = time.monotonic() + 60
        while self.queue() and time.monotonic() < until:
            time.sleep(0.2)


@contextmanager
def slurm_site(directory: Path) -> Iterator[SlurmSite]:
    """Starts Slurm in `directory` and ends all its processes on leaving. Installs it where it is absent (as root)."""
    installed(("slurmctld", "slurmd", "squeue"), ("slurmctld", "slurmd", "slurm-client"))
    configuration = _configure(directory)
    site = SlurmSite({"SLURM_CONF": str(configuration)})
    with ExitStack() as stack:
        # The programs of these names, not their -wlm twins: the daemons compare names, and lose the GPUs otherwise.
        stack.enter_context(_daemon(["/usr/sbin/slurmctld", "-D", "-c"], directory / "slurmctld.out", site))
        for number in range(NODES):
            words = ["/usr/sbin/slurmd", "-D", "-N", f"n{number}"]
            stack.enter_context(_daemon(words, directory / f"slurmd-n{number}.out", site))
        stack.callback(site.empty)
        _await_nodes(site, directory)
        yield site


@contextmanager
def _daemon(words: list[str], output: Path, site: SlurmSite) -> Iterator[None]:
    with output.open("wb") as log:
        process = subprocess.Popen(words, env={**os.environ, **site.environment}, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_nodes(site: SlurmSite, directory: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        asked = subprocess.run(
            ["sinfo", "--noheader", "--partition=main", "-N", "-o", "%T"],
            env={**os.environ, **site.environment}, capture_output=True, text=True,
        )  # fmt: skip
        if asked.stdout.split() == ["idle"] * NODES:
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text()[-1000:] for path in directory.glob("*.out"))
    raise RuntimeError(f"Slurm did not start: {asked.stdout}{asked.stderr}\n{logs}")


def _configure(directory: Path) -> Path:
    host = socket.gethostname().partition(".")[0]
    control, *nodes = _free_ports(NODES + 1)
    etc = directory / "etc"
    for path in (etc, directory / "state", directory / "dev"):
        path.mkdir(parents=True)
    lines = [
        "ClusterName=lab", f"SlurmctldHost={host}(127.0.0.1)", f"SlurmctldPort={control}", "SlurmUser=root",
        "SlurmdUser=root", "AuthType=auth/none", "CredType=cred/none", f"StateSaveLocation={directory}/state",
        f"SlurmdSpoolDir={directory}/spool-%n", f"SlurmctldPidFile={directory}/slurmctld.pid",
        f"SlurmdPidFile={directory}/slurmd-%n.pid", f"PlugStackConfig={etc}/plugstack.conf",
        "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none", "JobCompType=jobcomp/none", "SwitchType=switch/none",
        "MpiDefault=none", "SelectType=select/cons_tres", "SelectTypeParameters=CR_Core_Memory",
        "SlurmdParameters=config_overrides",
        "SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0",
        "ReturnToService=2", "KillWait=5", "InactiveLimit=0", "MinJobAge=60", "SlurmctldTimeout=30", "SlurmdTimeout=30",
        "GresTypes=gpu", "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny", "MailProg=/bin/true",
        "DefMemPerCPU=100",
    ]  # fmt: skip
    gres = []
    for number, port in enumerate(nodes):
        lines.append(
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory={MEMORY} "
            f"Gres=gpu:{GPUS} State=UNKNOWN"
        )
        for device in range(GPUS):
            # A character device, this one /dev/null's twin: Slurm sets CUDA_VISIBLE_DEVICES for nothing else.
            os.mknod(directory / "dev" / f"n{number}-gpu{device}", 0o20666, os.makedev(1, 3))
        (directory / f"spool-n{number}").mkdir()
        gres.append(f"NodeName=n{number} Name=gpu File={directory}/dev/n{number}-gpu[0-{GPUS - 1}]")
    lines += [
        "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO",
        "PartitionName=closed Nodes=ALL MaxTime=INFINITE State=DOWN",
        "PartitionName=elsewhere Nodes=ALL MaxTime=INFINITE State=UP AllocNodes=another-host",
    ]
    (etc / "plugstack.conf").touch()
    (etc / "gres.conf").write_text("\n".join(gres) + "\n")
    (etc / "slurm.conf").write_text("\n".join(lines) + "\n")
    return etc / "slurm.conf"


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
