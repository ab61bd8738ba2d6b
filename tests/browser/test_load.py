"""Reports of executions of every kind and size open soon, ask for nothing and say nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import settle
from tests.browser.executions import HOSTILE

Show = Callable[..., Page]

_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_DRAWN = "performance.getEntriesByName('phasetrace:drawn')[0].startTime"
_BLANK = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.every(value => value === 0);
}"""


@pytest.mark.parametrize(
    "name",
    [
        "small",
        "iterations",
        "fan_out",
        "processes",
        "hostile",
        "ages",
        "unended",
        "names",
        "deep",
        "wide",
        "10000",
        "200000",
        "iterations and fan_out",
    ],
)
def test_a_report_of_anything_opens_without_a_word(show: Show, name: str) -> None:
    """No error, no warning, no request (`show` sees to that), and the charts are not blank."""
    page = show(name)
    for chart in (".timeline", ".flame"):
        assert not page.locator(f"{chart} canvas").first.evaluate(_BLANK)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("name", "most_ms", "most_bytes"),
    [
        ("small", 2_000, 700_000),
        ("10000", 2_000, 2_000_000),
        ("200000", 6_000, 8_000_000),
    ],
)
def test_it_is_there_soon(
    show: Show, reports: Callable[[str], Path], name: str, most_ms: int, most_bytes: int
) -> None:
    """The first paint, with everything drawn, and the size of the file."""
    page = show(name)
    assert page.evaluate(_DRAWN) < most_ms
    assert page.evaluate(_PAINTED) < most_ms
    assert reports(name).stat().st_size < most_bytes


@pytest.mark.parametrize("name", ["names", "deep", "wide", "200000"])
def test_a_frame_of_a_large_one_is_drawn_soon(show: Show, name: str) -> None:
    """Zooming and unfolding, too, stay usable."""
    page = show(name)
    page.get_by_role("button", name="Unfold all").click()
    tree = page.get_by_role("tree")
    tree.focus()
    took = []
    for key in ("ArrowDown", "ArrowDown", "+", "+", "+", "-", "Shift+ArrowRight", "End", "Home"):
        before = page.evaluate("performance.now()")
        page.keyboard.press(key)
        settle(page)
        took.append(page.evaluate("performance.now()") - before)
    assert sorted(took)[len(took) // 2] < 250
    assert max(took) < 1_500


def test_hostile_texts_are_shown_and_nothing_else(show: Show) -> None:
    """They are in the page as texts, escaped where they would change how other texts read."""
    page = show("hostile")
    assert page.evaluate("document.scripts.length") == 2
    assert page.locator("main img, main script, main [onmouseover]").count() == 0
    shown = page.locator("#breakdown tbody").inner_text()
    for text in HOSTILE[:5]:
        assert text in shown
    assert "\\u202egnp.exe\\u2066" in shown
    assert "\\x1b[31mred\\x1b[0m\\x00\\x07" in shown
    assert "line one\\nline two\\u2028three" in shown
    assert page.title().startswith(HOSTILE[0])
    everything = page.content().partition("<body>")[2]
    assert not any(mark in everything for mark in ("\u202e", "\x1b", "\x07", "x" * 1_000))
    for search in ("<script>", "\\x1b", "__proto__"):
        page.get_by_role("searchbox").fill(search)
        assert page.locator(".hits").inner_text() != "0 rows, 0 spans"


def test_the_policy_is_in_force(browser: Browser, reports: Callable[[str], Path]) -> None:
    """What is not the page's own script or style is refused, and nothing can be loaded."""
    page = browser.new_page()
    stopped: list[str | None] = []
    answered: list[str] = []
    page.on("requestfailed", lambda request: stopped.append(request.failure))
    page.on("response", lambda response: answered.append(response.url))
    address = reports("small").as_uri()
    page.goto(address)
    tried = page.evaluate(
        """async () => {
            const refused = [];
            addEventListener('securitypolicyviolation', event =>
                refused.push(event.effectiveDirective));
            const script = document.createElement('script');
            script.textContent = 'window.wasRun = true';
            document.body.append(script);
            const style = document.createElement('style');
            style.textContent = 'body { color: red }';
            document.body.append(style);
            const image = new Image();
            image.src = 'https://example.com/x.png';
            await fetch('https://example.com/').catch(() => {});
            await new Promise(done => setTimeout(done, 200));
            return [window.wasRun === undefined, [...new Set(refused)].sort()];
        }"""
    )
    assert tried == [
        True,
        ["connect-src", "img-src", "script-src-elem", "style-src-elem"],
    ]
    assert set(stopped) == {"csp"}
    assert answered in ([], [address])  # a file is no response to everyone
    page.close()


def test_two_reports_of_the_same_execution_are_the_same(
    reports: Callable[[str], Path], tmp_path: Path
) -> None:
    """Byte for byte: a report kept with a commit does not change by itself."""
    from phasetrace.cli import main
    from tests.golden.cases import EXECUTIONS

    again = tmp_path / "again.html"
    main(
        [
            "report",
            str(EXECUTIONS / "fan_out.jsonl"),
            "--prices",
            str(EXECUTIONS / "prices.toml"),
            "-o",
            str(again),
        ]
    )

    def digest(file: Path) -> str:
        return base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()

    assert digest(again) == digest(reports("fan_out"))
