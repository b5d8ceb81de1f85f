"""Which trainings a configuration asks for, and the jets of each: one for a sample, a pair of bins, a signal size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dijet_pool import Pool
from training.dijet_settings import Injection, Settings
from training.injection import GLUON, gluon_events, inject, signal_events
from training.sampling import (
    Doubles,
    Indices,
    Subsets,
    draw_sample,
    generator,
    jets_of,
    seed_sequence,
    split_events,
)

Labels = NDArray[np.int8]
QUARKS = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Key:
    """A training: events of the sample, its number, the pair of bins, events of signal (0: none)."""

    size: int
    sample: int
    pair: int
    signal: int = 0


@dataclass(frozen=True)
class Member:
    """The jets of one training as numbers in the pool, their labels (1: upper bin, or gluon), and its seed."""

    train: Indices
    validation: Indices
    test: Indices
    train_labels: Labels
    validation_labels: Labels
    test_labels: Labels
    seed: np.random.SeedSequence

    def jets(self, subset: str) -> Indices:
        """Jets of `train`, `validation` or `test`."""
        return np.asarray(getattr(self, subset))

    def labels(self, subset: str) -> Labels:
        """Labels of the jets of a subset."""
        return np.asarray(getattr(self, f"{subset}_labels"))


def keys(settings: Settings, size: int, signal: int) -> list[Key]:
    """All trainings with samples of a size and so many events of signal, sample by sample.

    With signal these are the pairs that touch its bin.
    """
    injection = settings.injection
    if not signal:
        return [Key(size, sample, pair) for sample in range(settings.samples) for pair in range(settings.pairs)]
    samples = settings.samples if injection is None or injection.samples is None else injection.samples
    return [Key(size, sample, pair, signal) for sample in range(samples) for pair in settings.touched_pairs]


def signal_sizes(settings: Settings, size: int) -> tuple[int, ...]:
    """Numbers of injected events for samples of a size."""
    injection = settings.injection
    if injection is None or (injection.sample_sizes is not None and size not in injection.sample_sizes):
        return ()
    return injection.sizes


@dataclass(frozen=True)
class Lack:
    """Why a pair of a sample is not trained: it has `found` of the `needed` events or jets that `of` names."""

    of: str
    found: int
    needed: int

    def __str__(self) -> str:
        """As a part of a sentence."""
        return f"{self.found} of {self.needed} {self.of}"


class Samples:
    """Samples, with and without signal, of a pool; the last ones are kept."""

    def __init__(self, pool: Pool, settings: Settings, seed: int) -> None:
        self.pool = pool
        self.settings = settings
        self.seed = seed
        self.weights: Doubles | None = pool.weight if settings.draw == "weights" else None
        self._gluons = gluon_events(pool.partons)
        self.null = lru_cache(maxsize=4)(self._null)
        self.events = lru_cache(maxsize=4)(self._events)

    @cached_property
    def flavour(self) -> Labels:
        """(jets,) of the pool, see `jet_flavour`."""
        return jet_flavour(self.pool)

    @property
    def _most_validation(self) -> int | None:
        """Events that validate at most."""
        most = self.settings.most_validation_jets
        return None if most is None else most // self.pool.jets_per_event

    def _null(self, size: int, sample: int) -> Indices:
        one = self.settings
        return draw_sample(
            len(self.pool), self.weights, size=size, sample=sample, samples=one.samples, disjoint=one.disjoint,
            seed=self.seed,
        )  # fmt: skip

    def _events(self, size: int, sample: int, signal: int) -> Indices:
        """The events of a sample with `signal` events of signal in it."""
        events = self.null(size, sample)
        injection = self.settings.injection
        if not signal or injection is None:
            return events
        chosen = self.signal(injection, size, sample, signal)
        rng = generator(self.seed, "replacement", size, sample)
        return inject(events, self.pool.bins, chosen, bin_=injection.bin - 1, mode=injection.mode, rng=rng)

    def signal(self, injection: Injection, size: int, sample: int, signal: int) -> Indices:
        """The injected events of a sample; those of a larger signal have those of a smaller one among them."""
        return signal_events(
            self.null(size, sample), self.pool.bins, self._gluons, bin_=injection.bin - 1, number=signal,
            weights=self.weights, rng=generator(self.seed, "injection", size, sample),
        )  # fmt: skip

    def left_out(self, size: int, sample: int, pair: int) -> Lack | None:
        """Why a pair of a sample is not trained; None if it is. Signal does not count: with it the same are."""
        counts = np.bincount(self.pool.bins[self.null(size, sample)], minlength=self.settings.bins)
        for bin_ in (pair, pair + 1):
            if counts[bin_] < self.settings.min_events:
                return Lack(f"events in bin {bin_ + 1}", int(counts[bin_]), self.settings.min_events)
        jets = int(counts[pair] + counts[pair + 1]) * self.pool.jets_per_event
        if jets < self.settings.needed_jets:
            return Lack("jets in the pair", jets, self.settings.needed_jets)
        return None

    def member(self, key: Key) -> Member:
        """The jets of a training, whose pair must not be one that is left out."""
        settings, numbers = self.settings, (key.size, key.sample, key.pair)
        events = self.events(key.size, key.sample, key.signal)
        of_pair = events[np.isin(self.pool.bins[events], (key.pair, key.pair + 1))]
        per_event = self.pool.jets_per_event
        parts = split_events(
            of_pair,
            generator(self.seed, "split", *numbers).random(len(self.pool)),
            train=settings.train_jets // per_event,
            test=settings.test_jets // per_event,
            most_validation=self._most_validation,
        )

        def upper(jets: Indices) -> Labels:
            return np.asarray(self.pool.bins[jets // per_event] == key.pair + 1, np.int8)

        return _member(parts, per_event, upper, seed_sequence(self.seed, "training", *numbers))

    def shared(self, key: Key) -> dict[str, float]:
        """What part of a training's events the sample before has, too: of the `lower` and the `upper` bin, `injected`.

        Injected events are not counted to their bin: they come from few, so two samples have more of them in common.
        A kind without events is absent, and all are where the sample before does not enter the pair, or is none.
        """
        before = key.sample - 1
        if before < 0 or self.left_out(key.size, before, key.pair) is not None:
            return {}
        of_other = np.zeros(len(self.pool), bool)
        of_other[self.events(key.size, before, key.signal)] = True
        events = self.events(key.size, key.sample, key.signal)
        injection = self.settings.injection
        kinds = {}
        if key.signal and injection is not None:
            kinds["injected"] = self.signal(injection, key.size, key.sample, key.signal)
            events = np.setdiff1d(events, kinds["injected"], assume_unique=True)
        kinds |= {name: events[self.pool.bins[events] == key.pair + n] for n, name in enumerate(("lower", "upper"))}
        return {name: float(of_other[of_kind].mean()) for name, of_kind in kinds.items() if len(of_kind)}

    def composition_member(self, repeat: int) -> Member:
        """A training of quarks (0) against gluons (1) on jets of the whole pool, with as many jets as the others.

        Jets without a parton of known flavour are left out; then a subset has a few jets less.

        Raises:
            ValueError: if there are too few jets, or only of one flavour.
        """
        flavour = self.flavour
        per_event = self.pool.jets_per_event
        train, test = self.settings.train_jets // per_event, self.settings.test_jets // per_event
        known = np.flatnonzero((flavour >= 0).reshape(-1, per_event).any(axis=1))
        if len(known) < train + test or len(np.unique(flavour[flavour >= 0])) < 2:
            raise ValueError(
                f"composition_trainings: {train + test} events with quarks and gluons are needed, the pool has "
                f"{len(known)} whose parton is known; use composition_trainings: 0."
            )
        priority = generator(self.seed, "composition split", repeat).random(len(self.pool))
        parts = split_events(known, priority, train=train, test=test, most_validation=self._most_validation)
        member = _member(parts, per_event, flavour.__getitem__, seed_sequence(self.seed, "composition", repeat))
        return _with_known_labels(member)


def _member(parts: Subsets, per_event: int, label: Callable[[Indices], Labels], seed: np.random.SeedSequence) -> Member:
    train, validation, test = (jets_of(part, per_event) for part in (parts.train, parts.validation, parts.test))
    return Member(train, validation, test, label(train), label(validation), label(test), seed)


def _with_known_labels(member: Member) -> Member:
    values: dict[str, Any] = {}
    for subset in ("train", "validation", "test"):
        known = member.labels(subset) >= 0
        values |= {subset: member.jets(subset)[known], f"{subset}_labels": member.labels(subset)[known]}
    return Member(**values, seed=member.seed)


def jet_flavour(pool: Pool) -> Labels:
    """(jets,) 1 for gluons, 0 for quarks, -1 where the parton is not known."""
    partons = pool.partons.reshape(-1)
    flavour = np.where(np.isin(np.abs(partons), QUARKS), 0, -1)
    return np.where(partons == GLUON, 1, flavour).astype(np.int8)


def check_plan(pool: Pool, settings: Settings, seed: int) -> None:
    """Draw all samples, without particles, to find out before any training what could not be trained.

    Raises:
        ValueError: if the numbers of jets do not fit whole events, early stopping has no event to validate with, a
            sample is larger than the pool, signal lacks events, or a pair would have no training at all.
    """
    for name in ("train_jets", "test_jets"):
        number = getattr(settings, name)
        if number % pool.jets_per_event:
            raise ValueError(
                f"{name} = {number}: all {pool.jets_per_event} jets of an event go to the same subset; give a multiple."
            )
    _check_validation(pool, settings)
    samples = Samples(pool, settings, seed)
    reasons: dict[int, str] = {}
    filled: set[int] = set()
    for size in settings.sample_sizes:
        for sample in range(settings.samples):
            entered = set()
            for pair in range(settings.pairs):
                reason = samples.left_out(size, sample, pair)
                if reason is None:
                    entered.add(pair)
                else:
                    reasons[pair] = f"a sample of {size} events has {reason}"
            filled |= entered
            if entered.intersection(settings.touched_pairs):
                _check_signal(samples, size, sample)
    for pair in range(settings.pairs):
        if pair not in filled:
            low, middle, high = settings.bin_edges[pair : pair + 3]
            raise ValueError(
                f"no sample can fill the bins {low:g}-{middle:g} and {middle:g}-{high:g} GeV: {reasons[pair]}; larger "
                "sample_sizes, or smaller min_events, train_jets, test_jets and validation_jets are needed."
            )
    if settings.composition_trainings and settings.pool == "simulation":
        samples.composition_member(0)


def _check_validation(pool: Pool, settings: Settings) -> None:
    if settings.classifier != "pfn" or settings.network.patience is None:
        return
    for name in ("validation_jets", "most_validation_jets"):
        number = getattr(settings, name)
        if number is not None and number < pool.jets_per_event:
            raise ValueError(
                f"{name} = {number}: network.patience needs at least the {pool.jets_per_event} jets of an event to "
                "validate with; give more, or network.patience: null."
            )


def _check_signal(samples: Samples, size: int, sample: int) -> None:
    injection = samples.settings.injection
    sizes = signal_sizes(samples.settings, size)
    limit = samples.settings.samples if injection is None or injection.samples is None else injection.samples
    if injection is not None and sizes and sample < limit:
        # The largest signal needs what every smaller one does.
        samples.events(size, sample, sizes[-1])


def unique_jets(members: Sequence[Member], subsets: Sequence[str]) -> Indices:
    """All jets of some subsets of members, ascending, each once."""
    parts: Iterator[Indices] = (member.jets(subset) for member in members for subset in subsets)
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
