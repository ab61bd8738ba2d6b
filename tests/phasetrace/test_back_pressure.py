"""Bursts into a real store: nothing is lost, memory is bounded, and nobody waits in vain."""

from __future__ import annotations

import gc
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import phasetrace
from phasetrace import configuration, pipeline
from phasetrace.phase_span import PhaseSpan
from phasetrace.pipeline import HIGH_WATER
from phasetrace.store import writer as writer_module
from phasetrace.store.writer import StoreWriter
from tests.phasetrace.store.conftest import query, run_program


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store is to be."""
    return tmp_path / "traces.db"


def writer_at(path: Path) -> StoreWriter:
    """Record into a store from now on; return its writer."""
    phasetrace.configure(store=path)
    phases(1)
    phasetrace.force_flush()
    tracing = configuration.current_tracing()
    assert tracing.writer is not None
    return tracing.writer


def phases(number: int) -> None:
    """Record so many phases as fast as may be."""
    for _ in range(number):
        with phasetrace.time_phase("e", "n", "p"):
            pass


def counted() -> int:
    """Return how many phases the collector has counted."""
    return phasetrace.breakdown("e").nodes[0].phases[0].count


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the store's write lock, as another process that writes for long."""
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("BEGIN IMMEDIATE")
        yield
        store.execute("ROLLBACK")


class Waiting:
    """Looks, at each end past the limit, how much waits in the queue and with the writer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, writer: StoreWriter) -> None:
        self.most = 0
        self.pauses = 0
        line, crowded = pipeline.pipeline, pipeline.pipeline.crowded

        def look() -> None:
            self.most = max(self.most, len(line.queue) + writer.backlog)
            crowded()

        class Time:
            @staticmethod
            def sleep(seconds: float) -> None:
                self.pauses += 1
                threading.Event().wait(seconds)

        monkeypatch.setattr(line, "crowded", look)
        monkeypatch.setattr(pipeline, "time", Time)


def test_a_burst_of_many_threads_arrives_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded all the while, since the threads are slowed down."""
    writer = writer_at(path)
    waiting = Waiting(monkeypatch, writer)
    threads = [threading.Thread(target=phases, args=(8_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted() == 32_001
    assert phasetrace.force_flush()
    assert query(path, "SELECT count(*) FROM spans WHERE type = 'phase'") == [32_001]
    assert waiting.pauses
    # What the writing thread has just drained counts twice for a moment.
    assert waiting.most < 3 * HIGH_WATER
    assert writer.lost == {}


def test_nobody_waits_long_for_a_store_that_another_process_has_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the queue's limit spans are lost, and counted one by one; the numbers stay exact."""
    monkeypatch.setattr(writer_module, "MAX_QUEUE", 20_000)
    monkeypatch.setattr(writer_module, "_BUSY_S", 0.2)
    writer = writer_at(path)
    with locked(path):
        phases(60_000)
        assert counted() == 60_001
        assert not phasetrace.force_flush(0.1)
        lost = writer.lost["queue full"]
        assert 30_000 < lost <= 40_000
    phasetrace.force_flush()
    assert query(path, "SELECT count(*) FROM spans") == [60_001 - lost]
    assert query(path, "SELECT value FROM counters") == [lost]
    assert phasetrace.force_flush()


def test_a_flush_that_waits_for_a_lock_holds_no_other_thread_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as one try to write may take, and no longer."""
    monkeypatch.setattr(writer_module, "_BUSY_S", 0.0)
    writer = writer_at(path)
    assert writer.keeps_up
    with locked(path):
        writing = threading.Event()
        real = writer._session.write

        def write(*arguments: object) -> object:
            writing.set()
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(writer._session, "write", write)
        phases(1)
        flush = threading.Thread(target=phasetrace.force_flush, args=(2.0,))
        flush.start()
        assert writing.wait(10)
        assert not writer.keeps_up
    flush.join()
    assert phasetrace.force_flush()
    assert writer.keeps_up


def test_a_store_that_cannot_be_used_costs_no_memory(tmp_path: Path) -> None:
    """All its spans are counted as lost, and none is kept."""
    blocked = tmp_path / "file"
    blocked.touch()
    writer = writer_at(blocked / "traces.db")
    phases(20_000)
    assert counted() == 20_001
    phasetrace.force_flush()
    assert writer.lost == {"unwritable": 20_001}
    assert sum(type(one) is PhaseSpan for one in gc.get_objects()) < 10


def test_where_no_thread_can_be_started_the_program_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in exit handlers since Python 3.12: what waits is written at the end."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    phasetrace.configure(store=path)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    waiting = Waiting(monkeypatch, configuration.current_tracing().writer or pytest.fail())
    phases(12_000)
    assert waiting.pauses == 0
    phasetrace.shutdown()
    assert query(path, "SELECT count(*) FROM spans WHERE type = 'phase'") == [12_000]


BURST = """
import resource, sys, threading
import phasetrace
from phasetrace.pipeline import pipeline

threads, number = int(sys.argv[1]), 1_000_000

def peak_mb():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3

def work():
    for _ in range(number // threads):
        with phasetrace.time_phase("e", "n", "p"):
            pass

with phasetrace.time_phase("e", "n", "p"):
    pass
phasetrace.force_flush()
before = peak_mb()
running = [threading.Thread(target=work) for _ in range(threads)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
(row,) = phasetrace.breakdown("e").nodes[0].phases
assert phasetrace.force_flush()
print(row.count, round(peak_mb() - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource module")
@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("store", [True, False])
def test_a_million_phases_arrive_in_bounded_memory(path: Path, threads: int, store: bool) -> None:
    """Whether there is a store or not."""
    program = BURST.replace("sys.argv[1]", str(threads))
    out = run_program(program, path if store else Path("off"), timeout_s=600)
    count, megabytes = map(int, out.split())
    assert count == 1_000_001
    assert megabytes < 300
    if store:
        assert query(path, "SELECT count(*) FROM spans WHERE type = 'phase'") == [1_000_001]
