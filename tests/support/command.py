"""Running the command as a user does, in a process of its own; its source, and its numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support.mini_files import EventMaker, write_mini

HEPBATCH = Path(sys.executable).parent / "hepbatch"
NAMES = {
    "DataEgamma": "Data/skim.DataEgamma",
    "DataMuons": "Data/skim.DataMuons",
    "Zee": "MC/skim.mc_147770.Zee",
    "Zmumu": "MC/skim.mc_147771.Zmumu",
    "ttbar_lep": "MC/skim.mc_117050.ttbar_lep",
    "ZZ": "MC/skim.mc_105986.ZZ",
    "ggH125_ZZ4lep": "MC/skim.mc_160155.ggH125_ZZ4lep",
    "VBFH125_ZZ4lep": "MC/skim.mc_160205.VBFH125_ZZ4lep",
}


def hepbatch(
    *arguments: str | Path, cwd: Path, seconds: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs `hepbatch` with the arguments, for so many seconds at most; its output and exit status."""
    return subprocess.run(
        [str(HEPBATCH), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def python_path(directory: Path) -> str:
    """The PYTHONPATH of these tests with a directory before it."""
    return os.pathsep.join([str(directory), *filter(None, [os.environ.get("PYTHONPATH")])])


def make_source(directory: Path, samples: tuple[str, ...] = tuple(NAMES), events: int = 300) -> Path:
    """A directory laid out as the public one, with random events; every sample has events of its own."""
    for seed, sample in enumerate(samples, start=1):
        write_mini(directory / f"{NAMES[sample]}.root", EventMaker(seed).events(events), basket=64)
    return directory


def same_cutflow(output: Path, reference: Path) -> None:
    """Two run directories have the same counts, and the same weighted yields but for the order of their sums."""
    mine, theirs = (json.loads((one / "cutflow.json").read_text()) for one in (output, reference))
    assert list(mine) == list(theirs)
    for sample, cuts in theirs.items():
        assert list(mine[sample]) == list(cuts)
        scale = max(1.0, abs(cuts["all"]["weighted"]))
        for cut, counts in cuts.items():
            assert mine[sample][cut]["events"] == counts["events"], (sample, cut)
            assert abs(mine[sample][cut]["weighted"] - counts["weighted"]) <= 1e-12 * scale, (sample, cut)
