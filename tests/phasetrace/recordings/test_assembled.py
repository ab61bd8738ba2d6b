"""Executions put together from spans are those of a store that had the same spans."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import Span

from phasetrace.errors import UnknownExecution
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.names import CANCELLED, IMPLICIT, PARENT_EXEC_ID, TYPE
from phasetrace.recordings.assembled import WHOLE_MICROSECONDS, AssembledSource
from phasetrace.recordings.otlp_file import file_source
from phasetrace.recordings.otlp_json import UNKNOWN_SERVICE, SpanDecoder
from phasetrace.recordings.source import Where
from phasetrace.spans import EXECUTION, NODE, SpanRecord
from phasetrace.store.reader import StoreReader
from tests.phasetrace.recordings.made import (
    S,
    T,
    document,
    line,
    phase,
    root,
    span,
    trace_of,
)
from tests.phasetrace.recordings.otlp_files import write_otlp
from tests.phasetrace.store.conftest import Recording

LONGEST = 10_000


class Work(NamedTuple):
    """A node or a phase that is to be recorded; the parent is one of those before it."""

    parent: int | None
    is_node: bool
    name: str
    start: int
    end: int
    outcome: str
    details: dict[str, Any]


class Opening(NamedTuple):
    """A span of the execution itself, and whether it has the id of the root."""

    implicit: bool
    is_root: bool
    start: int
    end: int
    outcome: str


class Run(NamedTuple):
    """What is recorded of one execution; the openings begin one after the other."""

    openings: list[Opening]
    work: list[Work]
    parent_exec_id: str | None


moments = st.integers(0, LONGEST)
outcomes = st.sampled_from(["ok", "ok", "error", "cancelled"])
details = st.fixed_dictionaries(
    {},
    optional={
        "iteration": st.integers(0, 3) | st.sampled_from(["a", 0.5]),
        "depends_on": st.lists(st.sampled_from(["node a", "node b", "nothing"]), min_size=1),
        "gen_ai.usage.input_tokens": st.integers(0, 9),
        "gen_ai.usage.cost": st.floats(0, 1),
        "gen_ai.request.model": st.sampled_from(["m", "n"]),
        "text": st.sampled_from(["x", "y"]),
        "size": st.integers(-1, 1),
    },
)


@st.composite
def runs(draw: st.DrawFn, others: tuple[str, ...] = ()) -> Run:
    """Draw an execution: opened explicitly, implicitly, several times, or never."""
    openings = [
        Opening(
            False,
            number == 0 or draw(st.booleans()),
            start,
            draw(st.integers(start, LONGEST)),
            draw(outcomes),
        )
        for number, start in enumerate(sorted(draw(st.sets(st.integers(1, LONGEST), max_size=2))))
    ]
    if draw(st.booleans()):  # one that is given a root gets it around everything
        openings.insert(0, Opening(True, True, 0, LONGEST, draw(outcomes)))
    work: list[Work] = []
    for index in range(draw(st.integers(0 if openings else 1, 8))):
        start, end = sorted((draw(moments), draw(moments)))
        work.append(
            Work(
                draw(st.none() | st.integers(0, index - 1)) if index else None,
                draw(st.booleans()),
                draw(st.sampled_from("abc")),
                start,
                end,
                draw(outcomes),
                draw(details),
            )
        )
    return Run(openings, work, draw(st.sampled_from([None, *others])))


EXEC_IDS = ("e", "f", "g")
several = st.tuples(runs(), runs(("e", "g")), runs(("e", "f", "gone"))).map(
    lambda drawn: dict(zip(EXEC_IDS, drawn, strict=True))
)


def record(recording: Recording, exec_id: str, run: Run, first_id: int) -> None:
    """Record an execution, each span ending when those are over that end before it."""
    generator: Any = recording.provider.id_generator
    trace_id = trace_id_of(exec_id)
    ending: list[tuple[int, Span, str]] = []
    openings: list[Span] = []
    for number, opening in enumerate(run.openings):
        span_id = root_span_id_of(exec_id) if opening.is_root else first_id + 100 + number
        pairs: dict[str, Any] = {TYPE: EXECUTION}
        if opening.implicit:
            pairs["phasetrace.implicit"] = True
        if run.parent_exec_id is not None:
            pairs[PARENT_EXEC_ID] = run.parent_exec_id
        with generator.plan(trace_id, span_id):
            openings.append(
                recording.start(
                    exec_id,
                    f"run {number}",
                    None,
                    start=opening.start,
                    parent=None if opening.is_root else openings[0],
                    attributes=pairs,
                )
            )
        ending.append((opening.end, openings[-1], opening.outcome))
    spans: list[Span] = []
    for number, work in enumerate(run.work):
        pairs = {**work.details, "node_type": f"type of {work.name}"}
        if work.is_node:
            pairs[TYPE] = NODE
        root_span = openings[0] if openings else None
        parent = root_span if work.parent is None else spans[work.parent]
        with generator.plan(trace_id, first_id + number):
            spans.append(
                recording.start(
                    exec_id,
                    f"node {work.name}" if work.is_node else work.name,
                    f"node {work.name}",
                    start=work.start,
                    parent=parent,
                    attributes=pairs,
                )
            )
        ending.append((work.end, spans[-1], work.outcome))
    for end, ended, outcome in sorted(ending, key=lambda one: one[0]):
        if outcome == "cancelled":
            ended.set_attribute(CANCELLED, True)
        (recording.fail if outcome == "error" else recording.end)(ended, end)


def comparable(spans: Iterable[SpanRecord]) -> list[SpanRecord]:
    """Return spans without what means something among themselves only, in one order."""
    return sorted((one._replace(metadata=None, process=0) for one in spans), key=repr)


def alike(spans: Iterable[SpanRecord]) -> set[frozenset[int]]:
    """Return which spans have the same metadata."""
    groups: dict[int, set[int]] = {}
    for one in spans:
        if one.metadata is not None:
            groups.setdefault(one.metadata, set()).add(one.span_id)
    return {frozenset(group) for group in groups.values()}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(several)
def test_they_are_the_same_as_in_a_store_to_the_nanosecond(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, Run]
) -> None:
    """Header, spans, summary and breakdown, also with what was started within."""
    path = tmp_path_factory.mktemp("same") / "traces.db"
    recording = Recording(path, now_ns=lambda: 2 * LONGEST)
    recording.writer._start = lambda: None  # type: ignore[method-assign]
    for number, (exec_id, run) in enumerate(drawn.items(), 1):
        record(recording, exec_id, run, 1_000 * number)
    assert recording.close()
    file = write_otlp(path, path.with_name("traces.jsonl"))
    source = file_source("f", file.read_bytes())
    with StoreReader(path) as store:
        stored = {one.exec_id: one for one in store.executions()}
        assert {one.exec_id for one in source.executions()} == stored.keys()
        for exec_id, expected in stored.items():
            found = source.find(exec_id)
            assert found._replace(row=0) == expected._replace(row=0)
            assert source.summary(found) == store.summary(expected)
            assert source.within(found) == store.within(expected)
            for rolled_up in (False, True):
                here = source.recording(found, rolled_up)
                there = store.recording(expected, rolled_up, with_metadata=True)
                assert comparable(here.spans) == comparable(there.spans)
                assert alike(here.spans) == alike(there.spans)
                assert here.root_id == there.root_id
                ours = source.breakdown(found, rolled_up).to_dict()
                assert ours == store.breakdown(expected, rolled_up).to_dict()


def assembled(*spans: Any, **resource: Any) -> AssembledSource:
    """Return the source of some spans."""
    return AssembledSource(SpanDecoder().decode(document(spans, **resource)), lambda _: "running")


def test_executions_come_newest_first_and_can_be_asked_for() -> None:
    """By name and pattern, status, start and duration, up to a number of them."""
    source = assembled(
        root("b", "hourly", S, 2 * S, status={"code": 2}),
        root("c", "nightly", 2 * S, 9 * S),
        root("a", "nightly", 0, 3 * S),
    )

    def asked(limit: int | None = None, **where: Any) -> str:
        return "".join(one.exec_id for one in source.executions(limit, Where(**where)))

    assert asked() == "cba"
    assert asked(2) == "cb"
    assert asked(name="nightly") == "ca"
    assert asked(1, name="*ly") == "c"
    assert asked(status="error") == "b"
    assert asked(since_ns=T + S) == "cb"
    assert asked(longer_than_ns=3 * S) == "ca"
    assert source.latest().exec_id == "c"


def test_what_is_not_there_is_said_with_what_comes_near() -> None:
    """And of nothing there is no latest."""
    source = assembled(root("exec_1"), root("other"))
    with pytest.raises(UnknownExecution, match="'exec_2' has been recorded; did you mean exec_1"):
        source.find("exec_2")
    with pytest.raises(UnknownExecution):
        assembled().latest()


def test_a_span_that_was_delivered_twice_counts_once() -> None:
    """Delivery is at least once; and an execution may be opened twice by the same id."""
    again = assembled(root("e"), phase(7, "e"), phase(7, "e"), root("e"))
    assert (again.latest().spans, again.latest().openings) == (2, 1)
    reopened = assembled(root("e", start=0, end=S), root("e", start=5 * S, end=6 * S)).latest()
    assert (reopened.openings, reopened.duration_ns) == (2, 6 * S)


def test_an_implicit_root_says_nothing_of_what_was_opened() -> None:
    """A process that knew the execution by its id only gives it one, too."""
    later = root("e", "e", S, 20 * S, status={"code": 2}, **{IMPLICIT: True})
    found = assembled(root("e", "opened"), later).latest()
    assert (found.name, found.status, found.openings) == ("opened", "ok", 2)


def test_what_has_no_ended_root_stands_as_whoever_reads_it_thinks() -> None:
    """It is asked with the time at which its last span ended."""
    spans = SpanDecoder().decode(document([phase(7, "e", end=S), phase(8, "e", end=2 * S)]))
    asked: list[int] = []
    source = AssembledSource(spans, lambda last_ns: asked.append(last_ns) or "abandoned")  # type: ignore[func-returns-value]
    assert (source.latest().status, asked) == ("abandoned", [T + 2 * S])
    assert source.latest().duration_ns == 2 * S


def test_spans_that_name_no_execution_count_for_none() -> None:
    """As in the store; it is said how many there are."""
    source = assembled(root("e"), phase(7, "e"), span(8, trace=trace_of("e")))
    assert source.latest().spans == 2
    assert source.notes == ("1 span names no execution and counts for none",)
    more = assembled(root("e"), span(8), span(9))
    assert more.notes == ("2 spans name no execution and count for none",)


@pytest.mark.parametrize(
    ("services", "whose"),
    [
        (["jaeger"], " of 'jaeger'"),
        (["b", "a", "b"], " of 'b' and 'a'"),
        (["a", "b", "c", "d", "a"], " of 'a', 'b', 'c' and 1 other service"),
        ([UNKNOWN_SERVICE], ""),
        (["x" * 100 + "\x1b"], f" of {'x' * 64!r}"),
    ],
)
def test_whose_they_are_is_said(services: list[str], whose: str) -> None:
    """By up to three services, those with most spans first."""
    decoder = SpanDecoder()
    spans = list(decoder.decode(document([root("e")])))
    for index, service in enumerate(services):
        spans += decoder.decode(document([span(8 + index)], **{"service.name": service}))
    (note,) = AssembledSource(spans, lambda _: "running").notes
    number = len(services)
    assert note.startswith(f"{number} span{'s' if number > 1 else ''}{whose} name")


def test_where_no_span_names_one_each_trace_is_an_execution() -> None:
    """By the name of its root; its spans are phases of their services."""
    one, other = "1a" * 16, "2b" * 16
    front = document(
        [
            span(1, "GET /", 0, 10 * S, trace=one),
            span(2, "render", S, 3 * S, parent=1, trace=one, status={"code": 2}),
            span(4, "orphan", 0, S, parent=99, trace=other, status={"code": 2}),
        ],
        **{"service.name": "front"},
    )
    back = document([span(3, "SELECT", 4 * S, 9 * S, parent=1, trace=one)])
    decoder = SpanDecoder()
    spans = [*decoder.decode(front), *decoder.decode(back)]
    source = AssembledSource(spans, lambda _: "running")
    assert source.is_foreign
    found = {run.exec_id: run for run in source.executions()}
    assert found.keys() == {one, other}
    assert (found[one].name, found[one].status, found[one].errors) == ("GET /", "ok", 1)
    assert (found[other].name, found[other].status) == ("orphan", "error")
    breakdown = source.breakdown(found[one])
    assert breakdown.execution.duration_ns == 10 * S
    assert {node.node_id: [row.phase for row in node.phases] for node in breakdown.nodes} == {
        "unknown_service": ["SELECT"],
        "front": ["GET /", "render"],
    }
    assert breakdown.unattributed_ns == 0
    assert source.summary(found[one]).nodes == 2


def test_executions_within_each_other_are_rolled_up_once() -> None:
    """Even where that makes no sense."""
    pairs = {"a": "b", "b": "a"}
    source = assembled(
        *(root(exec_id, exec_id, **{PARENT_EXEC_ID: outer}) for exec_id, outer in pairs.items()),
        phase(7, "b"),
    )
    nodes = [node.node_id for node in source.breakdown(source.find("a"), rolled_up=True).nodes]
    assert nodes == ["b", "b/n"]
    assert [source.within(source.find(one)) for one in pairs] == [1, 1]


def test_times_of_whole_microseconds_are_noted() -> None:
    """Of so many spans that it is no chance."""

    def notes(number: int, step: int) -> tuple[str, ...]:
        spans = [phase(1 + i, "e", start=i * step, end=(i + 1) * step) for i in range(number)]
        return assembled(*spans).notes

    assert notes(21, 1_000) == (WHOLE_MICROSECONDS,)
    assert notes(20, 1_000) == ()
    assert notes(21, 1_001) == ()


def test_ids_are_asked_for_as_they_are_recorded() -> None:
    """Bytes of an argument that are no UTF-8 are escaped."""
    source = file_source("f", line(phase(7, "\\udcff")))
    with source as entered:
        assert entered.find("\udcff").exec_id == "\\udcff"
