"""What a cluster cannot do."""


class ClusterError(Exception):
    """A cluster that does not start or go on: one sentence that says why, in the batch system's words if any."""
