"""Two executions on one page: which they are, what changed, and both on one scale of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import settle

Show = Callable[..., Page]

BOTH = "iterations and fan_out"


def windows(page: Page) -> list[tuple[Any, Any]]:
    """Return the stretch of time that each timeline shows."""
    settle(page)
    return [
        (one.get_attribute("data-from"), one.get_attribute("data-to"))
        for one in page.locator(".timeline").all()
    ]


def test_both_timelines_are_on_one_scale(show: Show) -> None:
    """That of the longer one; zooming one zooms both."""
    page = show(BOTH)
    first, second = windows(page)
    assert first == second
    durations = [
        title.removesuffix(" ns").replace(",", "")
        for title in page.locator("#comparison .side [data-key=Duration] dd").evaluate_all(
            "all => all.map(one => one.title)"
        )
    ]
    assert float(first[1]) == max(map(float, durations))
    page.get_by_role("tree").last.focus()
    page.keyboard.press("+")
    zoomed, other = windows(page)
    assert zoomed == other != first
    page.get_by_role("tree").first.focus()
    page.keyboard.press("Home")
    assert windows(page) == [first, second]


def test_it_says_which_execution_it_is_compared_with(show: Show) -> None:
    """By its id, as both may have the same name, and that they are different workflows."""
    page = show(BOTH)
    said = page.locator("#comparison .verdict").inner_text()
    other = page.locator("#comparison .side .id").last.inner_text()
    assert other in said
    assert "different workflows, agent and pipeline" in said
    said = show("iterations and iterations").locator("#comparison .verdict").inner_text()
    assert "different" not in said


def test_bars_of_changes_go_either_way_from_one_line(show: Show) -> None:
    """More to the right with a plus, less to the left with a minus, whatever the numbers' width."""
    page = show(BOTH)
    middles = set()
    for cell in page.locator("#comparison tbody tr:not(.last) .change").all():
        line = cell.locator(".diverging").bounding_box()
        fill = cell.locator(".fill").bounding_box()
        assert line is not None
        assert fill is not None
        middle = line["x"] + line["width"] / 2
        middles.add(round(middle))
        if cell.inner_text().startswith("+"):
            assert fill["x"] == pytest.approx(middle, abs=1)
        else:
            assert cell.inner_text().startswith("\u2212")
            assert fill["x"] + fill["width"] == pytest.approx(middle, abs=1)
    assert len(middles) == 1


def test_percentages_are_of_one_kind(show: Show) -> None:
    """Or a word or a dash that the note below explains."""
    page = show(BOTH)
    cells = set(page.locator("#comparison tbody [data-key=percent]").all_inner_texts())
    words = {text for text in cells if not text.endswith("%")}
    assert words <= {"added", "removed", "\u2013"}
    note = page.locator("#comparison .note").inner_text()
    for word in ("added", "removed", "\u2013", "size"):
        assert word in note


def test_what_was_used_is_beside_each_row(show: Show) -> None:
    """Where there is any of it, and all of it at the end."""
    page = show(BOTH)
    last = page.locator("#comparison tbody tr", has_text="all of these")
    titles = page.locator("#comparison thead th").all_inner_texts()
    assert "tokens A \u2192 B" in titles
    assert "cost A \u2192 B" in titles
    used = page.locator("#comparison .side [data-key=Tokens] dd").first.inner_text()
    total = sum(int(part.split()[0].replace(",", "")) for part in used.split(", "))
    assert last.locator("[data-key=tokens]").inner_text().endswith(f"{total:,}")


def test_a_colour_stands_for_the_same_node_in_both(show: Show) -> None:
    """On paper as on the screen: these two have no node in common."""
    page = show(BOTH)
    page.emulate_media(media="print")
    settle(page)
    colours = page.locator(".paper tbody").evaluate_all(
        "all => all.slice(0, 2).map(body => [...body.querySelectorAll('.strip')]"
        ".map(one => one.style.getPropertyValue('--of')))"
    )
    first, second = (set(of) - {"var(--whole)"} for of in colours)
    assert len(first) > 2
    assert len(second) > 2
    assert not first & second


def test_numbers_are_there_once(show: Show) -> None:
    """The comparison comes first, and has what a summary would repeat."""
    page = show(BOTH)
    assert page.locator("#summary .figures").count() == 0
    sections = page.locator("main > section").evaluate_all("all => all.map(one => one.id)")
    assert sections == ["comparison", "summary", "timeline"]


def test_tables_that_go_on_sideways_say_so(show: Show) -> None:
    """Until they are scrolled to their end."""
    page = show(BOTH, width=700)
    table = page.locator("#comparison .beyond")
    settle(page)
    assert table.locator(".cue").is_visible()
    table.locator(".scrolls").evaluate("one => one.scrollLeft = one.scrollWidth")
    settle(page)
    assert not table.locator(".cue").is_visible()
    assert not show(BOTH, width=1600).locator("#comparison .cue").is_visible()
