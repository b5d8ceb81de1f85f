"""Settings of the training of dijet_anomaly; nothing heavy is imported here."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from training.parameters import BoostedTreesParameters
from training.pfn import PFNParameters

Observable = Literal["multiplicity", "mass", "ptd", "width", "tau21"]
OBSERVABLES: tuple[Observable, ...] = ("multiplicity", "mass", "ptd", "width", "tau21")
#: Trainings of one task where `stack` is auto: on two cores a task of the source's size is done, and kept, within some
#: minutes. A constant: tasks are planned before a worker is known, and must not depend on the machine.
AUTOMATIC_STACK = 25


#: Of the source.
BIN_EDGES = (660.0, 760.0, 860.0, 960.0, 1060.0, 1160.0)
BIN_WIDTH = 100.0


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _default_trees() -> BoostedTreesParameters:
    return BoostedTreesParameters(max_iter=60, max_leaf_nodes=8, min_samples_leaf=50)


class TreesSettings(_Frozen):
    """The binned alternative: gradient-boosted trees on histograms of a few observables of a jet."""

    observables: tuple[Observable, ...] = Field(
        OBSERVABLES, min_length=1, description="observables of the jets; mass and width in units of the jet's pT"
    )
    parameters: BoostedTreesParameters = Field(
        default_factory=_default_trees, description="parameters of HistGradientBoostingClassifier"
    )


class Injection(_Frozen):
    """Events of two gluons that are put into one bin of the event mass."""

    bin: int = Field(3, ge=1, description="number of the bin, 1 is the lowest")
    mode: Literal["add", "replace"] = Field("add", description="to the events of the bin, or in the place of as many")
    sizes: tuple[int, ...] = Field(min_length=1, description="numbers of injected events, ascending")
    samples: int | None = Field(None, ge=1, description="samples of each size that get signal; all of them if null")
    sample_sizes: tuple[int, ...] | None = Field(None, description="sample sizes with signal; all of them if null")

    @field_validator("sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes[0] < 1 or any(b <= a for a, b in pairwise(sizes)):
            raise ValueError("numbers of injected events must be positive and ascending")
        return sizes


class Settings(_Frozen):
    """Settings of the training block of dijet_anomaly."""

    sample_sizes: tuple[int, ...] = Field((50_000, 70_000, 100_000), min_length=1, description="events of a sample")
    samples: int = Field(50, ge=1, description="samples of each size")
    bin_edges: tuple[float, ...] = Field(
        BIN_EDGES,
        min_length=3,
        description=f"bins of the event mass [GeV]; null: {BIN_WIDTH:g} GeV each, in the processor's mass_range",
    )
    min_events: int = Field(3000, ge=1, description="events a sample needs in both bins of a pair")
    train_jets: int = Field(12_000, ge=1, description="jets a classifier is trained with")
    test_jets: int = Field(3000, ge=1, description="jets its AUC is computed on")
    validation_jets: int = Field(500, ge=0, description="jets that must be left for validation: one batch")
    most_validation_jets: int | None = Field(
        3000, ge=0, description="most of the jets left that a network is validated with; null: all of them"
    )
    draw: Literal["uniform", "weights"] = Field(
        "uniform", description="events are drawn alike, or by the weights of their sub-datasets; never one twice"
    )
    disjoint: bool = Field(False, description="the samples of one size have no event in common")
    fraction: float = Field(1.0, gt=0, le=1, description="share of the events, chosen at random, that are drawn from")
    pool: Literal["simulation", "data"] = Field("simulation", description="which samples events are drawn from")
    classifier: Literal["pfn", "trees"] = Field("pfn", description="particle flow network, or trees on observables")
    network: PFNParameters = Field(default_factory=PFNParameters, description="the particle flow network")
    trees: TreesSettings = Field(default_factory=TreesSettings, description="the trees")
    composition_trainings: int = Field(
        3, ge=0, description="classifiers of quarks against gluons, for what the flavour composition alone predicts"
    )
    injection: Injection | None = Field(None, description="signal that is put into one bin; none if null")
    stack: int | Literal["auto"] = Field(
        "auto",
        description="trainings of one task, at most; a worker trains as many of them at once as its memory holds. "
        f"auto: {AUTOMATIC_STACK}, for workers without a GPU; with one, several hundred",
    )
    keep_models: bool = Field(False, description="write every classifier, too: pfn.keras or trees.skops, about 1 MB")
    threads: int | None = Field(
        None,
        ge=1,
        description="trees that are trained at a time; null: one on each core the process may use. Networks take the "
        "threads that the backend of Keras has",
    )

    @field_validator("sample_sizes")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if min(sizes) < 1 or len(set(sizes)) < len(sizes):
            raise ValueError("sample sizes must be positive and differ")
        return sizes

    @field_validator("bin_edges", mode="before")
    @classmethod
    def _default_edges(cls, edges: Any) -> Any:
        # Without a processor, whose range `training.dijet_anomaly.completed` knows, null is that of the source.
        return BIN_EDGES if edges is None else edges

    @field_validator("bin_edges")
    @classmethod
    def _edges(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in pairwise(edges)):
            raise ValueError("the edges of the bins must ascend")
        return edges

    @field_validator("stack")
    @classmethod
    def _stack(cls, stack: int | str) -> int | str:
        if isinstance(stack, int) and stack < 1:
            raise ValueError("a task has at least one training")
        return stack

    @model_validator(mode="after")
    def _injection(self) -> Settings:
        if self.injection is None:
            return self
        if self.pool == "data":
            raise ValueError("injection: recorded data have no partons to choose gluons by; use pool: simulation")
        if self.injection.bin > self.bins:
            raise ValueError(f"injection.bin = {self.injection.bin}: there are {self.bins} bins")
        if self.injection.samples is not None and self.injection.samples > self.samples:
            raise ValueError(
                f"injection.samples = {self.injection.samples}: there are {self.samples} samples of a size"
            )
        for size in self.injection.sample_sizes or ():
            if size not in self.sample_sizes:
                raise ValueError(f"injection.sample_sizes: {size} is none of sample_sizes {list(self.sample_sizes)}")
        return self

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.bin_edges) - 1

    @property
    def pairs(self) -> int:
        """Number of pairs of neighbouring bins; pair p compares bin p with bin p + 1, counted from 0."""
        return self.bins - 1

    @property
    def touched_pairs(self) -> tuple[int, ...]:
        """The pairs of which one bin gets signal."""
        if self.injection is None:
            return ()
        bin_ = self.injection.bin - 1
        return tuple(pair for pair in (bin_ - 1, bin_) if 0 <= pair < self.pairs)

    @property
    def needed_jets(self) -> int:
        """Jets that a pair must have."""
        return self.train_jets + self.test_jets + self.validation_jets
