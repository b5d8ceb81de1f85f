"""Whether workers have the software that the driver has."""

from __future__ import annotations

import sys
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from cluster.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

PACKAGES = ("hepbatch", "dask", "distributed", "coffea", "awkward")
# An expression that the worker evaluates: functions do not travel between Pythons, nor to where our packages are not.
# Of two with one name the first is the one that is imported.
_ASK = (
    "{'python': '%d.%d' % __import__('sys').version_info[:2]} | {d.metadata['Name'].lower(): d.version for d in "
    "reversed(list(__import__('importlib.metadata', fromlist=['*']).distributions())) if d.metadata['Name']}"
)


def own_versions() -> dict[str, str]:
    """Versions of Python (without the last number) and of the packages that driver and workers must share."""
    found = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout that is not installed
            continue
    return found


def check_versions(client: Client, workers: dict[str, str], without: Collection[str] = ()) -> None:
    """Holds the software of `workers` (address to name) against the driver's; ClusterError names both versions.

    Packages in `without` may be others.
    """
    wanted = {package: here for package, here in own_versions().items() if package not in without}
    answers = client.run(eval, _ASK, workers=list(workers), on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, BaseException):
            raise ClusterError(f"the worker {workers[address]} does not tell its versions: {answer}")
        mistakes = [
            f"{package} {answer.get(package) or '(none)'} instead of {here}"
            for package, here in wanted.items()
            if answer.get(package) != here
        ]
        if mistakes:
            raise ClusterError(
                f"the worker {workers[address]} has another environment than hepbatch here: {', '.join(mistakes)}"
            )
