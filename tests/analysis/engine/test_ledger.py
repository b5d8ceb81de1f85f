"""The last state of a key counts, and a cut line of a killed run is not read."""

from pathlib import Path

from analysis.engine.ledger import Ledger, read_ledger


def test_the_last_state_counts(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", "skim") as ledger:
        ledger.write("a", "planned", start=0)
        ledger.write("b", "planned", start=5)
        ledger.write("a", "done", start=0)
    states = read_ledger(tmp_path / "ledger", "skim")
    assert {key: entry["state"] for key, entry in states.items()} == {"a": "done", "b": "planned"}


def test_a_cut_line_is_not_read(tmp_path: Path) -> None:
    with Ledger(tmp_path, "skim") as ledger:
        ledger.write("a", "planned")
    with (tmp_path / "skim.jsonl").open("a") as file:
        file.write('{"key": "a", "state": "do')
    assert read_ledger(tmp_path, "skim")["a"]["state"] == "planned"


def test_a_stage_that_has_not_begun_has_no_states(tmp_path: Path) -> None:
    assert read_ledger(tmp_path, "train") == {}
