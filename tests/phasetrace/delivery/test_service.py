"""A service delivers for as long as there is somebody to do it for."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from phasetrace.delivery.lock import ServingLock, presence_path
from phasetrace.delivery.service import Service
from phasetrace.delivery.shipper import Shipper
from tests.phasetrace.delivery.conftest import (
    HERE,
    THERE,
    Routed,
    Taking,
    deliver,
    fail,
    hold,
    query,
    soon,
    wait_until,
    waiting,
)

Make = Callable[..., Shipper]
Record = Callable[..., Routed]


@contextmanager
def running(service: Service) -> Iterator[threading.Thread]:
    """Run a service."""
    thread = threading.Thread(target=service.run)
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive(), "it does not end"
    service.close()


def test_it_delivers_until_nobody_records_any_more(
    path: Path, recording: Routed, ship: Make
) -> None:
    """And then ends by itself, when it has been idle for a while."""
    exporter = Taking()
    shipper = ship(exporter)
    recording.block("a")
    with running(Service(path, [shipper], idle_s=0.1)) as thread:
        wait_until(lambda: exporter.names == ["a"])
        thread.join(1)
        assert thread.is_alive()
        recording.block("b")
        wait_until(lambda: exporter.names == ["a", "b"])
        recording.close()
    assert waiting(path) == 0


def test_it_goes_on_while_something_waits(path: Path, recording: Routed, ship: Make) -> None:
    """The programs have ended; it gives up when nothing could be delivered for long enough."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a")
    recording.close()
    before = time.monotonic()
    with running(Service(path, [ship(exporter)], idle_s=0.1, give_up_s=1.5)):
        pass
    assert time.monotonic() - before >= 1.5
    assert waiting(path) == 1


def test_it_serves_until_the_last_destination_is_done(
    path: Path, record: Record, ship: Make
) -> None:
    """One that is down keeps it, and not the other destination's spans."""
    here, there = Taking(), Taking()
    there.answer = fail
    recording = record(HERE, THERE)
    recording.block("a")
    recording.close()
    shippers = [ship(here), ship(there, THERE)]
    with running(Service(path, shippers, idle_s=0.1, give_up_s=20)) as thread:
        wait_until(lambda: here.names == ["a"])
        thread.join(0.7)
        assert thread.is_alive()
        there.answer = lambda spans: None
    assert (waiting(path), waiting(path, THERE)) == (0, 0)


def test_it_ends_where_others_serve(path: Path, recording: Routed, ship: Make) -> None:
    """Another process was faster."""
    recording.block("a")
    one = ship(Taking())
    deliver(one, path)
    with running(Service(path, [ship(Taking())], start_s=0.1)):
        pass
    assert one.serves


def test_it_stays_while_it_fails(path: Path, recording: Routed, ship: Make) -> None:
    """It has no turn then for most of the time, but waits for its next one."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a")
    with running(Service(path, [ship(exporter)], idle_s=0.1, start_s=0.1)) as thread:
        wait_until(lambda: len(exporter.requests) > 1)
        thread.join(1)
        assert thread.is_alive()
        exporter.answer = lambda spans: None
        recording.close()
    assert waiting(path) == 0


def test_of_two_that_go_the_same_way_one_stays(path: Path, recording: Routed, ship: Make) -> None:
    """Neither serves, for the receiver is down: the lock that it is there by tells."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a")
    lock, same = (ServingLock(presence_path(path, HERE.key, "")) for _ in range(2))
    with running(Service(path, [ship(exporter)], idle_s=0.1, presences=[lock])) as thread:
        wait_until(lambda: lock.is_held)
        with running(Service(path, [ship(Taking())], start_s=0.1, presences=[same])):
            pass
        assert thread.is_alive()
        exporter.answer = lambda spans: None
        recording.close()
    assert not lock.is_held


def test_it_ends_where_another_way_leads_there(path: Path, recording: Routed, ship: Make) -> None:
    """One whose settings are right has come to serve."""
    exporter = Taking()
    exporter.answer = fail
    recording.block("a")
    old = ship(exporter, HERE._replace(way="old"))
    lock = ServingLock(presence_path(path, HERE.key, "old"))
    with running(Service(path, [old], idle_s=0.1, start_s=0.1, presences=[lock])):
        wait_until(lambda: old.failures)
        new = ship(Taking(), HERE._replace(way="new"))
        deliver(new, path)
    assert new.serves


def test_a_busy_store_does_not_end_it(path: Path, recording: Routed, ship: Make) -> None:
    """It cannot tell then whether there is anything to do."""
    exporter = Taking()
    recording.block("a")
    shipper = ship(exporter)
    deliver(shipper, path)
    with running(Service(path, [shipper], idle_s=0.1)) as thread:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE processes SET closed_ns = NULL")
        with closing(hold(path)):
            thread.join(0.5)
            assert thread.is_alive()
        recording.close()
    assert query(path, "SELECT count(*) FROM processes WHERE closed_ns IS NULL") == [0]


def test_a_store_that_is_gone_ends_it(path: Path, recording: Routed, ship: Make) -> None:
    """And stays gone."""
    exporter = Taking()
    recording.block("a")
    shipper = ship(exporter)
    with running(Service(path, [shipper], idle_s=0.1)):
        wait_until(lambda: exporter.names == ["a"])
        recording.close()
        for file in path.parent.glob("traces.db*"):
            file.unlink()
    assert not path.exists()


def test_closing_lets_others_serve(path: Path, recording: Routed, ship: Make) -> None:
    """At its end."""
    recording.block("a")
    shipper = ship(Taking())
    recording.close()
    with running(Service(path, [shipper], idle_s=0.1)):
        pass
    other = ship(Taking())
    other.hurry()
    wait_until(lambda: other.serves)
    other.close(soon())
