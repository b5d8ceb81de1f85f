"""The simulated source without its packages is one sentence that says how to add them."""

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.datasets.simulation import fourlepton
from analysis.errors import UserError
from analysis.simulating import check_generator


def test_a_missing_generator_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_pythia(name: str, package: str | None = None) -> Any:
        return None if name == "pythia8mc" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_pythia)
    with pytest.raises(UserError, match=r"needs the package pythia8mc: install .*pip install 'hepbatch\[simulation\]'"):
        check_generator(SimpleNamespace(REQUIRES=("pythia8mc", "numpy")))


def test_the_shipped_simulation_names_its_packages() -> None:
    assert set(fourlepton.REQUIRES) == {"pythia8mc", "fastjet"}
