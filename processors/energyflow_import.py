"""Importing energyflow, for its tables of public files and its numbers for particle types.

The package is under the GPL-3 and takes a while to load, so it is imported where it is used. At its top it imports
`wasserstein`, which it needs for the energy mover's distance alone, and whose wheels that pip chooses with NumPy 2 are
built for NumPy 1: they cannot be imported. An empty module stands in for it meanwhile.
"""

import importlib
import sys
from types import ModuleType

_DISTANCE = "wasserstein"


def import_energyflow(name: str) -> ModuleType:
    """The module `energyflow.<name>`, such as `utils.data_utils` (remap_pids) or `datasets.mod`."""
    if "energyflow" in sys.modules or _DISTANCE in sys.modules:
        return importlib.import_module(f"energyflow.{name}")
    sys.modules[_DISTANCE] = ModuleType(_DISTANCE)
    try:
        return importlib.import_module(f"energyflow.{name}")
    finally:
        del sys.modules[_DISTANCE]  # who imports it later gets the real one, or its error
