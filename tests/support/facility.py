"""A coffea-casa facility on the HTCondor pool of the tests: its own class, its certificates at their place."""

import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import distributed
from support.condor import SECRETS, CondorSite, give

from cluster.security import run_certificates

PROGRAM = Path(__file__).parent / "programs" / "coffea_casa_facility.py"
PACKAGES = Path(distributed.__file__).parent.parent
# What the facility sets for its users: where the mounted certificates are.
TLS = {
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": f"{SECRETS}/ca.pem",
    **{
        f"DASK_DISTRIBUTED__COMM__TLS__{role}__{part}": f"{SECRETS}/hostcert.pem"
        for role in ("CLIENT", "SCHEDULER", "WORKER")
        for part in ("CERT", "KEY")
    },
}


@dataclass(frozen=True)
class Facility:
    """A facility: the address of its scheduler, its process, and what it set in the user's environment."""

    address: str
    process: "subprocess.Popen[str]"
    environment: dict[str, str]


@contextmanager
def facility(site: CondorSite) -> Iterator[Facility]:
    """Starts the facility's scheduler, two workers without a tag and one with `GPU`; none of them has hepbatch."""
    with run_certificates(site.home / "certificates") as tls:
        authority, host = site.home / "secrets" / "ca.pem", site.home / "secrets" / "hostcert.pem"
        authority.write_bytes(Path(tls.ca_file).read_bytes())
        host.write_bytes(Path(tls.cert).read_bytes() + Path(tls.key).read_bytes())
        for path in (authority, host):
            give(path)
            path.chmod(0o600)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    # -S: what .pth files add to the path, hepbatch's own checkout, is not there.
    python = [sys.executable, "-P", "-S"]
    path = {"PYTHONPATH": str(PACKAGES)}
    bare = ["/usr/bin/env", f"PYTHONPATH={PACKAGES}", "PYTHONDONTWRITEBYTECODE=1", "HOME=.", "MPLCONFIGDIR=.", *python]
    words = [*python, str(PROGRAM), shlex.join(bare), str(port)]
    log = (site.home / "facility.log").open("w")
    with log, subprocess.Popen(
        site.words(*words, **TLS, **path, POD_IP="127.0.0.1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=log, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            address = next((line.strip() for line in lines if line.startswith("tls://")), None)
            if address is None:
                raise RuntimeError(f"the facility did not start: {(site.home / 'facility.log').read_text()[-3000:]}")
            yield Facility(address, process, TLS)
        finally:
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
