"""A browser, and pages written for it once: what is asked for of them is asked for of all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from phasetrace.cli import main
from tests.browser import executions
from tests.golden.cases import EXECUTIONS, NAMES

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_DRAWN = "performance.getEntriesByName('phasetrace:drawn').length > 0"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium."""
    found = [path for name in _NAMES if (path := shutil.which(name)) is not None]
    assert found, "there is no Chromium; install it: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what writes the report of an execution, once."""
    folder = tmp_path_factory.mktemp("reports")
    sources: dict[str, Callable[[], Path]] = {
        "small": lambda: executions.small(folder),
        "hostile": lambda: executions.hostile(folder),
        "ages": lambda: executions.ages(folder),
        "unended": lambda: executions.unended(folder),
        "failing": lambda: executions.failing(folder),
        "running": lambda: executions.running(folder),
        "steps": lambda: executions.steps(folder, 40),
        "names": lambda: executions.names(folder, 20_000),
        "deep": lambda: executions.deep(folder, 5_000),
        "wide": lambda: executions.wide(folder, 20_000),
        "10000": lambda: executions.many(folder, 10_000),
        "200000": lambda: executions.many(folder, 200_000),
        **{name: partial(EXECUTIONS.joinpath, f"{name}.jsonl") for name in NAMES},
    }

    def report(name: str) -> Path:
        file = folder / f"{name}.html"
        if not file.exists():
            name, _, other = name.partition(" and ")
            compared = ["--compare", str(sources[other]())] if other else []
            prices = ["--prices", str(EXECUTIONS / "prices.toml")]
            assert main(["report", str(sources[name]()), *compared, *prices, "-o", str(file)]) == 0
        return file

    return report


@pytest.fixture
def show(browser: Browser, reports: Callable[[str], Path]) -> Iterator[Callable[..., Page]]:
    """Return what opens the report of an execution.

    Afterwards, no page may have said anything on the console or asked for anything but itself.
    """
    pages: list[tuple[Page, str]] = []
    said: list[str] = []
    asked: list[str] = []

    def open_page(name: str, width: int = 1280, height: int = 860, **settings: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("websocket", lambda socket: asked.append(socket.url))
        address = reports(name).as_uri()
        pages.append((page, address))
        page.goto(address)
        page.wait_for_function(_DRAWN)
        settle(page)
        return page

    yield open_page
    for page, _ in pages:
        settle(page)
    assert said == []
    assert asked == [address for _, address in pages]
    for page, _ in pages:
        page.context.close()


def settle(page: Page) -> None:
    """Have all that is to be drawn be drawn: two frames, as drawing waits for one."""
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def photograph(page: Page, name: str, **settings: Any) -> Path:
    """Keep what a page looks like, to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    settle(page)
    file = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=file, **settings)
    return file
