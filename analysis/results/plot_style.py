"""Look and labels that all plots share, and writing them to disk.

Every plot carries the label of its data, the centre-of-mass energy, the luminosity and, above all, which samples are
simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analysis.files import replacing
from analysis.results.document import Picture
from analysis.results.run_files import Manifest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "pdf", "svg"]

DPI = 150
EDUCATION = "for education only"
# Okabe-Ito colours (Color Universal Design, 2008) and dashes: each curve differs from the others in grey as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (1, 1)), (0, (4, 1, 1, 1)))
DATA = "#000000"


@dataclass(frozen=True)
class PlotLabel:
    """What stands above every plot: experiment, energy and luminosity, simulated samples; and the name of the data."""

    experiment: str
    text: str
    conditions: str
    simulated: str
    data: str = "Data"

    @property
    def heading(self) -> str:
        """First line on the left, as matplotlib text."""
        first = rf"$\mathbf{{{self.experiment}}}$ " if self.experiment else ""
        return f"{first}{self.text}"


def plot_label(manifest: Manifest, generator: str = "Pythia 8") -> PlotLabel:
    """The label of a run.

    Where the data are simulated too they are pseudo-data, and the run shares only the format with the named data.
    """
    data = [s.simulated for s in manifest.samples.values() if s.role == "data"]
    others = {name: s for name, s in manifest.samples.items() if s.role != "data"}
    experiment, _, rest = manifest.data_label.partition(" ")
    conditions = []
    if manifest.sqrt_s_tev is not None:
        conditions.append(f"√$s$ = {manifest.sqrt_s_tev:g} TeV")
    if manifest.luminosity_ipb is not None:
        conditions.append(luminosity_text(manifest.luminosity_ipb))
    return PlotLabel(
        experiment,
        f"{rest}, {EDUCATION}" if rest else EDUCATION,
        ", ".join(conditions),
        _simulated_text(manifest, others, data, generator),
        "Pseudo-data" if manifest.pseudo_data else "Data",
    )


def _simulated_text(manifest: Manifest, others: Mapping[str, Any], data: Sequence[bool], generator: str) -> str:
    if not manifest.simulated and not any(s.simulated for s in manifest.samples.values()):
        return ""
    if all(s.simulated for s in others.values()):
        who = "all samples" if all(data) else "all samples but the data"
        return f"Simulated ({generator}): {who}"
    roles = {s.role for s in others.values() if s.simulated}
    whole = [role for role in sorted(roles) if all(s.simulated for s in others.values() if s.role == role)]
    names = [*whole, *(n for n, s in others.items() if s.simulated and s.role not in whole)]
    names += ["data"] if any(data) else []
    return f"Simulated ({generator}): {', '.join(names)}"


def luminosity_text(luminosity_ipb: float) -> str:
    """Luminosity for a plot label, in 1/fb from 100/pb on."""
    if luminosity_ipb >= 100:
        return rf"{luminosity_ipb / 1000:g} fb$^{{-1}}$"
    return rf"{luminosity_ipb:g} pb$^{{-1}}$"


@contextmanager
def style() -> Iterator[None]:
    """The ATLAS style of mplhep with a few sizes of ours, on the Agg backend, for the plots made inside."""
    import matplotlib as mpl
    import mplhep

    changes: dict[Any, Any] = {
        "font.size": 11,
        "axes.labelsize": "large",
        "axes.titlesize": "medium",
        "xtick.labelsize": "medium",
        "ytick.labelsize": "medium",
        "ytick.major.size": 5,
        "ytick.minor.size": 3,
        "axes.labelpad": 4,
        "axes.autolimit_mode": "data",
        "axes.formatter.limits": (-3, 5),
        # Tick labels as plain text: parsing mathematical text takes most of the time of a plot.
        "axes.formatter.use_mathtext": False,
        "legend.fontsize": "small",
        "legend.borderpad": 0.4,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "figure.figsize": (6.4, 4.8),
    }
    backend = mpl.get_backend()
    mpl.use("agg", force=True)
    try:
        with mpl.rc_context(dict(mplhep.style.ATLAS) | changes):
            yield
    finally:
        mpl.use(backend, force=True)


def new_figure(width: float = 6.4, height: float = 4.8) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, with room above for the label."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def logarithmic_y(axes: Axes) -> None:
    """A logarithmic y axis whose decades are labelled in plain text (see `style`)."""
    from matplotlib.ticker import NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def add_label(axes: Axes, label: PlotLabel, note: str = "") -> None:
    """Write the run's label above the axes in two lines, so that it never covers what is drawn.

    `note` (the selection shown, for instance) stands on the right of the second line.
    """
    second = label.simulated
    lines = [(label.heading, label.conditions)]
    if second or note:
        lines.append((second, note))
    # With a fixed position matplotlib does not look for one again in every draw.
    for side, column in (("left", 0), ("right", 1)):
        text = "\n".join(line[column] or " " for line in lines)
        axes.set_title(text, loc=side, y=1.0, fontsize=9.5).set_linespacing(1.35)  # type: ignore[arg-type]


def add_figure_label(figure: Figure, label: PlotLabel, note: str = "") -> None:
    """The run's label for a figure of several panels, in one block above them."""
    lines = [f"{label.heading}   {label.conditions}", ", ".join(part for part in (label.simulated, note) if part)]
    figure.suptitle("\n".join(line for line in lines if line), x=0.02, ha="left", fontsize=9.5)


def save(
    figure: Figure, directory: Path, name: str, *, caption: str, alt: str, formats: Sequence[Format], wide: bool = False
) -> Picture:
    """Write a figure as `<name>.<format>` in each format (PNG always: the page embeds it), each in one step."""
    # One layout for all formats: finding it takes as long as drawing, and an engine finds it anew each time.
    figure.set_dpi(DPI)
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)
    for suffix in dict.fromkeys(("png", *formats)):
        with replacing(directory / f"{name}.{suffix}") as temporary:
            # No date in the file, so that equal numbers give equal files.
            metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[suffix]
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)
    return Picture(directory / f"{name}.png", caption, alt, wide)
