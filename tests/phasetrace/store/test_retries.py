"""What is noted of failures, and who is there to try again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasetrace.store import schema
from phasetrace.store.retries import (
    Retry,
    forget_retries,
    is_to_be_retried,
    leave_retry,
    note_retry,
    noted_retry,
)

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a store with two destinations."""
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    schema.migrate(connection)
    for number in (1, 2):
        connection.execute(
            "INSERT INTO destinations (id, key, name, cursor, created_ns) VALUES (?, ?, 'x', 0, 0)",
            (number, f"d{number}"),
        )
    yield connection
    connection.close()


def test_a_way_has_one_note(connection: sqlite3.Connection) -> None:
    """The last one; other ways, and other destinations, have their own."""
    first, second = Retry(1, NOW, NOW + 5), Retry(2, NOW + 5, NOW + 9, NOW + 60)
    note_retry(connection, 1, "old", first)
    assert noted_retry(connection, 1, "old") == first
    note_retry(connection, 1, "old", second)
    assert noted_retry(connection, 1, "old") == second
    assert noted_retry(connection, 1, "new") is None
    assert noted_retry(connection, 2, "old") is None


def test_a_success_takes_all_of_a_destination_away(connection: sqlite3.Connection) -> None:
    """And those of no other one."""
    for destination, way in ((1, "old"), (1, "new"), (2, "old")):
        note_retry(connection, destination, way, Retry(1, NOW, NOW))
    forget_retries(connection, 1)
    assert connection.execute("SELECT destination, way FROM retries").fetchall() == [(2, "old")]


def test_ways_that_nobody_goes_any_more_are_forgotten(connection: sqlite3.Connection) -> None:
    """After an hour, when the next one is noted."""
    note_retry(connection, 1, "old", Retry(1, NOW, NOW))
    note_retry(connection, 1, "new", Retry(1, NOW + 3600 * SECOND, NOW))
    assert noted_retry(connection, 1, "old") is not None
    note_retry(connection, 1, "new", Retry(1, NOW + 3600 * SECOND + 1, NOW))
    assert noted_retry(connection, 1, "old") is None


def test_who_has_failed_is_there_to_try_again(connection: sqlite3.Connection) -> None:
    """As long as it lives, delivers, and tries when it is time."""
    assert not is_to_be_retried(connection, 1, NOW)
    note_retry(connection, 1, "", Retry(1, NOW, NOW + SECOND))
    assert is_to_be_retried(connection, 1, NOW)
    assert not is_to_be_retried(connection, 2, NOW)
    assert not is_to_be_retried(connection, 1, NOW + 61 * SECOND)
    leave_retry(connection, 1, "another")
    assert is_to_be_retried(connection, 1, NOW)
    leave_retry(connection, 1, "")
    assert not is_to_be_retried(connection, 1, NOW)
    note_retry(connection, 1, "", Retry(1, NOW, NOW + SECOND, NOW + 60 * SECOND))
    assert is_to_be_retried(connection, 1, NOW + 61 * SECOND)
    connection.execute("UPDATE retries SET birth = 'another'")
    assert not is_to_be_retried(connection, 1, NOW)
