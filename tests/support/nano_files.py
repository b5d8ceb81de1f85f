"""NanoAOD-like files of random objects that often pass, near the cuts and near each other."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from support.independent_ditau import FLAGS


def write_nano(
    path: Path,
    seed: int,
    events: int = 400,
    *,
    version: str = "v9",
    without: tuple[str, ...] = (),
    replace: dict[str, Any] | None = None,
) -> Path:
    """A file with the branches of a version: v9 (bitmasks), v12 (ordinals, both DeepTaus), v15.

    `replace` has columns, or dictionaries of a collection's fields, in place of the random ones.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "run": np.full(events, 1, np.uint32), "luminosityBlock": np.arange(events, dtype=np.uint32) // 100 + 1,
        "event": np.arange(events, dtype=np.uint64) + 10**10 * seed,
        "genWeight": rng.choice([-1.5, 1.5, 3], events).astype("f4"),
        "PV_x": np.zeros(events, "f4"), "PV_y": np.zeros(events, "f4"), "PV_z": np.zeros(events, "f4"),
        "PV_npvsGood": rng.integers(1, 60, events).astype("u1" if version == "v15" else "i4"),
        "PuppiMET_pt": rng.exponential(30, events).astype("f4"), "PuppiMET_phi": _phi(rng, events),
    }  # fmt: skip
    covariance = "PFMET" if version == "v15" else "MET"
    for name in ("pt", "covXX", "covYY"):
        columns[f"{covariance}_{name}"] = rng.exponential(200, events).astype("f4")
    columns[f"{covariance}_phi"], columns[f"{covariance}_covXY"] = (
        _phi(rng, events),
        rng.normal(0, 50, events).astype("f4"),
    )
    columns |= {f"Flag_{name}": rng.random(events) < 0.99 for name in FLAGS}
    columns["Tau"] = _taus(rng, events, version)
    muon = _lepton(rng, events, [0.35, 0.25, 0.15, 0.25])
    more = {"pfRelIso04_all": _isolation, "mediumId": _often, "looseId": _usually}
    columns["Muon"] = muon | {name: make(rng, muon["pt"]) for name, make in more.items()}
    electron = _lepton(rng, events, [0.3, 0.2, 0.3, 0.2])
    mva = "mvaNoIso_WP90" if version in ("v12", "v15") else "mvaFall17V2noIso_WP90"
    more = {"pfRelIso03_all": _isolation, mva: _often, "convVeto": _usually, "lostHits": _few}
    columns["Electron"] = electron | {name: make(rng, electron["pt"]) for name, make in more.items()}
    jet = _objects(rng, events, [0.1, 0.1, 0.2, 0.2, 0.2, 0.2], (15, 60), 5.0)
    jet["btagDeepFlavB"] = _like(jet["pt"], rng.random(_size(jet["pt"])).astype("f4"))
    if version != "v15":
        jet["jetId"] = _like(jet["pt"], rng.choice([0, 2, 6], _size(jet["pt"]), p=[0.05, 0.1, 0.85]).astype("i4"))
    columns["Jet"] = jet
    columns["GenPart"] = _generated(rng, events)
    columns |= replace or {}
    for outer in [name for name, column in columns.items() if isinstance(column, dict)]:
        kept = {name: values for name, values in columns[outer].items() if f"{outer}_{name}" not in without}
        columns[outer] = ak.zip(kept)
    columns = {name: values for name, values in columns.items() if name not in without}
    with uproot.recreate(path) as file:
        types = {n: c.type.content if isinstance(c, ak.Array) else c.dtype for n, c in columns.items()}
        tree = file.mktree("Events", types, counter_name=lambda n: f"n{n}", field_name=lambda o, i: f"{o}_{i}")
        tree.extend(columns)
    return path


def _size(like: Any) -> int:
    return len(ak.flatten(like))


def _like(like: Any, flat: Any) -> Any:
    return ak.unflatten(flat, ak.num(like))


def _phi(rng: np.random.Generator, size: int) -> Any:
    return rng.uniform(-np.pi, np.pi, size).astype("f4")


def _objects(
    rng: np.random.Generator, events: int, numbers: list[float], pt: tuple[float, float], eta: float
) -> dict[str, Any]:
    counts = rng.choice(len(numbers), events, p=numbers)
    size = int(counts.sum())
    # Whole numbers: objects on the bounds, and of equal pT.
    flat = {
        "pt": np.round(pt[0] + rng.exponential(pt[1] - pt[0], size)).astype("f4"),
        "eta": rng.uniform(-eta, eta, size).round(1).astype("f4"),
        "phi": _phi(rng, size),
        "mass": rng.exponential(1, size).astype("f4"),
    }
    return {name: ak.unflatten(values, counts) for name, values in flat.items()}


def _lepton(rng: np.random.Generator, events: int, numbers: list[float]) -> dict[str, Any]:
    out = _objects(rng, events, numbers, (5, 30), 2.5)
    size = _size(out["pt"])
    distances = rng.choice([0.0, 0.01, 0.045, -0.045, 0.06], size, p=[0.2, 0.6, 0.06, 0.06, 0.08])
    return out | {
        "charge": _like(out["pt"], rng.choice([-1, 1], size).astype("i4")),
        "dxy": _like(out["pt"], distances.astype("f4")),
        "dz": _like(out["pt"], rng.choice([0.0, 0.1, -0.2, 0.3], size, p=[0.3, 0.5, 0.1, 0.1]).astype("f4")),
    }


def _taus(rng: np.random.Generator, events: int, version: str) -> dict[str, Any]:
    out = _objects(rng, events, [0.4, 0.2, 0.2, 0.2], (20, 60), 2.5)
    pt, size = out["pt"], _size(out["pt"])
    out["charge"] = _like(
        pt, rng.choice([-3, -1, 1], size, p=[0.02, 0.49, 0.49]).astype("i2" if version == "v15" else "i4")
    )
    out["dz"] = _like(pt, rng.choice([0.0, 0.2, 0.3], size, p=[0.8, 0.1, 0.1]).astype("f4"))
    out["decayMode"] = _like(pt, rng.choice([0, 1, 2, 5, 10, 11], size).astype("u1" if version == "v15" else "i4"))
    out["jetIdx"] = _like(pt, rng.integers(-1, 4, size).astype("i2" if version == "v15" else "i4"))
    out["idDecayModeNewDMs"] = _like(pt, rng.random(size) < 0.95)
    versions = {"v9": ("2017v2p1",), "v12": ("2017v2p1", "2018v2p5"), "v15": ("2018v2p5",)}[version]
    for name in versions:
        for against, points, least in (("e", 8, 1), ("mu", 4, 1), ("jet", 8, 4)):
            passed = np.clip(rng.integers(least - 1, points + 4, size), 0, points)
            numbers = (1 << passed) - 1 if version == "v9" else passed
            out[f"idDeepTau{name}VS{against}"] = _like(pt, numbers.astype("u1"))
    return out


def _isolation(rng: np.random.Generator, like: Any) -> Any:
    return _like(like, rng.exponential(0.1, _size(like)).astype("f4"))


def _usually(rng: np.random.Generator, like: Any) -> Any:
    return _like(like, rng.random(_size(like)) < 0.85)


def _often(rng: np.random.Generator, like: Any) -> Any:
    return _like(like, rng.random(_size(like)) < 0.6)


def _few(rng: np.random.Generator, like: Any) -> Any:
    return _like(like, rng.choice([0, 1, 2], _size(like), p=[0.7, 0.2, 0.1]).astype("u1"))


def _generated(rng: np.random.Generator, events: int) -> dict[str, Any]:
    """Two copies of a boson and its two taus; in some events electrons, or taus without a common mother."""
    kind = rng.choice([15, 11], events, p=[0.8, 0.2])
    stray = np.where(rng.random(events) < 0.1, -1, 1)
    ids = np.stack([np.full(events, 25), np.full(events, 25), kind, -kind], axis=1)
    mothers = np.stack([np.full(events, -1), np.zeros(events), np.ones(events), stray], axis=1)
    mass = rng.uniform(50, 1000, (events, 4))
    flat = {
        "pdgId": ids.astype("i4"), "genPartIdxMother": mothers.astype("i4"), "mass": mass.astype("f4"),
        **{name: rng.random((events, 4)).astype("f4") for name in ("pt", "eta", "phi")},
    }  # fmt: skip
    return {name: ak.from_regular(ak.Array(values)) for name, values in flat.items()}
