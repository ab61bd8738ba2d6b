"""What is exported of an execution: its spans in lanes, and what they say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from phasetrace import execution, node, phase
from phasetrace.exports.exported import OPEN, ExportedExecution
from phasetrace.store.reader import StoreReader
from tests.phasetrace.exports.some import MS, export_of
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import T, line, root, span

some_spans = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 10), st.integers(0, 10), st.integers(1, 3)),
    min_size=1,
    max_size=10,
)


def drawn_export(drawn: list[tuple[int, int, int, int]]) -> ExportedExecution:
    """Return an execution of spans with these starts, durations, parents and processes."""
    from phasetrace.recordings.otlp_file import file_source

    content = b"".join(
        line(
            made.phase(
                number, "e", start=start, end=start + length, parent=parent, trace="5b" * 16
            ),
            pid=process,
        )
        for number, (start, length, parent, process) in enumerate(drawn, 1)
    )
    source = file_source("f", content)
    return ExportedExecution(source, source.latest())


@given(some_spans)
def test_what_starts_and_ends_in_a_lane_nests(drawn: list[tuple[int, int, int, int]]) -> None:
    """Every end is that of what started last, in the order of time, and no span is missing."""
    exported = drawn_export(drawn)
    seen = []
    for track in exported.tracks:
        inside: list[int] = []
        times = []
        for starts, place, time_ns in exported.edges(track):
            times.append(time_ns)
            assert exported.spans[place].process == track.process
            if starts:
                assert time_ns == exported.spans[place].start_ns
                inside.append(place)
                seen.append(place)
            else:
                assert time_ns == exported.end_ns(place)
                assert inside.pop() == place
        assert not inside
        assert all(before <= after for before, after in pairwise(times))
    assert sorted(seen) == list(range(len(drawn)))


def test_what_a_span_says_is_found_by_its_id_and_start() -> None:
    """Two roots of the same id each have their own."""
    implicit = {"phasetrace.implicit": True}
    exported = export_of(
        root("e", start=0, end=5, which="first", **implicit),
        root("e", start=9, end=12, which="second", **implicit),
    )
    said = [exported.details(place).attributes["which"] for place in exported.order]
    assert said == ["first", "second"]


def test_events_and_messages_are_there() -> None:
    """With what they say."""
    failed = span(1, exec_id="e", status={"code": 2, "message": "ValueError: no"})
    event = {"timeUnixNano": str(T + 5), "name": "exception", "attributes": []}
    details = export_of({**failed, "events": [event]}).details(0)
    assert details.message == "ValueError: no"
    assert [(one.time_ns, one.name) for one in details.events] == [(T + 5, "exception")]
    assert "phasetrace.type" not in details.attributes


def test_processes_are_called_by_their_services() -> None:
    """With a number where there are several, in the order in which they started."""
    assert export_of(root("e"), **{"service.name": "one"}).process_name(0) == "one"
    exported = drawn_export([(5, 1, 0, 1), (0, 1, 0, 2)])
    assert [exported.process_name(process) for process in exported.services] == [
        "unknown_service (1)",
        "unknown_service (2)",
    ]
    assert [exported.spans[track.places[0]].start_ns - T for track in exported.tracks] == [0, 5]


def test_an_iteration_is_part_of_a_nodes_name() -> None:
    """Not of a phase's; what has no name is called so."""
    run: dict[str, Any] = {"phasetrace.type": "node", "iteration": 2}
    exported = export_of(
        made.phase(1, "e", "compare", **run), made.phase(2, "e", "", start=1, iteration=2)
    )
    assert [exported.name(place) for place in exported.order] == ["compare [2]", "(unnamed)"]


def test_open_spans_last_until_now_in_the_process_of_their_parent(tmp_path: Any) -> None:
    """And are said to be open."""
    import phasetrace

    with execution("e"), node("n"):
        with phase("over"):
            pass
        phasetrace.force_flush()
        with StoreReader(tmp_path / "store" / "traces.db") as store:
            exported = ExportedExecution(store, store.find("e"))
            processes = {one.process for one in exported.spans}
            statuses = {exported.name(at): exported.status(at) for at in exported.order}
    assert len(processes) == 1
    assert statuses["over"] == "ok"
    assert OPEN in statuses.values()


def test_the_start_is_that_of_what_began_first() -> None:
    """By another clock, that may be before the execution."""
    assert export_of(root("e", start=5), made.phase(1, "e", start=2)).started_ns == T + 2
    assert export_of(root("e", start=5), made.phase(1, "e", start=MS)).started_ns == T + 5
