"""Servers for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .jaeger import Jaeger, require_binary
from .rotel import Rotel, find_binary


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
