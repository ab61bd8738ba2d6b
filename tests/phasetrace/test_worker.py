"""The worker: does what is due in a thread that nobody has to think of."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from phasetrace.worker import Worker
from tests.phasetrace.timing import least_s

LONG_S = 60.0


class Work:
    """Something to do: notes by whom each piece is done, and wakes those who wait for it."""

    def __init__(self) -> None:
        self.pieces: deque[Callable[[], Any]] = deque()
        self.done: list[threading.Thread] = []
        self.looked = threading.Semaphore(0)
        """Released whenever the worker has found nothing to do."""
        self.rest_s: float | None = None
        self.worker = Worker("at work", self.step)

    def step(self) -> float | None:
        """Do a piece."""
        if not self.pieces:
            self.looked.release()
            return self.rest_s
        self.pieces.popleft()()
        with self.worker.changed:
            self.done.append(threading.current_thread())
            self.worker.changed.notify_all()
        return 0

    def add(self, piece: Callable[[], Any] = int) -> None:
        """Add a piece."""
        self.pieces.append(piece)
        self.worker.wake()

    def wait_for(self, number: int, timeout_s: float = LONG_S) -> bool:
        """Wait until so many pieces are done."""
        deadline = time.monotonic() + timeout_s
        return self.worker.wait_for(lambda: len(self.done) >= number, deadline)

    def thread(self) -> threading.Thread:
        """Return the thread that did the last piece."""
        return self.done[-1]


@pytest.fixture
def work() -> Iterator[Work]:
    """Return work, and end its worker."""
    work = Work()
    yield work
    work.worker.stop()
    for thread in {*work.done} - {threading.current_thread()}:
        thread.join(LONG_S)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread start, as while the interpreter shuts down."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_whoever_waits_lends_its_thread_for_so_long(work: Work, no_threads: None) -> None:
    """A step can ask for how long, and only then."""
    lent: list[float | None] = []
    work.pieces.append(lambda: lent.append(work.worker.lent_until))
    deadline = time.monotonic() + LONG_S
    assert work.worker.wait_for(lambda: bool(work.done), deadline)
    assert (lent, work.worker.lent_until) == ([deadline], None)


def test_there_is_no_thread_before_it_is_woken() -> None:
    """Making a worker costs nothing."""
    before = threading.active_count()
    Work()
    assert threading.active_count() == before


def test_one_thread_does_everything(work: Work) -> None:
    """It sleeps in between, and does not keep the program from ending."""
    for number in range(1, 4):
        work.add()
        assert work.wait_for(number)
        assert work.looked.acquire(timeout=LONG_S)
    assert len(set(work.done)) == 1
    assert work.thread().daemon
    assert work.thread().name == "at work"


def test_it_looks_again_when_it_was_told_to(work: Work) -> None:
    """Without being woken, after the time that the step said."""
    work.rest_s = 0.001
    work.add()
    for _ in range(3):
        assert work.looked.acquire(timeout=LONG_S)


def test_no_ring_is_missed(work: Work) -> None:
    """Whatever is added before `wake` is done, from any number of threads."""

    def add() -> None:
        for _ in range(200):
            work.add()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work.wait_for(800)
    assert len(set(work.done)) == 1


def test_waking_may_interrupt_waking(work: Work) -> None:
    """A signal handler or a finalizer rings while its own thread does."""
    with work.worker.changed, work.worker._starting:
        work.worker.wake()
    assert work.worker._thread is None
    work.add()
    assert work.wait_for(1)


def test_waiting_ends_at_the_deadline(work: Work) -> None:
    """A step that hangs is not waited for any longer."""
    release = threading.Event()
    work.add(release.wait)

    def wait() -> None:
        assert not work.wait_for(1, 0.5)

    assert 0.5 <= least_s(wait) < 0.55
    release.set()
    assert work.wait_for(1)


def test_a_step_that_ends_its_thread_is_followed_by_another(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter may raise SystemExit."""
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    ended: list[threading.Thread] = []

    def end() -> None:
        ended.append(threading.current_thread())
        raise SystemExit

    work.add(end)
    work.add()
    assert work.wait_for(1)
    ended[0].join(LONG_S)
    assert not ended[0].is_alive()


def test_a_stopped_worker_begins_nothing(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in its thread, nor in another one, nor in that of somebody who waits."""
    work.add()
    assert work.wait_for(1)
    work.worker.stop()
    work.thread().join(LONG_S)
    assert not work.thread().is_alive()
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", started.append)
    work.add()
    assert not work.wait_for(2, 0.01)
    assert started == []


@pytest.mark.usefixtures("no_threads")
def test_who_waits_does_it_where_no_thread_can_start(work: Work) -> None:
    """While the interpreter shuts down."""
    for _ in range(3):
        work.add()
    assert work.wait_for(3)
    assert set(work.done) == {threading.current_thread()}


@pytest.mark.usefixtures("no_threads")
def test_who_waits_begins_nothing_after_the_deadline(work: Work) -> None:
    """Between two pieces the time is looked at."""
    deadline = time.monotonic() + 0.05
    for _ in range(2):
        work.add(lambda: threading.Event().wait(max(0.0, deadline + 0.01 - time.monotonic())))
    assert not work.worker.wait_for(lambda: len(work.done) == 2, deadline)
    assert len(work.done) == 1


def test_waking_is_cheap_where_no_thread_can_start(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again after a second only, and the bell does not fill up."""
    tried: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        tried.append(thread)
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(1000):
        work.worker.wake()
    assert (len(tried), work.worker._bell.qsize()) == (1, 1)
    work.worker._start_again_at = 0.0
    work.worker.wake()
    assert len(tried) == 2


def test_a_fork_finds_no_thread_and_the_next_piece_starts_one(work: Work) -> None:
    """What `before_fork` and `after_fork_in_parent` do."""
    work.add()
    assert work.wait_for(1)
    worker = work.worker
    worker.before_fork(0.0)
    assert not work.thread().is_alive()
    work.add()
    assert worker._thread is None
    worker.after_fork_in_parent()
    worker.wake()
    assert work.wait_for(2)
    assert len(set(work.done)) == 2


def test_who_waits_does_not_work_while_another_thread_forks(work: Work) -> None:
    """It would be in the middle of it in the child."""
    work.worker.before_fork(0.0)
    work.add()
    asked: list[None] = []

    def done() -> bool:
        asked.append(None)
        return False

    assert not work.worker.wait_for(done, time.monotonic() + 0.05)
    assert len(asked) < 10  # it sleeps
    work.worker.after_fork_in_parent()
    assert work.wait_for(1)
    assert work.thread() is not threading.current_thread()


def test_a_fork_waits_for_one_step_once(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that takes long delays many forks together no longer than one; it goes on."""
    monkeypatch.setattr("phasetrace.worker._FORK_TIMEOUT_S", 0.2)
    release, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait()

    work.add(hang)
    assert begun.wait(LONG_S)
    waited = []
    for busy_s in (0.0, 0.2, 10.0):
        started = time.monotonic()
        work.worker.before_fork(busy_s)
        waited.append(time.monotonic() - started)
        work.worker.after_fork_in_parent()
    assert waited[0] >= 0.2
    assert waited[1] + waited[2] < 0.1
    release.set()
    work.add()
    assert work.wait_for(2)
    assert len(set(work.done)) == 1


def test_a_forked_child_does_nothing(work: Work) -> None:
    """Locks that its parent's threads held are not waited for."""
    worker = work.worker
    worker._starting.acquire()
    holding, release = threading.Event(), threading.Event()

    def hold(changed: threading.Condition) -> None:
        with changed:
            holding.set()
            release.wait()

    holder = threading.Thread(target=hold, args=(worker.changed,))
    holder.start()
    assert holding.wait(LONG_S)
    worker.after_fork()
    work.add()
    assert not work.wait_for(1, 0.01)
    worker.stop()
    assert worker._thread is None
    release.set()
    holder.join()
