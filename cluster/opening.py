"""From a cluster's settings to a running cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from cluster.local import Cluster, open_local
from cluster.settings import ClusterSettings

KINDS = {"local": open_local}


def open_cluster(settings: ClusterSettings, logs: Path) -> AbstractContextManager[Cluster]:
    """A context manager that starts the cluster of `settings.kind` and ends it on leaving.

    What the workers print goes to files in the directory `logs`.
    """
    return KINDS[settings.kind](settings, logs)
