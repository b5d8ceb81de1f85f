"""Settings of the regression of the ditau mass; nothing heavy is imported here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from training.ditau_lists import FILES, FULL, INPUT_LISTS, check_turnable, is_file, read_list

__all__ = ["FULL", "INPUT_LISTS", "KERAS_LOSSES", "OWN_LOSSES", "ModelSettings", "Settings", "TreesSettings"]

#: Losses of Keras that suit a mass, by all their names.
KERAS_LOSSES = (
    "mean_squared_error", "mse", "mean_absolute_error", "mae", "mean_absolute_percentage_error", "mape",
    "mean_squared_logarithmic_error", "msle", "cosine_similarity", "huber", "log_cosh", "poisson",
)  # fmt: skip
#: Losses of `training.ditau_losses`.
OWN_LOSSES = ("mapesqrt_b", "mape_b", "mae_b", "mapesqrt_b01", "mape_sym003")
#: Most neurons of the last layers of a bottleneck, as in the source.
BOTTLENECK = (1000, 500, 100)
Group = Literal["inclusive", "tt", "mt", "et", "em", "mm", "ee", "lt", "ll"]
Initialiser = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "random_uniform",
    "random_normal",
]  # fmt: skip
Column = Annotated[str, Field(min_length=1)]


def names_of(inputs: str | tuple[str, ...]) -> tuple[str, ...]:
    """The inputs that a name of a list, or a list itself, means."""
    return INPUT_LISTS[inputs] if isinstance(inputs, str) else inputs


def _known(inputs: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(inputs, str):
        if inputs in INPUT_LISTS:
            return inputs
        if not is_file(inputs):
            raise ValueError(
                f"it is none of {', '.join(INPUT_LISTS)}, no list of columns and no file of them ({', '.join(FILES)})"
            )
        # What counts is what the file says now: settings are what a finished training is known by.
        inputs = read_list(Path(inputs))
    if not inputs:
        raise ValueError("the list is empty")
    if len(set(inputs)) < len(inputs):
        raise ValueError("a column is there twice")
    return inputs


def _loss(name: str) -> str:
    if name not in (*OWN_LOSSES, *KERAS_LOSSES):
        raise ValueError(f"known are {', '.join((*OWN_LOSSES, *KERAS_LOSSES))}")
    return name


Inputs = Annotated[str | tuple[Column, ...], AfterValidator(_known)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Model(_Frozen):
    """What every model has."""

    inputs: Inputs = Field(
        default="full", description=f"columns of the skim, a file with their list, or one of {', '.join(INPUT_LISTS)}"
    )
    augment: int = Field(
        default=0, ge=0, description="copies of every training event, turned about the beam and reflected at random"
    )
    min_mass: float = Field(default=50.0, gt=0, description="low end of the generated masses [GeV]")
    max_mass: float = Field(default=1000.0, description="high end of the generated masses [GeV]")

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if not self.min_mass < self.max_mass:
            raise ValueError(f"min_mass: {self.min_mass:g} must be below max_mass, {self.max_mass:g}")
        if self.augment:
            check_turnable(self.input_names())
        return self

    def input_names(self) -> tuple[str, ...]:
        """The inputs in their order."""
        return names_of(self.inputs)


class ModelSettings(_Model):
    """A network and its training; the defaults are those of DNN1 (DL_for_HTT_mass)."""

    standardise: bool = Field(
        default=False, description="a first layer that gives every input mean 0 and deviation 1; the source had none"
    )
    layers: int = Field(default=3, ge=1, description="hidden layers")
    neurons: int | tuple[int, ...] = Field(
        default=1000, description="neurons of every hidden layer, or of each: [1000, 500, 100]"
    )
    bottleneck: bool = Field(
        default=False, description="whether the last layers have at most 1000, 500 and 100 neurons"
    )
    activation: Literal["softplus", "relu", "elu", "selu", "tanh", "sigmoid"] = Field(default="softplus")
    initialiser: Initialiser = Field(
        default="glorot_uniform", description="of the kernels but for the first, which has Keras' default"
    )
    optimiser: Literal["adam", "adamax", "nadam", "adadelta", "adagrad", "sgd", "rmsprop"] = Field(default="adam")
    learning_rate: float = Field(default=1e-3, gt=0)
    max_norm: float | None = Field(default=3.0, description="largest norm of a neuron's kernel, axis 0; null: none")
    l1: float = Field(default=0.0, ge=0, description="regulariser: strength of the L1 penalty on the kernels")
    l2: float = Field(default=0.0, ge=0, description="regulariser: strength of the L2 penalty on the kernels")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    loss: Annotated[str, AfterValidator(_loss)] = Field(
        default="mapesqrt_b", description="of training.ditau_losses, or of Keras"
    )
    batch_size: int = Field(default=2048, ge=1)
    epochs: int = Field(default=500, ge=1, description="largest number of epochs")
    patience: int = Field(default=20, ge=1, description="epochs without a better validation MAE before the end")
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="float32", description="of the hidden layers' products; the mixed ones help on GPUs with tensor cores"
    )

    @model_validator(mode="after")
    def _check(self) -> ModelSettings:
        if isinstance(self.neurons, tuple) and len(self.neurons) != self.layers:
            raise ValueError(f"neurons: {len(self.neurons)} numbers for {self.layers} layers")
        if any(number < 1 for number in self.units()):
            raise ValueError("neurons: every layer needs at least one")
        return self

    def units(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        numbers = [self.neurons] * self.layers if isinstance(self.neurons, int) else list(self.neurons)
        if self.bottleneck:
            reach = min(len(numbers), len(BOTTLENECK))
            numbers[-reach:] = map(min, numbers[-reach:], BOTTLENECK[-reach:])
        return tuple(numbers)


def expanded(models: Mapping[str, Any]) -> dict[str, Any]:
    """The models with each scan replaced by its combinations, named after what differs: `DNN1-dropout=0.2`.

    A list of values makes a scan. For `inputs`, `neurons` and `low_mass_cuts`, which are lists themselves, that is a
    list of lists; for `inputs` also one of names of lists, or of files.
    """
    result: dict[str, Any] = {}
    for name, settings in models.items():
        scans = (
            {key: value for key, value in settings.items() if _is_scan(key, value)}
            if isinstance(settings, dict)
            else {}
        )
        for values in itertools.product(*scans.values()):
            chosen = dict(zip(scans, values, strict=True))
            label = "".join(f"-{key}={_text(value)}" for key, value in chosen.items())
            result[f"{name}{label}"] = {**settings, **chosen} if chosen else settings
    return result


def _is_scan(key: str, value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if key in ("inputs", "neurons", "low_mass_cuts"):
        return any(isinstance(one, (list, tuple)) or one in INPUT_LISTS or is_file(one) for one in value)
    return True


def _text(value: Any) -> str:
    """A value as part of a name of a directory."""
    if is_file(value):
        return Path(value).stem
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


class TreesSettings(_Model):
    """Gradient-boosted regression trees: XGBoost's regressor, whose parameters have their names of XGBoost.

    The defaults are those of DL_for_HTT_mass, but for its patience of 5.
    """

    objective: Literal["squarederror", "absoluteerror", "pseudohubererror", "gamma", "tweedie"] = Field(
        default="squarederror", description="XGBoost's reg:<name>; gamma: the deviance of a relative error"
    )
    low_mass_cuts: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(),
        description="masses [GeV]; an event below one counts by cut/mass more in the training, for each of them",
    )
    eval_metric: Literal["rmse", "rmsle", "mae", "mape", "mphe", "gamma-deviance"] | None = Field(
        default=None, description="what early stopping looks at; null: that of the objective"
    )
    n_estimators: int = Field(default=1000, ge=1, description="largest number of trees")
    learning_rate: float = Field(default=0.1, gt=0, description="XGBoost's eta")
    max_depth: int = Field(default=5, ge=0, description="0: no limit")
    max_leaves: int = Field(default=0, ge=0, description="0: no limit")
    min_child_weight: float = Field(default=1.0, ge=0, description="least sum of the curvatures in a leaf")
    gamma: float = Field(default=0.0, ge=0, description="least gain of a split")
    max_delta_step: float = Field(default=0.0, ge=0, description="largest step of a leaf; 0: no limit")
    subsample: float = Field(default=1.0, gt=0, le=1, description="share of the events of each tree")
    colsample_bytree: float = Field(default=1.0, gt=0, le=1, description="share of the inputs of each tree")
    colsample_bylevel: float = Field(default=1.0, gt=0, le=1, description="the same of each level")
    colsample_bynode: float = Field(default=1.0, gt=0, le=1, description="the same of each split")
    reg_alpha: float = Field(default=0.0, ge=0, description="strength of the L1 penalty on the leaves")
    reg_lambda: float = Field(default=1.0, ge=0, description="strength of the L2 penalty on the leaves")
    grow_policy: Literal["depthwise", "lossguide"] = Field(default="depthwise")
    max_bin: int = Field(default=256, ge=2, description="bins of each input")
    tree_method: Literal["hist", "approx"] = Field(default="hist")
    huber_slope: float = Field(default=50.0, gt=0, description="of pseudohubererror [GeV]")
    tweedie_variance_power: float = Field(default=1.5, gt=1, lt=2, description="of tweedie")
    patience: int = Field(default=20, ge=1, description="trees without a better metric on validation before the end")


class Settings(_Frozen):
    """Models, and the groups of channels each is trained for."""

    channels: tuple[Group, ...] = Field(
        default=("inclusive",), min_length=1, description="groups; lt is mt and et, ll is em, mm and ee"
    )
    models: Mapping[str, ModelSettings] = Field(
        default={"DNN1": ModelSettings(), "DNN2": ModelSettings(activation="relu", initialiser="glorot_normal")},
        min_length=1,
        description="networks by name; a list of values of a key makes a scan, a network for each combination",
    )
    trees: Mapping[str, TreesSettings] = Field(
        default_factory=dict, description="XGBoost's trees by name, for comparison; none if empty; lists make scans"
    )
    samples: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="signal whose masses are learnt; all that there is if null"
    )
    split: tuple[float, float, float] = Field(
        default=(0.7, 0.2, 0.1), description="shares of the events for training, validation and test"
    )
    importance_events: int = Field(default=2000, ge=1, description="test events of the permutation importance")
    importance_repeats: int = Field(default=3, ge=1, description="permutations of each input")

    def all_models(self) -> dict[str, ModelSettings | TreesSettings]:
        """Networks, then trees."""
        return {**self.models, **self.trees}

    @model_validator(mode="before")
    @classmethod
    def _scans(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        kinds = [kind for kind in ("models", "trees") if isinstance(content.get(kind), dict)]
        return {**content, **{kind: expanded(content[kind]) for kind in kinds}}

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if min(self.split) <= 0 or abs(sum(self.split) - 1) > 1e-9:
            raise ValueError(f"split: the shares {list(self.split)} must be positive and add up to 1")
        both = sorted(set(self.models) & set(self.trees))
        if both:
            raise ValueError(f"trees.{both[0]}: a network has this name, too")
        for name in (*self.models, *self.trees):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=-]*", name):
                raise ValueError(f"models: {name!r} is no name of a directory: letters, digits and ._=- only")
        return self
