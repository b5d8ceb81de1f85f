"""A real xrootd of one's own that serves a directory as root:// and http://, and a caching proxy in front of it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.packages import installed

NOBODY = 65534
#: It has no option to listen on the loopback interface only; who comes from elsewhere is refused.
COMMON = """
all.adminpath {directory}/admin
all.pidpath {directory}/admin
xrd.port {port}
xrd.allow host localhost
xrd.allow host 127.0.0.1
xrd.network norpipa nodnr
xrd.sched mint 8 avlt 8 maxt 256
xrd.timeout hail 5 idle 3600 kill 1 read 5
"""
CHECKSUMS = "xrootd.chksum adler32"
FILES = f"""
all.role server
all.export / r/o
oss.localroot {{data}}
xrd.protocol http:{{http_port}} libXrdHttp.so
{CHECKSUMS}
"""
WRITABLE = FILES.replace("all.export / r/o", "all.export /")
# Forwards to the server that the path names: root://proxy//root://server//file.
PROXY = """
all.export /root:/ r/o
ofs.osslib libXrdPss.so
pss.origin =root
pss.cachelib default
oss.localroot {directory}/cache
pfc.ram 1g
pfc.blocksize 64k
pfc.prefetch 0
pfc.diskusage 0.98 0.99
"""

#: How often it is started, where it crashes.
STARTS = 4


@dataclass
class XRootD:
    """A server: `data` is what it serves; it may be stopped, started again at the same ports, and frozen."""

    directory: Path
    configuration: str
    ports: dict[str, int] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Files below it are served by their relative paths."""
        return self.directory / "data"

    @property
    def root(self) -> str:
        """root://localhost:PORT/ to which an absolute path is added."""
        return f"root://localhost:{self.ports['port']}/"

    @property
    def http(self) -> str:
        """http://localhost:PORT to which an absolute path is added."""
        return f"http://localhost:{self.ports['http_port']}"

    @property
    def log(self) -> str:
        """What it said so far."""
        return "".join(path.read_text(errors="replace") for path in self.directory.glob("log*/**/xrootd.log"))

    def start(self) -> None:
        """Starts it and waits until it answers."""
        words = [
            "xrootd",
            "-I",
            "v4",
            "-c",
            str(self.directory / "xrootd.cfg"),
            "-l",
            str(self.directory / "log/xrootd.log"),
        ]
        if os.geteuid() == 0:  # it refuses to run as root
            words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig=KILL", *words]
        for left in reversed(range(STARTS)):
            status = self._try(words)
            if status is None:
                return
            # It crashes at its start now and then (seen with 5.5.3: SIGSEGV before it has said anything).
            if status >= 0 or not left:
                said = f"{(self.directory / 'output').read_text()}{self.log}"
                raise RuntimeError(f"xrootd did not start (exit status {status}): {said}")

    def _try(self, words: list[str]) -> int | None:
        """Starts it once; None where it answers, otherwise its exit status (0 where it did nothing for a minute)."""
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                words, cwd=self.directory, stdout=output, stderr=output,
                env={**os.environ, "HOME": str(self.directory)},
            )  # fmt: skip
        until = time.monotonic() + 60
        while not all(map(answers, self.ports.values())):
            status = self._process.poll()
            if status is not None or time.monotonic() > until:
                self.stop()
                return status or 0
            time.sleep(0.05)
        return None

    def stop(self) -> None:
        """Ends it; who is connected sees the connection break."""
        if self._process is not None:
            self._process.kill()  # also where it is frozen
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        while any(_state(thread) != "T" for thread in Path(f"/proc/{self._process.pid}/task").iterdir()):
            time.sleep(0.01)  # each thread stops for itself, and may answer before
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


def _state(thread: Path) -> str:
    """The state of a thread in /proc: after the name, which is in brackets."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def answers(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def xrootd(fill: Callable[[Path], object] = lambda _: None, *, checksums: bool = True) -> Iterator[XRootD]:
    """A server whose directory `fill` has filled. Installs xrootd where it is absent (as root)."""
    with _server(FILES if checksums else FILES.replace(CHECKSUMS, ""), ("port", "http_port"), fill) as server:
        yield server


@contextmanager
def xrootd_writable() -> Iterator[XRootD]:
    """A server with an empty directory that takes files."""
    with _server(WRITABLE, ("port", "http_port"), lambda _: None) as server:
        yield server


@contextmanager
def xrootd_cache() -> Iterator[XRootD]:
    """A proxy that keeps what it has read: `root://proxy//` before the address of a file on another server."""
    with _server(PROXY, ("port",), lambda _: None) as server:
        yield server


@contextmanager
def _server(configuration: str, names: tuple[str, ...], fill: Callable[[Path], object]) -> Iterator[XRootD]:
    for package in ("XRootD", "fsspec_xrootd"):
        pytest.importorskip(package, reason="the extra `xrootd` is not installed")
    installed(("xrootd", "setpriv"), ("xrootd-server",))
    # Not below pytest's directories: those are for their user alone, and the server has another.
    directory = Path(tempfile.mkdtemp(prefix="xrootd-"))
    try:
        for name in ("data", "admin", "log", "cache"):
            (directory / name).mkdir()
        fill(directory / "data")
        server = XRootD(directory, configuration, dict(zip(names, free_ports(len(names)), strict=True)))
        text = (COMMON + configuration).format(directory=directory, data=server.data, **server.ports)
        (directory / "xrootd.cfg").write_text(text)
        _give(directory)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


def _give(directory: Path) -> None:
    """Hands the directory over to the server's user; what it serves can be read by all, and written by nobody else."""
    directory.chmod(0o755)
    if os.geteuid() == 0:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nobody uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
