"""The sum of what work items give: as coffea adds it, and the same after it was in the ledger."""

import copy
from typing import Any

import hist
import numpy as np
import pytest
from coffea.processor import accumulate

from analysis.collecting import Collected


def content(rng: np.random.Generator, cuts: tuple[str, ...] = ("all", "pt")) -> dict[str, Any]:
    values = hist.Hist(hist.axis.Regular(5, 0, 1, name="x"), storage=hist.storage.Weight())
    values.fill(rng.random(20), weight=rng.random(20))
    labels = hist.Hist(hist.axis.StrCategory(cuts, growth=True, name="cut"), storage=hist.storage.Int64())
    labels.fill(list(cuts))
    return {
        "entries": int(rng.integers(100)),
        "sum_mc_weight": float(rng.random()),
        "cutflow": {cut: {"events": int(rng.integers(100)), "weighted": float(rng.random())} for cut in cuts},
        "histograms": {"x": values, "cut": labels},
    }


def test_adds_as_coffea_does() -> None:
    rng = np.random.default_rng(1)
    parts = [content(rng, cuts) for cuts in (("all", "pt"), ("all", "pt", "mass"), ("all",), ("all", "pt", "mass"))]
    expected = accumulate(copy.deepcopy(parts))
    collected = Collected()
    for part in copy.deepcopy(parts):
        collected.add("ZZ", part)
    assert collected.totals == {"ZZ": expected}
    assert list(collected.totals["ZZ"]["cutflow"]) == ["all", "pt", "mass"]
    assert Collected.from_texts(collected.changed()).totals == {"ZZ": expected}
    assert collected.changed() == {}


def test_histograms_with_other_axes_are_not_added() -> None:
    rng = np.random.default_rng(2)
    one, other = content(rng), content(rng)
    other["histograms"]["x"] = hist.Hist(hist.axis.Regular(6, 0, 1, name="x"), storage=hist.storage.Weight())
    collected = Collected()
    collected.add("ZZ", one)
    with pytest.raises(ValueError, match="axes"):
        collected.add("ZZ", other)
