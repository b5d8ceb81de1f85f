"""What `datasets check` remembers in the cache, for `datasets list`."""

import errno
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from analysis import dataset_verbs
from analysis.checking import Found
from analysis.configuration import Configuration, load_configuration
from analysis.dataset_verbs import _remember, _seen


def configuration(directory: Path) -> Configuration:
    return load_configuration("lepton_id", (f"opendata.cache={directory}",))


def found(number: int) -> Found:
    return Found("ttbar_lep", f"root://server//{number}.root", f"root://server//{number}.root", entries=number)


@pytest.mark.parametrize("damage", [b'{"root://a": {"prob', b"[]", b"\xff\xfe"])
def test_a_damaged_memory_begins_anew_and_says_so(
    tmp_path: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = tmp_path / "checked" / "lepton_id.json"
    memory.parent.mkdir()
    memory.write_bytes(damage)
    _remember(configuration(tmp_path), [found(1)])
    assert f"{memory} was damaged" in "".join(capsys.readouterr()).replace("\n", " ")
    _remember(configuration(tmp_path), [found(2)])
    assert list(_seen(configuration(tmp_path))) == [found(1).address, found(2).address]
    assert list(json.loads(memory.read_text())) == [found(1).address, found(2).address]
    assert "damaged" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_cache_that_is_only_read_is_said(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(path: Path, content: Any) -> None:
        raise OSError(code, "no", str(path))

    monkeypatch.setattr(dataset_verbs, "write_json", refused)  # root may write everywhere
    _remember(configuration(tmp_path), [found(1)])
    assert "cannot be written: 'hepbatch datasets list' will not know of this check" in "".join(capsys.readouterr())
    code = errno.EIO
    with pytest.raises(OSError, match="no"):
        _remember(configuration(tmp_path), [found(1)])


def test_checks_at_the_same_time_keep_what_the_others_found(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: _remember(configuration(tmp_path), [found(number)]), range(1, 25)))
    assert sorted(one["entries"] for one in _seen(configuration(tmp_path)).values()) == list(range(1, 25))


def test_others_of_the_group_can_add_to_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    _remember(configuration(tmp_path), [found(1)])
    made = [tmp_path / "checked", *(tmp_path / "checked").iterdir()]
    assert len(made) == 3
    assert all(path.stat().st_mode & stat.S_IWGRP for path in made)
