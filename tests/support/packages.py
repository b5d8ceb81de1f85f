"""System packages that tests of real servers need, installed when they are absent."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def installed(needed: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Installs Debian `packages` unless all in `needed` (commands, files) are there; skips where that cannot be."""
    paths = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    if all(Path(one).exists() if one.startswith("/") else shutil.which(one, path=paths) for one in needed):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(packages)}, and root to install them")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with (Path(tempfile.gettempdir()) / "hepbatch-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of these tests may install, too
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True, capture_output=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            env=environment, check=True, capture_output=True,
        )  # fmt: skip
