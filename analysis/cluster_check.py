"""Whether a cluster works: one worker of each pool, one task on each, and nothing left behind."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from analysis.addresses import opened_as
from analysis.datasets.catalogue import load_catalogue
from analysis.datasets.sources import resolve
from analysis.engine.lock import run_lock
from analysis.engine.stopping import Stopped, StopRequest, stop_request
from analysis.errors import Interrupted, UserError
from analysis.fetching import present_or_remote, public_samples
from analysis.progress import say
from cluster import credentials, space
from cluster.errors import ClusterError
from cluster.opening import open_cluster
from cluster.pools import Cluster, tagged_workers
from cluster.probe import Place, probe
from cluster.settings import TAGS, ClusterSettings, CredentialSettings
from cluster.versions import own_versions

GIB = 2**30
# One task that looks around takes no longer, even where a file is far away [s].
LONGEST_PROBE = 120.0


def check_cluster(settings: ClusterSettings, name: str, directory: Path, path: str | None) -> bool:
    """Starts one worker of each pool and says what it found; `path` is a file to read from there. True if all is well.

    Raises UserError when the cluster does not open, Interrupted when the user did not want to wait.
    """
    path = None if path is None else opened_as(path, settings.xrootd_prefix)
    one = {pool: getattr(settings.pools, pool).model_copy(update={"workers": 1}) for pool in TAGS}
    small = settings.model_copy(update={"pools": settings.pools.model_copy(update=one)})
    well = [_check_space(settings, directory)]
    for valid, line in credentials.report(settings.credentials):
        say(f"here: {line}")
        well.append(valid)
    try:
        with stop_request() as stop, run_lock(directory), stop.heeded():
            with open_cluster(small, directory, stop.check) as cluster:
                say(f"{name} ({cluster.kind}): the scheduler is at {cluster.client.scheduler_info()['address']}")
                good = [_check_pool(cluster, pool, path, settings.credentials, stop) for pool in TAGS]
            say("everything that was started has ended")
            return all(well) and all(good)
    except ClusterError as error:
        raise UserError(str(error)) from error
    except Stopped as stopped:
        raise Interrupted(stopped.number, "the check was interrupted; what it started has ended") from None


def file_to_read(configuration: Any) -> str | None:
    """The first file of an analysis' source, of public ones the address; None where it is yet to be simulated."""
    catalogue = load_catalogue(configuration.datasets)
    public = public_samples(configuration, catalogue)
    resolved = resolve(catalogue, configuration.source, configuration.complete, public)
    samples = [*resolved.samples.values(), *present_or_remote(configuration, catalogue, resolved.to_fetch).values()]
    path = next((path for sample in samples for path in sample.files), None)
    if path is None:
        say(f"nothing is read: the source {configuration.source} has no files before they are simulated")
    return path


def _check_space(settings: ClusterSettings, directory: Path) -> bool:
    wrong = space.shortage(directory, settings.free_space)
    say(f"here: {wrong or f'the run directory has {space.shown(space.free_space(directory).bytes)} free'}")
    return wrong is None


def _check_pool(cluster: Cluster, pool: str, path: str | None, needed: CredentialSettings, stop: StopRequest) -> bool:
    clock = time.monotonic()
    try:
        cluster.need(pool, 1, stop.check)
        waited = time.monotonic() - clock
        place = _look(cluster, pool, path, needed, stop)
    except ClusterError as error:
        say(f"{pool}: {error}")
        return False
    finally:
        cluster.release(pool)
    for line in describe(place, waited):
        say(f"{pool}: {line}")
    return not isinstance(place.read, str) and all(good for good, _ in place.credentials)


def _look(cluster: Cluster, pool: str, path: str | None, needed: CredentialSettings, stop: StopRequest) -> Place:
    tag = cluster.tag(pool)
    where: dict[str, Any] = {"resources": {tag: 1}} if tag else {"workers": list(tagged_workers(cluster.client, None))}
    read = None if path is None else partial(size_of, path)
    future = cluster.client.submit(probe, read, needed, pure=False, **where)
    until = time.monotonic() + LONGEST_PROBE
    while not future.done():
        stop.check()
        cluster.watch(pool)
        if time.monotonic() > until:
            raise ClusterError(f"the worker has not answered for {LONGEST_PROBE:.0f} s")
        time.sleep(0.1)
    problem = future.exception()
    if problem is not None:
        raise ClusterError(f"the task failed: {type(problem).__name__}: {' '.join(str(problem).split())}")
    place: Place = future.result()
    return place


def size_of(path: str) -> int:
    """On a worker: size of a file [bytes], after reading its beginning as a skim would."""
    from processors.patient import open_ranges

    with open_ranges(path, "data", b"") as ranges:
        ranges.get(0, 4)
        return ranges.size


def describe(place: Place, waited: float) -> list[str]:
    """What a worker found, as lines for the user."""
    limit = "no limit" if place.limit is None else f"limit {place.limit / GIB:.1f} GiB"
    versions = ", ".join(f"{name} {version}" for name, version in own_versions().items() if name != "python")
    lines = [
        f"worker {place.worker} on {place.host} after {waited:.0f} s",
        f"{place.cores} cores, {place.memory / GIB:.1f} GiB of memory ({limit})",
        f"GPU: {'; '.join(place.gpus) or 'none'}; CUDA_VISIBLE_DEVICES = {place.visible_devices!r}",
        f"python {place.python}, {versions}: as here",
        f"scratch {place.scratch}: {place.scratch_free / GIB:.1f} GiB free",
    ]
    lines += [line for _, line in place.credentials]
    if place.read is not None:
        lines.append(
            f"reads the input: {place.read} bytes" if isinstance(place.read, int) else f"cannot read: {place.read}"
        )
    return lines
