"""Jets of two classes for `benchmarks.pfn`, and how well two classifiers tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PADDED = 160  # particles, as the source
GLUON, QUARKS = 21, (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Sample:
    """Preprocessed jets with their classes; the first `train` are for training, the others for the AUC."""

    particles: np.ndarray
    offsets: np.ndarray
    label: np.ndarray
    train: int

    @property
    def jets(self) -> Any:
        """As `training.jets.Jets`."""
        from training.jets import Jets

        return Jets(self.particles, self.offsets)

    def padded(self) -> np.ndarray:
        """(J, 160, 4); particles beyond are left out."""
        result = np.zeros((len(self.label), PADDED, 4), np.float32)
        jet = np.repeat(np.arange(len(self.label)), np.diff(self.offsets))
        slot = np.arange(len(jet)) - self.offsets[jet]
        kept = slot < PADDED
        result[jet[kept], slot[kept]] = self.particles[kept]
        return result


def sample(files: Sequence[Path], train: int, test: int) -> Sample:
    """Jets of the MOD files in an order by chance, or made ones."""
    from training.jets import preprocess

    pt, y, phi, pid, offsets, label = jets_of(files, train + test) if files else made_jets(train + test)
    jets = preprocess(pt, y, phi, pid, offsets)
    return Sample(jets.particles, jets.offsets, label, train)


def made_jets(number: int) -> tuple[np.ndarray, ...]:
    """pt, y, phi, pid, offsets, class: 45 particles on average with the long tail of real ones; class 1, like gluons.

    Jets of class 1 have 1.4 times the particles of class 0, and are wider: a few epochs tell them apart, and nothing
    does so fully.
    """
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, number)
    counts = np.minimum(rng.poisson(rng.gamma(9.0, np.where(label, 5.8, 4.2))) + 1, PADDED)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    n = int(offsets[-1])
    width = np.repeat(np.where(label, 0.17, 0.14) * rng.gamma(16.0, 1 / 16, number), counts)
    pid = rng.choice([211, -211, 22, 130, 321, 11], n)
    return rng.exponential(8.0, n), rng.normal(0, width), rng.normal(0, width), pid, offsets, label


def jets_of(files: Sequence[Path], number: int) -> tuple[np.ndarray, ...]:
    """The same of jets in simulated MOD files that a quark (class 0) or a gluon (class 1) began."""
    import h5py

    from training.jets import FEATURES

    particles, counts, labels = [], [], []
    for path in files:
        with h5py.File(path) as file:
            names = [name.decode() for name in file["jets_i"].attrs["cols"]]
            if "hard_pid" not in names:
                raise SystemExit(f"{path} has no hard_pid: quarks and gluons are told apart in simulated jets only.")
            parton = np.abs(file["jets_i"][:, names.index("hard_pid")])
            chosen = np.flatnonzero(np.isin(parton, (GLUON, *QUARKS)))
            index = file["pfcs_index"][:].astype(np.int64)
            names = [name.decode() for name in file["pfcs"].attrs["cols"]]
            table = file["pfcs"][:][:, [names.index(name) for name in FEATURES]]
        counts.append(np.diff(index)[chosen])
        particles.append(table[_of_jets(index[:-1][chosen], counts[-1])])
        labels.append((parton[chosen] == GLUON).astype(np.int64))
    count, label, table = np.concatenate(counts), np.concatenate(labels), np.concatenate(particles)
    if len(label) < number:
        raise SystemExit(f"The files have {len(label)} jets of quarks and gluons, fewer than the {number} asked for.")
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    order = np.random.default_rng(1).permutation(len(label))[:number]
    pt, y, phi, pid = table[_of_jets(first[order], count[order])].T
    return pt, y, phi, pid, np.concatenate([[0], np.cumsum(count[order])]), label[order]


def _of_jets(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Rows of the particles of jets that begin at `first`."""
    begin = np.concatenate([[0], np.cumsum(count)[:-1]])
    return np.arange(count.sum()) + np.repeat(first - begin, count)


def auc(label: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs (K,) of scores (K, n) of the same jets, and their covariance (K, K).

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 837 (1988), with ranks as Sun and Xu, IEEE Signal Process. Lett.
    21, 1389 (2014). It is the error of the test jets alone: the networks are taken as they are.
    """
    from scipy.stats import rankdata

    one = np.asarray(label) == 1
    positive, negative = int(one.sum()), int((~one).sum())
    ranks = rankdata(scores, axis=1)
    # For each jet of one class the share of the other class on the right side of it.
    below = (ranks[:, one] - rankdata(scores[:, one], axis=1)) / negative
    above = 1 - (ranks[:, ~one] - rankdata(scores[:, ~one], axis=1)) / positive
    return below.mean(axis=1), np.atleast_2d(np.cov(below)) / positive + np.atleast_2d(np.cov(above)) / negative
