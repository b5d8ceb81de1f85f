"""Skim files as pyarrow reads them again."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from processors.skims import arrow_numbers, write_skim

N = 11


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">i4", "i8", "u1", "u8", "?", "f2"])
@pytest.mark.parametrize("step", [1, 2, -1])
def test_numbers_are_those_of_numpy(kind: str, step: int) -> None:
    values = (np.arange(2 * N) % 3).astype(kind)[::step]
    for part in (values, values[:0], values[3:5]):
        found = arrow_numbers(part)
        found.validate(full=True)
        assert found.equals(pa.array(part.astype(part.dtype.newbyteorder("="))))


def test_tables_follow_one_another_and_texts_stay(tmp_path: Path) -> None:
    tables = [
        {"name": np.array(["a", "b"]), "pt": np.array([1.0, np.nan]), "jets": pa.array([[1], [2, 3]])},
        {"name": np.array(["c"]), "pt": np.array([3.0]), "jets": pa.array([[]], pa.list_(pa.int64()))},
    ]
    path = tmp_path / "sample" / "one.parquet"
    assert write_skim(path, tables) == 3
    found = pq.read_table(path)
    assert found["name"].to_pylist() == ["a", "b", "c"]
    assert np.array_equal(found["pt"].to_numpy(), [1.0, np.nan, 3.0], equal_nan=True)
    assert found["jets"].to_pylist() == [[1], [2, 3], []]
    assert [one.name for one in path.parent.iterdir()] == ["one.parquet"]


def test_a_skim_is_written_without_pandas(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import numpy as np
from processors.skims import write_skim
write_skim(Path({str(tmp_path / "one.parquet")!r}), [{{"pt": np.ones(3), "passed": np.array([True, False, True])}}])
sys.exit("pandas was imported" if "pandas" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
