"""Whether workers have the software that the driver has."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from cluster.code import ask, fingerprint, forget
from cluster.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

PACKAGES = ("hepbatch", "dask", "distributed", "coffea", "awkward")
REMEDY = (
    "bring its environment up to date (an archive or image must be made again), or see ship_code in docs/clusters.md"
)
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


def check_code(client: Client, workers: dict[str, str], own_modules: Sequence[str] = (), renew: bool = False) -> None:
    """Holds the code of hepbatch and of the user's modules on `workers` (address to name) against the driver's.

    With `renew`, a worker that had imported other code forgets that first. ClusterError names the worker.
    """
    mine = fingerprint(*own_modules)
    answers = client.run(eval, ask(own_modules), workers=list(workers), on_error="return")
    others = {address: workers[address] for address, answer in answers.items() if answer != mine}
    if others and renew:
        client.run(eval, forget(own_modules), workers=list(others))
        check_code(client, others, own_modules)
    elif others:
        address, name = next(iter(others.items()))
        answer = answers[address]
        what = " ".join(str(answer).split()) if isinstance(answer, BaseException) else f"{answer} instead of {mine}"
        raise ClusterError(f"the worker {name} has other code of hepbatch than this one: {what}; {REMEDY}")
