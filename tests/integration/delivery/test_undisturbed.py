"""An outage does not slow the measured program down, and its event loop goes on turning."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.rounds import percentile

from .figures import figure
from .programs import Running, environment, run, start
from .receivers import Counting

PHASES = 400
"""In a block of work."""
WORK = 30
"""Units in each phase: some 0.2 to 0.3 ms."""
BLOCKS = 25
SLOWDOWN = 1.05

LOOP_ROUNDS = 3
LOOP_S = 1.0
DELAY_MS = 5.0


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Counting]:
    """Return a receiver that takes requests and never answers."""
    folder = tmp_path / "silent"
    folder.mkdir()
    with Counting(folder) as receiver:
        receiver.start("silent")
        yield receiver


def test_work_takes_as_long_during_an_outage(
    counting: Counting, silent: Counting, tmp_path: Path
) -> None:
    """A fixed amount of it, with phases inside; the receiver up, closed or silent, in turn."""
    endpoints = {
        "up": counting.endpoint,
        "closed": "http://127.0.0.1:1",
        "silent": silent.endpoint,
    }
    programs: dict[str, Running] = {}
    for name, endpoint in endpoints.items():
        env = environment(tmp_path / f"{name}.db", endpoint, OTEL_BSP_SCHEDULE_DELAY="100")
        options = ["--spans", PHASES * BLOCKS, "--per-execution", PHASES, "--work", WORK]
        programs[name] = start(env, "phasetrace", *options, "--in-turn", "--linger", 60)
    # Blocks short enough that what else the machine does comes upon all of them.
    for number in range(BLOCKS):
        for name in rotated(list(programs), number):
            programs[name].go_on()
            programs[name].wait_for("block")
    blocks_s = {name: seconds_of_blocks(program) for name, program in programs.items()}
    ratios = {
        name: statistics.median(
            away / up for away, up in zip(blocks_s[name], blocks_s["up"], strict=True)
        )
        for name in ("closed", "silent")
    }
    for name, ratio in ratios.items():
        figure(f"work while the receiver is {name}: {ratio:.3f} times")
    assert max(ratios.values()) <= SLOWDOWN


def seconds_of_blocks(program: Running) -> list[float]:
    """Return how long each block took but the first; the program's end is measured elsewhere."""
    program.wait_for("done")
    program.process.kill()
    return list(map(float, program.finished().report["blocks_s"][1:]))


def test_the_event_loop_is_not_held_up(
    counting: Counting, silent: Counting, tmp_path: Path
) -> None:
    """At 500 spans a second; beside it the same program that records nothing.

    Of each kind of run the quietest counts: what we hold up, we hold up in every round.
    """
    kinds = {
        "nothing": ("nothing", None),
        "up": ("phasetrace", counting.endpoint),
        "silent": ("phasetrace", silent.endpoint),
    }
    worst: dict[str, list[float]] = {name: [] for name in kinds}
    nearly: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(LOOP_ROUNDS):
        for name in rotated(list(kinds), number):
            kind, endpoint = kinds[name]
            env = environment(
                tmp_path / f"{name}_{number}.db", endpoint, OTEL_BSP_SCHEDULE_DELAY="100"
            )
            delays = run(env, kind, LOOP_S, program="loop_delay.py").report["delays_ms"]
            worst[name].append(max(delays))
            nearly[name].append(percentile(delays, 0.99))
    for name in kinds:
        figure(
            f"event loop, {name}: p99 {statistics.median(nearly[name]):.2f} ms,"
            f" max {min(worst[name]):.2f} to {max(worst[name]):.2f} ms"
        )
    for name in ("up", "silent"):
        assert min(worst[name]) <= min(worst["nothing"]) + DELAY_MS
        assert statistics.median(nearly[name]) <= statistics.median(nearly["nothing"]) + DELAY_MS


def rotated(names: list[str], number: int) -> list[str]:
    """Return the names, starting with another one each time."""
    first = number % len(names)
    return names[first:] + names[:first]
