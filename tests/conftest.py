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
