"""Fixtures that every test may use: where the real files are, and how large the tests run."""

import importlib
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

# Tests load TensorFlow as it comes, and after it XRootD's library would end the process, see `training.backend`.
with suppress(ImportError):
    importlib.import_module("XRootD.client")

# How long an example takes says what else the machine does, not whether it holds.
settings.register_profile("hepbatch", deadline=None)
settings.load_profile("hepbatch")

# Whoever starts the tests in the background (nohup, a shell's &) has these ignored, and every command that a test
# starts and then interrupts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real and simulated Open Data files; skips where it is absent."""
    folder = Path(os.environ.get("HEPBATCH_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data files at {folder} (HEPBATCH_TEST_DATA names another folder)")
    return folder


@pytest.fixture(scope="session")
def full_size() -> bool:
    """True under `make test-full`, which sets HEPBATCH_TEST_SIZE=full."""
    return os.environ.get("HEPBATCH_TEST_SIZE", "") == "full"


# Batch systems and the servers of their credentials, each with a dozen daemons: one of them runs at a time.
ONE_AT_A_TIME = ("support.condor", "support.facility", "support.slurm", "support.credentials")
# Files of tests that take minutes: they begin first, so that at the end no process waits for another's.
LONG = ("test_faults", "test_run_command", "test_damaged_files")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the processes of `make test` share out among them: whole files, and all batch systems as one.

    A file's fixtures (a batch system, a finished run) are made once, by the process that has it.
    """
    groups = {item.path: _group(item) for item in items}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    first = ("batch", *LONG)
    items.sort(key=lambda item: first.index(groups[item.path]) if groups[item.path] in first else len(first))


def _group(item: pytest.Item) -> str:
    module = item.getparent(pytest.Module)
    assert module is not None
    used = {getattr(value, "__module__", None) for value in vars(module.obj).values()}
    if used.intersection(ONE_AT_A_TIME):
        return "batch"
    return item.path.stem if item.path.stem in LONG else str(item.path.relative_to(PROJECT))
