"""Regression of the ditau mass: settings, the tasks they make, and running one.

Nothing heavy is imported before a task runs: the command line reads `Settings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from training.samples import Sample

__all__ = ["ModelSettings", "Settings", "TrainingTask", "check", "roles", "run", "tasks"]

#: As the published models have them, in their order.
FULL: tuple[str, ...] = (
    *(f"{thing}_{name}_reco" for thing in ("tau1", "tau2", "jet1", "jet2", "remaining_jets") for name in
      ("pt", "eta", "phi")),
    "remaining_jets_N_reco", "PuppiMET_pt_reco", "PuppiMET_phi_reco", "MET_covXX_reco", "MET_covXY_reco",
    "MET_covYY_reco", "PuppimT1_reco", "PuppimT2_reco", "PuppimTtt_reco", "PuppimTtot_reco", "PU_npvsGood_reco",
    "N_neutrinos_reco",
)  # fmt: skip


def _without(*starts: str) -> tuple[str, ...]:
    return tuple(name for name in FULL if not name.startswith(starts))


#: Lists of inputs by name.
INPUT_LISTS: dict[str, tuple[str, ...]] = {
    "full": FULL,
    "no_met_covariance": _without("MET_cov"),
    "no_second_jet": _without("jet2"),
    "no_remaining_jets": _without("remaining_jets"),
    "no_transverse_masses": _without("PuppimT"),
    "no_pileup": _without("PU_"),
    "no_neutrino_number": _without("N_neutrinos"),
}
Group = Literal["inclusive", "tt", "mt", "et", "em", "mm", "ee", "lt", "ll"]


class ModelSettings(BaseModel):
    """A network and its training; the defaults are those of DNN1 (DL_for_HTT_mass)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: str | tuple[str, ...] = Field(
        default="full", description=f"columns of the skim, or one of {', '.join(INPUT_LISTS)}"
    )
    layers: int = Field(default=3, ge=1, description="hidden layers")
    neurons: int | tuple[int, ...] = Field(
        default=1000, description="neurons of every hidden layer, or of each (a bottleneck: [1000, 500, 100])"
    )
    activation: Literal["softplus", "relu", "elu", "selu", "tanh", "sigmoid"] = Field(default="softplus")
    initialiser: Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"] = Field(
        default="glorot_uniform", description="of the kernels but for the first, which has Keras' default"
    )
    optimiser: Literal["adam", "sgd", "rmsprop", "adamax", "nadam"] = Field(default="adam")
    learning_rate: float = Field(default=1e-3, gt=0)
    max_norm: float | None = Field(default=3.0, description="largest norm of a neuron's kernel, axis 0; null: none")
    l2: float = Field(default=0.0, ge=0, description="strength of the L2 penalty on the kernels")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    loss: str = Field(default="mapesqrt_b", description="of training.ditau_losses, or of Keras")
    batch_size: int = Field(default=2048, ge=1)
    epochs: int = Field(default=500, ge=1, description="largest number of epochs")
    patience: int = Field(default=20, ge=1, description="epochs without a better validation MAE before the end")
    min_mass: float = Field(default=50.0, gt=0, description="low end of the generated masses [GeV]")
    max_mass: float = Field(default=1000.0, description="high end of the generated masses [GeV]")

    @model_validator(mode="after")
    def _check(self) -> ModelSettings:
        if isinstance(self.inputs, str) and self.inputs not in INPUT_LISTS:
            raise ValueError(f"inputs: {self.inputs!r} is none of {', '.join(INPUT_LISTS)}; or give a list of columns")
        if not self.input_names():
            raise ValueError("inputs: the list is empty")
        if isinstance(self.neurons, tuple) and len(self.neurons) != self.layers:
            raise ValueError(f"neurons: {len(self.neurons)} numbers for {self.layers} layers")
        if any(number < 1 for number in self.units()):
            raise ValueError("neurons: every layer needs at least one")
        if not self.min_mass < self.max_mass:
            raise ValueError(f"min_mass: {self.min_mass:g} must be below max_mass, {self.max_mass:g}")
        return self

    def input_names(self) -> tuple[str, ...]:
        """The inputs in their order."""
        return INPUT_LISTS[self.inputs] if isinstance(self.inputs, str) else self.inputs

    def units(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        return (self.neurons,) * self.layers if isinstance(self.neurons, int) else self.neurons


class Settings(BaseModel):
    """Models, and the groups of channels each is trained for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[Group, ...] = Field(
        default=("inclusive",), min_length=1, description="groups; lt is mt and et, ll is em, mm and ee"
    )
    models: dict[str, ModelSettings] = Field(
        default={"DNN1": ModelSettings(), "DNN2": ModelSettings(activation="relu", initialiser="glorot_normal")},
        min_length=1,
        description="networks by name",
    )


@dataclass(frozen=True)
class TrainingTask:
    """One network for one group of channels."""

    name: str
    model: str
    group: str
    settings: ModelSettings
    seed: int


def tasks(settings: Settings, *, seed: int) -> list[TrainingTask]:
    """A task for each model and group, the inclusive ones first."""
    groups = sorted(settings.channels, key=lambda group: group != "inclusive")
    return [
        TrainingTask(f"{model}_{group}", model, group, own, seed)
        for group in groups
        for model, own in settings.models.items()
    ]


def roles(settings: Settings) -> tuple[str, ...]:  # noqa: ARG001
    """The roles whose events the training cannot do without."""
    return ("signal",)


def check(settings: Settings, samples: Sequence[Sample], *, seed: int) -> None:
    """Find out before any training what could not be trained.

    Raises:
        ValueError: if a part of a group has no event, or a generated mass is outside of a model's range.
    """
    from training.ditau_events import PARTS, read_ditau
    from training.ditau_losses import check_masses

    for group in settings.channels:
        for name, model in settings.models.items():
            events = read_ditau(samples, model.input_names(), group, seed=seed)
            check_masses(events.mass, model.min_mass, model.max_mass)
            for part in PARTS:
                if not len(events.of(part)):
                    raise ValueError(
                        f"The model {name} has no event of the group {group} with a generated mass for its part "
                        f"{part} ({len(events)} events in all)."
                    )


def run(task: TrainingTask, samples: Sequence[Sample], directory: str) -> dict[str, Any]:
    """Train one network and write it below `<directory>/<task.name>`; gives what result.json holds.

    Raises:
        ValueError: if a column is missing or a generated mass is outside of the range.
    """
    from training.ditau_network import train_and_write

    return train_and_write(task, samples, Path(directory) / task.name)
