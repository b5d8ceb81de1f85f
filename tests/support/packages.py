"""System packages that tests of real servers need, installed when they are absent."""

import os
import shutil
import subprocess

import pytest


def installed(commands: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Installs Debian `packages` unless all `commands` are there; skips where that cannot be done."""
    paths = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    if all(shutil.which(command, path=paths) for command in commands):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(packages)}, and root to install them")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True, capture_output=True)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
