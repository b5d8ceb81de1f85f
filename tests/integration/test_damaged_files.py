"""Hundreds of damaged files among good ones: each is named with its error, none hangs, and the good ones' numbers stay.

What cannot be seen, a changed byte that decodes to a number, is counted and shown: docs/damaged-files.md.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from support import damage
from support.command import hepbatch
from support.damage import Damaged, Donor

SEED = 20120704
ANALYSES = Path(__file__).resolve().parents[1] / "support" / "damaged_analyses"
#: The ends of a damaged file, from the first moment it is noticed to the last.
ENDS = ("at planning", "at reading", "worker died", "same numbers", "other numbers")
#: Nothing of these kinds may pass for sound, nor give other numbers.
NEVER_READ = {"cut off", "empty", "text", "directory", "other tree", "missing branch", "missing data set",
              "missing column", "weight is no number"}  # fmt: skip
#: A checksum covers these: other numbers are impossible.
CHECKED = {"baskets, zlib", "baskets, lz4", "pages, lz4, checksums", "chunks", "superblock", "headers and indices",
           "tree, zlib, with baskets"}  # fmt: skip

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Format:
    """A file format: its analysis, and how good and damaged files of it are made."""

    name: str
    analysis: str
    donors: Callable[[Path, Path | None], list[Donor]]
    damaged: Callable[[Path, list[Donor], int, int], list[Damaged]]


FORMATS = (
    Format("ROOT", "higgs4l", damage.root_donors, damage.damaged_root),
    Format("MOD HDF5", "./jets.yaml", damage.mod_donors, damage.damaged_mod),
    Format("Parquet", "./parquet.yaml", damage.parquet_donors, damage.damaged_parquet),
)


def data_folder() -> Path | None:
    """Real files where they are; the test runs without."""
    folder = os.environ.get("HEPBATCH_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
    return Path(folder) if Path(folder).is_dir() else None


def skim(folder: Path, format: Format, files: dict[str, Path], output: Path) -> tuple[int, str]:
    """Skims the files, each as a sample of its own; exit status and all that was printed."""
    entry = {"role": "background", "xsec": 1.0, "sumw": 1000.0}
    samples = {name: {**entry, "files": [str(path)]} for name, path in files.items()}
    (folder / "source.yaml").write_text(yaml.safe_dump({"samples": samples}))
    return command(folder, "skim", format.analysis, "--source", "source.yaml", "--output", output)


def command(folder: Path, *arguments: str | Path) -> tuple[int, str]:
    """Runs `hepbatch` where the private analyses are found."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    done = hepbatch(*arguments, cwd=folder, PYTHONPATH=path)
    return done.returncode, done.stdout + done.stderr


def numbers(output: Path, sample: str) -> list[str]:
    """Everything a run says of a sample: cutflow, histograms, and the rows of its skim."""
    parts = [json.loads((output / name).read_text()).get(sample) for name in ("cutflow.json", "histograms.json")]
    files = sorted((output / "skim" / sample).glob("*.parquet"))
    rows: list[Any] = [pq.read_table(file).to_pydict() for file in files]
    return [repr(part) for part in (*parts, rows)]  # repr: NaN equals NaN


def end_of(one: Damaged, output: Path, errors: dict[str, Any], good: dict[str, list[str]]) -> str:
    failure = errors.get(one.name)
    if failure is None:
        return "same numbers" if numbers(output, one.name) == good[one.donor] else "other numbers"
    if "died" in failure["error"]:
        return "worker died"
    return "at planning" if failure["stage"] == "plan" else "at reading"


def run(folder: Path, format: Format, scale: int) -> dict[str, Counter[str]]:
    """Good files alone, then good and damaged ones together; what became of each kind of damage."""
    shutil.copytree(ANALYSES, folder)
    donors = format.donors(folder, data_folder())
    made = format.damaged(folder / "damaged", donors, SEED, scale)
    sound = {donor.name: donor.path for donor in donors}
    status, printed = skim(folder, format, sound, folder / "good")
    assert status == 0, printed
    good = {name: numbers(folder / "good", name) for name in sound}

    output = folder / "mixed"
    status, printed = skim(folder, format, sound | {one.name: one.path for one in made}, output)
    assert status == 1, printed
    assert "Traceback" not in printed
    for name in sound:
        assert numbers(output, name) == good[name]
    # The end of a run shows the first of them; all are in the status.
    status, listed = command(folder, "status", format.analysis, "--output", output)
    assert status == 1, listed
    errors = {one["sample"]: one for one in json.loads((output / "manifest.json").read_text())["failures"]}
    assert not errors.keys() & sound.keys()
    table: dict[str, Counter[str]] = {}
    for one in made:
        end = end_of(one, output, errors, good)
        table.setdefault(one.kind, Counter())[end] += 1
        if one.name in errors:
            failure = errors[one.name]
            assert failure["file"] == str(one.path)
            assert failure["error"]
            assert f"{one.path}" in listed
            assert failure["error"] in listed
        assert end not in ("same numbers", "other numbers") or one.kind not in NEVER_READ, one
        assert end != "other numbers" or one.kind not in CHECKED, one
    return table


def show(name: str, table: dict[str, Counter[str]]) -> str:
    lines = [f"{name:26}" + "".join(f"{end:>15}" for end in ENDS)]
    for kind, counted in table.items():
        lines.append(f"{kind:26}" + "".join(f"{counted[end] or '-':>15}" for end in ENDS))
    return "\n".join(lines)


@pytest.mark.timeout(1800)
def test_damaged_files_among_good_ones(tmp_path: Path, full_size: bool, capsys: pytest.CaptureFixture[str]) -> None:
    scale = 5 if full_size else 1
    tables = {format.name: run(tmp_path / format.name.replace(" ", "-"), format, scale) for format in FORMATS}
    total = sum(counted.total() for table in tables.values() for counted in table.values())
    with capsys.disabled():
        print(f"\n{total} damaged files, real ones damaged: {data_folder() is not None}")
        for name, table in tables.items():
            print(show(name, table))
    assert total >= 300
