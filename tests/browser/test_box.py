"""The box that a timeline scrolls in: how high it is, and what it tells of the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import settle

Show = Callable[..., Page]


def height(page: Page) -> float:
    """Return how high the box is."""
    settle(page)
    box = page.locator(".viewport").bounding_box()
    assert box is not None
    return float(box["height"])


def told(page: Page) -> int:
    """Return how many more rows there are below, as the page has it."""
    settle(page)
    more = page.locator(".more-rows")
    return int(more.inner_text().split()[1]) if more.is_visible() else 0


def test_it_grows_with_its_rows_up_to_most_of_the_window(show: Show) -> None:
    """And is no higher than they are."""
    page = show("10000", height=500)
    assert height(page) == pytest.approx(0.85 * 500, abs=4)
    page.set_viewport_size({"width": 1280, "height": 3_000})
    page.get_by_role("button", name="Unfold all").click()
    assert height(page) < 0.85 * 3_000
    assert page.locator(".viewport").evaluate("one => one.scrollHeight <= one.clientHeight")
    assert told(page) == 0


def test_it_says_how_many_rows_are_further_down(show: Show) -> None:
    """All rows but those in view, and nothing at the end of them."""
    page = show("10000", height=500)
    before = told(page)
    rows = page.locator(".rows .row").count()
    assert before > 0
    page.locator(".more-rows").click()
    after = told(page)
    assert after < before
    page.locator(".viewport").evaluate("one => one.scrollTop = one.scrollHeight")
    assert told(page) == 0
    whole = page.locator(".rows .row").last.get_attribute("data-row")
    assert rows + before >= int(whole or 0) + 1


def test_its_corner_can_be_dragged(show: Show) -> None:
    """And it stays as high as it was made, also when rows are folded and unfolded."""
    page = show("processes", height=700)
    page.locator(".viewport").evaluate("one => one.scrollIntoView({ block: 'start' })")
    settle(page)
    box = page.locator(".viewport").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] - 5, box["y"] + box["height"] - 5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 150, steps=5)
    page.mouse.up()
    assert height(page) == pytest.approx(box["height"] - 150, abs=6)
    canvas = page.locator(".timeline canvas").first.bounding_box()
    assert canvas is not None
    assert canvas["height"] == pytest.approx(height(page) - 2, abs=1)
    page.get_by_role("button", name="Fold all nodes").click()
    page.get_by_role("button", name="Unfold all").click()
    assert height(page) == pytest.approx(box["height"] - 150, abs=6)


def test_many_rows_are_folded_at_first(show: Show) -> None:
    """Nodes alone, for a survey of the whole."""
    page = show("steps", height=2_000)
    settle(page)
    assert page.locator(".rows .row").count() == 41
    levels = page.locator(".rows .row").evaluate_all(
        "all => [...new Set(all.map(one => one.ariaLevel))]"
    )
    assert levels == ["1", "2"]


def test_the_slider_has_an_outline_of_what_was_active(show: Show) -> None:
    """Over the whole of it."""
    page = show("fan_out")
    outline = page.locator(".outline")
    canvas = page.locator(".timeline .canvas")
    of, within = outline.bounding_box(), canvas.bounding_box()
    assert of is not None
    assert within is not None
    assert of["width"] == pytest.approx(within["width"] - 20, abs=1)
    path = outline.locator("path").get_attribute("d") or ""
    heights = {part.split("H")[0] for part in path.split("V")[1:]}
    assert len(heights) > 2
