"""Asking the store: what ran, how it ended, and where the time went."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import Span

from phasetrace.errors import StoreError, UnknownExecution
from phasetrace.identity import trace_id_of
from phasetrace.spans import SpanRecord
from phasetrace.store.reader import StoreReader
from phasetrace.store.stored import EXECUTIONS
from tests.conftest import FakeClock
from tests.phasetrace.store.conftest import Recording, in_child, query, read

S = 1_000_000_000
HOSTILE = [
    "a\0b",
    "\ud800",
    "😀",
    "\x1b[31m",
    "x" * 1_000_000,
    "'; DROP TABLE spans; --",
    " ",
    "%_",
]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda recording, root: root.end(), "ok"),
        (lambda recording, root: recording.cancel(root), "cancelled"),
        (lambda recording, root: recording.fail(root), "error"),
        (lambda recording, root: None, "running"),
    ],
)
def test_the_status_of_an_execution_is_how_its_root_ended(
    recording: Recording,
    path: Path,
    end: Callable[[Recording, object], None],
    status: str,
) -> None:
    """Whatever its phases did."""
    root = recording.root("e")
    recording.phase("e", error=True)
    end(recording, root)
    assert recording.writer.flush()
    assert read(path, "e").status == status


@pytest.mark.parametrize(("error", "status"), [(False, "ok"), (True, "error")])
def test_an_implicit_execution_ended_as_its_phases_did(
    recording: Recording, path: Path, error: bool, status: str
) -> None:
    """It runs until it is given its root."""
    recording.phase("e", start=S, end=3 * S, error=error)
    assert recording.writer.flush()
    assert read(path, "e").status == "running"
    recording.root("e", implicit=True, start=S).end(3 * S)
    assert recording.writer.flush()
    assert (read(path, "e").status, read(path, "e").duration_ns) == (status, 2 * S)


def test_an_execution_that_its_process_never_ended_is_abandoned(
    recording: Recording, path: Path
) -> None:
    """Though the process closed the store in good order."""
    recording.root("explicit")
    recording.phase("implicit")
    assert recording.close()
    assert [read(path, one).status for one in ("explicit", "implicit")] == ["abandoned"] * 2


def test_an_execution_runs_until_its_root_ends(recording: Recording, path: Path) -> None:
    """Opened again within itself, it does not end with the inner one."""
    root = recording.root("e")
    inner = recording.start(
        "e", "again", node=None, parent=root, attributes={"phasetrace.type": "execution"}
    )
    assert recording.writer.flush()
    recording.fail(inner)
    assert recording.writer.flush()
    assert (read(path, "e").status, read(path, "e").name) == ("running", "e")
    root.end()
    assert recording.writer.flush()
    assert (read(path, "e").status, read(path, "e").name) == ("ok", "e")


@pytest.mark.usefixtures("without_thread")
def test_the_root_is_the_outer_one_though_the_inner_one_ends_first(
    recording: Recording, path: Path
) -> None:
    """Also where both are written together."""
    root = recording.root("e", start=1 * S)
    inner = recording.start(
        "e", "again", node=None, parent=root, start=2 * S,
        attributes={"phasetrace.type": "execution"},
    )  # fmt: skip
    recording.fail(inner, 3 * S)
    root.end(5 * S)
    assert recording.writer.flush()
    execution = read(path, "e")
    assert (execution.status, execution.name, execution.duration_ns) == ("ok", "e", 4 * S)


def test_an_execution_that_is_opened_once_more_runs_again(recording: Recording, path: Path) -> None:
    """Until that ends, too."""
    recording.execution("e", start=S, end=2 * S)
    assert recording.writer.flush()
    assert read(path, "e").status == "ok"
    again = recording.start(
        "e", "again", node=None, start=3 * S, attributes={"phasetrace.type": "execution"}
    )
    assert recording.writer.flush()
    assert read(path, "e").status == "running"
    recording.cancel(again)
    assert recording.writer.flush()
    assert read(path, "e").status == "cancelled"


def test_an_execution_that_a_later_process_repeats_is_that_ones(
    recording: Recording, path: Path
) -> None:
    """A second run under the same id: running again, and the new process's to end."""
    recording.execution("e")
    assert recording.close()

    def work() -> None:
        child = Recording(path)
        root = child.root("e")
        assert child.writer.flush()
        assert read(path, "e").status == "running"
        root.end()
        assert child.close()

    assert in_child(work) == 0
    assert read(path, "e").status == "ok"


def test_executions_come_with_the_one_that_started_last_first(
    recording: Recording, path: Path
) -> None:
    """As many as are asked for."""
    for name, start in (("b", 2), ("c", 3), ("a", 1)):
        recording.execution(name, start=start * S, end=start * S + 1)
    assert recording.close()
    with StoreReader(path) as store:
        assert [one.exec_id for one in store.executions()] == ["c", "b", "a"]
        assert [one.exec_id for one in store.executions(limit=2)] == ["c", "b"]
        assert store.latest().exec_id == "c"


def test_an_empty_store_has_no_latest_execution(recording: Recording, path: Path) -> None:
    """It says so as for an unknown one."""
    recording.execution("e")
    assert recording.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM executions")
    with StoreReader(path) as store, pytest.raises(UnknownExecution):
        store.latest()


def test_an_unknown_execution_is_answered_with_the_nearest(
    recording: Recording, path: Path
) -> None:
    """Best first; none where nothing is like it."""
    for name in ("build-41", "build-42", "deploy"):
        recording.execution(name)
    assert recording.close()
    with StoreReader(path) as store:
        with pytest.raises(UnknownExecution) as raised:
            store.find("build-43")
        assert set(raised.value.nearest) == {"build-41", "build-42"}
        with pytest.raises(UnknownExecution) as raised:
            store.find("zzz")
        assert raised.value.nearest == ()


def test_huge_ids_are_not_compared(recording: Recording, path: Path) -> None:
    """Comparing two takes the square of their length."""
    huge = "".join(chr(0x4E00 + number) for number in range(500))
    recording.execution(huge)
    assert recording.close()
    with StoreReader(path) as store, pytest.raises(UnknownExecution) as raised:
        store.find(huge + "x")
    assert raised.value.nearest == ()


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_is_stored_and_found(recording: Recording, path: Path, name: str) -> None:
    """As an execution, a node and a phase; lone surrogates in escaped form."""
    root = recording.root(name)
    recording.phase(name, name, node=name, parent=root)
    root.end()
    assert recording.close()
    stored = name.encode("utf-8", "backslashreplace").decode()
    with StoreReader(path) as store:
        execution = store.find(name)
        assert execution.exec_id == stored
        (span, _) = store.spans(execution)
        assert (span.name, span.node_id) == (stored, stored)
        breakdown = store.breakdown(execution)
    assert [(node.node_id, node.phases[0].phase) for node in breakdown.nodes] == [(stored, stored)]


def test_a_span_that_ends_before_it_starts_takes_no_time(recording: Recording, path: Path) -> None:
    """Here as in the process that recorded it."""
    recording.phase("e", start=5 * S, end=4 * S)
    assert recording.close()
    with StoreReader(path) as store:
        (span,) = store.spans(store.find("e"))
    assert (span.start_ns, span.end_ns) == (5 * S, 5 * S)


def test_the_list_is_read_from_the_index(recording: Recording, path: Path) -> None:
    """It does not sort all executions to show the latest."""
    recording.execution("e")
    assert recording.close()
    plan = query(
        path,
        f"EXPLAIN QUERY PLAN {EXECUTIONS} ORDER BY e.started_ns DESC, e.id DESC LIMIT ?",
        10,
    )
    steps = [row[-1] for row in plan]
    assert "executions_by_start" in steps[0]
    assert not [step for step in steps if "TEMP B-TREE" in step]


def test_a_breakdown_from_totals_reads_no_spans(recording: Recording, path: Path) -> None:
    """It costs the same for ten spans and for a million."""
    recording.phase("e", start=0, end=S)
    recording.execution("e")
    assert recording.close()
    with StoreReader(path) as store:
        execution = store.find("e")
        statements: list[str] = []
        store._connection.set_trace_callback(statements.append)
        assert store.breakdown(execution).spans == 2
    assert any("aggregates" in statement for statement in statements)
    assert not [statement for statement in statements if "FROM blocks" in statement]


def test_what_was_lost_can_be_asked(recording: Recording, path: Path) -> None:
    """By reason, over all processes."""
    recording.phase("e")
    recording.writer._queue_full.all.add()
    recording.close()
    with StoreReader(path) as store:
        assert store.lost() == {"queue full": 1}


def test_reading_imports_no_opentelemetry() -> None:
    """The reading commands start in a fraction of the time."""
    source = (
        "import sys, phasetrace.store.reader\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google'))])"
    )
    out = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_a_store_damaged_below_a_reader_is_an_error_of_the_store(
    recording: Recording, path: Path
) -> None:
    """In every question, also in one that gives its answers one by one."""
    for number in range(500):
        recording.phase("e", f"phase {number}")
    assert recording.close()
    roots = dict(query(path, "SELECT name, rootpage FROM sqlite_master"))
    with StoreReader(path) as store:
        execution = store.find("e")
    with path.open("r+b") as file:
        for table in ("blocks", "executions"):
            file.seek((roots[table] - 1) * 4096)
            file.write(b"\xa5" * 4096)
    with StoreReader(path) as store:
        with pytest.raises(StoreError, match="cannot read the store"):
            store.executions()
        with pytest.raises(StoreError, match="cannot read the store"):
            list(store.spans(execution))


def test_several_processes_make_one_breakdown(recording: Recording, path: Path) -> None:
    """Worked out from all spans: what ran beside each other shares the time."""
    root = recording.root("e", start=0)
    recording.phase("e", "mine", start=0, end=2 * S)

    def work() -> None:
        child = Recording(path)
        child.phase("e", "theirs", start=1 * S, end=3 * S)
        assert child.close()

    assert in_child(work) == 0
    root.end(4 * S)
    assert recording.close()
    with StoreReader(path) as store:
        breakdown = store.breakdown(store.find("e"))
    shares = {phase.phase: phase.share_ns for phase in breakdown.nodes[0].phases}
    assert shares == {"mine": 3 * S // 2, "theirs": 3 * S // 2}
    assert breakdown.unattributed_ns == S


moments = st.integers(0, 10_000)


@st.composite
def executions(draw: st.DrawFn) -> list[tuple[int | None, str, str, int, int, bool]]:
    """Draw spans: the index of the parent, type, name, start, end, and whether it failed.

    Children may start before their parent and outlive it, as in programs they do.
    """
    spans: list[tuple[int | None, str, str, int, int, bool]] = []
    for index in range(draw(st.integers(1, 12))):
        parent = draw(st.none() | st.integers(0, index - 1)) if index else None
        kind = draw(st.sampled_from(["node", "phase", "phase"]))
        start, end = sorted((draw(moments), draw(moments)))
        spans.append((parent, kind, draw(st.sampled_from("abc")), start, end, draw(st.booleans())))
    return spans


@pytest.mark.parametrize("explicit", [True, False])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(spans=executions(), order=st.randoms())
def test_totals_and_spans_tell_the_same_to_the_nanosecond(
    tmp_path_factory: pytest.TempPathFactory,
    explicit: bool,
    spans: list[tuple[int | None, str, str, int, int, bool]],
    order: Random,
) -> None:
    """The breakdown that a process counted is the one worked out from its spans."""
    path = tmp_path_factory.mktemp("store") / "traces.db"
    recording = Recording(path, now_ns=lambda: 20_000)
    recording.writer._start = lambda: None  # type: ignore[method-assign]
    root = recording.root("e", start=0) if explicit else None
    open_spans: list[Span] = []
    generator: Any = recording.provider.id_generator
    for index, (parent, kind, name, start, _, _) in enumerate(spans):
        with generator.plan(trace_id_of("e"), index + 1):  # all of one trace
            open_spans.append(
                recording.start(
                    "e",
                    name if kind == "phase" else f"node {name}",
                    node=f"node {name}",
                    parent=root if parent is None else open_spans[parent],
                    start=start,
                    attributes={
                        **({"phasetrace.type": "node"} if kind == "node" else {}),
                        **({"node_type": f"type {start}"} if start % 3 == 0 else {}),
                    },
                )
            )
    ending = list(zip(open_spans, spans, strict=True))
    order.shuffle(ending)
    for span, (*_, end, failed) in ending:
        (recording.fail if failed else recording.end)(span, end)
    if root is not None:
        root.end(10_000)
    else:
        recording.root("e", implicit=True, start=0).end(10_000)
    assert recording.close()
    with StoreReader(path) as store:
        execution = store.find("e")
        from_totals = store.breakdown(execution)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(store, "_connection", WithoutTotals(store._connection))
            from_spans = store.breakdown(execution)
    assert from_totals.to_dict() == from_spans.to_dict()


class WithoutTotals:
    """A connection to a store in which no process has written its totals."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        """Pass on."""
        return self._connection.in_transaction

    def execute(self, sql: str, *arguments: object) -> sqlite3.Cursor:
        """Pass on, but for the totals."""
        sql = sql.replace("FROM aggregate_parts WHERE", "FROM aggregate_parts WHERE 0 AND")
        return self._connection.execute(sql, *arguments)  # type: ignore[arg-type]


def test_span_records_are_what_was_recorded(recording: Recording, path: Path) -> None:
    """In the order in which they were written."""
    root = recording.root("e", start=1)
    recording.phase("e", "p", parent=root, start=2, end=3, attributes={"node_type": "tool"})
    root.end(4)
    assert recording.close()
    with StoreReader(path) as store:
        execution = store.find("e")
        spans = list(store.spans(execution))
    context = root.get_span_context()
    assert spans == [
        SpanRecord(spans[0].span_id, context.span_id, "phase", "p", "node", "tool", 2, 3, "ok"),
        SpanRecord(context.span_id, None, "execution", "e", None, None, 1, 4, "ok"),
    ]
    assert execution.root_span_id == context.span_id
    assert execution.trace_id == f"{context.trace_id:032x}"


def open_execution(recording: Recording, clock: FakeClock) -> None:
    """Have an execution with a node in it, of which one phase has ended and one has not."""
    root = recording.root("e", start=clock())
    kind = {"phasetrace.type": "node"}
    node = recording.start("e", "n", node="n", parent=root, start=clock(), attributes=kind)
    recording.phase("e", "done", node="n", parent=node, start=clock(), end=clock() + S)
    recording.start("e", "wait", node="n", parent=node, start=clock() + S)
    clock.advance(4_000)
    recording.writer.flush()


@pytest.mark.usefixtures("without_thread")
def test_a_running_execution_lasts_up_to_now(
    record: Callable[..., Recording], fake_clock: FakeClock, path: Path
) -> None:
    """What is open has its row and its share so far, in the breakdown and in the summary."""
    open_execution(record(now_ns=fake_clock), fake_clock)
    fake_clock.advance(1_000)
    with StoreReader(path, fake_clock) as store:
        execution = store.find("e")
        breakdown, summary = store.breakdown(execution), store.summary(execution)
    assert (execution.status, execution.duration_ns) == ("running", 5 * S)
    assert breakdown.execution.duration_ns == summary.execution.duration_ns == 5 * S
    (node,) = breakdown.nodes
    assert {row.phase: (row.count, row.share_ns) for row in node.phases} == {
        "done": (1, S),
        "wait": (0, 4 * S),
    }
    assert [(call.node_id, call.phase, call.age_ns) for call in breakdown.open] == [
        ("n", None, 5 * S),
        ("n", "wait", 4 * S),
    ]
    assert (summary.open, summary.nodes) == (breakdown.open, 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.usefixtures("without_thread")
def test_an_abandoned_execution_lasts_as_long_as_anything_is_known_of_it(
    fake_clock: FakeClock, path: Path
) -> None:
    """Not up to now: nobody knows when its process died."""
    assert in_child(lambda: open_execution(Recording(path, now_ns=fake_clock), fake_clock)) == 0
    with StoreReader(path) as store:
        execution = store.find("e")
        breakdown = store.breakdown(execution)
    assert (execution.status, breakdown.execution.duration_ns) == ("abandoned", 4 * S)
    assert [(call.phase, call.age_ns) for call in breakdown.open] == [
        (None, 4 * S),
        ("wait", 3 * S),
    ]
    assert breakdown.unattributed_ns + breakdown.nodes[0].share_ns == 4 * S


@pytest.mark.usefixtures("without_thread")
def test_an_implicit_execution_with_nothing_open_lasts_up_to_its_last_span(
    record: Callable[..., Recording], fake_clock: FakeClock, path: Path
) -> None:
    """A process that lives on does not make its finished work longer."""
    recording = record(now_ns=fake_clock)
    recording.phase("e", start=fake_clock(), end=fake_clock() + S)
    recording.writer.flush()
    fake_clock.advance(60_000)
    with StoreReader(path, fake_clock) as store:
        breakdown = store.breakdown(store.find("e"))
    assert (breakdown.execution.duration_ns, breakdown.unattributed_ns) == (S, 0)


@pytest.mark.parametrize("again_in", ["this process", "another process"])
def test_an_execution_that_was_opened_again_lasts_from_the_first_to_the_last(
    recording: Recording, path: Path, again_in: str
) -> None:
    """The time between is unattributed, and duration, shares and the rest agree."""

    def run(recording: Recording, start: int) -> None:
        root = recording.root("e", start=start)
        recording.phase("e", "p", parent=root, start=start, end=start + 3 * S)
        root.end(start + 4 * S)

    run(recording, 0)
    if again_in == "this process":
        run(recording, 96 * S)
    assert recording.close()
    if again_in == "another process":
        later = Recording(path)
        later.writer._start = lambda: None  # type: ignore[method-assign]

        def work() -> None:
            run(later, 96 * S)
            assert later.close()

        assert in_child(work) == 0
    with StoreReader(path) as store:
        execution = store.find("e")
        breakdown, summary = store.breakdown(execution), store.summary(execution)
    assert execution.duration_ns == summary.execution.duration_ns == 100 * S
    assert breakdown.unattributed_ns == 94 * S
    assert breakdown.nodes[0].share == 0.06
    assert breakdown.unattributed == 0.94


def test_errors_are_those_of_nodes_and_phases(recording: Recording, path: Path) -> None:
    """However the execution itself ended; in the list as in the breakdown."""
    root = recording.root("e")
    recording.phase("e", parent=root, error=True)
    recording.fail(root)
    assert recording.close()
    with StoreReader(path) as store:
        execution = store.find("e")
        assert execution.status == "error"
        assert execution.errors == 1
        assert store.breakdown(execution).errors == store.summary(execution).errors == 1


def test_the_execution_itself_is_no_node(recording: Recording, path: Path) -> None:
    """Nor is it work of no node."""
    root = recording.root("e")
    recording.phase("e", node="a", parent=root)
    root.end()
    assert recording.writer.flush()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM aggregates")
        connection.execute("DELETE FROM aggregate_parts")
    with StoreReader(path) as store:
        assert store.summary(store.find("e")).nodes == 1


@pytest.mark.parametrize("with_totals", [True, False])
def test_a_summary_counts_the_nodes(recording: Recording, path: Path, with_totals: bool) -> None:
    """Work of no node included, as in the breakdown; without reading spans if there are totals."""
    for node in ("a", "b", None):
        recording.phase("e", node=node)
    assert recording.close()
    if not with_totals:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM aggregates")
            connection.execute("DELETE FROM aggregate_parts")
    with StoreReader(path) as store:
        statements: list[str] = []
        store._connection.set_trace_callback(statements.append)
        assert store.summary(store.find("e")).nodes == 3
        assert any("FROM blocks" in statement for statement in statements) != with_totals
        assert len(store.breakdown(store.find("e")).nodes) == 3
