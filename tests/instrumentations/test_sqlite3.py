"""opentelemetry-instrumentation-sqlite3."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.trace import StatusCode

from phasetrace import execution, node, phase, time_phase
from tests.conftest import Spans

from .attribution import EXEC_ID, NODE_ID, assert_attributed, phase_calls, the
from .conftest import Instrument


def test_a_statement_is_a_child_of_the_phase_around_it(
    spans: Spans, instrument: Instrument, tmp_path: Path
) -> None:
    """Its span has the phase's ids, and is counted beside it."""
    instrument(SQLite3Instrumentor())
    with (
        time_phase(EXEC_ID, NODE_ID, "load"),
        closing(sqlite3.connect(tmp_path / "data.db")) as connection,
    ):
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE numbers (value)")
        cursor.executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
        assert cursor.execute("SELECT sum(value) FROM numbers").fetchone() == (3,)
    finished = spans.get_finished_spans()
    for statement in ("CREATE", "INSERT", "SELECT"):
        assert_attributed(the(statement, finished), the("load", finished))
    assert phase_calls() == {"load": 1, "CREATE": 1, "INSERT": 1, "SELECT": 1}


def test_a_wrong_statement_is_an_error_of_its_own(spans: Spans, instrument: Instrument) -> None:
    """What the instrumentation makes of an exception arrives."""
    instrument(SQLite3Instrumentor())
    with (
        execution(EXEC_ID),
        node(NODE_ID),
        phase("load"),
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(sqlite3.OperationalError),
    ):
        connection.cursor().execute("SELECT * FROM nothing")
    finished = spans.get_finished_spans()
    assert the("SELECT", finished).status.status_code is StatusCode.ERROR
    assert_attributed(the("SELECT", finished), the("load", finished))
