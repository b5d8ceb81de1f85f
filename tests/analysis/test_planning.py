"""A file is opened once as long as it stays the same; of several addresses the first good one counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.http_files import serving
from support.mini_files import EventMaker, write_mini

from analysis.cluster_choice import load_cluster
from analysis.configuration import load_configuration
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.samples import Sample
from analysis.engine.items import InputFile, WorkItem
from analysis.engine.ledger import Ledger
from analysis.engine.lock import run_lock
from analysis.engine.stopping import StopRequest
from analysis.manifest import Manifest
from analysis.planning import make_plan
from analysis.run import Run
from analysis.skim_job import make_job, process_item

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("run")
    configuration = load_configuration("higgs4l", ("retries.first_pause=0.01", "retries.attempts=2"))
    catalogue = load_catalogue(configuration.datasets)
    with (
        run_lock(directory) as lock,
        Ledger(directory / "ledger") as ledger,
        Run(
            configuration, catalogue, directory, Manifest.begin(directory, configuration, catalogue),
            load_cluster("local", workers=1), ledger, StopRequest(), lock,
        ) as running,
    ):  # fmt: skip
        yield running


def write(path: Path, seed: int, events: int = 20) -> str:
    return str(write_mini(path, EventMaker(seed).events(events)))


def test_a_file_is_opened_again_only_after_it_has_changed(run: Run, tmp_path: Path) -> None:
    files = [InputFile("ZZ", write(tmp_path / f"{number}.root", number)) for number in range(5)]
    first, second = make_plan(run, files), make_plan(run, files)
    assert (first.remembered, second.remembered) == (0, 5)
    assert first.files == second.files
    assert [file.path for file in first.files] == [file.path for file in files]
    write(tmp_path / "3.root", 13, events=33)
    third = make_plan(run, files)
    assert third.remembered == 4
    assert [file.entries for file in third.files] == [20, 20, 20, 33, 20]
    assert third.files[3].uuid != first.files[3].uuid
    assert make_plan(run, files).remembered == 5


def test_a_file_that_is_gone_or_broken_is_named_and_not_remembered(run: Run, tmp_path: Path) -> None:
    good, broken = write(tmp_path / "good.root", 21), tmp_path / "broken.root"
    broken.write_text("this is not a ROOT file\n")
    files = [InputFile("ZZ", good), InputFile("ZZ", str(broken)), InputFile("ZZ", str(tmp_path / "gone.root"))]
    for _ in range(2):
        plan = make_plan(run, files)
        assert [file.path for file in plan.files] == [good]
        assert {Path(failure.file).name for failure in plan.failures} == {"broken.root", "gone.root"}
        assert any("not a ROOT file" in failure.error for failure in plan.failures)
    write(broken, 22)
    assert len(make_plan(run, files).files) == 2
    Path(good).unlink()
    assert len(make_plan(run, files).files) == 1


def test_where_the_first_address_has_no_good_file_the_next_one_is_read(run: Run, tmp_path: Path) -> None:
    gone, broken, good = (str(tmp_path / name) for name in ("gone.root", "broken.root", "good.root"))
    Path(broken).write_bytes(b"")
    write(Path(good), 31)
    files = [InputFile("ZZ", gone, (broken, good))]
    plan = make_plan(run, files)
    assert plan.failures == ()
    (file,) = plan.files
    assert (file.path, file.entries, file.replicas) == (gone, 20, (broken, good))
    assert make_plan(run, files).remembered == 1
    # Back at its first address, it is opened there once.
    Path(good).replace(gone)
    again = [make_plan(run, files) for _ in range(2)]
    assert [plan.remembered for plan in again] == [0, 1]
    assert again[0].files == plan.files


def test_a_storage_that_does_not_answer_makes_nothing_forgotten(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "far.root", 61)
    with serving(tmp_path) as served:
        files = [InputFile("ZZ", f"{served.address}/far.root")]
        first = make_plan(run, files)
        assert (first.remembered, first.failures) == (0, ())
    later = make_plan(run, files)  # its server is gone
    assert (later.remembered, later.failures) == (1, ())
    assert later.files == first.files
    never_seen = make_plan(run, [InputFile("ZZ", f"{served.address}/other.root")])
    assert len(never_seen.failures) == 1


def test_copies_are_left_out_and_named(run: Run, tmp_path: Path) -> None:
    path, copy = write(tmp_path / "a.root", 41), tmp_path / "b.root"
    copy.write_bytes(Path(path).read_bytes())
    plan = make_plan(run, [InputFile("ZZ", path), InputFile("Zee", str(copy))])
    assert [file.path for file in plan.files] == [path]
    assert [(one.sample, one.file) for one in plan.copies] == [("Zee", str(copy))]


def test_an_item_is_read_from_the_file_that_was_planned_and_no_other(run: Run, tmp_path: Path) -> None:
    planned, other = write(tmp_path / "planned.root", 51), write(tmp_path / "other.root", 52)
    sample = Sample(
        "ZZ", "background", "ZZ", (other,), "here", simulated=False, xsec=1.0, sumw=1.0, reduction_efficiency=1.0
    )
    job = make_job(run, {"ZZ": sample})
    (file,) = make_plan(run, [InputFile("ZZ", planned)]).files
    item = WorkItem("ZZ", other, file.uuid, 5, 15, replicas=(str(tmp_path / "gone.root"), planned))
    with pytest.raises(ValueError, match=r"other\.root is not the file that was planned"):
        process_item(job, item, 0)
    with pytest.raises(FileNotFoundError):
        process_item(job, item, 1)
    processed = process_item(job, item, 2)
    assert processed.content["entries"] == 10
    assert processed.skim is not None
    assert (run.directory / "skim" / processed.skim.staged).stat().st_size == processed.skim.bytes
