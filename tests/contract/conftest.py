"""What the contract tests share: collections of garbage that look only at what a test has made."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    """Leave out what thousands of tests before have left in memory.

    Abandoned generators are collected on purpose here, again and again, and each time would take
    half a second by the end of a run.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
