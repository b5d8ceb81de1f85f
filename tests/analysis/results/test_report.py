"""The page itself: rendered by a browser."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.results.document import Cell, Document, KeyFigure, Picture, Section, slug, table
from analysis.results.quantities import Quantity
from analysis.results.report import render, write_report

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8ffff3f0005fe02fea7359981a80000000049454e44ae426082"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The page measures itself inside a frame of the wanted width (a window has a least width) and tells the frame's page,
# which writes the result into its title, where --dump-dom shows it.
PROBE = """<script>
window.addEventListener("load", () => {
  const broken = [...document.images].filter(image => !image.naturalWidth).length;
  const scroll = document.documentElement.scrollWidth;
  window.parent.postMessage(JSON.stringify({scroll, width: window.innerWidth, broken}), "*");
});
</script></body>"""
FRAME = """<!DOCTYPE html><html><head><meta charset="utf-8"><title></title><link rel="icon" href="data:,"><script>
window.addEventListener("message", event => { document.title = event.data; });
</script></head><body>
<iframe src="report.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe>
</body></html>"""


def document(picture: Path) -> Document:
    wide = table(
        "A wide table",
        ["Cut", *(f"sample number {i}" for i in range(14))],
        [[f"cut_{j}", *(Quantity(1234.5 + i, 12.3, "events") for i in range(14))] for j in range(20)],
        ["A note."],
    )
    long = "/a/very/long/path/" + "without_a_place_to_break" * 12 + ".root"
    files = table("Files", ["File", "Yield"], [[long, Quantity(None, None, "events", ("ZZ: yield not known",))]])
    pictures = (Picture(picture, "What it shows.", "A pixel."), Picture(picture, long, "A pixel.", wide=True))
    part = Section("A part", ("A paragraph.",), pictures, (files,))
    return Document(
        "Title", "ATLAS Open Data, for education only", "complete", ("In short.",),
        (KeyFigure("Asimov", "0.86 ± 0.12", ("scaled",)),), ("Simulated: signal.",), (f"{long}: failed",),
        (Section("Wide", ("Text.",), (), (wide,), (part,)),),
    )  # fmt: skip


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "pixel.png"
    path.write_bytes(PIXEL)
    return path


def test_flags_are_marked_and_explained(picture: Path) -> None:
    html = render(document(picture))
    assert '<abbr class="flag" title="ZZ: yield not known">†</abbr>' in html
    assert "† ZZ: yield not known." in html
    assert "n/a" in html
    assert html.count("data:image/png;base64,") == 2


def test_a_failed_write_leaves_the_old_page(tmp_path: Path, picture: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old", encoding="utf-8")
    content = document(picture)
    picture.unlink()
    with pytest.raises(FileNotFoundError):
        write_report(content, target)
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_tables_are_rectangular() -> None:
    with pytest.raises(ValueError, match="2 cells under 1 headings"):
        table("t", ["a"], [["x", Cell("y")]])


def test_slug() -> None:
    assert slug("Z, tt") == "z_tt"


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_the_page_without_sideways_scrolling(tmp_path: Path, picture: Path, width: int) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser ({', '.join(BROWSERS)})")
    page = tmp_path / "report.html"
    page.write_text(render(document(picture)).replace("</body>", PROBE), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    seen = measure(browser, frame, tmp_path)
    assert seen["broken"] == 0
    assert seen["width"] == width
    assert seen["scroll"] <= width


def measure(browser: str, page: Path, scratch: Path) -> dict[str, int]:
    """What the probe found in a headless browser."""
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={scratch / 'browser'}", "--window-size=1400,1000", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run(
        [browser, *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(scratch)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    measured: dict[str, int] = json.loads(title)
    return measured
