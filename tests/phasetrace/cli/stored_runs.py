"""Executions in the store as rows of their own, for tests of what is said about many of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from phasetrace.clock import now_ns
from phasetrace.identity import trace_id_of
from phasetrace.store.file import open_for_writing
from phasetrace.store.process import birth_of, host_name

S = 1_000_000_000

_ALIVE, _GONE = 1, 2


class Run(NamedTuple):
    """An execution: it has a name, ended (or stands) somehow, started so long ago, and took."""

    exec_id: str
    name: str | None = None
    status: str = "ok"
    ago_s: float = 60
    duration_s: float = 1


def put(runs: Iterable[Run]) -> None:
    """Put executions into the store that the environment names."""
    connection = open_for_writing(Path(os.environ["PHASETRACE_STORE"])).connection
    connection.execute("BEGIN")
    for row, pid, birth in ((_ALIVE, os.getpid(), birth_of(os.getpid())), (_GONE, 1, "gone")):
        connection.execute(
            "INSERT OR IGNORE INTO processes (id, pid, birth, host, started_ns)"
            " VALUES (?, ?, ?, ?, 0)",
            (row, pid, birth, host_name()),
        )
    for run in runs:
        started_ns = now_ns() - round(run.ago_s * S)
        last_ns = started_ns + round(run.duration_s * S)
        has_ended = run.status not in ("running", "abandoned")
        connection.execute(
            "INSERT INTO executions (exec_id, name, trace_id, process, explicit, started_ns,"
            " last_ns, ended_ns, status, spans, openings) VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, 1, 1)",
            (
                run.exec_id,
                run.name if run.name is not None else run.exec_id,
                trace_id_of(run.exec_id).to_bytes(16, "big"),
                _GONE if run.status == "abandoned" else _ALIVE,
                started_ns,
                last_ns,
                last_ns if has_ended else None,
                run.status if has_ended else "ok",
            ),
        )
    connection.execute("COMMIT")
    connection.close()
