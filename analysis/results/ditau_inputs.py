"""How well the inputs of ditau_mass are measured: reconstructed over generated, from the histograms of the skim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.results.ditau_figures import Report, quantity
from analysis.results.ditau_plots import draw_ratios
from analysis.results.document import Cell, Section, Value, table
from analysis.results.quantities import Quantity

Array = NDArray[np.float64]
NONE = "no event has a generated counterpart"
BEYOND = "at least: more than 16% of the events are beyond the axis"
#: Inputs as people say them.
TITLES = {
    "tau1_pt_reco": "tau1 pT", "tau2_pt_reco": "tau2 pT", "jet1_pt_reco": "jet1 pT", "jet2_pt_reco": "jet2 pT",
    "remaining_jets_pt_reco": "remaining jets pT", "PuppiMET_pt_reco": "PUPPI MET", "PuppimT1_reco": "mT(tau1, MET)",
    "PuppimT2_reco": "mT(tau2, MET)", "PuppimTtt_reco": "mT(tau1, tau2)", "PuppimTtot_reco": "mTtot",
}  # fmt: skip
TEXT = (
    "Momenta and transverse masses of the selected simulated events over the same of their generated counterparts: "
    "visible taus, electrons and muons within dR < 0.3 of a leg, generated jets within 0.4 of a jet, and generated "
    "missing transverse momentum."
)


def inputs_section(report: Report) -> Section | None:
    """Distributions of the ratios, and their median and width; None where no event has a generated counterpart."""
    found = {name: ratio for name in TITLES if (ratio := _sum(report, f"response_{name}")) is not None}
    if not any(counts.sum() > 0 for _, counts in found.values()):
        return None
    rows: list[list[Cell | Value]] = []
    for name, (edges, counts) in found.items():
        low, median, high = quantiles(edges, counts, (0.16, 0.5, 0.84))
        key = f"input.{name.removesuffix('_reco')}"
        # The last bin has all that is beyond it: a quantile there is not known.
        beyond = (BEYOND,) if high >= edges[-2] else ()
        rows.append(
            [
                TITLES[name],
                report.results.add(f"{key}.events", Quantity(float(counts.sum()), None, "events")),
                report.results.add(f"{key}.median", quantity(median, None, "1", NONE)),
                report.results.add(f"{key}.width", quantity((high - low) / 2, None, "1", NONE).flagged(*beyond)),
            ]
        )
    panels = {TITLES[name]: ratio for name, ratio in found.items() if ratio[1].sum() > 0}
    picture = report.keep(
        draw_ratios(panels, report.label),
        "inputs",
        f"Reconstructed over generated for the inputs, {report.of_samples}. The last bin has what lies beyond.",
        "Histograms of the ratio of reconstructed and generated values of the inputs",
        wide=True,
    )
    header = ("Input", "Weighted events", "Median of reconstructed / generated", "Half the central 68%")
    return Section("Inputs", text=(TEXT,), pictures=(picture,), tables=(table("Response of the inputs", header, rows),))


def quantiles(edges: Array, counts: Array, places: tuple[float, ...]) -> Array:
    """Quantiles (between 0 and 1) of a histogram, even within its bins; NaN where it is empty.

    Bins of negative weight count as empty.
    """
    total = np.concatenate([[0.0], np.cumsum(np.maximum(counts, 0.0))])
    if total[-1] <= 0:
        return np.full(len(places), np.nan)
    wanted = np.array(places) * total[-1]
    within = np.searchsorted(total, wanted, side="left") - 1
    share = (wanted - total[within]) / (total[within + 1] - total[within])
    return np.asarray(edges[within] + share * np.diff(edges)[within], np.float64)


def _sum(report: Report, name: str) -> tuple[Array, Array] | None:
    """Edges and contents of a histogram of the report's samples, what is beyond the axis in its last bin."""
    histograms = report.histograms(name)
    if not histograms:
        return None
    edges = np.asarray(histograms[0].axes[0].edges, np.float64)
    counts = np.sum([np.asarray(one.values(flow=True), np.float64) for one in histograms], axis=0)
    return edges, np.concatenate([counts[1:-2], [counts[-2] + counts[-1]]])
