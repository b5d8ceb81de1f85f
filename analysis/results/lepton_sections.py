"""Sections of the lepton_id report that need no network: the leptons, the mass cut, the limit of the precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.results import lepton_captions as captions
from analysis.results.document import Cell, Picture, Section, Table, Value, table
from analysis.results.lepton_plots import draw_bins, draw_errors, draw_flavours
from analysis.results.lepton_report import DOUBLE, SAMPLE_TITLES, STORED, Raw, Report, Training
from analysis.results.plot_bars import draw_confusion
from analysis.results.quantities import Quantity
from analysis.results.tables import EventTable, concatenate
from training.lepton_id import Settings as TrainingSettings
from training.lepton_limit import BINS, ELECTRON, MASS_CUT, MUON

Rows = list[list[Cell | Value]]
COLUMNS = ("is_muon", "pt", "eta", "phi", "e", "p", "p2", "e2", "m2", "mass")
#: Quantities of the distributions: column, axis title, quantiles between which the axis goes.
SHOWN = (
    ("pt", "pT [GeV]", (0.0, 0.99)),
    ("eta", "η", (0.0, 1.0)),
    ("phi", "φ", (0.0, 1.0)),
    ("e", "E [GeV]", (0.0, 0.98)),
    ("p2", "p² [GeV²]", (0.0, 0.9)),
    ("e2", "E² [GeV²]", (0.0, 0.9)),
    ("m2", "E² − p² [GeV²]", (0.03, 0.97)),
)
METHODS = {
    "single_mass_cut": f"mass above {MASS_CUT:g} GeV, all arithmetic in single precision",
    "single_middle_cut": "E² − p² above the middle of both, all arithmetic in single precision",
    "mass_cut": f"mass above {MASS_CUT:g} GeV",
    "middle_cut": "E² − p² above the middle of both",
    "binned": f"best cut in each of {BINS} bins of p",
    "limit": "limit: likelihood ratio",
}
#: Those that are drawn against p.
DRAWN = ("single_mass_cut", "mass_cut", "middle_cut", "limit")
ROUNDED = {
    "energy": "only E was rounded after it was calculated",
    "all": "E, pT and η were rounded",
    None: "the leptons fit no rounding: the fine-binned estimate stands for the limit",
}


def leptons_of(report: Report) -> EventTable:
    """The leptons that the studies are made with, or where there are many those of every `thinned(report)`-th event."""
    every = thinned(report)
    if every not in report.drawn:
        report.drawn[every] = concatenate([report.run.skim(name, COLUMNS, every) for name in _names(report)])
    return report.drawn[every]


def thinned(report: Report) -> int:
    """The n of every n-th event whose lepton is drawn; 1 where all are."""
    counts = (list(report.run.cutflow.get(name, {}).values()) for name in _names(report))
    leptons = sum(int(cuts[-1].events) for cuts in counts if cuts)
    return max(1, -(-leptons // report.settings.most_leptons))


def _names(report: Report) -> list[str]:
    """All samples but the one in double precision."""
    if report.training is not None:
        double = report.training.double_sample
    else:
        block = report.run.manifest.configuration.get("training", {})
        double = block.get("double_sample", TrainingSettings().double_sample)
    return [name for name in report.run.manifest.samples if name != double] or list(report.run.manifest.samples)


def leptons_section(report: Report) -> Section:
    """Cutflow with what was dropped, and the distributions of both flavours."""
    leptons = leptons_of(report)
    pictures: tuple[Picture, ...] = ()
    text = [
        "The lepton of highest pT of every event. Events without a lepton, with a lepton that is neither electron nor "
        "muon, or with a momentum that is not finite, are dropped and counted in the table."
    ]
    if thinned(report) > 1:
        text.append(
            f"Of so many, those of one event in {thinned(report)} of each file are drawn here and in the plots of the "
            f"mass and of its error: {len(leptons):,d}. The table counts all."
        )
    if len(leptons):
        muon = leptons["is_muon"] == 1
        panels = [(title, *_panel(report, leptons[name], muon, limits)) for name, title, limits in SHOWN]
        spectra = {name: (title.split(" [")[0], leptons[name]) for name, title, _ in SHOWN}
        caption = captions.distributions(spectra, muon)
        figure = draw_flavours(panels, report.label)
        pictures = (report.keep(figure, "distributions", caption, "Histograms of both flavours", wide=True),)
    return Section("Leptons", text=tuple(text), pictures=pictures, tables=(_cutflow(report),))


def _panel(
    report: Report, values: NDArray[Any], muon: NDArray[np.bool_], limits: tuple[float, float]
) -> tuple[NDArray[np.float64], list[NDArray[Any]]]:
    low, high = np.quantile(values, limits)
    edges = np.linspace(low, high if high > low else low + 1, report.settings.bins + 1)
    return edges, [values[~muon], values[muon]]


def _cutflow(report: Report) -> Table:
    rows: Rows = []
    cutflow = report.run.cutflow
    for cut in next(iter(cutflow.values()), {}):
        counts = [
            report.results.add(f"cutflow.{name}.{cut}.events", Quantity(its[cut].events, None, "events"))
            for name, its in cutflow.items()
        ]
        rows.append([cut, *counts])
    for name, its in cutflow.items():
        numbers = [count.events for count in its.values()]
        report.results.add(f"dropped.{name}", Quantity(numbers[0] - numbers[-1], None, "events"))
    dropped: list[Cell | Value] = ["dropped", *(report.results[f"dropped.{name}"] for name in cutflow)]
    return table("Events after each cut (cumulative)", ("Cut", *cutflow), [*rows, dropped])


def mass_section(report: Report, training: Training, limits: Raw) -> Section:
    """The baseline: mass of both flavours and the confusion matrix of the cut."""
    leptons = leptons_of(report)
    muon = leptons["is_muon"] == 1
    values = [leptons["mass"][~muon], leptons["mass"][muon]]
    # Masses of -1 stand for E < p; they are in the first bin.
    edges = np.linspace(-0.01, 0.25, report.settings.bins + 1)
    inside = [np.clip(its, edges[0], edges[-1]) for its in values]
    figure = draw_flavours([("mass [GeV]; E < p in the first bin", edges, inside)], report.label, cut=MASS_CUT)
    baseline = limits["samples"][STORED]["methods"]["mass_cut"]
    accuracy = report.share("baseline.accuracy", baseline["accuracy"], baseline["error"])
    number = sum(limits["leptons"][STORED].values())
    negative = report.counted("negative_m2", limits["samples"][STORED]["negative"], number, "no lepton")
    confusion = np.array(baseline["confusion"], np.float64)
    pictures = (
        report.keep(
            figure, "mass", captions.mass(leptons["p"], leptons["mass"] > MASS_CUT, muon),
            "Histogram of the mass of both flavours",
        ),
        report.keep(
            draw_confusion(confusion, ("electrons", "muons"), report.label, f"mass above {MASS_CUT:g} GeV"),
            "confusion", captions.confusion(baseline["confusion"]), "Confusion matrix of the mass cut",
        ),
    )  # fmt: skip
    text = (
        f"Accuracy {accuracy.text} on {sum(map(sum, baseline['confusion'])):,d} test leptons, half of them muons. A "
        f"share of {negative.text} of the leptons has E < p after rounding.",
        f"{training.double_sample} has the leptons in double precision."
        if DOUBLE in limits["samples"]
        else "There is no sample of the same leptons in double precision.",
    )
    return Section("Mass cut", text=text, pictures=pictures)


def limit_section(report: Report, limits: Raw) -> Section:
    """What any classifier can reach: by method and sample, and by momentum."""
    rows: Rows = []
    for sample, of_sample in limits["samples"].items():
        for method, title in METHODS.items():
            found = of_sample["methods"][method]
            accuracy = report.share(f"{method}.{sample}.accuracy", found["accuracy"], found["error"])
            rows.append([SAMPLE_TITLES[sample], title, accuracy])
        if "expected" in of_sample:
            expected = report.share(f"limit.{sample}.expected", of_sample["expected"], of_sample["expected_error"])
            rows.append([SAMPLE_TITLES[sample], "limit, expected: mean of the larger probability", expected])
            number = limits["leptons"][sample]["test"]
            ties = report.counted(f"limit.{sample}.ties", of_sample["ties"], number, "no test lepton")
            rows.append([SAMPLE_TITLES[sample], "share of leptons that could be either", ties])
    notes = (
        "Balanced test leptons, the same for all; errors are binomial. The limit knows how each lepton's pT, η and E "
        "were rounded, so that the error of E² − p² is a sum of uniform ones of known widths, and takes the flavour "
        "with the larger likelihood: where both flavours have the same spectra, no classifier is better on average.",
        *(f"{SAMPLE_TITLES[name]}: {ROUNDED[its['model']]}." for name, its in limits["samples"].items()),
        *(_ties(name, its) for name, its in limits["samples"].items() if its.get("ties")),
    )
    tables = [table("What the stored precision allows", ("Leptons", "Method", "Accuracy"), rows, notes)]
    tables.append(_precision_table(report, limits["samples"][STORED]))
    stored = limits["samples"][STORED]["methods"]
    curves: list[tuple[str, list[float | None]]] = [
        (METHODS[name], [one["accuracy"] for one in stored[name]["by_p"]]) for name in DRAWN
    ]
    if DOUBLE in limits["samples"]:
        double = limits["samples"][DOUBLE]["methods"]["mass_cut"]["by_p"]
        curves.append((f"{METHODS['mass_cut']}, stored in double precision", [one["accuracy"] for one in double]))
    bins = stored["limit"]["by_p"]
    leptons = leptons_of(report)
    error = np.abs(leptons["m2"] - np.where(leptons["is_muon"] == 1, MUON, ELECTRON))
    pictures = (
        report.keep(
            draw_bins(bins, curves, "p [GeV] (test leptons)", report.label), "accuracy_p",
            captions.along_bins(bins, curves, "p"),
            "Accuracy of cuts and limit per bin of p",
        ),
        report.keep(
            draw_errors(leptons["p"], error, (ELECTRON, MUON), report.label), "m2_error",
            captions.errors(leptons["p"], error),
            "Error of the squared mass against p",
        ),
    )  # fmt: skip
    return Section("Limit of the precision", pictures=pictures, tables=tuple(tables))


def _ties(sample: str, found: Raw) -> str:
    number = sum(map(sum, found["methods"]["limit"]["confusion"]))
    return (
        f"{SAMPLE_TITLES[sample]}: {round(found['ties'] * number)} of {number:,d} test leptons could be electrons as "
        "well as muons: the stored numbers are the same for both. Every classifier is right for half of these on "
        "average, by chance for more or fewer; the limit gives them the nearer mass, as the cut on the middle does. "
        "What can be relied on is the expected accuracy."
    )


def _precision_table(report: Report, stored: Raw) -> Table:
    rows: Rows = []
    for number, one in enumerate(stored["methods"]["limit"]["by_p"]):
        key = f"{one['low']:g}_{one['high']:g}"
        rms = stored["rms_error"][number]
        value, spread = (None, None) if rms is None else rms
        quantity = Quantity(value, spread, "GeV2", ("no lepton",) if rms is None else ())
        error = report.results.add(f"m2_error.p_{key}", quantity)
        row: list[Cell | Value] = [f"{one['low']:g} to {one['high']:g}", one["leptons"], error]
        for method in METHODS:
            accuracy = stored["methods"][method]["by_p"][number]["accuracy"]
            row.append(report.counted(f"{method}.p_{key}.accuracy", accuracy, one["leptons"], "no test lepton"))
        rows.append(row)
    header = ("p [GeV]", "Test leptons", "RMS error of E² − p² [GeV²]", *METHODS.values())
    notes = ("Errors of accuracies are binomial, those of the RMS from the spread of the squared errors.",)
    return table(f"Accuracy by momentum; the squared mass of a muon is {MUON:.4f} GeV²", header, rows, notes)
