"""A small simulated set, made once for the tests of this folder."""

from pathlib import Path
from typing import Any

import pytest

CATALOGUE: dict[str, dict[str, Any]] = {
    "Zee": {"dsid": 147770, "xsec": 1241.2072},
    "Zmumu": {"dsid": 147771, "xsec": 1241.2072},
    "ttbar_lep": {"dsid": 117050, "xsec": 137.29749},
    "ZZ": {"dsid": 105986, "xsec": 1.5376},
    "ggH125_ZZ4lep": {"dsid": 160155, "xsec": 0.00538752},
    "VBFH125_ZZ4lep": {"dsid": 160205, "xsec": 0.000435528},
    "DataEgamma": {},
    "DataMuons": {},
}
SMALL = {"Zee": 1000, "Zmumu": 500, "ttbar_lep": 60, "ZZ": 200, "ggH125_ZZ4lep": 100, "VBFH125_ZZ4lep": 50}


@pytest.fixture(scope="session")
def catalogue() -> dict[str, dict[str, Any]]:
    return CATALOGUE


@pytest.fixture(scope="session")
def small(catalogue: dict[str, dict[str, Any]]) -> Any:
    """Settings and tasks of a set that takes a few seconds; pseudo-data of 1/fb from pools of a hundredth."""
    from analysis.datasets.simulation.fourlepton import Settings, plan

    settings = Settings.model_validate(
        {"events": SMALL, "z_repetitions": 5, "top_repetitions": 2, "pseudo_data_pool": 0.02}
    )
    return settings, plan(settings, list(catalogue), catalogue, luminosity=1.0, seed=3)


@pytest.fixture(scope="session")
def produced(small: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[dict[str, Any]]]]:
    """The directory of the small set, and the side-cars of each task."""
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    from analysis.datasets.simulation.fourlepton import generate

    directory = tmp_path_factory.mktemp("simulated")
    return directory, [generate(task, str(directory)) for task in small[1]]
