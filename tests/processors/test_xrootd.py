"""A real XRootD server: what it has, what it refuses, when it goes away, comes back, or does not answer."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.xrootd import XRootD, free_ports, xrootd, xrootd_cache

from processors.errors import UnreadableFile
from processors.faults import is_transient
from processors.patient import Patience, open_ranges
from processors.remote import BLOCK, RemoteRanges

CONTENT = os.urandom(8 * BLOCK)
FAST = Patience(first_pause=0.01, growth=1.0, timeout=1.0, slowest=1e7)


def fill(directory: Path) -> None:
    (directory / "file.bin").write_bytes(CONTENT)
    (directory / "private.bin").write_bytes(CONTENT)
    (directory / "private.bin").chmod(0)
    (directory / "empty.bin").write_bytes(b"")
    (directory / "folder").mkdir()


@pytest.fixture(scope="module")
def server() -> Iterator[XRootD]:
    with xrootd(fill) as one:
        yield one


def check(ranges: RemoteRanges) -> None:
    """Short and long reads, single and together, all of them from places that were not read yet."""
    assert ranges.size == len(CONTENT)
    assert ranges.get(10, 20) == CONTENT[10:20]
    assert ranges.get(BLOCK + 100, 4 * BLOCK + 5) == CONTENT[BLOCK + 100 : 4 * BLOCK + 5]
    parts = [(start, start + 1000) for start in range(5 * BLOCK, 6 * BLOCK, 5000)]
    assert ranges.submit(parts).result() == [CONTENT[start:stop] for start, stop in parts]


@pytest.mark.parametrize("door", ["root", "http"])
def test_parts_of_a_file(server: XRootD, door: str) -> None:
    with RemoteRanges(f"{getattr(server, door)}/file.bin", FAST) as ranges:
        check(ranges)
        assert ranges.retries == 0
        # One block for the ten bytes, and the rest as it was asked for.
        assert ranges.bytes_read == BLOCK + 3 * BLOCK - 95 + 1000 * len(range(5 * BLOCK, 6 * BLOCK, 5000))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("absent.bin", FileNotFoundError, "there is no such file"),
        ("folder", UnreadableFile, "it is a directory, not a file"),
        ("empty.bin", UnreadableFile, r"it is empty \(zero bytes\)"),
        ("private.bin", OSError, r"PermissionError: \[3010\] .*permission denied"),
    ],
)
def test_what_will_not_go_away_is_an_error_at_once(
    server: XRootD, name: str, kind: type[Exception], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(kind, match=f"^cannot read root://localhost.*/{name}: {words}") as caught:
        open_ranges(f"{server.root}/{name}", "test", CONTENT[:4])
    assert not is_transient(caught.value)
    assert "another follows" not in caplog.text


@pytest.mark.parametrize(
    ("host", "words"), [("localhost:{port}", "Connection error"), ("no-such-host.invalid", "Invalid address")]
)
def test_a_server_that_is_not_there(host: str, words: str) -> None:
    address = f"root://{host.format(port=free_ports(1)[0])}//file.bin"
    clock = time.monotonic()
    with pytest.raises(OSError, match=rf"^cannot read {address}: ConnectionError: {words} \(5 attempts at its size\)$"):
        RemoteRanges(address, FAST)
    assert time.monotonic() - clock < 20


@pytest.mark.parametrize("door", ["root", "http"])
def test_a_server_that_is_started_again(server: XRootD, door: str, caplog: pytest.LogCaptureFixture) -> None:
    with RemoteRanges(f"{getattr(server, door)}/file.bin", FAST) as ranges:
        assert ranges.get(0, 10) == CONTENT[:10]
        server.stop()
        try:
            with pytest.raises(OSError, match=r"5 attempts at 1 ranges from byte 262144"):
                ranges.get(BLOCK, BLOCK + 10)
        finally:
            server.start()
        before = ranges.retries
        check(ranges)
        # The connection of before is not waited for: a new one is made at once.
        assert ranges.retries <= before + 1


@pytest.mark.parametrize("door", ["root", "http"])
def test_a_server_that_stops_and_starts_while_a_read_waits(server: XRootD, door: str) -> None:
    with RemoteRanges(
        f"{getattr(server, door)}/file.bin", Patience(first_pause=0.5, growth=1.0, timeout=5.0)
    ) as ranges:
        server.stop()
        future = ranges.submit([(0, 1000), (5000, 5010)])
        time.sleep(1.0)
        server.start()
        assert future.result(30) == [CONTENT[:1000], CONTENT[5000:5010]]
        assert ranges.retries > 0


@pytest.mark.parametrize("door", ["root", "http"])
def test_a_server_that_does_not_answer_is_not_waited_for_without_end(server: XRootD, door: str) -> None:
    hasty = replace(FAST, attempts=2)
    with RemoteRanges(f"{getattr(server, door)}/file.bin", hasty) as ranges:
        assert ranges.get(0, 10) == CONTENT[:10]
        clock = time.monotonic()
        with server.frozen():
            with pytest.raises(OSError, match=r"file\.bin: TimeoutError: .*\(2 attempts at"):
                ranges.get(BLOCK, BLOCK + 10)
            with pytest.raises(OSError, match=r"file\.bin: TimeoutError: .*\(2 attempts at its size\)"):
                RemoteRanges(f"{getattr(server, door)}/file.bin", hasty)
        assert time.monotonic() - clock < 20  # 4 attempts of a second each
        check(ranges)


def test_a_process_with_an_open_file_ends_although_the_server_does_not_answer(server: XRootD) -> None:
    code = (
        "import sys; from processors.patient import patience; from processors.remote import RemoteRanges;"
        "ranges = RemoteRanges(sys.argv[1], patience()); ranges.get(0, 10); print('open', flush=True);"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"{server.root}/file.bin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "HEPBATCH_READ_TIMEOUT": "2"}, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with server.frozen():
            process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_through_a_cache(server: XRootD) -> None:
    with xrootd_cache() as cache:
        with RemoteRanges(f"{cache.root}/{server.root}/file.bin", FAST) as ranges:
            check(ranges)
        with pytest.raises(FileNotFoundError, match=r"absent\.bin: there is no such file"):
            RemoteRanges(f"{cache.root}/{server.root}/absent.bin", FAST)


def test_codes_and_words_of_the_client(server: XRootD) -> None:  # where it is, the package is
    from processors.xrootd import told

    assert is_transient(told(OSError("File did not open properly: [ERROR] Operation expired")))
    assert is_transient(
        told(OSError("Failed to open file: [ERROR] Server responded with an error: [3024] overloaded\n"))
    )
    assert isinstance(told(OSError("Failed: [FATAL] Auth failed: No protocols left to try\n")), PermissionError)
    assert not is_transient(told(OSError("Failed: [ERROR] Server responded with an error: [3006] Invalid request\n")))
    plain = OSError(5, "Input/output error")
    assert told(plain) is plain


@pytest.mark.parametrize("package", ["fsspec_xrootd", "XRootD"])
def test_without_the_package_one_sentence_says_what_brings_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == package] + [package]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("processors.xrootd", "fsspec_xrootd", "fsspec_xrootd.xrootd"):
        if name.split(".")[0] != package:
            monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("processors.xrootd", raising=False)
    with pytest.raises(UnreadableFile) as caught:
        RemoteRanges("root://localhost//file.bin", FAST)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(
        "cannot read root://localhost//file.bin: a package for root:// is missing here:"
    )
    assert str(caught.value).endswith("pip install 'hepbatch[xrootd]' brings it")


@pytest.mark.parametrize("address", ["root:///file.bin", "root://localhost:door//file.bin", "gopher://localhost/file"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(UnreadableFile, match=f"^cannot read {address}: "):
        RemoteRanges(address, FAST)
