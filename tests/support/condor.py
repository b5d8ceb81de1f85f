"""A real HTCondor of one's own on the loopback interface, with fake GPUs, and a user who may submit to it.

Debian 12 has no HTCondor: it runs in a root directory of a newer Debian, made once per machine, which shows this
machine's Python, this project and /tmp at their own places.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.packages import installed

USER = 1500
CPUS, GPUS = 8, 2
PROJECT = Path(__file__).resolve().parents[2]
# Where coffea-casa has its certificates; in the pool's world this is `secrets` of its directory.
SECRETS = Path("/etc/cmsaf-secrets")
ROOT = Path("/var/tmp/hepbatch-tests/condor-root")  # noqa: S108  (made by root, for root)


@dataclass(frozen=True)
class CondorSite:
    """The pool; commands run in its world, as its user, in `home`."""

    home: Path
    master: int

    def words(self, *words: str, **more: str) -> list[str]:
        """A command line that runs `words` in the pool's world, with `more` environment variables."""
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.home), "USER": "lab", "LOGNAME": "lab",
            "CONDOR_CONFIG": str(self.home / "condor_config"), "DASK_CONFIG": str(self.home / "dask"),
            "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": str(self.home / "mpl"), **more,
        }  # fmt: skip
        enter = ["nsenter", "-t", str(self.master), "-m", "-r", "-S", str(USER), "-G", str(USER)]
        setting = [f"{name}={value}" for name, value in variables.items()]
        return [*enter, "env", "-i", *setting, "/bin/sh", "-c", 'cd "$HOME" && exec "$@"', "sh", *words]

    def run(self, *words: str | Path, timeout: float = 600, **more: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command in the pool's world, with `more` environment variables."""
        return subprocess.run(
            self.words(*map(str, words), **more), capture_output=True, text=True, timeout=timeout, check=False
        )

    def queue(self) -> list[str]:
        """A line for every job in the queue: batch name, status, GPUs asked for."""
        return self.run("condor_q", "-allusers", "-af", "JobBatchName", "JobStatus", "RequestGPUs").stdout.splitlines()


def give(*paths: Path) -> None:
    """Makes paths those of the pool's user."""
    for path in paths:
        os.chown(path, USER, USER)


@contextmanager
def condor_site() -> Iterator[CondorSite]:
    """Starts HTCondor in a directory of its own, and ends all its processes on leaving."""
    _make_root()
    # Not one of pytest's: those are for one user, and each session sees to that again.
    with (
        tempfile.TemporaryDirectory(prefix="hepbatch-condor-", dir="/tmp") as directory,
        _started(Path(directory)) as site,
    ):
        yield site


@contextmanager
def _started(directory: Path) -> Iterator[CondorSite]:
    for name in ("log", "spool", "execute", "lock", "tokens", "dask", "secrets"):
        (directory / name).mkdir(parents=True)
    (directory / "condor_config").write_text(_configuration(directory))
    give(*(directory, *directory.rglob("*")))
    with (directory / "master.out").open("wb") as log:
        master = subprocess.Popen(
            ["unshare", "-m", "bash", "-c", _mounts(directory)], stdout=log, stderr=log, start_new_session=True
        )
    site = CondorSite(directory, master.pid)
    try:
        _await_pool(site)
        yield site
    finally:
        site.run("condor_rm", "-all")
        master.terminate()  # it ends its daemons in order
        try:
            master.wait(60)
        except subprocess.TimeoutExpired:
            master.kill()
            master.wait()


def _make_root() -> None:
    if (ROOT / "usr/sbin/condor_master").exists():
        return
    if os.geteuid() != 0:
        pytest.skip("needs root to make a root directory for HTCondor")
    installed(("debootstrap",), ("debootstrap",))
    mirror = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    making = ROOT.with_name(f"{ROOT.name}.{os.getpid()}")
    making.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["debootstrap", "--variant=minbase", "trixie", making, mirror], check=True, capture_output=True)
    policy = making / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    subprocess.run(
        ["chroot", making, "apt-get", "install", "-y", "--no-install-recommends", "condor"],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=True, capture_output=True,
    )  # fmt: skip
    for table in ("passwd", "group"):
        with (making / "etc" / table).open("a") as file:
            file.write(f"lab:x:{USER}:{USER}:lab:/tmp:/bin/sh\n" if table == "passwd" else f"lab:x:{USER}:\n")
    shutil.rmtree(ROOT, ignore_errors=True)
    making.rename(ROOT)


def _mounts(directory: Path) -> str:
    """Shell lines that show this machine's Python, packages and /tmp in the root directory, and start HTCondor."""
    shown = {Path(sys.base_prefix), Path(sys.prefix).resolve(), PROJECT, Path("/tmp")}  # noqa: S108
    lines = ["mount --make-rprivate /"]
    for path in sorted(shown):
        if path != Path("/tmp") and path.is_relative_to("/tmp"):  # noqa: S108
            continue
        lines += [f"mkdir -p '{ROOT}{path}'", f"mount --bind '{path}' '{ROOT}{path}'"]
        for parent in path.parents:
            lines.append(f"chmod a+x '{ROOT}{parent}'")
    lines += [
        f"mkdir -p '{ROOT}{SECRETS}'",
        f"mount --bind '{directory}/secrets' '{ROOT}{SECRETS}'",
        f"mount -t proc proc '{ROOT}/proc'",
        f"mount --rbind /dev '{ROOT}/dev'",
        f"exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME='{directory}' USER=lab "
        f"CONDOR_CONFIG='{directory}/condor_config' chroot --userspec={USER}:{USER} '{ROOT}' condor_master -f",
    ]
    return "\n".join(["set -e", *lines])


def _await_pool(site: CondorSite) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if "slot" in site.run("condor_status", "-af", "Name").stdout and site.run("condor_q").returncode == 0:
            return
        time.sleep(0.3)
    raise RuntimeError(f"HTCondor did not start: {(site.home / 'master.out').read_text()[-2000:]}")


def _configuration(directory: Path) -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    devices = ",".join(f"fake-gpu{number}" for number in range(GPUS))
    return f"""
LOCAL_DIR = {directory}
LOG = {directory}/log
SPOOL = {directory}/spool
EXECUTE = {directory}/execute
LOCK = {directory}/lock
RUN = {directory}/lock
RELEASE_DIR = /usr
LIBEXEC = /usr/libexec/condor
REQUIRE_LOCAL_CONFIG_FILE = False
LOCAL_CONFIG_DIR =
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
NO_DNS = True
DEFAULT_DOMAIN_NAME = lab
UID_DOMAIN = lab
FILESYSTEM_DOMAIN = lab
TRUST_UID_DOMAIN = True
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD
USE_SHARED_PORT = True
SHARED_PORT_ARGS = -p {port}
DAEMON_SOCKET_DIR = {directory}/lock/sock
SEC_DEFAULT_AUTHENTICATION = OPTIONAL
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, CLAIMTOBE
SEC_DEFAULT_ENCRYPTION = OPTIONAL
SEC_DEFAULT_INTEGRITY = OPTIONAL
SEC_TOKEN_DIRECTORY = {directory}/tokens
SEC_PASSWORD_DIRECTORY = {directory}/tokens
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_ADMINISTRATOR = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
NUM_CPUS = {CPUS}
MEMORY = 16000
NUM_SLOTS = 1
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
MACHINE_RESOURCE_GPUs = {devices}
ENVIRONMENT_FOR_AssignedGPUs = CUDA_VISIBLE_DEVICES
START = True
SUSPEND = False
PREEMPT = False
KILL = False
WANT_SUSPEND = False
WANT_VACATE = False
IsOwner = False
CLAIM_WORKLIFE = 0
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 5
STARTD_HAS_BAD_UTMP = True
RUNBENCHMARKS = False
STARTD_CRON_JOBLIST =
STARTER_ALLOW_RUNAS_OWNER = True
DISCARD_SESSION_KEYRING_ON_STARTUP = False
"""
