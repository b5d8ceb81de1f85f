"""Plots: what stands on them, what is drawn, and the files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from support.runs import SAMPLES, make_run

from analysis.results import plot_bars, plot_curves, plot_events, plot_style
from analysis.results.plot_stack import Component, Stack, StackStyle, draw_stack, fill
from analysis.results.plot_style import PlotLabel, plot_label
from analysis.results.quantities import Quantity
from analysis.results.run_files import RunDirectory

LABEL = PlotLabel("ATLAS", "Open Data, for education only", "8 TeV, 1/fb", "Simulated (Pythia 8): signal")
EDGES = np.linspace(80.0, 100.0, 5)
STACK = Stack(
    EDGES,
    (
        Component("ZZ", "#f90000", np.array([1.0, 2.0, 0.0, 4.0]), np.array([0.1, 0.2, 0.0, 0.4])),
        Component("H", "#4faeff", np.array([0.5, 0.5, 0.0, 1.0]), np.array([0.01, 0.01, 0.0, 0.04])),
    ),
    np.array([2.0, 0.0, 1.0, 30.0]),
)


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with plot_style.style():
        yield


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


@pytest.fixture(scope="module")
def plots() -> dict[str, Figure]:
    """One plot of every kind, laid out."""
    with plot_style.style():
        figures = _plots()
        for figure in figures.values():
            figure.draw_without_rendering()
    return figures


def _plots() -> dict[str, Figure]:
    ones = np.ones(4)
    score = plot_curves.ScoreSample("signal", "#0072b2", (ones, ones), (2 * ones, ones))
    quantities = [Quantity(0.5, 0.1), Quantity(0.8, 0.1), Quantity(None)]
    curve = {"loss": [1.0, 0.5], "validation_loss": [1.1, 0.6], "accuracy": [0.5, 0.6], "validation_accuracy": None}
    x = np.linspace(0, 10, 20)
    return {
        "stack": draw_stack(STACK, LABEL, StackStyle("m", "Events")),
        "cutflow": plot_bars.draw_cutflow(
            ["all", "last"], {"ZZ": x[1:3], "Data": x[3:5]}, {"ZZ": "red"}, "Data", LABEL
        ),
        "comparison": plot_bars.draw_comparison(["a", "cut", "b"], [("Asimov", quantities)], LABEL, "cut"),
        "importances": plot_bars.draw_importances([("m4l", 0.3, 0.1), ("pt", 0.1, None)], "Loss of AUC", LABEL),
        "correlations": plot_bars.draw_correlations(
            np.array([[1.0, np.nan], [-0.2, 1.0]]), ["a", "b"], LABEL, "signal"
        ),
        "confusion": plot_bars.draw_confusion(np.array([[7.0, 3.0], [1.0, 9.0]]), ["background", "signal"], LABEL, ""),
        "roc": plot_curves.draw_roc([plot_curves.Roc("model", x / 10, (x / 10) ** 2)], LABEL),
        "scores": plot_curves.draw_scores(EDGES, [score], np.array([0.0, 2.0, 1.0, 0.0]), "Score", LABEL),
        "learning": plot_curves.draw_learning([curve, curve], LABEL, "network"),
        "scatter": plot_events.draw_scatter([plot_events.Points("ZZ", "red", x, x)], "x", "y", LABEL, limits={}),
        "boxes": plot_events.draw_boxes([("ZZ", "red", x, np.ones(20))], "m", LABEL, limits=(0, 10)),
    }


def test_every_plot_names_data_energy_and_simulated_samples(plots: dict[str, Figure]) -> None:
    for name, figure in plots.items():
        shown = texts(figure)
        for wanted in ("Open Data, for education only", "8 TeV, 1/fb", "Simulated (Pythia 8): signal"):
            assert wanted in shown, name


def test_no_text_of_a_plot_leaves_the_picture(plots: dict[str, Figure]) -> None:
    for name, figure in plots.items():
        for text in _labels(figure):
            if text.get_visible() and text.get_text().strip():
                box = text.get_window_extent()
                assert box.x0 >= -1, (name, text)
                assert box.y0 >= -1, (name, text)
                assert box.x1 <= figure.bbox.x1 + 1, (name, text)
                assert box.y1 <= figure.bbox.y1 + 1, (name, text)


def _labels(figure: Figure) -> list[Text]:
    """Titles, axis titles and the texts of figures: what the layout has to make room for."""
    found: list[Text] = list(figure.texts)
    for axes in figure.axes:
        found += [axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title, axes._right_title]  # type: ignore[attr-defined]
    return found


def test_left_and_right_label_do_not_overlap(plots: dict[str, Figure]) -> None:
    for name, figure in plots.items():
        for axes in figure.axes:
            left, right = axes._left_title, axes._right_title  # type: ignore[attr-defined]
            if left.get_text() and right.get_text():
                assert left.get_window_extent().x1 < right.get_window_extent().x0, name


def test_every_format_is_written(tmp_path: Path) -> None:
    figure = draw_stack(STACK, LABEL, StackStyle("m", "Events"))
    picture = plot_style.save(figure, tmp_path, "mass", caption="c", alt="a", formats=("pdf",))
    assert picture.path == tmp_path / "mass.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mass.pdf", "mass.png"]
    assert (tmp_path / "mass.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "mass.png").read_bytes().startswith(b"\x89PNG")


def test_the_stack_shows_colours_and_data() -> None:
    figure = draw_stack(STACK, LABEL, StackStyle("m", "Events"))
    main = figure.axes[-1] if figure.axes[-1].get_ylabel() == "Events" else figure.axes[0]
    colours = {to_hex(patch.get_facecolor()) for patch in main.findobj(StepPatch)}  # type: ignore[attr-defined]
    assert {"#f90000", "#4faeff"} <= colours
    points = [line for line in main.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points[0].get_ydata(), [2.0, 1.0, 30.0])  # type: ignore[arg-type]


def test_a_ratio_beyond_the_panel_is_marked() -> None:
    figure = draw_stack(STACK, LABEL, StackStyle("m", "Events"))
    panel = next(axes for axes in figure.axes if "exp." in axes.get_ylabel())
    triangles = [line for line in panel.lines if line.get_marker() == "^"]
    np.testing.assert_allclose(triangles[0].get_xdata(), [97.5])  # type: ignore[arg-type]


def test_logarithmic_axis_and_pulls() -> None:
    figure = draw_stack(STACK, LABEL, StackStyle("m", "Events", logarithmic=True, panel="pull"))
    scales = {axes.get_ylabel(): axes.get_yscale() for axes in figure.axes}
    assert scales == {"Events": "log", "Pull": "linear"}
    panel = next(axes for axes in figure.axes if axes.get_ylabel() == "Pull")
    marked = [line.get_xdata() for line in panel.lines if line.get_marker() == "^"]
    # 30 events on an expectation of 5 are beyond the panel's five standard deviations.
    np.testing.assert_allclose(marked, [[97.5]])  # type: ignore[arg-type]
    assert panel.get_ylim() == (-5, 5)


def test_nothing_at_all_still_makes_a_plot(tmp_path: Path) -> None:
    empty = Stack(EDGES, (), np.zeros(4))
    for panel in ("ratio", "pull", None):
        figure = draw_stack(empty, LABEL, StackStyle("m", "Events", panel=panel))  # type: ignore[arg-type]
        plot_style.save(figure, tmp_path, f"empty_{panel}", caption="", alt="", formats=())


def test_fill_counts_like_numpy() -> None:
    rng = np.random.default_rng(5)
    x, w = rng.uniform(70, 110, 200), rng.normal(1, 0.5, 200)
    x[:2] = 80.0, 95.0
    values, variances = fill([x[:50], x[50:]], [w[:50], w[50:]], EDGES)
    np.testing.assert_allclose(values, np.histogram(x, EDGES, weights=w)[0])
    np.testing.assert_allclose(variances, np.histogram(x, EDGES, weights=w**2)[0])


def test_weighted_quantiles() -> None:
    values, weights = np.array([4.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0, 1.0])
    assert plot_events.weighted_quantiles(values, weights, (0.25, 0.5, 1.0)) == [1.0, 2.0, 4.0]
    assert plot_events.weighted_quantiles(values, np.array([97.0, 1.0, 1.0, 1.0]), (0.5,)) == [4.0]


@pytest.mark.parametrize(
    ("simulated", "text", "data", "heading"),
    [
        ((), "", "Data", "Open Data, for"),
        (("ggH125_ZZ4lep", "VBFH125_ZZ4lep"), "Simulated (Pythia 8): signal", "Data", "Open Data, for"),
        (("ZZ", "ggH125_ZZ4lep"), "Simulated (Pythia 8): ZZ, ggH125_ZZ4lep", "Data", "Open Data, for"),
        (tuple(SAMPLES), "Simulated (Pythia 8): all samples", "Pseudo-data", "Open Data format, for"),
    ],
)
def test_the_label_says_what_is_simulated(
    tmp_path: Path, simulated: tuple[str, ...], text: str, data: str, heading: str
) -> None:
    run = RunDirectory(make_run(tmp_path, np.random.default_rng(0), simulated=simulated, train=False))
    label = plot_label(run.manifest)
    assert label.simulated == text
    assert label.data == data
    assert heading in label.heading
    assert label.conditions == r"√$s$ = 8 TeV, 1 fb$^{-1}$"
