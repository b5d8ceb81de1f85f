"""Settings of the training of lepton_id; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Representation = Literal[
    "pt_eta_phi_e", "pt_eta_e", "pt_eta_phi_e_p2", "pt_eta_phi_e2_p2", "p2_e2", "p2_minus_e2", "p2_e2_decimal", "mass",
    "pt_eta_phi_e_mass", "m2_p_eta",
]  # fmt: skip

#: The columns of the skim that a network is given. `m2` is (E - p)(E + p), `log_p` the logarithm of p.
REPRESENTATIONS: Mapping[Representation, tuple[str, ...]] = {
    "pt_eta_phi_e": ("pt", "eta", "phi", "e"),
    "pt_eta_e": ("pt", "eta", "e"),
    "pt_eta_phi_e_p2": ("pt", "eta", "phi", "e", "p2"),
    "pt_eta_phi_e2_p2": ("pt", "eta", "phi", "e2", "p2"),
    "p2_e2": ("p2", "e2"),
    "p2_minus_e2": ("p2_minus_e2",),
    "p2_e2_decimal": ("p2_decimal", "e2_decimal"),
    "mass": ("mass",),
    "pt_eta_phi_e_mass": ("pt", "eta", "phi", "e", "mass"),
    "m2_p_eta": ("m2", "log_p", "eta"),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Steps(_Frozen):
    """How a network is trained, whatever its nodes. The defaults are the source's."""

    optimizer: Literal["sgd", "adam"] = Field("sgd", description="plain gradient descent, or Adam")
    learning_rate: float = Field(0.01, gt=0, description="of the mean softmax cross-entropy of all training leptons")
    epochs: int = Field(2101, ge=1, description="full-batch steps")
    scaling: Literal["mean", "standard"] = Field(
        "mean", description="features divided by their training mean, or standardised; in double precision"
    )
    evaluate_every: int = Field(50, ge=1, description="accuracies and weights are kept after so many epochs")


class Recipe(Steps):
    """How a network of certain hidden layers is trained. The defaults are the source's."""

    hidden: tuple[int, ...] = Field((5, 5), min_length=1, description="nodes of the hidden layers, tanh")

    @field_validator("hidden")
    @classmethod
    def _nodes(cls, hidden: tuple[int, ...]) -> tuple[int, ...]:
        if min(hidden) < 1:
            raise ValueError("a hidden layer has at least one node")
        return hidden


class Scan(_Frozen):
    """Numbers of nodes of two hidden layers."""

    nodes: tuple[int, ...] = Field((1, 2, 3, 4, 5, 6), min_length=1, description="tried in each of the two layers")
    representation: Representation = Field("p2_minus_e2", description="what the networks are given")
    recipe: Steps = Field(Steps(learning_rate=0.02, epochs=901), description="how all of them are trained")
    seeds: int = Field(3, ge=2, description="trainings of each structure")

    @field_validator("nodes")
    @classmethod
    def _ascend(cls, nodes: tuple[int, ...]) -> tuple[int, ...]:
        if min(nodes) < 1 or list(nodes) != sorted(set(nodes)):
            raise ValueError("numbers of nodes are at least 1, and ascend")
        return nodes


def _improved() -> Recipe:
    return Recipe(hidden=(8, 8), optimizer="adam", learning_rate=0.01, epochs=600, scaling="standard")


class Settings(_Frozen):
    """Settings of the training block of lepton_id."""

    double_sample: str | None = Field(
        "double_ttbar_leptons", description="sample with the leptons of the others in double precision; none if null"
    )
    leptons: int | None = Field(None, ge=8, description="most leptons of the balanced sample; all if null")
    study_leptons: int | None = Field(
        5000, ge=2, description="most training leptons of all but the improved networks; all if null"
    )
    seeds: int = Field(3, ge=2, description="trainings of each kind")
    representations: tuple[Representation, ...] = Field(
        tuple(REPRESENTATIONS), min_length=1, description="that are compared"
    )
    source: Recipe = Field(Recipe(), description="the network of the source")
    source_representation: Representation = Field("p2_minus_e2", description="of the history and overtraining study")
    improved: Recipe = Field(default_factory=_improved, description="the network that is to reach the limit")
    overtraining: tuple[int, ...] = Field(
        (20, 100, 500, 2000, 5000), min_length=1, description="numbers of training leptons; larger than there are: none"
    )
    scan: Scan = Field(default_factory=Scan, description="scan of the numbers of nodes")
    validation: float = Field(
        0.2, gt=0, lt=1, description="share of the training leptons that choose the best of the improved networks"
    )
    p_edges: tuple[float, ...] = Field(
        (0.0, 60.0, 120.0, 250.0, 500.0, 1000.0, 14000.0), min_length=2, description="bins of the momentum [GeV]"
    )
    pt_edges: tuple[float, ...] = Field(
        (0.0, 30.0, 60.0, 90.0, 120.0, 200.0, 14000.0), min_length=2, description="bins of pT [GeV]"
    )

    @field_validator("p_edges", "pt_edges")
    @classmethod
    def _edges(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if list(edges) != sorted(set(edges)):
            raise ValueError("edges of bins must ascend")
        return edges

    @field_validator("overtraining")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if min(sizes) < 2 or list(sizes) != sorted(set(sizes)):
            raise ValueError("numbers of training leptons are at least 2, and ascend")
        return sizes

    @field_validator("representations")
    @classmethod
    def _different(cls, names: tuple[Representation, ...]) -> tuple[Representation, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a representation is named twice")
        return names
