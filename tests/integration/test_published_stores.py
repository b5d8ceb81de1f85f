"""A finished run at WebDAV and S3 servers of this machine: whole, verified, resumed, and reported from there."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.command import hepbatch, make_source, python_path
from support.stores import Store, s3, webdav

from analysis.errors import UserError
from analysis.published_run import INDEX, Place, fetch_run
from analysis.publishing import contents, publish_run
from processors.webdav import authorization

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("finished")
    source = make_source(directory / "source", ("DataMuons", "Zee", "ZZ", "ggH125_ZZ4lep"), 200)
    done = hepbatch("skim", "higgs4l", "--source", source, "--output", "run", "--workers", "1", cwd=directory)
    assert done.returncode == 0, done.stderr
    return directory / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(params=["webdav", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.delenv("BEARER_TOKEN", raising=False)
    with ExitStack() as stack:
        one = stack.enter_context(webdav(tmp_path / "store") if request.param == "webdav" else s3())
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
        yield one


def there(address: str, run: Path) -> dict[str, bytes]:
    """What a place has of the files of a run, as a client of its own reads it."""
    place = Place(address)
    found = {name: place.read(name) for name in (INDEX, *contents(run))}
    return {name: content for name, content in found.items() if content is not None}


def here(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in contents(run)}


def test_a_run_is_whole_there_and_comes_back(
    run: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"{store.address}/of jane/one"
    publish_run(run, address)
    published = there(address, run)
    listed: Any = json.loads(published.pop(INDEX))
    assert published == here(run)
    assert len(published) == 8
    assert listed["files"] == {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in published.items()
    }
    # What is there is not brought again; what changed is, and what is gone here goes there.
    uploads = store.uploads
    publish_run(run, address)
    assert store.uploads == uploads
    (run / "cutflow.json").write_text("{}")
    gone = next(name for name in contents(run) if name.startswith("skim/Zee/"))
    (run / gone).unlink()
    capsys.readouterr()
    publish_run(run, address)
    assert "1 of them now" in capsys.readouterr().err
    assert store.uploads == uploads + 2  # with the list
    assert Place(address).size(gone) is None
    fetch_run(address, tmp_path / "back")
    assert here(tmp_path / "back") == here(run)


def test_what_broke_off_goes_on_where_it_was(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.patient.Patience.first_pause", 0.001)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address = f"{store.address}/one"
    store.fault = lambda number: None if number <= 3 else 503
    with pytest.raises(UserError, match=store.address):
        publish_run(run, address)
    arrived = store.uploads
    assert Place(address).size(INDEX) is None
    with pytest.raises(UserError, match="there is no published run at"):
        fetch_run(address, run.parent / "back")
    store.fault = lambda number: 503 if number % 4 == 0 else None  # and it is not quite well yet
    capsys.readouterr()
    publish_run(run, address)
    assert store.uploads > arrived
    number = len(list(contents(run)))
    said = capsys.readouterr().err
    assert f"published: {number} files" in said
    brought = int(said.rpartition(", ")[2].split()[0])
    assert number - 3 <= brought < number
    published = there(address, run)
    assert set(published) == {INDEX, *contents(run)}
    assert {name: content for name, content in published.items() if name != INDEX} == here(run)


def test_a_file_that_is_not_the_published_one_is_not_kept(run: Path, store: Store, tmp_path: Path) -> None:
    address = f"{store.address}/one"
    publish_run(run, address)
    (tmp_path / "other").write_bytes(b"[]" + (run / "cutflow.json").read_bytes()[2:])
    Place(address, writing=True).put(tmp_path / "other", "cutflow.json")
    with pytest.raises(UserError, match=r"cutflow\.json.*its SHA-256 is .*; nothing was kept of it"):
        fetch_run(address, tmp_path / "back")
    assert not (tmp_path / "back" / "cutflow.json").exists()


def test_the_command_reports_a_run_that_is_there(run: Path, store: Store, tmp_path: Path) -> None:
    address = f"{store.address}/one"
    publish_run(run, address)
    done = hepbatch("report", "higgs4l", "--output", "back", "--from", address, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back" / "report.html").stat().st_size > 10_000
    gone = hepbatch("report", "higgs4l", "--output", "none", "--from", f"{store.address}/two", cwd=tmp_path)
    assert (gone.returncode, gone.stderr) == (
        2, f"hepbatch: there is no published run at {store.address}/two: it has no published.json\n",
    )  # fmt: skip


def test_credentials_that_do_not_serve_are_one_sentence(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BEARER_TOKEN", raising=False)
    with webdav(tmp_path / "store") as store:
        monkeypatch.setenv("NETRC", str(tmp_path / "none"))
        with pytest.raises(UserError, match=rf"{store.address}/one/.*: .*401"):
            publish_run(run, f"{store.address}/one")
        (tmp_path / "wrong").write_text("machine 127.0.0.1 login jane password guessed\n")
        (tmp_path / "wrong").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "wrong"))
        with pytest.raises(UserError, match=rf"{store.address}/one/.*: .*401"):
            publish_run(run, f"{store.address}/one")
        (tmp_path / "wrong").write_text("machina 127.0.0.1\n")
        with pytest.raises(UserError, match=r"cannot write .*wrong: bad toplevel token 'machina' \(line 1\)"):
            publish_run(run, f"{store.address}/one")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "https://example.org/one",
            "https://example.org/one cannot be written to: a server with WebDAV has an address",
        ),
        ("s3://", "'s3://' names no place"),
        ("", "'' names no place"),
        ("davs://example.org:port/one", "cannot write davs://example.org:port/one: Port could not be cast to integer"),
        ("davs:///one", "cannot write davs:///one: davs:///one names no server"),
        ("gopher://example.org/one", "cannot write gopher://example.org/one: Protocol not known: gopher"),
    ],
)
def test_an_address_that_cannot_be_written_to_is_told_before_anything_runs(
    tmp_path: Path, address: str, expected: str
) -> None:
    done = hepbatch("skim", "higgs4l", "--publish", address, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"hepbatch: {address}: {expected}") or done.stderr.startswith(f"hepbatch: {expected}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("package", "address", "extra"),
    [("s3fs", "s3://runs/one", "s3"), ("webdav4", "davs://example.org/one", "webdav")],
)
def test_a_package_that_is_missing_is_told_with_what_brings_it(
    tmp_path: Path, package: str, address: str, extra: str
) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ImportError('no {package} here')\n")
    done = hepbatch("skim", "higgs4l", "--publish", address, cwd=tmp_path, PYTHONPATH=python_path(tmp_path))
    assert done.returncode == 2
    assert done.stderr.endswith(f"; pip install 'hepbatch[{extra}]' brings it\n")
    assert len(done.stderr.splitlines()) == 1


def test_a_bucket_is_not_made(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=r"s3://runz/one/.*: NoSuchBucket"):
            publish_run(run, "s3://runz/one")
        assert store.requests["PUT"] > 0


def test_a_token_goes_to_nobody_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "a-token")
    assert authorization("https://example.org/one") == {"Authorization": "Bearer a-token"}
    assert authorization("http://127.0.0.1:8000/one") == {"Authorization": "Bearer a-token"}
    assert authorization("http://example.org/one") == {}
