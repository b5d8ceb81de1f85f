"""A real HTCondor of one's own on the loopback interface, with fake GPUs, and a user who may submit to it.

It runs in a root directory of a newer Debian, which shows this machine's Python, this project and /tmp at their own
places.
"""

import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.condor_root import USER, condor_root

CPUS, GPUS = 8, 2
START_LIMIT = 240
PROJECT = Path(__file__).resolve().parents[2]
EOS = Path("/eos")
# Where coffea-casa has its certificates; in the pool's world this is `secrets` of its directory.
SECRETS = Path("/etc/cmsaf-secrets")


@dataclass(frozen=True)
class CondorSite:
    """The pool; commands run at its login node, as its user, in `home`. The nodes see the same files."""

    home: Path
    root: Path
    login: int
    nodes: int

    def words(self, *words: str, **more: str) -> list[str]:
        """A command line that runs `words` at the login node, with `more` environment variables."""
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.home), "USER": "lab", "LOGNAME": "lab",
            "CONDOR_CONFIG": str(self.home / "condor_config"), "DASK_CONFIG": str(self.home / "dask"),
            "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": str(self.home / "mpl"), **more,
        }  # fmt: skip
        enter = ["nsenter", "-t", str(self.login), "-m", "-r", "-S", str(USER), "-G", str(USER)]
        setting = [f"{name}={value}" for name, value in variables.items()]
        return [*enter, "env", "-i", *setting, "/bin/sh", "-c", 'cd "$HOME" && exec "$@"', "sh", *words]

    def run(self, *words: str | Path, timeout: float = 240, **more: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command at the login node, with `more` environment variables."""
        return subprocess.run(
            self.words(*map(str, words), **more), capture_output=True, text=True, timeout=timeout, check=False
        )

    @contextmanager
    def hidden(self, *paths: Path) -> Iterator[None]:
        """The nodes do not see what is in these directories."""
        # What lies within another is hidden with it: the virtual environment of a checkout, for one.
        outer = [path for path in paths if not any(path != other and path.is_relative_to(other) for other in paths)]
        places = [f"{self.root}{path}" for path in outer]
        enter = ["nsenter", "-t", str(self.nodes), "-m"]
        with ExitStack() as stack:
            for place in places:
                subprocess.run([*enter, "mount", "-t", "tmpfs", "none", place], check=True)
                stack.callback(subprocess.run, [*enter, "umount", "-l", place], check=True)
            yield

    def queue(self) -> list[str]:
        """A line for every job in the queue: batch name, status, GPUs asked for."""
        return self.run("condor_q", "-allusers", "-af", "JobBatchName", "JobStatus", "RequestGPUs").stdout.splitlines()

    def empty(self) -> None:
        """Removes what a test that failed has left in the queue."""
        if self.queue():
            self.run("condor_rm", "-all")
            self.run("condor_rm", "-all", "-forcex")


def give(*paths: Path) -> None:
    """Makes paths those of the pool's user."""
    for path in paths:
        os.chown(path, USER, USER)


@contextmanager
def condor_site() -> Iterator[CondorSite]:
    """Starts HTCondor in a directory of its own, and ends all its processes on leaving."""
    root = condor_root()
    # Not one of pytest's: those are for one user, and each session sees to that again.
    with (
        tempfile.TemporaryDirectory(prefix="hepbatch-condor-", dir="/tmp") as directory,
        _started(root, Path(directory)) as site,
    ):
        yield site


@contextmanager
def _started(root: Path, directory: Path) -> Iterator[CondorSite]:
    for name in ("log", "spool", "execute", "lock", "tokens", "dask", "secrets", "eos"):
        (directory / name).mkdir(parents=True)
    (directory / "condor_config").write_text(_configuration(directory))
    give(*(directory, *directory.rglob("*")))
    master = f"HOME='{directory}' USER=lab CONDOR_CONFIG='{directory}/condor_config'"
    with (
        _world(root, directory, "sleep infinity", "login.out") as login,
        _world(root, directory, "condor_master -f", "master.out", master) as nodes,
    ):
        site = CondorSite(directory, root, login, nodes)
        try:
            _await_pool(site)
            yield site
        finally:
            site.run("condor_rm", "-all")


@contextmanager
def _world(root: Path, directory: Path, command: str, log: str, variables: str = "") -> Iterator[int]:
    """Runs a command in a world of its own, whose process it gives: the root directory with what has to be seen."""
    environment = f"PATH=/usr/sbin:/usr/bin:/sbin:/bin {variables}"
    script = f"{_mounts(root, directory)}\nexec env -i {environment} chroot --userspec={USER}:{USER} '{root}' {command}"
    with (directory / log).open("wb") as file:
        process = subprocess.Popen(
            ["unshare", "-m", "bash", "-c", script], stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield process.pid
    finally:
        process.terminate()  # HTCondor's master ends its daemons in order
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _mounts(root: Path, directory: Path) -> str:
    """Shell lines that show this machine's Python, packages and /tmp in the root directory."""
    lines = ["set -e", "mount --make-rprivate /"]
    for path in sorted({*_python(), Path(sys.prefix).resolve(), PROJECT, Path("/tmp")}):  # noqa: S108
        if path != Path("/tmp") and path.is_relative_to("/tmp"):  # noqa: S108
            continue
        place = f"'{root}{path}'"
        make = f"mkdir -p {place}" if path.is_dir() else f"mkdir -p '{root}{path.parent}' && touch {place}"
        lines += [make, f"mount --bind '{path}' {place}"]
        lines += [f"chmod a+x '{root}{parent}'" for parent in path.parents]
    for inside, outside in ((SECRETS, "secrets"), (EOS, "eos")):
        lines += [f"mkdir -p '{root}{inside}'", f"mount --bind '{directory}/{outside}' '{root}{inside}'"]
    # A Python below /usr/local has its library there; two that write the cache of libraries at once break each other.
    libraries = f"flock '{root}/etc/ld.so.lock' chroot '{root}' ldconfig"
    lines += [f"mount -t proc proc '{root}/proc'", f"mount --rbind /dev '{root}/dev'", libraries]
    return "\n".join(lines)


def _python() -> set[Path]:
    """Where this machine's Python is; of Debian's, whose place is that of everything else, only its own files."""
    if sys.base_prefix != "/usr":
        return {Path(sys.base_prefix)}
    # A virtual environment may point to either name of it.
    return {Path(sys.executable).resolve(), Path("/usr/bin/python3"), Path(sysconfig.get_path("stdlib"))}


def _await_pool(site: CondorSite) -> None:
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until:
        if "slot" in site.run("condor_status", "-af", "Name").stdout and site.run("condor_q").returncode == 0:
            return
        time.sleep(0.3)
    logs = [site.home / "login.out", site.home / "master.out", *sorted((site.home / "log").glob("*Log"))]
    said = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in logs if log.is_file())
    raise RuntimeError(f"HTCondor did not start within {START_LIMIT} s\n{said}")


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
