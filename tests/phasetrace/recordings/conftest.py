"""What the tests of recordings share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.phasetrace.recordings.query_service import QueryService, running


@pytest.fixture
def service() -> Iterator[QueryService]:
    """Run a query service for one test."""
    with running() as started:
        yield started
