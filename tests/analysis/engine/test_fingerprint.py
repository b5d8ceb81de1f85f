"""A fingerprint changes with the settings and the source that a result depends on, and with nothing else."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis.engine.fingerprint import fingerprint, source_files

FILES = {
    "cuts/__init__.py": "",
    "cuts/main.py": "from cuts import shared\nfrom cuts.deep.inner import f\nimport outside\nimport json\n",
    "cuts/shared.py": "from .relative import VALUE\n",
    "cuts/relative.py": "VALUE = 1\n",
    "cuts/unused.py": "",
    "cuts/deep/__init__.py": "from . import beside\n",
    "cuts/deep/beside.py": "",
    "cuts/deep/inner.py": "def f():\n    from ..lazy import g\n    return g\n",
    "cuts/lazy.py": "import cuts.main\ng = 1\n",
    "outside.py": "",
    "heavy/__init__.py": "raise AssertionError('nobody may import this to find a source')\n",
    "heavy/part.py": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on Python's path with the packages of FILES."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cuts", "outside", "heavy")]:
        del sys.modules[name]
    source_files.cache_clear()


def mark(**facts: object) -> str:
    source_files.cache_clear()  # each call stands for a process of its own
    return fingerprint(("cuts.main",), ("cuts",), **facts)


@pytest.mark.parametrize(
    "name",
    ["cuts/main.py", "cuts/shared.py", "cuts/relative.py", "cuts/deep/inner.py", "cuts/deep/__init__.py",
     "cuts/deep/beside.py", "cuts/lazy.py", "cuts/__init__.py"],
)  # fmt: skip
def test_the_source_of_all_that_is_imported_counts(package: Path, name: str) -> None:
    before = mark()
    with (package / name).open("a") as file:
        file.write("# another cut\n")
    assert mark() != before


@pytest.mark.parametrize("name", ["cuts/unused.py", "outside.py"])
def test_other_source_does_not_count(package: Path, name: str) -> None:
    before = mark()
    (package / name).write_text("something = 'else'\n")
    assert mark() == before


def test_a_named_module_outside_the_packages_counts(package: Path) -> None:
    marks: list[str] = []
    change: list[Callable[[], object]] = [lambda: None, lambda: (package / "outside.py").write_text("x = 1\n")]
    for step in change:
        step()
        source_files.cache_clear()
        marks.append(fingerprint(("outside",), ()))
    assert marks[0] != marks[1]


def test_settings_count_and_their_order_does_not(package: Path) -> None:
    assert mark(settings={"pt": 7, "eta": 2.5}) == mark(settings={"eta": 2.5, "pt": 7})
    assert len({mark(), mark(settings={"pt": 7}), mark(settings={"pt": 8}), mark(luminosity={"pt": 7})}) == 4


def test_libraries_are_not_imported_to_be_left_out(package: Path) -> None:
    (package / "cuts/main.py").write_text("def f():\n    import heavy.part\n    from heavy import part\n")
    assert [name for name, _ in source_files(("cuts.main",), ("cuts",))] == ["cuts", "cuts.main"]
    assert "heavy" not in sys.modules


def test_a_module_is_not_run_to_be_read(package: Path) -> None:
    (package / "cuts/shared.py").write_text("raise AssertionError('nobody may import this to read it')\n")
    (package / "cuts/main.py").write_text("def f():\n    from cuts.shared import VALUE\n    return VALUE\n")
    assert [name for name, _ in source_files(("cuts.main",), ("cuts",))] == ["cuts", "cuts.main", "cuts.shared"]
    assert not {"cuts.main", "cuts.shared"} & set(sys.modules)


def test_a_module_that_is_not_there_is_left_out(package: Path) -> None:
    (package / "cuts/main.py").write_text("try:\n    import cuts.gone\nexcept ImportError:\n    pass\n")
    assert [name for name, _ in source_files(("cuts.main",), ("cuts",))] == ["cuts", "cuts.main"]


def test_the_shipped_processor_depends_on_its_physics_and_not_on_the_report() -> None:
    names = {name for name, _ in source_files(("processors.higgs4l", "processors.readers"), ("processors",))}
    assert {"processors.higgs4l_selection", "processors.kinematics", "processors.readers"} <= names
    assert all(name.startswith("processors") for name in names)
