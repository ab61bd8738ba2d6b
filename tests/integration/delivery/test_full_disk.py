"""The store's disk is full: the program does not notice, and all is well when space returns."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .figures import figure
from .programs import environment, make_ends, read_ends, run, ship_all, start, status
from .receivers import Counting

FIRST_PART = 140_000
"""Spans of which the disk has room for a fifth, and memory for half."""
SECOND_PART = 6_000
RATE = 20_000
STDERR_LINES = 2
"""That the disk is full, and that the receiver is away: each is said once."""
RECOVERY_NS = 2_000_000_000
"""So long after the space has returned at the latest, everything is recorded again."""

Resize = Callable[[str], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """Mount a disk of 5 MB; return its folder, and what makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder))
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted: {mounted.stderr.strip()}")

    def resize(size: str) -> None:
        resized = mount("-o", f"remount,size={size}", str(folder))
        assert resized.returncode == 0, resized.stderr

    try:
        yield folder, resize
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``mount``."""
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)


def test_recording_goes_on_when_space_returns(
    down: Counting, small_disk: tuple[Path, Resize], tmp_path: Path
) -> None:
    """In the same program, which is undisturbed by all of it."""
    folder, resize = small_disk
    env = environment(folder / "traces.db", down.endpoint)
    spans = FIRST_PART + SECOND_PART
    ends = make_ends(tmp_path / "ends", spans)
    options = ["--spans", spans, "--rate", RATE, "--ends", ends, "--linger", 3]
    program = start(env, "phasetrace", *options, "--pause-at", FIRST_PART)
    program.wait_for("paused")
    assert free_bytes(folder) < 1 << 20
    resize("200m")
    returned_ns = time.monotonic_ns()
    time.sleep(RECOVERY_NS / 1e9)
    program.go_on()
    done = program.finished()
    assert done.returncode == 0
    assert done.words == ["paused", "done"]
    assert len(done.stderr.splitlines()) <= STDERR_LINES, done.stderr
    down.start()
    ship_all(env)
    arrivals, counts = down.arrivals("phasetrace"), status(env)
    figure(f"{len(arrivals.seqs)} of {spans} arrived; {counts}")
    late = {seq for seq, end_ns in enumerate(read_ends(ends)) if end_ns > returned_ns + RECOVERY_NS}
    assert len(late) == SECOND_PART
    assert late <= arrivals.seqs
    assert counts["waiting"] == 0
    assert counts["recorded"] == spans + spans // 1000, "each execution has a span as well"
    assert sum(counts["lost"].values()) > 0
    assert counts["delivered"] >= len(arrivals.seqs)


def test_a_program_that_ends_on_a_full_disk_is_undisturbed(
    down: Counting, small_disk: tuple[Path, Resize]
) -> None:
    """And the next one, which finds space, records and delivers."""
    folder, resize = small_disk
    env = environment(folder / "traces.db", down.endpoint)
    done = run(env, "phasetrace", "--spans", FIRST_PART, "--name", "first")
    assert free_bytes(folder) < 1 << 20
    assert done.words == []
    # And that there was no room for the last ones, which the receiver did not take either.
    assert len(done.stderr.splitlines()) <= STDERR_LINES + 1, done.stderr
    assert "are dropped" not in done.stderr
    resize("200m")
    options = ["--spans", SECOND_PART, "--first", FIRST_PART, "--name", "second"]
    assert len(run(env, "phasetrace", *options).stderr.splitlines()) <= 1
    down.start()
    ship_all(env)
    arrivals = down.arrivals("phasetrace")
    figure(f"{len(arrivals.seqs)} of {FIRST_PART + SECOND_PART} arrived")
    assert arrivals.seqs >= set(range(FIRST_PART, FIRST_PART + SECOND_PART))
    assert not arrivals.doubled
    assert status(env)["waiting"] == 0


def free_bytes(folder: Path) -> int:
    """Return how much room there is."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
