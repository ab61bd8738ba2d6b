"""Receivers and stores for the tests of delivery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .receivers import Counting


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return where the store of a test is to be."""
    return tmp_path / "traces.db"


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Counting]:
    """Return a counting receiver that is not up yet."""
    folder = tmp_path / "received"
    folder.mkdir()
    with Counting(folder) as receiver:
        yield receiver


@pytest.fixture
def counting(down: Counting) -> Counting:
    """Return a counting receiver that answers."""
    down.start()
    return down
