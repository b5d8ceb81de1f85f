"""Sections of the lepton_id report about networks: history, overtraining, representations, and the scan of nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.results import lepton_captions as captions
from analysis.results.document import Cell, Picture, Section, Table, Value, table
from analysis.results.lepton_plots import (
    draw_bins,
    draw_comparison,
    draw_histories,
    draw_scan,
    draw_separation,
    draw_weights,
)
from analysis.results.lepton_report import DOUBLE, STORED, Raw, Report, Training, mean_of
from analysis.results.lepton_sections import METHODS
from analysis.results.plot_curves import Roc, draw_roc
from analysis.results.quantities import Quantity
from training.lepton_models import best_representation
from training.lepton_networks import network_of
from training.lepton_settings import REPRESENTATIONS, Recipe, Steps

Rows = list[list[Cell | Value]]
TITLES = {
    ("source", STORED): "source's training",
    ("improved", STORED): "improved training",
    ("improved", DOUBLE): "improved, double precision",
}


def history_section(report: Report, training: Training) -> Section:
    """Accuracies, loss and weights of the source's network against the epoch."""
    history = training.tasks["history"]
    members = history["members"]
    mean, spread = mean_of(members, "accuracy")
    accuracy = report.share("history.accuracy", mean, spread)
    recipe = training.settings("history").source
    curves = {f"{len(members)} trainings": [one["history"] for one in members]}
    names = REPRESENTATIONS[history["representation"]]
    layers = _layers(members[0]["weights"], len(names), recipe)
    epochs = members[0]["history"]["epoch"]
    pictures = (
        report.keep(
            draw_histories(curves, report.label, _limit(training)), "history",
            captions.gap(members, history["trained_with"], history["leptons"][STORED]["test"]),
            "Accuracy and loss against the epoch", wide=True,
        ),
        report.keep(
            draw_weights(epochs, layers, report.label), "weights",
            captions.weights(np.concatenate([values for _, values in layers], axis=1), epochs),
            "Weights and biases against the epoch", wide=True,
        ),
    )  # fmt: skip
    text = (
        f"{_described(recipe, recipe.hidden)} on {', '.join(names)}, {history['trained_with']:,d} training leptons, "
        f"accuracies every {recipe.evaluate_every} epochs. Test accuracy at the end, mean and standard deviation of "
        f"{len(members)} trainings: {accuracy.text}.",
    )
    return Section("The source's network", text=text, pictures=pictures)


def _described(recipe: Steps, hidden: Sequence[int | str]) -> str:
    nodes = " → ".join(str(one) for one in hidden)
    step = "gradient descent" if recipe.optimizer == "sgd" else "Adam"
    scaling = "divided by their training mean" if recipe.scaling == "mean" else "standardised"
    return (
        f"Network in → {nodes} → 2 (tanh, softmax), full-batch {step} with learning rate {recipe.learning_rate:g}, "
        f"{recipe.epochs} epochs, inputs {scaling}"
    )


def _layers(weights: Sequence[Sequence[float]], features: int, recipe: Recipe) -> list[tuple[str, NDArray[np.float64]]]:
    flat, start, groups = np.asarray(weights, np.float64), 0, []
    for number, shape in enumerate(network_of(features, recipe.hidden).shapes):
        size = math.prod(shape)
        kind = "Weights" if number % 2 == 0 else "Biases"
        groups.append((f"{kind}, layer {number // 2 + 1}", flat[:, start : start + size]))
        start += size
    return groups


def overtraining_section(report: Report, training: Training) -> Section:
    """The same network on subsets of several sizes."""
    found = training.tasks["overtraining"]
    by_size: dict[int, list[Raw]] = {}
    for one in found["members"]:
        by_size.setdefault(one["size"], []).append(one)
    curves = {f"{size:,d} leptons": [one["history"] for one in own] for size, own in by_size.items()}
    rows: Rows = []
    for size, own in by_size.items():
        train, test = (
            report.share(f"overtraining.{size}.{name}", *mean_of(own, key))
            for name, key in (("train", "train_accuracy"), ("test", "accuracy"))
        )
        gaps = [one["train_accuracy"] - one["accuracy"] for one in own]
        gap = report.share(f"overtraining.{size}.gap", float(np.mean(gaps)), float(np.std(gaps, ddof=1)))
        rows.append([f"{size:,d}", train, test, gap])
    notes = ["Mean and standard deviation of the trainings."]
    if found["left_out"]:
        notes.append(f"There are too few leptons for {', '.join(f'{size:,d}' for size in found['left_out'])}.")
    header = ("Training leptons", "Training accuracy", "Test accuracy", "Difference")
    picture = report.keep(
        draw_histories(curves, report.label, _limit(training)), "overtraining", captions.overtraining(by_size),
        "Accuracy and loss for several sizes of the training set", wide=True,
    )  # fmt: skip
    return Section("Overtraining", pictures=(picture,), tables=(table("Training-set sizes", header, rows, notes),))


def scan_section(report: Report, training: Training) -> Section:
    """Accuracy for every number of nodes."""
    scan, settings = training.tasks["scan"], training.settings("scan").scan
    nodes = settings.nodes
    accuracy = np.array([one["accuracy"] for one in scan["structures"]])
    shape = (len(nodes), len(nodes))
    mean, spread = accuracy.mean(axis=1).reshape(shape), accuracy.std(axis=1, ddof=1).reshape(shape)
    rows: Rows = []
    for first, one in enumerate(nodes):
        row: list[Cell | Value] = [str(one)]
        for second, two in enumerate(nodes):
            figures = (float(mean[first, second]), float(spread[first, second]))
            row.append(report.share(f"scan.{one}_{two}.accuracy", *figures))
        rows.append(row)
    for name, at in (("lowest", int(mean.argmin())), ("highest", int(mean.argmax()))):
        report.share(f"scan.{name}", float(mean.flat[at]), float(spread.flat[at]))
    features = REPRESENTATIONS[scan["representation"]]
    text = [
        f"{_described(settings.recipe, ('h1', 'h2'))}; features {', '.join(features)}; "
        f"{settings.seeds} trainings of each. In the source's table most structures were near 0.5."
    ]
    if len(features) == 1:
        text.append("A cut on one number needs one node, so that more nodes cannot reach more than the limit.")
    structures = [(one, two) for one, two in (its["nodes"] for its in scan["structures"])]
    picture = report.keep(
        draw_scan(nodes, mean, spread, report.label), "scan", captions.scan(structures, mean.ravel(), spread.ravel()),
        "Map and surface of the accuracy against the nodes of both layers", wide=True,
    )  # fmt: skip
    header = ("h1 \\ h2", *(str(one) for one in nodes))
    return Section(
        "Numbers of nodes", text=tuple(text), pictures=(picture,),
        tables=(table("Mean accuracy and standard deviation of the trainings", header, rows),),
    )  # fmt: skip


def representations_section(report: Report, training: Training) -> Section:
    """Comparison of what networks are given, and why some learn nothing."""
    groups = _groups(training)
    names = list(dict.fromkeys(name for _, its in groups for name in its))
    nothing = (math.nan, None)
    shown = [
        (title, [mean_of(its[name], "accuracy") if name in its else nothing for name in names])
        for (_, _, title), its in groups
    ]
    limits = training.tasks.get("limits")
    lines = []
    if limits is not None:
        for sample, title in ((STORED, "limit as stored"), (DOUBLE, "limit in double precision")):
            if sample in limits["samples"]:
                lines.append((title, limits["samples"][sample]["methods"]["limit"]["accuracy"]))
    groups_with_limit = [(title, its, _limit(training, sample)) for (_, sample, title), its in groups]
    caption = captions.representations(groups_with_limit)
    pictures = [
        report.keep(
            draw_comparison(names, shown, lines, report.label), "representations", caption,
            "Accuracy of every representation",
        )
    ]  # fmt: skip
    tables = [_comparison_table(report, training, names)]
    text: list[str] = []
    if limits is not None:
        pictures.append(_separation_picture(report, training, limits))
        tables.append(_inputs_table(report, limits))
        found = (captions.why(title, its, _inputs(limits, sample, kind)) for (kind, sample, title), its in groups)
        text = [one for one in found if one is not None]
    return Section("Representations", text=tuple(text), pictures=tuple(pictures), tables=tuple(tables))


def _groups(training: Training) -> list[tuple[tuple[str, str, str], dict[str, Sequence[Raw]]]]:
    found = []
    for (kind, sample), title in TITLES.items():
        if kind in training.tasks and sample in training.tasks[kind]["samples"]:
            found.append(((kind, sample, title), training.tasks[kind]["samples"][sample]))
    return found


def _comparison_table(report: Report, training: Training, names: Sequence[str]) -> Table:
    rows: Rows = []
    for name in names:
        for (kind, sample, title), its in _groups(training):
            if name not in its:
                continue
            key = f"representation.{name}.{kind}.{sample}"
            cells = [
                report.share(f"{key}.{short}", *mean_of(its[name], short))
                for short in (
                    "accuracy", "auc", "muon_efficiency", "muon_false_positive", "electron_efficiency",
                    "electron_false_positive",
                )
            ]  # fmt: skip
            below, _ = mean_of(its[name], "below_limit")
            error = float(np.mean([one["below_limit_error"] for one in its[name]]))
            rows.append([name, title, cells[0], report.share(f"{key}.below_limit", below, error), *cells[1:]])
    header = (
        "Representation", "Training", "Accuracy", "Limit − accuracy", "ROC AUC", "Muon efficiency",
        "Electrons called muons", "Electron efficiency", "Muons called electrons",
    )  # fmt: skip
    notes = (
        "Mean and standard deviation of the trainings. Limit − accuracy is paired, lepton by lepton, with its standard "
        "error. A score above 0.5 is a muon.",
    )
    return table("Networks by representation", header, rows, notes)


def _separation_picture(report: Report, training: Training, limits: Raw) -> Picture:
    points: dict[str, list[tuple[str, float, float, float]]] = {}
    for (kind, sample, title), its in _groups(training):
        known = _inputs(limits, sample, kind)
        for name, members in its.items():
            if name not in known:
                continue
            inputs = known[name]
            accuracy, _ = mean_of(members, "accuracy")
            points.setdefault(title, []).append((name, inputs["separation"], accuracy, inputs["input_accuracy"]))
    caption = (
        "Full markers: networks; open ones: the cut on E² − p², calculated in double precision from the same inputs, "
        "which are rounded to single precision. Where full markers lie below the open ones, the mass is in the inputs "
        "and the network does not find it."
    )
    return report.keep(
        draw_separation(points, report.label), "separation", caption, "Accuracy against the separation of the flavours"
    )


def _inputs(limits: Raw, sample: str, kind: str) -> Mapping[str, Raw]:
    """What is known of the inputs of a training, by representation: nothing where another run had it."""
    found: Mapping[str, Raw] = limits["inputs"].get(sample, {}).get(kind, {})
    return found


def _inputs_table(report: Report, limits: Raw) -> Table:
    rows: Rows = []
    for (kind, sample), title in TITLES.items():
        for name, its in _inputs(limits, sample, kind).items():
            key = f"inputs.{name}.{kind}.{sample}"
            separation = report.results.add(f"{key}.separation", Quantity(its["separation"], None, "1"))
            left, single = (
                report.counted(f"{key}.{short}", its[accuracy], limits["leptons"][sample]["test"], "no test lepton")
                for short, accuracy in (("accuracy", "input_accuracy"), ("single", "single_accuracy"))
            )
            rows.append([name, title, separation, left, single])
    header = ("Representation", "Training", "Separation", "Accuracy left in the inputs", "… in single precision")
    notes = (
        "Separation: median difference of the input of a muon and of an electron with the same momentum, in standard "
        "deviations of the input, where it is largest. Accuracy left: cut on E² − p², calculated from the inputs as "
        "the network has them, rounded to single precision: in double precision, and with every step in single one, "
        "with its binomial error.",
    )
    return table("What the inputs hold of the mass", header, rows, notes)


def best_section(report: Report, training: Training) -> Section:
    """The best network beside the limit: ROC curves, accuracy by pT."""
    tables, pictures = [], []
    rows: Rows = []
    for (kind, sample, title), its in _groups(training):
        if kind != "improved":
            continue
        best = best_representation(its)
        below, _ = mean_of(its[best], "below_limit")
        error = float(np.mean([one["below_limit_error"] for one in its[best]]))
        rows.append(
            [
                title, best, report.share(f"best.{sample}.accuracy", *mean_of(its[best], "accuracy")),
                report.share(f"best.{sample}.below_limit", below, error),
                report.share(f"best.{sample}.auc", *mean_of(its[best], "auc")), *_saved(report, training, sample),
            ]
        )  # fmt: skip
    tables.append(
        table(
            "The best network, chosen by the validation leptons",
            ("Training", "Representation", "Accuracy", "Limit − accuracy", "ROC AUC", "File", "Accuracy of the file"),
            rows,
            ("Mean and standard deviation of the trainings; the file below models/ has the one that is right for most "
                "validation leptons, model.json beside it its features and scaling. Test leptons are the same for "
                "network and limit; the difference is paired. Of the networks within one standard error of the best on "
                "the validation leptons, one with the fewest inputs is taken.",),
        )
    )  # fmt: skip
    improved = training.tasks["improved"]["samples"][STORED]
    curves = [
        Roc(
            f"{name} (AUC {its[0]['auc']:.3f})",
            np.asarray(its[0]["roc"]["efficiency"]), np.asarray(its[0]["roc"]["false_positive"]),
        )
        for name, its in improved.items()
    ]  # fmt: skip
    areas = {name: float(its[0]["auc"]) for name, its in improved.items()}
    figure = draw_roc(curves, report.label, signal="Muon", background="Electron")
    pictures.append(report.keep(figure, "roc", captions.roc(areas), "ROC curves", wide=True))
    pictures.append(_by_pt(report, training, improved))
    return Section("Best network", pictures=tuple(pictures), tables=tuple(tables))


def _saved(report: Report, training: Training, sample: str) -> tuple[Cell | Value, Cell | Value]:
    saved = training.tasks["improved"]["best"][sample]
    return f"improved/{saved['file']}", report.share(f"best.{sample}.file.accuracy", saved["accuracy"], saved["error"])


def _by_pt(report: Report, training: Training, improved: dict[str, Sequence[Raw]]) -> Picture:
    best = best_representation(improved)
    bins = improved[best][0]["by_pt"]

    def mean(name: str) -> list[float | None]:
        found: list[float | None] = []
        for number in range(len(bins)):
            values = [one["by_pt"][number]["accuracy"] for one in improved[name]]
            found.append(None if values[0] is None else float(np.mean(values)))
        return found

    curves: list[tuple[str, Sequence[float | None]]] = [(f"network, {best}", mean(best))]
    naive = next((name for name in ("pt_eta_phi_e", "pt_eta_e", "p2_e2") if name in improved), None)
    if naive is not None:
        curves.append((f"network, {naive}", mean(naive)))
    if "limits" in training.tasks:
        methods = training.tasks["limits"]["samples"][STORED]["methods"]
        for name, title in (("limit", "limit"), ("mass_cut", METHODS["mass_cut"])):
            curves.append((title, [one["accuracy"] for one in methods[name]["by_pt"]]))
    for one, value in zip(bins, mean(best), strict=True):
        name = f"best.{STORED}.pt_{one['low']:g}_{one['high']:g}.accuracy"
        report.counted(name, value, one["leptons"], "no test lepton")
    caption = captions.along_bins(bins, curves, "pT")
    return report.keep(
        draw_bins(bins, curves, "pT [GeV] (test leptons)", report.label), "accuracy_pt", caption, "Accuracy per pT bin"
    )


def _limit(training: Training, sample: str = STORED) -> float | None:
    if "limits" not in training.tasks:
        return None
    found: float = training.tasks["limits"]["samples"][sample]["methods"]["limit"]["accuracy"]
    return found
