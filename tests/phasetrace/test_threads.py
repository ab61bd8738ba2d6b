"""Waiting for threads to be gone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from phasetrace.threads import join_for_good


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc on this system")
def test_the_kernel_has_one_thread_less() -> None:
    """When the call returns True, nothing of the thread is left, however often it is tried."""
    for _ in range(200):
        thread = threading.Thread(target=int)
        thread.start()
        assert join_for_good(thread, 5.0)
        left = {task.name for task in Path("/proc/self/task").iterdir()}
        assert str(thread.native_id) not in left


def test_a_thread_that_goes_on_is_told_of() -> None:
    """Past the timeout the answer is no."""
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    assert not join_for_good(thread, 0.01)
    release.set()
    assert join_for_good(thread, 5.0)
