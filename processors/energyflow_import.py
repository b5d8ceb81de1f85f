"""Importing energyflow, for its tables of public files and its numbers for particle types.

The package is under the GPL-3 and takes a while to load, so it is imported where it is used. At its top it imports
`wasserstein`, which it needs for the energy mover's distance alone, and whose wheels that pip chooses with NumPy 2 are
built for NumPy 1: they cannot be imported. An empty module stands in for it meanwhile.
"""

import importlib
import sys
import threading
from types import ModuleType

_DISTANCE = "wasserstein"
_LOCK = threading.Lock()


def import_energyflow(name: str) -> ModuleType:
    """The module `energyflow.<name>`, such as `utils.data_utils` (remap_pids) or `datasets.mod`."""
    with _LOCK:
        if "energyflow" not in sys.modules and _DISTANCE not in sys.modules:
            sys.modules[_DISTANCE] = ModuleType(_DISTANCE)
            try:
                importlib.import_module("energyflow")
            finally:
                del sys.modules[_DISTANCE]  # who imports it later gets the real one, or its error
    return importlib.import_module(f"energyflow.{name}")
