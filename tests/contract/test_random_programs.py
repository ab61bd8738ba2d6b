"""Random programs leave the spans that they must, whatever they open, abandon, raise and cancel.

`tests.contract.programs` draws them, `tests.contract.interpreter` runs each one twice: for the
model, which says what the spans must be, and with phasetrace.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

import phasetrace
from phasetrace import faults, timing_collector
from phasetrace.identity import root_span_id_of, trace_id_of
from phasetrace.pipeline import pipeline
from tests.contract.model import Expected, Model
from tests.contract.programs import Program, programs
from tests.contract.traced import KINDS, Traced, recording

everyday = settings(
    max_examples=300,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),  # explaining takes as long again
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
thorough = settings(everyday, max_examples=3_000)


class _Records(logging.Handler):
    """Keeps what is logged above DEBUG, by whichever logger."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG + 1)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.name}: {record.getMessage()}")


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Give what is logged meanwhile."""
    records, root = _Records(), logging.getLogger()
    level = root.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG + 1)
    try:
        yield records.said
    finally:
        root.setLevel(level)
        root.removeHandler(records)


@contextlib.contextmanager
def little_to_collect() -> Iterator[None]:
    """Have the garbage collector look at a program's objects alone: programs ask for it often."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes."""
    return dict(span.attributes or {})


def uid_of(span: ReadableSpan) -> str:
    """Return what the program calls a span; roots that it did not open have their execution's."""
    attributes = attributes_of(span)
    return str(attributes.get("uid") or f"root of {attributes.get('exec_id')}")


def outcome_of(span: ReadableSpan) -> str:
    """Return how a span's work ended."""
    if span.status.status_code is StatusCode.ERROR:
        return "error"
    return "cancelled" if attributes_of(span).get("phasetrace.cancelled") else "ok"


def length_of(span: ReadableSpan) -> int:
    """Return how long a span took (ns)."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time


def key_of(span: Expected) -> tuple[str, str | None]:
    """Return what a span is counted under: its node and its phase."""
    return span.node_id or "system", None if span.type == "node" else span.name


def table(rows: Any) -> str:
    """Return rows as lines."""
    return "\n".join(map(str, sorted(rows, key=str)))


def check_spans(expected: list[Expected], spans: tuple[ReadableSpan, ...]) -> None:
    """Hold the exported spans to those that there must be: their tree, their ids, their ends."""
    ids = {span.context.span_id: uid_of(span) for span in spans}
    recorded = [
        (
            uid_of(span),
            span.name,
            attributes_of(span).get("exec_id"),
            attributes_of(span).get("node_id"),
            ids.get(span.parent.span_id, "?") if span.parent is not None else None,
            outcome_of(span),
        )
        for span in spans
    ]
    wanted = [
        (
            span.uid,
            span.name,
            span.exec_id,
            span.node_id,
            span.parent.uid if span.parent is not None else None,
            span.status,
        )
        for span in expected
    ]
    assert table(recorded) == table(wanted)
    assert all(span.ended == 1 for span in expected)
    assert len(ids) == len(spans)


def check_traces(model: Model, spans: tuple[ReadableSpan, ...]) -> None:
    """Hold the traces to the executions': one has one, which is that of its root."""
    traces = {span.uid: span.trace for span in model.spans}
    of_executions: dict[str, set[Expected]] = {}
    for each in model.spans:
        if each.exec_id is not None:
            of_executions.setdefault(each.exec_id, set()).add(each.trace)
    assert all(len(roots) == 1 for roots in of_executions.values())
    roots: dict[int, Expected] = {}
    for span in spans:
        root = traces[uid_of(span)]
        assert roots.setdefault(span.context.trace_id, root) is root
        if root.exec_id is not None and root.type == "execution":
            assert span.context.trace_id == trace_id_of(root.exec_id)
            if span.parent is None:
                assert span.context.span_id == root_span_id_of(root.exec_id)
    assert len(set(map(id, roots.values()))) == len(roots)


def check_numbers(expected: list[Expected], spans: tuple[ReadableSpan, ...], exec_id: str) -> None:
    """Hold the breakdown and the collector to the spans of an execution."""
    lengths = {uid_of(span): length_of(span) for span in spans}
    counted = [span for span in expected if span.exec_id == exec_id and span.type != "execution"]
    counts = Counter(key_of(span) for span in counted)
    totals: Counter[tuple[str, str | None]] = Counter()
    for span in counted:
        totals[key_of(span)] += lengths[span.uid]
    breakdown = phasetrace.breakdown(exec_id)
    rows: dict[tuple[str, str | None], Any] = {}
    for entry in breakdown.nodes:
        rows.update({(entry.node_id, row.phase): row for row in entry.phases})
        if entry.count:
            rows[entry.node_id, None] = entry
    assert {key: row.count for key, row in rows.items()} == counts
    assert {key: row.total_ns for key, row in rows.items()} == totals
    assert all(0 <= row.self_ns <= row.total_ns for row in rows.values())
    shares = sum(entry.share_ns for entry in breakdown.nodes) + breakdown.unattributed_ns
    assert shares == breakdown.execution.duration_ns
    assert breakdown.errors == sum(span.status == "error" for span in counted)
    assert breakdown.cancelled == sum(span.status == "cancelled" for span in counted)
    collected = {
        (node_id, phase): value
        for node_id, phases in timing_collector.get(exec_id).items()
        for phase, value in phases.items()
        if not phase.endswith("_metadata")
    }
    assert collected == {key: ns / 1_000_000 for key, ns in totals.items() if key[1] is not None}


@little_to_collect()
def check(program: Program, kind: str) -> None:
    """Run a program on one kind of provider, and hold what is recorded to the model."""
    model, traced = Model(program), Traced(program)
    model.run()
    with listening() as said, recording(kind) as exported:
        traced.run()
        gc.collect()
        assert trace.get_current_span() is trace.INVALID_SPAN
        assert not pipeline.open
        assert traced.journal == model.journal
        assert traced.complaints == []
        phasetrace.force_flush()
        finished = exported.get_finished_spans()
        assert set(timing_collector.executions()) == set(model.executions)
        for exec_id in model.executions:
            check_numbers(model.spans, finished, exec_id)
        for exec_id in model.executions:
            timing_collector.pop(exec_id)
        phasetrace.force_flush()
        finished = exported.get_finished_spans()
        check_spans(model.spans, finished)
        check_traces(model, finished)
        assert faults.counts() == {}
    assert said == []


@pytest.mark.timeout(600)  # seconds where it passes; a program that fails takes minutes to shrink
@pytest.mark.parametrize("kind", KINDS)
@given(program=programs())
@everyday
def test_a_random_program_leaves_the_spans_that_it_must(program: Program, kind: str) -> None:
    """Their names, ids, parents, ends and numbers; nothing is left open, and nothing is said."""
    check(program, kind)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", KINDS)
@given(program=programs(depth=5))
@thorough
def test_thousands_of_random_programs_do(program: Program, kind: str) -> None:
    """The same for more of them, and larger ones."""
    check(program, kind)
