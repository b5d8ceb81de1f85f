"""With what a run was made: versions, revision, machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from analysis.addresses import masked

PACKAGES = (
    "hepbatch", "coffea", "dask", "distributed", "uproot", "awkward", "hist", "numpy", "pyarrow", "scikit-learn",
    "keras", "tensorflow", "skops", "matplotlib", "mplhep", "pythia8mc", "fastjet",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """Revision of the checkout that this code runs from, and whether it has changes; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {"revision": None, "dirty": None}
    revision, status = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    return {"revision": revision or None, "dirty": None if status is None else bool(status)}


def command_line() -> str:
    """The command as the user typed it, but for what is secret in its addresses."""
    return " ".join([Path(sys.argv[0]).name, *(masked(word) for word in sys.argv[1:])])


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
