"""Zooming, searching, sorting, folding: with a mouse, and without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import settle

Show = Callable[..., Page]

_HEAD = 52
_ROW = 26


def window(page: Page) -> tuple[float, float]:
    """Return the stretch of time that is shown (ns)."""
    settle(page)
    timeline = page.locator(".timeline")
    of = (timeline.get_attribute(f"data-{end}") for end in ("from", "to"))
    first, last = (float(value or "nan") for value in of)
    return first, last


def rows(page: Page) -> list[str]:
    """Return what the rows of the call tree are called that are in view."""
    settle(page)
    return [one.inner_text() for one in page.locator(".rows .row .name").all()]


def current(page: Page) -> str:
    """Return what the current row is called."""
    settle(page)
    return str(page.locator(".row[aria-selected=true] .name").inner_text())


def place(page: Page, part: float, row: int = 0) -> tuple[float, float]:
    """Return where in the bars a part of the width and a row is."""
    page.locator(".timeline").scroll_into_view_if_needed()
    box = page.locator(".timeline .canvas").bounding_box()
    assert box is not None
    return box["x"] + box["width"] * part, box["y"] + _HEAD + _ROW * row + _ROW / 2


def focused_tree(page: Page) -> Locator:
    """Return the tree, with the focus on it."""
    tree = page.get_by_role("tree")
    tree.focus()
    return tree


def test_the_wheel_zooms_around_the_pointer(show: Show) -> None:
    """In, out again, and not further out than there is anything."""
    page = show("iterations")
    whole = window(page)
    x, y = place(page, 0.5, 3)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    inner = window(page)
    assert whole[0] < inner[0] < sum(whole) / 2 < inner[1] < whole[1]
    for _ in range(5):
        page.mouse.wheel(0, 400)
        settle(page)
    assert window(page) == pytest.approx(whole)


def test_a_wheel_that_scrolls_the_page_goes_on_doing_so(show: Show) -> None:
    """Nobody is caught by the timeline on the way up or down the page."""
    page = show("iterations", height=500)
    whole = window(page)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    settle(page)
    page.mouse.move(700, 250)
    assert not page.locator(".timeline .canvas:hover").count()
    passed = False
    for _ in range(80):
        page.mouse.wheel(0, -40)
        settle(page)
        passed = passed or page.locator(".timeline .canvas:hover").count() > 0
        if page.evaluate("scrollY") == 0:
            break
    assert passed
    assert page.evaluate("scrollY") == 0
    assert window(page) == whole


def test_dragging_zooms_to_a_stretch(show: Show) -> None:
    """And with Shift it moves what is shown."""
    page = show("iterations")
    whole = window(page)
    x, y = place(page, 0.25, 3)
    to, _ = place(page, 0.75, 3)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(to, y, steps=4)
    page.mouse.up()
    inner = window(page)
    assert inner[1] - inner[0] == pytest.approx((whole[1] - whole[0]) / 2, rel=0.05)
    page.keyboard.down("Shift")
    page.mouse.move(to, y)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    moved = window(page)
    assert moved[0] > inner[0]
    assert moved[1] - moved[0] == pytest.approx(inner[1] - inner[0])


def test_the_slider_zooms(show: Show) -> None:
    """By its handles."""
    page = show("iterations")
    whole = window(page)
    page.locator(".timeline").scroll_into_view_if_needed()
    box = page.locator(".timeline .canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 13)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 13, steps=5)
    page.mouse.up()
    inner = window(page)
    assert inner[0] == pytest.approx(sum(whole) / 2, rel=0.05)
    assert inner[1] == pytest.approx(whole[1])


def test_keys_zoom_and_move_in_time(show: Show) -> None:
    """Home is the whole run again, and so is Escape."""
    page = show("iterations")
    whole = window(page)
    focused_tree(page)
    page.keyboard.press("+")
    zoomed = window(page)
    assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) / 1.6)
    page.keyboard.press("Shift+ArrowRight")
    moved = window(page)
    assert moved[0] > zoomed[0]
    page.keyboard.press("Shift+ArrowLeft")
    assert window(page) == pytest.approx(zoomed)
    page.keyboard.press("-")
    page.keyboard.press("+")
    page.keyboard.press("Home")
    assert window(page) == whole
    page.keyboard.press("+")
    page.keyboard.press("Escape")
    assert window(page) == whole


def test_keys_walk_the_tree_and_fold_it(show: Show) -> None:
    """As in every tree (ARIA Authoring Practices, tree view)."""
    page = show("iterations")
    tree = focused_tree(page)
    assert current(page) == "agent"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert current(page) == "prompt_building"
    before = rows(page)
    page.keyboard.press("ArrowLeft")
    assert rows(page) == [name for at, name in enumerate(before) if at != 3]
    item = page.locator(".row[aria-selected=true]")
    assert item.get_attribute("aria-expanded") == "false"
    assert tree.get_attribute("aria-activedescendant") == item.get_attribute("id")
    page.keyboard.press("ArrowLeft")
    assert current(page) == "plan"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert rows(page) == before
    page.keyboard.press("ArrowRight")
    assert current(page) == "llm_completion"
    page.keyboard.press("End")
    assert current(page) == "check"


def test_keys_walk_from_call_to_call(show: Show) -> None:
    """By time, and Enter zooms to the call."""
    page = show("iterations")
    focused_tree(page)
    page.keyboard.press("End")
    details = page.locator(".timeline .details")
    seen = []
    for key in (",", ",", ",", ".", "."):
        page.keyboard.press(key)
        settle(page)
        seen.append(details.inner_text())
    assert seen[1] == seen[2]  # there is nothing before the first one
    assert len(set(seen)) == 3
    page.keyboard.press("Enter")
    first, last = window(page)
    assert last - first == pytest.approx(6_391_904 * 1.2, rel=0.6)


def test_search_finds_rows_and_goes_from_one_to_the_next(show: Show) -> None:
    """From anywhere by a slash; Escape is the end of it."""
    page = show("iterations")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    assert search.evaluate("element => element === document.activeElement")
    page.keyboard.type("LLM")
    assert page.locator(".hits").inner_text() == "2 rows, 5 spans"
    settle(page)
    assert page.locator(".row.found .name").all_inner_texts() == ["llm_completion"] * 2
    page.keyboard.press("Enter")
    first = page.locator(".row[aria-selected=true]").get_attribute("data-row")
    page.keyboard.press("Enter")
    settle(page)
    second = page.locator(".row[aria-selected=true]").get_attribute("data-row")
    assert first != second
    assert current(page) == "llm_completion"
    page.keyboard.press("Escape")
    settle(page)
    assert search.input_value() == ""
    assert page.locator(".row.found").count() == 0


def test_search_unfolds_what_it_goes_to(show: Show) -> None:
    """And a span is found by its id."""
    page = show("iterations")
    page.get_by_role("button", name="Fold all nodes").click()
    assert rows(page) == ["agent", "plan", "search", "lookup", "write"]
    page.get_by_role("searchbox").fill("sql")
    page.keyboard.press("Enter")
    assert "sql" in rows(page)
    page.get_by_role("searchbox").fill("c3fa5566200c819a")
    settle(page)
    assert page.locator(".hits").inner_text() == "1 row, 1 span"
    assert "c3fa5566200c819a" in page.locator(".timeline .details").inner_text()
    page.get_by_role("searchbox").fill("nothing like it")
    assert page.locator(".hits").inner_text() == "0 rows, 0 spans"


def test_a_click_on_a_bar_tells_of_it_and_the_pointer_as_well(show: Show) -> None:
    """The same, with what it took of a model."""
    page = show("iterations")
    page.mouse.move(*place(page, 0.2, 3))
    settle(page)
    tooltip = page.locator(".tooltip:visible")
    assert "plan / llm_completion" in tooltip.inner_text()
    page.mouse.down()
    page.mouse.up()
    settle(page)
    details = page.locator(".timeline .details").inner_text()
    for part in ("plan / llm_completion", "30.5ms", "gpt-4o", "1,200 in, 300 out", "0.006"):
        assert part in details
    assert current(page) == "llm_completion"
    page.mouse.move(5, 5)
    assert page.locator(".tooltip:visible").count() == 0


def test_a_press_counts_where_it_began(show: Show) -> None:
    """A finger is on the button for some frames, in which rows are drawn anew.

    With the first press the tree gets the focus, and its first row is chosen.
    """
    page = show("iterations")
    row = page.locator(".row", has_text="lookup").first
    row.scroll_into_view_if_needed()
    box = row.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    settle(page)
    page.mouse.up()
    assert current(page) == "lookup"


def test_folding_by_the_mouse(show: Show) -> None:
    """By the arrow before a row, or a double click on it."""
    page = show("iterations")
    before = rows(page)
    page.locator(".row", has_text="plan").first.locator(".fold").click()
    assert len(rows(page)) == len(before) - 2
    page.locator(".row", has_text="plan").first.dblclick()
    assert rows(page) == before


def test_failures_and_cancellations_are_marked_by_more_than_colour(show: Show) -> None:
    """A sign and a word for those who do not see it; folded away, they are still told of."""
    page = show("processes")
    failed = page.locator(".row", has_text="parse")
    assert failed.inner_text().split("\n")[1:2] or "\u2715" in failed.inner_text()
    assert "failed" in (failed.text_content() or "")
    assert "cancelled" in (page.locator(".row", has_text="poll").text_content() or "")
    page.get_by_role("button", name="Fold all nodes").click()
    settle(page)
    coordinate = page.locator(".row", has_text="coordinate").text_content() or ""
    assert "failed 1" in coordinate
    assert "cancelled 3" in coordinate or "cancelled 2" in coordinate


def test_the_critical_path_stands_out_where_it_is_asked_for(show: Show) -> None:
    """The button is pressed, and the picture is another one."""
    page = show("iterations")
    canvas = page.locator(".timeline canvas").first
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    button = page.get_by_role("button", name="Critical path")
    button.click()
    settle(page)
    assert button.get_attribute("aria-pressed") == "true"
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before
    button.click()
    page.mouse.move(5, 5)
    settle(page)
    assert canvas.evaluate("canvas => canvas.toDataURL()") == before


def cells(page: Page, key: str) -> list[str]:
    """Return a column of the breakdown's nodes."""
    return [one.inner_text() for one in page.locator(f"#breakdown tr.group [data-key={key}]").all()]


def test_a_click_on_a_title_sorts_and_another_one_turns_it_round(show: Show) -> None:
    """Nodes, each with its phases below it; what is unattributed stays at the end."""
    page = show("iterations")
    title = page.locator("#breakdown thead [data-key=self] button")
    title.click()
    column = page.locator("#breakdown thead [data-key=self]")
    assert column.get_attribute("aria-sort") == "descending"
    assert cells(page, "self") == ["1.28ms", "380\u00b5s", "175\u00b5s", "85.8\u00b5s"]
    title.click()
    assert column.get_attribute("aria-sort") == "ascending"
    assert cells(page, "self") == ["85.8\u00b5s", "175\u00b5s", "380\u00b5s", "1.28ms"]
    last = page.locator("#breakdown tbody tr").last
    assert last.locator("th").inner_text().strip() == "all"
    title.focus()
    page.keyboard.press("Enter")
    assert column.get_attribute("aria-sort") == "descending"


def test_the_breakdown_folds_and_is_there_by_phases_alone(show: Show) -> None:
    """All phases in one order, whatever their nodes."""
    page = show("iterations")
    rows_before = page.locator("#breakdown tbody tr").count()
    page.locator("#breakdown button.fold").first.click()
    assert page.locator("#breakdown tbody tr").count() == rows_before - 2
    page.get_by_role("button", name="Phases", exact=True).click()
    names = page.locator("#breakdown tbody tr:not(.last) .label").all_inner_texts()
    assert names[0] == "write / llm_completion"
    assert "plan / prompt_building" in names


def test_from_a_finding_or_a_row_to_the_timeline(show: Show) -> None:
    """They are found there, and the first of them is the current one."""
    page = show("iterations")
    page.locator(".findings button.show").first.click()
    assert current(page) == "llm_completion"
    assert page.get_by_role("searchbox").input_value() == "write / llm_completion"
    page.locator("#breakdown button.name", has_text="sql").click()
    assert current(page) == "sql"


def test_long_tables_are_shown_in_parts(show: Show) -> None:
    """And all of it when it is asked for."""
    page = show("names")
    lines = page.locator("#breakdown tbody tr")
    first = lines.count()
    assert first < 400
    page.locator("#breakdown .table > button").click()
    assert lines.count() > first


def test_one_walks_through_the_flame_chart_by_keys_and_by_the_mouse(show: Show) -> None:
    """Down, aside, into a call, and out again."""
    page = show("iterations")
    chart = page.get_by_role("application")
    chart.focus()
    said = page.locator(".flame .details .what")
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Enter", "Escape", "Home"):
        page.keyboard.press(key)
        settle(page)
        seen.append(said.inner_text())
    assert seen[:3] == ["write", "write / llm_completion", "write / check"]
    assert seen[3:] == ["write / check", "write", "agent"]
    box = chart.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 20, box["y"] + 36)
    assert said.inner_text() == "write"


def test_the_comparison_leads_to_the_timeline_of_this_execution(show: Show) -> None:
    """Whichever execution's breakdown is shown below."""
    page = show("iterations and fan_out")
    assert [name for name in rows(page) if name in ("agent", "pipeline")] == ["agent", "pipeline"]
    page.get_by_role("button", name="Compared with").click()
    assert "download" in page.locator("#breakdown tbody").inner_text()
    page.locator("#comparison button.name", has_text="lookup / sql").click()
    settle(page)
    this = page.locator(".timeline").first
    assert this.locator(".row[aria-selected=true] .name").inner_text() == "sql"


def test_the_theme_is_that_of_the_system_until_it_is_chosen(show: Show) -> None:
    """And the charts follow."""
    page = show("iterations", color_scheme="dark")
    canvas = page.locator(".timeline canvas").first
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    picture = canvas.evaluate("canvas => canvas.toDataURL()")
    page.emulate_media(color_scheme="light")
    settle(page)
    light = page.evaluate(background)
    assert light != dark
    assert canvas.evaluate("canvas => canvas.toDataURL()") != picture
    page.get_by_role("button", name="Dark colours").click()
    settle(page)
    assert page.evaluate(background) == dark
