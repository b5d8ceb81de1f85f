"""Rounding, arithmetic and storage of figures."""

import json
from pathlib import Path

import pytest

from analysis.results.quantities import Quantity, Results, format_number, total


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (0.0515, 0.00161, "0.0515 ± 0.0016"),
        (1.046, 0.353, "1.05 ± 0.35"),
        (1234.6, 12.3, "1,235 ± 12"),
        (1234.6, 123.4, "1,230 ± 120"),
        (9.97, 0.0996, "9.97 ± 0.10"),
        (203795455568148.0, 1.0e12, "(2.038 ± 0.010)×10¹⁴"),
        (2.5e-6, 1.25e-7, "(2.50 ± 0.12)×10⁻⁶"),
        (-0.5, 0.25, "−0.50 ± 0.25"),
        (0.0, 0.0, "0 ± 0"),
        (0.0, 0.02, "0.000 ± 0.020"),
        (10507, None, "10,507"),
        (203795455568148.0, None, "2.038×10¹⁴"),
        (0.151816307, None, "0.1518"),
        (1241.2072, None, "1,241"),
        (1.0, None, "1"),
        (1.2e-9, None, "1.200×10⁻⁹"),
        (None, None, "n/a"),
    ],
)
def test_two_significant_digits_of_the_uncertainty(value: float | None, uncertainty: float | None, text: str) -> None:
    assert format_number(value, uncertainty) == text


def test_a_total_adds_in_quadrature() -> None:
    result = total([Quantity(3.0, 0.3, "events"), Quantity(5.0, 0.4, "events", ("scaled",))])
    assert (result.value, result.unit, result.flags) == (8.0, "events", ("scaled",))
    assert result.uncertainty == pytest.approx(0.5)


def test_a_total_with_an_unknown_part_is_unknown() -> None:
    result = total([Quantity(3.0, 0.3, "events"), Quantity(None, None, "events", ("ZZ: yield not known",))])
    assert result == Quantity(None, None, "events", ("ZZ: yield not known",))


def test_counts_stay_counts() -> None:
    assert total([Quantity(3, None, "events"), Quantity(4, None, "events")]).text == "7"


def test_units_do_not_mix() -> None:
    with pytest.raises(ValueError, match="one unit"):
        total([Quantity(1.0, None, "events"), Quantity(1.0, None, "GeV")])


def test_what_is_not_finite_becomes_unknown() -> None:
    quantity = Quantity(float("nan"), float("inf"), "1")
    assert quantity.value is None
    assert quantity.uncertainty is None
    assert quantity.flags == ("value is not finite", "uncertainty is not finite")


def test_scaling() -> None:
    assert Quantity(2.0, 0.5, "events").times(3.0) == Quantity(6.0, 1.5, "events")
    assert Quantity(2.0, 0.5, "events").times(None) == Quantity(None, None, "events", ("scale unknown",))


def test_results_are_written_with_their_flags(tmp_path: Path) -> None:
    results = Results()
    results.add("yield.ZZ", Quantity(None, None, "events", ("ZZ: yield not known",)))
    results.add("mass", Quantity(125.0, 0.4, "GeV"))
    results.write(tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "yield.ZZ": {"value": None, "uncertainty": None, "unit": "events", "flags": ["ZZ: yield not known"]},
        "mass": {"value": 125.0, "uncertainty": 0.4, "unit": "GeV"},
    }
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_name_means_one_figure() -> None:
    results = Results()
    results.add("mass", Quantity(125.0))
    results.add("mass", Quantity(125.0))
    with pytest.raises(ValueError, match="mass"):
        results.add("mass", Quantity(126.0))
