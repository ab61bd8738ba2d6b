"""What spans say is on the page, and why what failed did; what stands out of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import photograph, settle
from tests.browser.test_looks import AXE
from tests.browser.test_moving_about import current, place, rows

Show = Callable[..., Page]

_HEAD, _ROW = 52, 26
_MEAN = """(canvas, [left, top, width, height]) => {
    const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, left, top, width, height, 0, 0, width, height);
    const { data } = copy.getImageData(0, 0, width, height);
    const sums = [0, 0, 0];
    data.forEach((value, at) => at % 4 < 3 && (sums[at % 4] += value));
    return sums.map(sum => Math.round(sum / (data.length / 4)));
}"""
WORKER, PARSE, OTHER, WORK, LATE, CHECK = range(1, 7)


def colour(page: Page, row: int, start: float, end: float) -> Any:
    """Return what is drawn of a row between two parts of the run, on the whole."""
    page.mouse.move(5, 5)
    settle(page)
    canvas = page.locator(".timeline canvas").first
    width = canvas.evaluate("canvas => canvas.width") - 20
    area = [10 + width * start, _HEAD + _ROW * row + 9, width * (end - start), 8]
    return canvas.evaluate(_MEAN, [round(one) for one in area])


def choose(page: Page, part: float, row: int) -> None:
    """Choose what is at a part of the run in a row."""
    page.mouse.click(*place(page, part, row))
    settle(page)


def details(page: Page) -> str:
    """Return what is known of the current span."""
    return str(page.locator(".timeline .details").inner_text())


def says(page: Page) -> str:
    """Return what the current span says."""
    return str(page.locator(".timeline .says").inner_text())


def test_a_chosen_span_shows_its_attributes_and_events(show: Show) -> None:
    """As names and values; what is in its row and columns already is not said again."""
    page = show("failing")
    assert rows(page)[WORKER : CHECK + 1] == ["worker", "parse", "other", "work", "late", "check"]
    choose(page, 0.5, PARSE)
    assert page.locator(".says dt").all_inner_texts() == ["lines"]
    [value] = page.locator(".says dd").all_inner_texts()
    assert value.startswith("[0, 1, 2, ")
    assert "…" in value
    choose(page, 0.1, WORK)
    assert page.locator(".says dt, .says dd").all_inner_texts() == ["<b>", "</script>"]
    choose(page, 0.1, OTHER)
    assert says(page) == ""


def test_a_failed_span_says_first_what_it_failed_with(show: Show) -> None:
    """The type and message of the exception; its stack trace below the attributes."""
    page = show("failing")
    choose(page, 0.1, PARSE)
    lines = [line for line in details(page).split("\n") if line.strip()]
    assert lines.index("ValueError: bad row 7") < lines.index("took")
    assert "+20.0ms exception ValueError: bad row 7" in says(page)
    trace = page.locator(".says pre")
    assert not trace.is_visible()
    page.locator(".says summary").click()
    text = "Traceback:\n  File 'x.py', line 1\nValueError: bad row 7"
    assert trace.inner_text() == text
    choose(page, 0.8, CHECK)
    assert "gave up" in details(page)
    choose(page, 0.5, PARSE)
    assert "Error" not in details(page)


def test_the_pointer_at_a_failed_span_shows_the_message(show: Show) -> None:
    """And no attributes: there is no room for those."""
    page = show("failing")
    page.mouse.move(*place(page, 0.3, PARSE))
    tooltip = page.locator(".tooltip:visible")
    assert "ValueError: bad row 8" in tooltip.inner_text()
    page.mouse.move(*place(page, 0.5, PARSE))
    assert "Error" not in tooltip.inner_text()
    assert "lines" not in tooltip.inner_text()


def test_search_finds_what_spans_say(show: Show) -> None:
    """Values, messages and models, of just the spans that say so."""
    page = show("failing")
    search = page.get_by_role("searchbox")
    hits = page.locator(".hits")
    whole = [colour(page, PARSE, *part) for part in ((0.02, 0.17), (0.42, 0.58))]
    search.fill("298, 299")
    settle(page)
    assert hits.inner_text() == "1 row, 1 span"
    assert page.locator(".row.found .name").all_inner_texts() == ["parse"]
    faded, found = (colour(page, PARSE, *part) for part in ((0.02, 0.17), (0.42, 0.58)))
    assert found == whole[1]
    assert faded != whole[0]
    search.press("Enter")
    assert "40.0ms" in details(page)
    for text, said in (("bad row", "1 row, 2 spans"), ("4o-MINI", "1 row, 1 span")):
        search.fill(text)
        assert hits.inner_text() == said
    search.fill("bad row")
    seen = []
    for _ in range(3):
        search.press("Enter")
        settle(page)
        seen.append("row 8" in details(page))
    assert seen == [False, True, False]


def test_a_finding_about_failures_names_the_first_and_shows_them_alone(show: Show) -> None:
    """Of the calls of the phase, those that failed stand out."""
    page = show("failing")
    retried = page.locator(".findings li", has_text="failed twice and was tried again")
    failed = page.locator(".findings li", has_text="late / check failed once")
    assert "in failed calls; ValueError: bad row 7)" in retried.inner_text()
    assert "late / check failed once: gave up" in failed.inner_text()
    parts = ((0.02, 0.17), (0.22, 0.37), (0.42, 0.58))
    whole = [colour(page, PARSE, *part) for part in parts]
    retried.locator("button.show").click()
    shown = [colour(page, PARSE, *part) for part in parts]
    assert [one == other for one, other in zip(whole, shown, strict=True)] == [True, True, False]
    assert page.locator(".hits").inner_text() == "2 failed spans"
    assert "bad row 7" in details(page)
    page.locator(".findings li", has_text="of the critical path").first.locator(
        "button.show"
    ).click()
    assert "failed" not in page.locator(".hits").inner_text()
    page.get_by_role("button", name="Fold all nodes").click()
    failed.locator("button.show").click()
    assert current(page) == "check"


def test_on_the_critical_path_everything_keeps_its_strength(show: Show) -> None:
    """All else fades: bars and what they are filled with."""
    page = show("failing")
    parts = {
        WORKER: (0.02, 0.58),
        PARSE: (0.42, 0.58),
        LATE: (0.62, 0.97),
        CHECK: (0.62, 0.97),
        OTHER: (0.02, 0.28),
        WORK: (0.02, 0.28),
    }
    before = {row: colour(page, row, *part) for row, part in parts.items()}
    page.get_by_role("button", name="Critical path").click()
    after = {row: colour(page, row, *part) for row, part in parts.items()}
    assert {row for row in parts if before[row] == after[row]} == {WORKER, PARSE, LATE, CHECK}


def test_a_row_of_open_calls_says_for_how_long(show: Show) -> None:
    """The longest of them, beside a bar of that length; and so do the details."""
    page = show("running")
    names = rows(page)
    for name in ("waiting", "answer"):
        row = page.locator(".rows .row").nth(names.index(name))
        total = row.locator(".total").inner_text()
        assert total.endswith("s")
        assert total != "0s"
        row.click()
        settle(page)
        assert f"open for\n{total}" in details(page)


def test_what_is_left_out_is_said(show: Show) -> None:
    """On the whole, and of a span that is chosen."""
    page = show("200000")
    assert "phasetrace export has all of them" in page.locator(".remarks").inner_text()
    page.get_by_role("tree").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    for _ in range(200):
        if says(page):
            break
        page.keyboard.press(".")
        settle(page)
    assert says(page) == ("What it says beside that is not on this page; phasetrace export has it.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_a_failed_span_says_is_legible(show: Show, scheme: str) -> None:
    """By axe, with the stack trace open; a picture is kept. Nothing sticks out when narrow."""
    page = show("failing", color_scheme=scheme)
    choose(page, 0.1, PARSE)
    page.locator(".says summary").click()
    page.evaluate(Path(AXE).read_text())
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found = page.evaluate(f"axe.run(document, {json.dumps(rules)})")
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found["violations"]] == []
    photograph(page, f"failing-{scheme}", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
