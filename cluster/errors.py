"""What a cluster cannot do."""


class ClusterError(Exception):
    """A cluster that does not start or go on: one sentence that says why, in the batch system's words if any."""


class SchedulerGone(ClusterError):  # noqa: N818  (whether it is an error is for the caller to say)
    """The scheduler ended or cannot be reached: another cluster can take its place."""
