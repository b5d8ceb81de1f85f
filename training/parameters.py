"""Parameters of every kind of model: names, types, defaults, and scans over lists of values."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Kind = Literal["mlp", "boosted_trees", "forest", "svm", "network"]


class Parameters(BaseModel):
    """What all kinds share: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MLPParameters(Parameters):
    """Parameters of scikit-learn's MLPClassifier; the notebook's network has the default layers and iterations."""

    hidden_layer_sizes: tuple[int, ...] = Field((3, 3, 3), description="neurons of each hidden layer")
    activation: Literal["identity", "logistic", "tanh", "relu"] = "relu"
    solver: Literal["lbfgs", "sgd", "adam"] = "adam"
    alpha: float = Field(1e-4, ge=0, description="strength of the L2 penalty")
    batch_size: int | Literal["auto"] = Field("auto", description="events per step; auto is min(200, events)")
    learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant"
    learning_rate_init: float = Field(1e-3, gt=0)
    power_t: float = 0.5
    max_iter: int = Field(500, ge=1, description="largest number of epochs")
    shuffle: bool = True
    tol: float = Field(1e-4, description="least improvement of the loss that counts")
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: int = Field(10, description="epochs without improvement before the training ends")
    max_fun: int = 15000


class BoostedTreesParameters(Parameters):
    """Parameters of scikit-learn's HistGradientBoostingClassifier."""

    learning_rate: float = Field(0.1, gt=0)
    max_iter: int = Field(100, ge=1, description="number of trees")
    max_leaf_nodes: int | None = 31
    max_depth: int | None = None
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    max_features: float = Field(1.0, description="share of the features each split may choose from")
    max_bins: int = Field(
        64, ge=2, le=255, description="bins of each feature; with weights, finding them takes most of the time of a fit"
    )
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-7


class ForestParameters(Parameters):
    """Parameters of scikit-learn's RandomForestClassifier."""

    n_estimators: int = Field(100, ge=1, description="number of trees")
    criterion: Literal["gini", "entropy", "log_loss"] = "gini"
    max_depth: int | None = None
    min_samples_split: int | float = 2
    min_samples_leaf: int | float = 10
    min_weight_fraction_leaf: float = 0.0
    max_features: int | float | Literal["sqrt", "log2"] | None = "sqrt"
    max_leaf_nodes: int | None = None
    min_impurity_decrease: float = 0.0
    bootstrap: bool = True
    ccp_alpha: float = 0.0
    max_samples: int | float | None = None


class SVMParameters(Parameters):
    """Parameters of scikit-learn's SVC; the score is its decision function."""

    max_training_events: int | None = Field(
        3000, ge=2, description="events a fit uses, half of each class, drawn at random: its cost grows as their square"
    )
    C: float = Field(1.0, gt=0)
    kernel: Literal["linear", "poly", "rbf", "sigmoid"] = "rbf"
    degree: int = 3
    gamma: float | Literal["scale", "auto"] = "scale"
    coef0: float = 0.0
    shrinking: bool = True
    tol: float = 1e-3
    cache_size: float = Field(200.0, description="kernel cache [MB]")
    max_iter: int = -1


class NetworkParameters(Parameters):
    """Parameters of the Keras network of dense layers."""

    hidden_units: tuple[int, ...] = Field((32, 32), description="neurons of each hidden layer")
    activation: Literal["relu", "tanh", "elu", "gelu", "silu"] = "silu"
    dropout: float = Field(0.0, ge=0, lt=1)
    l2: float = Field(0.0, ge=0, description="strength of the L2 penalty on the weights")
    learning_rate: float = Field(3e-3, gt=0)
    batch_size: int = Field(1024, ge=1)
    epochs: int = Field(30, ge=1, description="largest number of epochs")
    patience: int = Field(8, ge=1, description="epochs without a better validation loss before the training ends")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of the training folds kept for early stopping"
    )


KINDS: Mapping[str, type[Parameters]] = {
    "mlp": MLPParameters,
    "boosted_trees": BoostedTreesParameters,
    "forest": ForestParameters,
    "svm": SVMParameters,
    "network": NetworkParameters,
}


def scanned(kind: str, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the parameters that a list of values is given for, where one value is expected.

    A parameter that is a list itself (`hidden_layer_sizes: [3, 3, 3]`) is scanned by a list of lists.
    """
    names = []
    for name, value in parameters.items():
        if not isinstance(value, (list, tuple)):
            continue
        if not _is_list(kind, name) or any(isinstance(item, (list, tuple)) for item in value):
            names.append(name)
    return tuple(names)


def combinations(kind: str, parameters: Mapping[str, Any], *, where: str) -> list[Parameters]:
    """Every combination of the scanned values, checked; one if nothing is scanned.

    Args:
        kind: kind of model.
        parameters: name to value, or to a list of values.
        where: the configuration key, for messages.

    Raises:
        ValueError: one sentence on the first unknown name (with the nearest right one) or wrong value.
    """
    known = KINDS[kind].model_fields
    for name in parameters:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"{where}.{name}: a model of kind {kind} has no parameter {name}; the nearest is {near}.")
    scan = scanned(kind, parameters)
    for name in scan:
        if not parameters[name]:
            raise ValueError(f"{where}.{name}: the list of values to scan is empty.")
    fixed = {name: value for name, value in parameters.items() if name not in scan}
    result = []
    for values in itertools.product(*(parameters[name] for name in scan)):
        try:
            result.append(KINDS[kind](**fixed, **dict(zip(scan, values, strict=True))))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{where}.{first['loc'][0]}: {first['input']!r} is wrong: {first['msg']}.") from None
    return result


def _is_list(kind: str, name: str) -> bool:
    return get_origin(KINDS[kind].model_fields[name].annotation) is tuple
