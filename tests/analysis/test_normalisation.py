"""A sample whose published total is known is scaled to it, whatever part of it was read."""

import pytest

from analysis.collecting import Collected
from analysis.datasets.samples import Sample
from analysis.engine.items import Failure, OpenedFile
from analysis.normalisation import Part, account

FILES = [OpenedFile("SIM300", "a.h5", "u", 100, 1), OpenedFile("SIM300", "b.h5", "v", 100, 1)]


def sample(total: float | None) -> Sample:
    return Sample("SIM300", "background", "QCD", ("a.h5", "b.h5"), "opendata", False, total_weight=total)


def no_sums(parts: list[Part]) -> list[float | None]:
    raise AssertionError(f"nothing needs to be read, but {parts} was asked for")


def test_a_part_of_a_published_sample_is_scaled_to_its_total() -> None:
    collected = Collected({"SIM300": {"entries": 200, "sum_mc_weight": 0.25}})
    part = account(sample(1.0), FILES, collected, [], no_sums)
    assert (part.scale, part.processed) == (pytest.approx(4.0), 200)
    assert part.flags == ("weights scaled by 4 to the total of the published sample",)
    whole = account(sample(0.25 + 1e-9), FILES, collected, [], no_sums)
    assert whole.scale == pytest.approx(1.0, abs=1e-7)
    assert whole.flags == ()
    assert account(sample(None), FILES, collected, [], no_sums).scale == 1.0


def test_failures_need_no_weights_where_the_total_is_known() -> None:
    collected = Collected({"SIM300": {"entries": 150, "sum_mc_weight": 0.5}})
    failure = Failure("skim", "SIM300", "b.h5", 50, 100, "broken")
    part = account(sample(1.0), FILES, collected, [failure], no_sums)
    assert part.scale == pytest.approx(2.0)
    assert part.flags[0] == "150 of 200 entries were processed"
    assert part.flags[1:] == ("weights scaled by 2 to the total of the published sample",)
    nothing = account(sample(1.0), FILES, Collected(), [failure], no_sums)
    assert nothing.scale is None
