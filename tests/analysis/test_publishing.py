"""A finished run at an address: whole, verified, resumed, and opened from there."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.http_files import serving
from support.runs import make_run
from support.xrootd import xrootd_writable

from analysis import published_run, stages
from analysis.cli import main
from analysis.errors import UserError
from analysis.published_run import FETCHED, INDEX, Place, check_apart, fetch_run
from analysis.publishing import contents, publish_run
from processors.patient import Patience


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("finished") / "run", np.random.default_rng(1))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    directory = shutil.copytree(finished, tmp_path / "run")
    (directory / "ledger").mkdir()
    (directory / "ledger" / "ledger.sqlite").write_bytes(b"not for others")
    (directory / "skim" / "ZZ" / ".staged.parquet").write_bytes(b"not yet")
    return directory


def files(directory: Path) -> dict[str, bytes]:
    found = [path.relative_to(directory) for path in sorted(directory.rglob("*")) if path.is_file()]
    shown = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    return {path.as_posix(): (directory / path).read_bytes() for path in shown}


def index(directory: Path) -> Any:
    return json.loads((directory / INDEX).read_text())


def test_results_are_copied_and_listed_with_sizes_and_checksums(run: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    publish_run(run, f"file://{there}")
    expected = {name: content for name, content in files(run).items() if not name.startswith("ledger/")}
    published = files(there)
    listed = index(there)
    assert {name: content for name, content in published.items() if name != INDEX} == expected
    assert list(contents(run)) == list(listed["files"])
    assert {"manifest.json", "cutflow.json"} < set(expected)
    assert any(name.startswith("skim/ZZ/") for name in expected)
    for name, one in listed["files"].items():
        assert one == {"size": len(expected[name]), "sha256": hashlib.sha256(expected[name]).hexdigest()}
    assert listed["analysis"] == json.loads((run / "manifest.json").read_text())["analysis"]


def test_what_is_there_is_not_brought_again(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "there"
    publish_run(run, str(there))
    times = {name: (there / name).stat().st_mtime_ns for name in files(there)}
    publish_run(run, str(there))
    assert {name: (there / name).stat().st_mtime_ns for name in files(there)} == times
    # Another file, one less, and one that is no longer what it was at the address.
    (run / "cutflow.json").write_text("{}")
    name = next(name for name in files(run) if name.startswith("skim/Zee/"))
    (run / name).unlink()
    (there / "histograms.json").write_text("gone wrong")
    capsys.readouterr()
    publish_run(run, str(there))
    assert "2 of them now" in capsys.readouterr().err
    assert not (there / name).exists()
    assert (there / "cutflow.json").read_text() == "{}"
    assert (there / "histograms.json").read_bytes() == (run / "histograms.json").read_bytes()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{run}", "is the run directory"),
        ("file://{run}", "is the run directory"),
        ("simplecache::file://{run}", "is the run directory"),
        ("{link}", "is the run directory"),
        ("{run}/../run/there", "is inside the run directory"),
        ("file://{link}/skim", "is inside the run directory"),
        ("{run}/..", "has the run directory .* in it"),
    ],
)
def test_a_run_is_not_published_into_itself(run: Path, address: str, said: str) -> None:
    link = run.parent / "link"
    link.symlink_to(run)
    before = files(run.parent)
    given = address.format(run=run, link=link)
    with pytest.raises(UserError, match=rf"{said}.*: --publish needs a directory of its own"):
        publish_run(run, given)
    asked = CliRunner().invoke(main, ["report", "higgs4l", "--output", str(run), "--publish", given])
    assert asked.exit_code == 2  # before the report is made
    assert files(run.parent) == before


def test_a_place_beside_the_run_directory_is_apart(run: Path) -> None:
    for address in (f"{run}2", f"file://{run}.there", "http://example.org/run", "http://[::1]:1094/run"):
        check_apart(Place(address), run)


def test_a_file_has_its_name_in_a_directory_only_when_it_is_whole(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    # Whose skims are linked to those of the run: they are not written over while they are read.
    (there / "skim").symlink_to(run / "skim")
    before = files(run)
    publish_run(run, str(there))
    assert files(run) == before

    def breaks(source: Any, target: Any, length: int) -> None:
        target.write(source.read(10))
        raise PermissionError("it goes no further")

    (run / "cutflow.json").write_text("{}")
    former = files(there)
    monkeypatch.setattr("shutil.copyfileobj", breaks)
    with pytest.raises(UserError, match="it goes no further"):
        publish_run(run, str(there))
    assert files(there) == {name: content for name, content in former.items() if name != INDEX}
    assert not list(there.glob(".cutflow*"))


def test_what_another_run_brought_in_between_is_not_taken_for_ones_own(run: Path, tmp_path: Path) -> None:
    there, other = str(tmp_path / "there"), shutil.copytree(run, tmp_path / "other")
    content = (run / "cutflow.json").read_bytes()
    (other / "cutflow.json").write_bytes(content[:-2] + b" \n")  # as long
    assert (other / "cutflow.json").read_bytes() != content
    for one in (run, other, run):
        publish_run(one, there)
        assert (tmp_path / "there" / "cutflow.json").read_bytes() == (one / "cutflow.json").read_bytes()
    assert index(tmp_path / "there")["files"]["cutflow.json"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_without_a_list_what_is_remembered_is_looked_at(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    publish_run(run, str(there))
    (there / INDEX).unlink()  # as another run leaves it that broke off
    content = (run / "cutflow.json").read_bytes()
    (there / "cutflow.json").write_bytes(content[:-2] + b" \n")
    capsys.readouterr()
    publish_run(run, str(there))
    assert "1 of them now" in capsys.readouterr().err
    assert (there / "cutflow.json").read_bytes() == content


class Breaking(Place):
    """A place that takes so many files and no more."""

    left = 5

    def patiently(self, name: str, call: Any) -> Any:
        if call.__name__ == "bring":
            Breaking.left -= 1
            if Breaking.left < 0:
                raise UserError(f"{self.address}/{name}: the connection is gone")
        return super().patiently(name, call)


def test_what_broke_off_goes_on_and_is_no_run_before_it_is_whole(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    with monkeypatch.context() as patch:
        patch.setattr("analysis.publishing.Place", Breaking)
        with pytest.raises(UserError, match="the connection is gone"):
            publish_run(run, str(there))
    assert not (there / INDEX).exists()
    with pytest.raises(UserError, match="there is no published run at"):
        fetch_run(str(there), tmp_path / "here")
    publish_run(run, str(there))
    number = len(index(there)["files"])
    said = capsys.readouterr().err
    assert f"published: {number} files" in said
    assert f"{number - 5} of them now" in said
    assert len(files(there)) == number + 1


def test_a_published_run_is_brought_back_whole_over_http(run: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    publish_run(run, str(there))
    here = tmp_path / "here"
    with serving(there, lambda number: "cut" if number % 7 == 3 else None) as served:
        fetch_run(served.address, here)
        with pytest.raises(UserError, match="holds a run of its own"):
            fetch_run(served.address, run)
    listed = index(there)["files"]
    assert files(here) == {name: (run / name).read_bytes() for name in listed}
    with pytest.raises(UserError, match="is a directory here: --output opens it"):
        fetch_run(str(there), tmp_path / "other")


def test_what_an_earlier_one_brought_is_removed_from_a_copy_and_from_no_run(run: Path, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    publish_run(run, str(there))
    former = set(index(there)["files"])
    gone = next(name for name in sorted(former) if name.startswith("skim/Zee/"))
    with serving(there) as served:
        fetch_run(served.address, here)
        (here / "my notes.txt").write_text("mine")
        (here / FETCHED).unlink()  # earlier versions had none
        (run / gone).unlink()
        publish_run(run, str(there))
        fetch_run(served.address, here)
        assert set(files(here)) == former - {gone} | {"my notes.txt"}
        assert not (here / gone).with_name(f".{Path(gone).name}.verified").exists()
        # A run of the user, whose ledger is gone, keeps what it has.
        (run / gone).write_bytes(b"mine")
        shutil.rmtree(run / "ledger")
        with pytest.raises(UserError, match=r"holds a run of its own.*skim/Z"):
            fetch_run(served.address, run)
        assert (run / gone).read_bytes() == b"mine"
        other = tmp_path / "other"
        other.mkdir()
        (other / "manifest.json").write_text("{}")
        with pytest.raises(UserError, match="holds a run of its own"):
            fetch_run(served.address, other)
        assert files(other) == {"manifest.json": b"{}"}
        # Nor is anything removed behind a link.
        shutil.rmtree(here / "skim")
        (here / "skim").symlink_to(run / "skim")
        with pytest.raises(UserError, match="behind a link"):
            fetch_run(served.address, here)
        assert (run / gone).read_bytes() == b"mine"


def test_a_copy_in_which_a_run_began_is_a_copy_no_more(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    publish_run(run, str(there))
    with serving(there) as served:
        fetch_run(served.address, here)
        monkeypatch.setattr(stages, "check_before", lambda *_: None)
        monkeypatch.setattr(stages, "Ledger", lambda _: (_ for _ in ()).throw(UserError("as far as this")))
        request: Any = SimpleNamespace(directory=here, cluster=None)
        with pytest.raises(UserError, match="as far as this"), stages._cluster(request, SimpleNamespace()):  # type: ignore[arg-type]
            pass
        (here / "skim" / "mine.parquet").write_bytes(b"mine")
        with pytest.raises(UserError, match="holds a run of its own"):
            fetch_run(served.address, here)
    assert (here / "skim" / "mine.parquet").read_bytes() == b"mine"


def test_a_file_without_content_comes_back_and_what_is_here_needs_no_room(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    (run / "models" / "empty").write_bytes(b"")
    publish_run(run, str(there))
    with serving(there) as served:
        fetch_run(served.address, here)
        assert (here / "models" / "empty").read_bytes() == b""
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
        fetch_run(served.address, here)
        (here / "cutflow.json").unlink()
        with pytest.raises(UserError, match="has too little room"):
            fetch_run(served.address, here)


def test_an_address_with_credentials_is_refused_and_not_shown(run: Path, tmp_path: Path) -> None:
    for address, place in (("davs://jane:hush@host/one", "netrc"), ("s3://jane:hush@runs/one", "AWS_ACCESS_KEY_ID")):
        with pytest.raises(UserError, match=rf"\*\*\*@.* has credentials in it.*{place}") as caught:
            publish_run(run, address)
        assert "hush" not in str(caught.value)
        for words in (["--publish", address], ["--from", address, "--detach"]):
            asked = CliRunner().invoke(main, ["report", "higgs4l", "--output", str(tmp_path / "out"), *words])
            assert asked.exit_code == 2
            assert "has credentials in it" in asked.output
            assert "hush" not in asked.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fault", "said"), [("404", "there is no published run at"), ("403", r"published\.json: .*403")]
)
def test_a_server_that_refuses_is_not_taken_for_an_empty_one(tmp_path: Path, fault: str, said: str) -> None:
    with serving(tmp_path, lambda _: fault) as served, pytest.raises(UserError, match=said):
        fetch_run(f"{served.address}/run", tmp_path / "back")


def test_a_server_that_is_not_there_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path) as served:
        address = served.address
    monkeypatch.setattr(published_run, "patience", lambda: Patience(attempts=2, first_pause=0.01))
    with pytest.raises(UserError, match=r"published\.json: .*[Cc]onnect"):
        fetch_run(f"{address}/run", tmp_path / "back")


def test_a_list_that_points_elsewhere_is_refused(run: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    publish_run(run, str(there))
    content = index(there)
    content["files"]["../outside"] = {"size": 1, "sha256": "0"}
    (there / INDEX).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"lists \.\./outside, which is not below it"):
        fetch_run(str(there), tmp_path / "here")


def test_an_address_that_nothing_can_write_to_is_one_sentence(run: Path) -> None:
    with pytest.raises(UserError, match="nosuch"):
        publish_run(run, "nosuch://host/run")
    with pytest.raises(UserError, match="there is no finished run in"):
        publish_run(run.parent / "empty", str(run.parent / "there"))


@pytest.mark.slow
def test_over_xrootd(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with xrootd_writable() as server:
        address = f"{server.root}/runs/one"
        publish_run(run, address)
        published = {name: content for name, content in files(server.data / "runs" / "one").items() if name != INDEX}
        assert published == {name: (run / name).read_bytes() for name in contents(run)}
        (run / "cutflow.json").write_text("{}")
        capsys.readouterr()
        publish_run(run, address)
        assert "1 of them now" in capsys.readouterr().err
        fetch_run(address, tmp_path / "here")
        assert files(tmp_path / "here") == {name: (run / name).read_bytes() for name in contents(run)}
        server.stop()
        with pytest.raises(UserError, match="runs/one"):
            publish_run(run, address)
