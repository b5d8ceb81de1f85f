"""What the trainings of dijet_anomaly gave, as arrays of samples and pairs of bins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import UserError
from analysis.results.dijet_statistics import auc_error, composition_auc
from analysis.results.run_files import ModelFiles, RunDirectory
from training.dijet_anomaly import Settings
from training.dijet_members import keys, signal_sizes

Array = NDArray[np.float64]
Lacks = Mapping[tuple[str, int], Sequence[int]]
#: Facts of a training that earlier versions did not record.
ADDED = {"observables", "shared"}


@dataclass(frozen=True)
class Ensemble:
    """Samples of one size with one number of signal events; arrays (samples, pairs) are NaN where nothing was trained.

    `auc`; its error from the test jets, `auc_error`; `composition`, the AUC that the shares of gluons predict with how
    well the classifier's own score separates gluons from quarks; `gluons` (samples, pairs, 2), the shares in the lower
    and the upper bin. `observables` has the AUC of single observables of the test jets, by name. `left_out` has, by
    pair, how many there were of what a sample lacked (what, how many are needed); `missing` trainings should be there
    and are not. `histories` has what was recorded after the epochs, for each training.

    `shared` is the part of a sample without signal that another one has as well, on average. `shared_of_pairs` (pairs,)
    is counted in the bins of each pair, with the signal in them: the largest part of the kinds of events, see
    `training.dijet_members.Samples.shared`. `shared_signal` is that of the injected events; NaN without any.
    """

    size: int
    signal: int
    auc: Array
    auc_error: Array
    composition: Array
    gluons: Array
    shared: float
    shared_of_pairs: Array
    shared_signal: float = math.nan
    left_out: Mapping[int, Lacks] = field(default_factory=dict)
    missing: int = 0
    observables: Mapping[str, Array] = field(default_factory=dict)
    histories: tuple[Mapping[str, Sequence[float]], ...] = ()

    @property
    def samples(self) -> int:
        """Samples that were asked for."""
        return len(self.auc)

    def entered(self, pair: int) -> int:
        """Samples that entered a pair."""
        return int(np.isfinite(self.auc[:, pair]).sum())


@dataclass(frozen=True)
class DijetTraining:
    """All trainings of a run with their settings.

    `null` has the samples without signal by size, `signal` those with, by size and number of signal events. `tagger` is
    the AUC of each classifier of quarks against gluons. `pool` are facts of the events drawn from.

    `settings` are those that the trainings were done with; how many there should be is the configuration's. `changed`
    has, where the configuration has another value now, the key, the trainings' value, and the configuration's.
    """

    settings: Settings
    null: Mapping[int, Ensemble]
    signal: Mapping[int, Mapping[int, Ensemble]]
    tagger: Array
    tagger_missing: int
    pool: Mapping[str, Any]
    changed: tuple[tuple[str, Any, Any], ...] = ()

    @property
    def missing(self) -> int:
        """Trainings that should be there and are not."""
        ensembles = [*self.null.values(), *(one for of_size in self.signal.values() for one in of_size.values())]
        return self.tagger_missing + sum(one.missing for one in ensembles)

    def pair_title(self, pair: int) -> str:
        """`660–760 | 760–860`, in GeV."""
        low, middle, high = self.settings.bin_edges[pair : pair + 3]
        return f"{low:g}–{middle:g} | {middle:g}–{high:g}"

    def pair_key(self, pair: int) -> str:
        """The pair in names of results: `660_760_860`."""
        return "_".join(f"{edge:g}" for edge in self.settings.bin_edges[pair : pair + 3])


def load_training(run: RunDirectory) -> DijetTraining | None:
    """The trainings of a run; None when there is none.

    Raises UserError when a result is not one of this analysis, or does not belong to the others.
    """
    if not run.models:
        return None
    for files in run.models:
        if files.result.get("task") not in ("pairs", "composition"):
            raise UserError(f"{files.directory / 'result.json'} is no training of dijet_anomaly: train again")
        if (
            "settings" not in files.result
            or any(ADDED - one.keys() for one in files.result["members"] if files.result["task"] == "pairs")
            or any("known_jets" not in one for one in files.result["pool"]["bins"])
        ):
            raise UserError(f"{files.directory} was trained by an earlier version: train again")
    present = _settings(run)
    settings, changed = _made_with(run.models, present, int(run.manifest.configuration.get("seed", 0)))
    if settings.bin_edges != present.bin_edges or settings.classifier != present.classifier:
        raise UserError(f"{run.models[0].directory} was trained with other bins or another classifier: train again")
    of_pairs = [files for files in run.models if files.result["task"] == "pairs"]
    taggers = [m for files in run.models if files.result["task"] == "composition" for m in files.result["members"]]
    expected = settings.composition_trainings if settings.pool == "simulation" else 0
    return DijetTraining(
        settings=settings,
        null={size: _ensemble(settings, of_pairs, size, 0) for size in settings.sample_sizes},
        signal={
            size: {signal: _ensemble(settings, of_pairs, size, signal) for signal in signal_sizes(settings, size)}
            for size in settings.sample_sizes
            if signal_sizes(settings, size)
        },
        tagger=np.array([member["auc"] for member in taggers], np.float64),
        tagger_missing=max(expected - len(taggers), 0),
        pool=run.models[0].result["pool"],
        changed=changed,
    )


#: What says which trainings there should be and how they are run, not what one of them is.
_PLAN = ("sample_sizes", "samples", "stack", "composition_trainings", "injection", "keep_models", "threads")


def _made_with(
    models: Sequence[ModelFiles], present: Settings, seed: int
) -> tuple[Settings, tuple[tuple[str, Any, Any], ...]]:
    """The settings that all trainings were done with, and where the configuration has others now."""
    plan = set(_PLAN) - ({"samples"} if present.disjoint else set())
    unused = "network" if present.classifier == "trees" else "trees"
    now = {key: value for key, value in present.model_dump(mode="json").items() if key not in {*plan, unused}}
    now |= {"seed": seed}
    if present.injection is not None:
        now |= {"injection.bin": present.injection.bin, "injection.mode": present.injection.mode}
    made: dict[str, Any] = {}
    for files in models:
        own = {**files.result["settings"], "seed": files.result["seed"]}
        if own["injection"] is not None:
            own |= {f"injection.{key}": own["injection"][key] for key in ("bin", "mode")}
        for key in now:
            told = key in own and (key != "samples" or own["disjoint"])
            if told and made.setdefault(key, own[key]) != own[key]:
                raise UserError(f"{files.directory} was trained with another {key} than others: train again")
    changed = tuple((key, made[key], value) for key, value in now.items() if key in made and made[key] != value)
    content = present.model_dump(mode="json")
    for key, value, _ in changed:
        if key.startswith("injection."):
            content["injection"][key.removeprefix("injection.")] = value
        elif key not in ("seed", "samples"):
            content[key] = value
    return Settings.model_validate(content), changed


def _settings(run: RunDirectory) -> Settings:
    block = run.manifest.configuration.get("training", {})
    return Settings.model_validate({key: value for key, value in block.items() if key != "module"})


def _ensemble(settings: Settings, of_pairs: Sequence[ModelFiles], size: int, signal: int) -> Ensemble:
    results = [f.result for f in of_pairs if (f.result["size"], f.result["signal"]) == (size, signal)]
    wanted = {(key.sample, key.pair) for key in keys(settings, size, signal)}
    shape = (settings.samples, settings.pairs)
    auc, error, composition = (np.full(shape, np.nan) for _ in range(3))
    gluons = np.full((*shape, 2), np.nan)
    left_out: dict[int, dict[tuple[str, int], list[int]]] = {}
    common: dict[int, dict[str, list[float]]] = {}
    observables: dict[str, Array] = {}
    seen, histories = set(), []
    for result in results:
        for member in result["members"]:
            at = (member["sample"], member["pair"])
            if at not in wanted:
                continue
            seen.add(at)
            auc[at] = member["auc"]
            histories.append(member["history"])
            for kind, part in member["shared"].items():
                common.setdefault(member["pair"], {}).setdefault(kind, []).append(part)
            for name, area in member["observables"].items():
                observables.setdefault(name, np.full(shape, np.nan))[at] = np.nan if area is None else area
            negatives, positives = (np.array([float(n)]) for n in member["jets"]["test"])
            error[at] = auc_error(auc[at][None], positives, negatives)[0]
            gluons[at] = [np.nan if one["gluons"] is None else one["gluons"] for one in member["bins"]]
            own = np.nan if member["auc_gluon_quark"] is None else member["auc_gluon_quark"]
            composition[at] = composition_auc(gluons[at][:1], gluons[at][1:], np.array([own]))[0]
        for one in result["left_out"]:
            if (one["sample"], one["pair"]) in wanted:
                seen.add((one["sample"], one["pair"]))
                lack = one["lack"]
                of_pair = left_out.setdefault(one["pair"], {})
                of_pair.setdefault((lack["of"], lack["needed"]), []).append(lack["found"])
    shared = results[0]["shared_fraction"] if results else float("nan")
    means = {pair: {kind: float(np.mean(parts)) for kind, parts in of.items()} for pair, of in common.items()}
    shared_of_pairs = np.array([max(means.get(pair, {"": math.nan}).values()) for pair in range(settings.pairs)])
    injected = [part for of in common.values() for part in of.get("injected", [])]
    return Ensemble(
        size, signal, auc, error, composition, gluons, shared, shared_of_pairs,
        float(np.mean(injected)) if injected else math.nan, left_out, len(wanted - seen), observables, tuple(histories),
    )  # fmt: skip
