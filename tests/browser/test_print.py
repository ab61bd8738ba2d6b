"""What reports look like on paper: whole, as wide as the paper, whatever the window was."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SCREENSHOTS, photograph, settle

Show = Callable[..., Page]

_STREAM = re.compile(rb"stream\r?\n")
_PAGE = re.compile(rb"\.2\d+ 0 0 -\.2\d+ 0 [\d.]+ cm\s")
_SCALE = re.compile(rb"\s([\d.]+) 0 0 \1 165\.\d+ -?[\d.]+ cm\s")
"""What is within the margins, of 14 mm in a page of 300 dpi."""
_WHOLE = 300 / 96
"""What that is scaled by if nothing sticks out."""


def scales(file: Path) -> list[float]:
    """Return how much each page of Chromium's is scaled by, 1 being not at all."""
    pages = [_SCALE.search(text) for text in _texts(file) if _PAGE.match(text)]
    found = [float(scale[1]) / _WHOLE for scale in pages if scale is not None]
    assert found
    return found


def _texts(file: Path) -> Iterator[bytes]:
    data = file.read_bytes()
    for start in _STREAM.finditer(data):
        try:
            yield zlib.decompressobj().decompress(data[start.end() :])
        except zlib.error:
            continue


def on_paper(page: Page, width: int = 688) -> Page:
    """Have a page laid out as it is printed, on paper of a width (px)."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": width, "height": 970})
    settle(page)
    return page


@pytest.mark.parametrize("width", [700, 1280, 1920])
@pytest.mark.parametrize("name", ["fan_out", "iterations and fan_out", "hostile"])
def test_pages_are_as_wide_as_the_paper(show: Show, tmp_path: Path, name: str, width: int) -> None:
    """From a window of any width: if anything stuck out, pages would be made smaller."""
    file = tmp_path / "printed.pdf"
    show(name, width=width).pdf(path=file, format="A4")
    found = scales(file)
    assert found == pytest.approx([1] * len(found), abs=0.01)


@pytest.mark.parametrize("paper", ["A4", "Letter", "A3"])
@pytest.mark.parametrize("landscape", [False, True])
def test_any_paper_does(show: Show, tmp_path: Path, paper: str, landscape: bool) -> None:
    """Narrow and wide."""
    file = tmp_path / "printed.pdf"
    show("iterations").pdf(path=file, format=paper, landscape=landscape)
    found = scales(file)
    assert found == pytest.approx([1] * len(found), abs=0.01)


def test_a_program_that_prints_gets_the_same(
    reports: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without anyone who looks at it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium is not None
    file = tmp_path / "printed.pdf"
    address = reports("fan_out").as_uri()
    options = ["--headless", "--no-sandbox", "--window-size=1920,900", f"--print-to-pdf={file}"]
    subprocess.run([chromium, *options, address], check=True, capture_output=True, timeout=120)
    found = scales(file)
    assert found == pytest.approx([1] * len(found), abs=0.01)


@pytest.mark.parametrize("width", [480, 688, 1000])
def test_bars_reach_the_end_of_the_axis(show: Show, width: int) -> None:
    """The whole execution is as long as what its row has room for, and blocks are within theirs."""
    page = on_paper(show("fan_out"), width)
    whole = page.locator(".timeline .strip path").first.bounding_box()
    strip = page.locator(".timeline .strip").first.bounding_box()
    assert whole is not None
    assert strip is not None
    assert whole["x"] == pytest.approx(strip["x"], abs=2)
    assert whole["width"] == pytest.approx(strip["width"], abs=3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    flame = page.locator(".blocks").bounding_box()
    last = page.locator(".block").first.bounding_box()
    assert flame is not None
    assert last is not None
    assert last["width"] == pytest.approx(flame["width"], abs=1)


def test_bars_are_as_long_as_what_they_stand_for(show: Show) -> None:
    """Beside the whole execution: a node with a single call."""
    page = on_paper(show("fan_out"))
    row = page.locator("#breakdown tr.group", has_text="download")
    took, whole = (
        int(title.removesuffix(" ns").replace(",", ""))
        for title in (
            row.locator("[data-key=total]").get_attribute("title") or "",
            page.locator("#summary [data-key=Duration] dd").get_attribute("title") or "",
        )
    )
    bar = page.locator(".timeline .paper tr.strong", has_text="download").locator("path").first
    strip = page.locator(".timeline .strip").first.bounding_box()
    drawn = bar.bounding_box()
    assert drawn is not None
    assert strip is not None
    assert drawn["width"] / strip["width"] == pytest.approx(took / whole, abs=0.01)


def test_charts_are_there_while_it_is_printed_and_no_longer(show: Show) -> None:
    """However a browser tells of it: some by events alone."""
    page = show("fan_out")
    charts = page.locator(".paper > *")
    assert charts.count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert charts.count() == 2
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert charts.count() == 0
    page.emulate_media(media="print")
    settle(page)
    assert charts.count() == 2
    page.emulate_media(media="screen")
    settle(page)
    assert charts.count() == 0


def test_all_rows_are_there_with_what_they_took(show: Show) -> None:
    """Whatever the window had room for; names, how often, how long."""
    page = show("fan_out", height=400)
    on_screen = page.locator(".rows .row").count()
    on_paper(page)
    rows = page.locator(".timeline .paper tbody tr")
    assert rows.count() > on_screen
    first = rows.first.inner_text()
    assert "pipeline" in first
    assert page.locator("#summary [data-key=Duration] dd").inner_text() in first
    request = page.locator(".timeline .paper tr", has_text="request").first.inner_text()
    assert "\u00d720" in request.replace("\n", " ")


def test_of_very_many_rows_the_first_ones_are_there(show: Show) -> None:
    """And how many are not is said."""
    page = show("names")
    page.get_by_role("button", name="Unfold all").click()
    on_paper(page)
    assert page.locator(".timeline .paper tbody tr").count() == 300
    assert re.search(
        r"[\d,]+ more rows are left out", page.locator(".timeline .paper").inner_text()
    )


def test_paper_is_light_and_without_what_nobody_can_press(show: Show) -> None:
    """And the screen is afterwards what it was."""
    page = show("fan_out", color_scheme="dark")
    canvas = page.locator(".timeline canvas").first
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    size = page.viewport_size
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    on_paper(page)
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    titles = page.locator("thead button, button.name:visible")
    assert page.locator("button:visible").count() <= titles.count()
    assert page.locator("canvas:visible").count() == 0
    photograph(page, "print", full_page=True)
    page.emulate_media(media="screen")
    assert size is not None
    page.set_viewport_size(size)
    settle(page)
    assert page.evaluate(background) == dark
    assert page.locator(".paper *").count() == 0
    assert canvas.evaluate("canvas => canvas.toDataURL()") == before


def test_after_printing_the_page_is_what_it_was(show: Show, tmp_path: Path) -> None:
    """Charts that can be zoomed, in their size."""
    page = show("iterations and fan_out")
    sizes = "[...document.querySelectorAll('canvas')].map(one => [one.width, one.height])"
    before = page.evaluate(sizes)
    page.pdf(path=tmp_path / "printed.pdf")
    settle(page)
    assert page.evaluate(sizes) == before
    assert page.locator(".paper *").count() == 0


def test_titles_are_repeated_as_texts(show: Show) -> None:
    """What is in the box of a button is not, on the later pages of a table."""
    page = on_paper(show("iterations"))
    shown = page.locator("thead button").evaluate_all(
        "all => all.map(one => getComputedStyle(one).display)"
    )
    assert set(shown) == {"contents"}
    title = page.locator("#breakdown thead [data-key=total]")
    assert title.inner_text().startswith("total")
    groups = page.locator("thead").evaluate_all(
        "all => all.map(one => getComputedStyle(one).display)"
    )
    assert set(groups) == {"table-header-group"}


def test_pages_do_not_end_within_a_row(show: Show) -> None:
    """Nor between a heading, the axis and the first rows."""
    page = on_paper(show("iterations"))
    broken = "all => all.map(one => getComputedStyle(one).breakInside)"
    assert set(page.locator("tbody tr").evaluate_all(broken)) == {"avoid"}
    before = page.locator(".timeline .paper tbody tr").evaluate_all(
        "all => all.map(one => getComputedStyle(one).breakBefore)"
    )
    assert before[:4] == ["avoid"] * 4
    assert set(before[4:]) <= {"auto"}
    assert page.locator("h2").first.evaluate("one => getComputedStyle(one).breakAfter") == "avoid"


def test_what_is_zoomed_to_is_what_is_printed(show: Show) -> None:
    """With an axis of that time."""
    page = show("fan_out")
    page.get_by_role("tree").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    settle(page)
    on_paper(page)
    assert page.locator(".tick").first.inner_text() != "0"


def test_printed_pages_are_kept(show: Show) -> None:
    """In ``build/screenshots``, to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name in ("fan_out", "iterations and fan_out", "10000", "hostile"):
        file = SCREENSHOTS / f"print-{name.replace(' ', '_')}.pdf"
        show(name).pdf(path=file, format="A4")
        assert file.stat().st_size > 10_000
