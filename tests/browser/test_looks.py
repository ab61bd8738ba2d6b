"""What reports look like: legible for everyone, on screens and on paper; pictures are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import photograph

Show = Callable[..., Page]

AXE = Path(__file__).parents[2] / "report-ui" / "node_modules" / "axe-core" / "axe.min.js"
REPORTS = ("iterations", "fan_out", "processes", "hostile", "10000", "iterations and fan_out")

_RULES: dict[str, Any] = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
}
_COLOURS = """() => {
    const probe = document.createElement('span');
    document.body.append(probe);
    const names = ['surface', 'raised', 'ink', 'muted', 'accent', 'error', 'good', 'whole',
        'more', 'less', 'node-ink', ...Array.from({ length: 16 }, (_, at) => `node-${at}`)];
    return Object.fromEntries(names.map(name => {
        probe.style.color = `var(--${name})`;
        return [name, getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number)];
    }));
}"""


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast of two colours (WCAG 2.2, contrast ratio)."""

    def luminance(colour: list[float]) -> float:
        parts = [value / 255 for value in colour]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mixed(one: list[float], other: list[float], part: float) -> list[float]:
    """Return a colour with so much of another one in it."""
    return [a * (1 - part) + b * part for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_in_the_way_of_anyone(show: Show, name: str, scheme: str) -> None:
    """By axe: names, roles, contrast, keyboard, landmarks."""
    page = show(name, color_scheme=scheme)
    page.evaluate(AXE.read_text())
    found = page.evaluate(f"axe.run(document, {json.dumps(_RULES)})")
    problems = [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found["violations"]
    ]
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_far_enough_apart(show: Show, scheme: str) -> None:
    """Texts by 4.5 to 1, bars by 3 to 1; what is drawn on a canvas no tool can see."""
    of = show("small", color_scheme=scheme).evaluate(_COLOURS)
    for text in ("ink", "muted", "accent", "error", "good"):
        for ground in ("surface", "raised"):
            assert contrast(of[text], of[ground]) >= 4.5, (text, ground)
    for at in range(16):
        colour = of[f"node-{at}"]
        assert contrast(colour, of["surface"]) >= 3, at
        for part in (0.5, 0.65):
            assert contrast(of["node-ink"], mixed(colour, of["surface"], part)) >= 4.5, at
    for bar in ("whole", "more", "less"):
        assert contrast(of[bar], of["surface"]) >= 3
    nodes = [tuple(of[f"node-{at}"]) for at in range(16)]
    assert len(set(nodes)) == 16


def test_everything_is_within_reach_of_the_keyboard(show: Show) -> None:
    """By Tab alone, one comes by every button, the tree, the table and the flame chart."""
    page = show("iterations")
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        at = page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
        if at in reached:
            break
        reached.add(at)
    left_out = page.evaluate(
        """reached => [...document.querySelectorAll('*')].filter((element, at) =>
            element.matches('button, input, summary, [tabindex="0"]')
            && element.checkVisibility() && !reached.includes(at)).map(one => one.outerHTML)""",
        sorted(reached),
    )
    assert left_out == []


@pytest.mark.parametrize("name", ["iterations", "hostile", "10000", "iterations and fan_out"])
def test_on_a_narrow_screen_nothing_sticks_out(show: Show, name: str) -> None:
    """Only tables scroll sideways, each by itself."""
    page = show(name, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_nothing_moves_by_itself(show: Show) -> None:
    """Whether or not one prefers that."""
    page = show("iterations")
    moving = "document.getAnimations().length"
    page.get_by_role("tree").focus()
    page.keyboard.press("+")
    assert page.evaluate(moving) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [*REPORTS, "small", "200000", "ages", "unended", "deep", "wide"])
def test_pictures_are_kept(show: Show, name: str, scheme: str) -> None:
    """In ``build/screenshots``, to be looked at."""
    page = show(name, color_scheme=scheme)
    file = photograph(page, f"{name.replace(' ', '_')}-{scheme}", full_page=True)
    assert file.stat().st_size > 10_000


def test_pictures_of_what_is_done_are_kept(show: Show) -> None:
    """Narrow, pointed at, searched, zoomed."""
    photograph(show("iterations", width=390, height=844), "narrow", full_page=True)
    page = show("fan_out")
    page.locator("#timeline").scroll_into_view_if_needed()
    page.get_by_role("tree").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    photograph(page, "selected")
    page.get_by_role("searchbox").fill("parse")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Zoom in (+)").click()
    photograph(page, "searched")
    page = show("200000")
    page.locator("#timeline").scroll_into_view_if_needed()
    page.get_by_role("tree").focus()
    for key in ("ArrowDown", "ArrowDown", *"++++++++++++"):
        page.keyboard.press(key)
    photograph(page, "zoomed")
