"""The generator from Python: the record view against the accessors, repeated hadronisation, errors."""

import importlib
from typing import Any

import numpy as np
import pytest

from analysis.datasets.simulation import pythia
from analysis.errors import UserError

Z_BOSON = ["Beams:eCM = 8000.", "WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 60.", "PartonLevel:MPI = off"]


@pytest.fixture(scope="module")
def generator() -> Any:
    pytest.importorskip("pythia8mc", reason="the extra `simulation` is not installed")
    return pythia.make(Z_BOSON, 1)


def test_view_equals_accessors(generator: Any) -> None:
    for _ in range(3):
        assert generator.next()
        assert pythia.layout_matches(generator.event)
        view, copy = pythia.view_record(generator.event), pythia.copy_record(generator.event)
        assert len(view) == generator.event.size() > 50
        for name in pythia.PARTICLE.names or ():
            np.testing.assert_array_equal(view[name], copy[name], err_msg=name)


def test_slow_fallback_gives_the_same_record(
    generator: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert generator.next()
    fast = pythia.RecordReader()(generator.event).copy()
    monkeypatch.setattr(pythia, "layout_matches", lambda _: False)
    slow = pythia.RecordReader()(generator.event)
    assert "slow accessors" in caplog.text
    for name in pythia.PARTICLE.names or ():
        np.testing.assert_array_equal(fast[name], slow[name], err_msg=name)


def test_record_conserves_energy(generator: Any) -> None:
    (record,) = [r.copy() for r in pythia.events(generator, 1)]
    final = record[record["status"] > 0]
    assert final["e"].sum() == pytest.approx(8000.0, rel=1e-6)
    assert abs(final["px"].sum()) < 1e-3


def test_rehadronisation_keeps_the_partons(generator: Any) -> None:
    partons = pythia.make([*Z_BOSON, "23:onMode = off", "23:onIfAny = 13", "HadronLevel:all = off"], 2)

    def z_of(record: Any) -> float:
        return float(record["e"][np.flatnonzero(record["id"] == 23)[0]])

    energies: dict[int, list[tuple[float, int]]] = {}
    for index, weight, record in pythia.rehadronised_events(partons, 4, lambda _: (3, 1 / 3)):
        assert weight == 1 / 3
        energies.setdefault(index, []).append((z_of(record), len(record)))
        assert record["e"][record["status"] > 0].sum() == pytest.approx(8000.0, rel=1e-6)
    assert list(energies) == [0, 1, 2, 3]
    for hadronised in energies.values():
        assert len(hadronised) == 3
        assert len({energy for energy, _ in hadronised}) == 1
    assert any(len({size for _, size in hadronised}) > 1 for hadronised in energies.values())


def test_dropped_events_are_not_hadronised(generator: Any) -> None:
    partons = pythia.make([*Z_BOSON, "HadronLevel:all = off"], 2)
    assert list(pythia.rehadronised_events(partons, 5, lambda _: (0, 0.0))) == []


def test_semileptonic_fractions_are_those_of_the_particle_data(generator: Any) -> None:
    forced = pythia.make([*Z_BOSON, "WeakSingleBoson:ffbar2gmZ = off", "HardQCD:hardbbbar = on"], 4)
    fractions = pythia.force_semileptonic(forced)
    assert set(fractions) == {*pythia.BOTTOM_HADRONS, *pythia.CHARM_HADRONS}
    # PDG: B0 -> l nu X 10.3% per flavour, D+ 16 to 18%, D0 6.5 to 6.8%
    assert fractions[511] == pytest.approx(0.21, abs=0.02)
    assert fractions[411] == pytest.approx(0.33, abs=0.03)
    assert fractions[421] == pytest.approx(0.13, abs=0.02)
    for record in pythia.events(forced, 3):
        kind = np.abs(record["id"])
        decayed = np.flatnonzero(np.isin(kind, pythia.BOTTOM_HADRONS) & (record["status"] < 0))
        for hadron in decayed:
            children = record[record["daughter1"][hadron] : record["daughter2"][hadron] + 1]
            oscillated = np.isin(np.abs(children["id"]), pythia.BOTTOM_HADRONS).any()
            assert oscillated or np.isin(np.abs(children["id"]), (11, 13)).any()


def test_wrong_setting_raises(generator: Any) -> None:
    with pytest.raises(ValueError, match="Nonsense:here"):
        pythia.make(["Nonsense:here = on"], 1)


def test_failed_initialisation_raises(generator: Any) -> None:
    with pytest.raises(RuntimeError, match="did not initialise"):
        pythia.make(["Beams:eCM = 8000."], 1)


def test_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UserError, match=r"pythia8mc.*pip install 'hepbatch\[simulation\]'"):
        pythia.make(Z_BOSON, 1)
