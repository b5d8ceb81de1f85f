"""An environment in a file, made as docs/clusters.md says."""

import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[2]
# What a skim does not need, and by far the largest part.
TRAINING = {"tensorflow", "keras", "skops", "scikit-learn"}


def packed_environment(directory: Path) -> Path:
    """A virtual environment with hepbatch's wheel and what its skims need, in a .tar.gz.

    What `pip install` would download is taken from the environment of these tests.
    """
    place, archive = directory / "environment", directory / "hepbatch.tar.gz"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", directory, PROJECT]
    subprocess.run([sys.executable, "-m", "venv", "--copies", "--without-pip", place], check=True)
    subprocess.run([*pip, *wheel], check=True)
    (built,) = directory.glob("hepbatch-*.whl")
    subprocess.run(
        [*pip, "--python", place / "bin" / "python", "install", "--no-deps", "--no-index", built], check=True
    )
    packages = next(place.glob("lib/python3*/site-packages")).relative_to(place)
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(place, ".")
        for found in needed("hepbatch", {}).values():
            for file in found.files or []:
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    packed.add(str(found.locate_file(file)), str(packages / file), recursive=False)
    return archive


def needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """The installed packages that one needs, and those need, without what is for training."""
    for requirement in requirements(distribution(name)):
        key = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if key in found or key in TRAINING:
            continue
        try:
            found[key] = distribution(key)
        except PackageNotFoundError:  # for another platform
            continue
        needed(key, found)
    return found


def requirements(package: Distribution) -> Iterator[Requirement]:
    """What a package needs, without its extras."""
    for requirement in map(Requirement, package.requires or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement
