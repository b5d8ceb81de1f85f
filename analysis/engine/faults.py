"""Telling errors that may go away from those that will not.

The rules belong to the layer that reads files, which tries again by itself before the engine does: both must agree.
"""

from processors.faults import is_transient

__all__ = ["is_transient"]
