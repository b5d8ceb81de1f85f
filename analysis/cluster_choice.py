"""Which cluster the user chose, from its YAML file."""

from __future__ import annotations

from analysis.configuration import find_yaml, read_yaml, set_key, validate
from cluster.settings import ClusterSettings


def load_cluster(name: str, overrides: tuple[str, ...] = (), workers: int | None = None) -> ClusterSettings:
    """The settings of the cluster `name` (under configs/clusters, or a YAML file), with `key=value` overrides.

    `workers` is the number of cpu workers where given.
    """
    path = find_yaml(name, "clusters", "cluster")
    content = read_yaml(path)
    for text in overrides:
        set_key(content, text)
    if workers is not None:
        set_key(content, f"pools.cpu.workers={workers}")
    return validate(ClusterSettings, content, f"the cluster {path.name}")
