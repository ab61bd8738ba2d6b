"""Servers for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from .jaeger import Jaeger, require_binary
from .rotel import Rotel, find_binary

COUNTED: Final = "spans in Jaeger"
"""What a test records as its property, for the summary."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many spans a real Jaeger was found to have, and by how many ways they came."""
    counts = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == COUNTED and report.when == "call"
    ]
    if counts:
        spans = f"{sum(counts):,} spans by {len(counts)} ways"
        terminalreporter.write_line(f"Jaeger has {spans}, each as it was recorded")


@pytest.fixture
def rotel() -> Iterator[Rotel]:
    """Run a fresh OTLP collector for one test; it is up within a few hundredths of a second."""
    assert find_binary() is not None, "rotel is missing: pip install 'phasetrace[test]'"
    with Rotel() as server:
        yield server


@pytest.fixture
def jaeger() -> Iterator[Jaeger]:
    """Run a fresh Jaeger for one test; it is up within a tenth of a second."""
    require_binary()
    with Jaeger() as server:
        yield server
