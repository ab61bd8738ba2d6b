"""Small made-up executions, at times of 0 to 30 ns: well-formed ones, and all that can be wrong.

Times are often multiples of 5 or 10, so that spans touch. The root has the id `ROOT`.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from phasetrace.analysis.network import Network
from phasetrace.analysis.recording import Recording
from phasetrace.breakdowns import ExecutionHeader, OpenSpan
from phasetrace.spans import EXECUTION, NODE, PHASE, Iteration, SpanRecord, SpanType, Status, key_of

ROOT = 1
LONGEST = 30

HEADER = ExecutionHeader("exec", None, "ok", "0" * 32, 0, 0)

STATUSES: st.SearchStrategy[Status] = st.sampled_from(["ok", "ok", "error", "cancelled"])
ITERATIONS: st.SearchStrategy[Iteration | None] = st.sampled_from([None, 0, 1, "0", 0.5])
STEPS = st.sampled_from([1, 1, 5, 10])


def span(
    span_id: int,
    parent_id: int | None,
    start_ns: int,
    end_ns: int,
    node_id: str | None = None,
    phase: str | None = None,
    depends_on: Iterable[str] = (),
) -> SpanRecord:
    """Return a span of a phase, of a node where there is no phase, or of the execution itself."""
    type_: SpanType = PHASE if phase is not None else NODE if node_id is not None else EXECUTION
    name = phase or node_id or "exec"
    times = (start_ns, end_ns)
    return SpanRecord(
        span_id, parent_id, type_, name, node_id, None, *times, "ok", depends_on=tuple(depends_on)
    )


def recording(*spans: SpanRecord) -> Recording:
    """Return a recording of spans; the one with the root's id, if it is there, is its root."""
    return Recording(HEADER, spans, ROOT if any(one.span_id == ROOT for one in spans) else None)


def network(of: Recording) -> Network:
    """Return how the spans of a recording hang together."""
    return Network(of.all_spans(), of.root_id)


@st.composite
def _labelled(
    draw: st.DrawFn, span_id: int, parent_id: int | None, start_ns: int, end_ns: int
) -> SpanRecord:
    """Draw what else there is to a span; "z" stands for no node that there is."""
    times = (start_ns, end_ns)
    if span_id == ROOT:
        return SpanRecord(span_id, parent_id, EXECUTION, "exec", None, None, *times, "ok")
    type_: SpanType = draw(st.sampled_from([NODE, NODE, PHASE, PHASE, PHASE, EXECUTION]))
    depends_on: tuple[str, ...] = ()
    if type_ == NODE:
        depends_on = tuple(draw(st.lists(st.sampled_from("aabbcz"), max_size=3)))
    return SpanRecord(
        span_id,
        parent_id,
        type_,
        draw(st.sampled_from(["p", "q", ""])),
        draw(st.sampled_from(["a", "b", "c", None] if type_ == PHASE else ["a", "b", "c"])),
        draw(st.sampled_from([None, "t", "u"])),
        *times,
        draw(STATUSES),
        draw(ITERATIONS),
        depends_on,
    )


@st.composite
def nested(draw: st.DrawFn) -> Recording:
    """Draw a tree in which every span lies within its parent; also below no root at all."""
    root_id = draw(st.sampled_from([ROOT, ROOT, ROOT, None]))
    first = ROOT if root_id is not None else ROOT + 1
    step = draw(STEPS)
    spans: list[SpanRecord] = []
    for span_id in range(first, first + draw(st.integers(0, 10))):
        above = draw(st.sampled_from(spans)) if spans else None
        if root_id is None and draw(st.booleans()):
            above = None
        earliest, latest = (above.start_ns, above.end_ns) if above else (0, LONGEST)
        start_ns = step * draw(st.integers(earliest // step, latest // step))
        end_ns = step * draw(st.integers(start_ns // step, latest // step))
        if span_id == ROOT and draw(st.booleans()):
            start_ns, end_ns = 0, LONGEST
        parent_id = above.span_id if above else None
        spans.append(draw(_labelled(span_id, parent_id, start_ns, end_ns)))
    return Recording(HEADER, draw(st.permutations(spans)), root_id)


@st.composite
def arbitrary(draw: st.DrawFn, repeated: bool = False, backwards: bool = False) -> Recording:
    """Draw spans without regard for how they should nest.

    They escape their parents, start after them or before, overlap, touch and have no length;
    parents are missing, or go round in circles. `repeated` has ids come up twice, `backwards` has
    spans end before they start.
    """
    ids = draw(st.lists(st.integers(ROOT, 9), unique=not repeated, max_size=10))
    step = draw(STEPS)
    starts = st.integers(0, LONGEST // step)
    lengths = st.one_of(st.just(0), st.integers(1, 3), starts)
    spans = []
    for span_id in ids:
        parent_id = draw(st.one_of(st.none(), st.sampled_from(ids), st.integers(ROOT, 10)))
        start_ns = step * draw(starts)
        length_ns = step * draw(lengths)
        if backwards and draw(st.booleans()):
            length_ns = -length_ns
        spans.append(draw(_labelled(span_id, parent_id, start_ns, start_ns + length_ns)))
    has_root = any(one.span_id == ROOT for one in spans)
    return Recording(HEADER, spans, ROOT if has_root and draw(st.booleans()) else None)


def executions() -> st.SearchStrategy[Recording]:
    """Draw well-nested executions and any others."""
    return st.one_of(nested(), arbitrary())


@st.composite
def running(draw: st.DrawFn) -> Recording:
    """Draw an execution of which some spans may not have ended.

    While any is open, now is some time after the first one's start, or is not known.
    """
    done = draw(executions())
    is_open = draw(st.lists(st.booleans(), min_size=len(done.spans), max_size=len(done.spans)))
    open_spans: list[OpenSpan] = [
        (one.span_id, one.parent_id, one.start_ns, key_of(one) or EXECUTION)
        for one, still in zip(done.spans, is_open, strict=True)
        if still
    ]
    finished = [one for one, still in zip(done.spans, is_open, strict=True) if not still]
    now_ns = None
    if open_spans:
        earliest = min(one.start_ns for one in done.spans)
        now_ns = draw(st.one_of(st.none(), st.integers(earliest, 2 * LONGEST)))
    return done._replace(spans=finished, open_spans=open_spans, now_ns=now_ns)


@st.composite
def sequential(draw: st.DrawFn) -> Recording:
    """Draw a nested tree below a root in which at most one child of a span is active at a time."""
    spans = [span(ROOT, None, 0, LONGEST)]
    free = [(ROOT, 0, LONGEST)]
    for span_id in range(ROOT + 1, ROOT + 1 + draw(st.integers(0, 8))):
        gap = draw(st.sampled_from(free))
        parent_id, earliest, latest = gap
        start_ns = draw(st.integers(earliest, latest))
        end_ns = draw(st.integers(start_ns, latest))
        free.remove(gap)
        free += [(parent_id, earliest, start_ns), (parent_id, end_ns, latest)]
        free.append((span_id, start_ns, end_ns))
        spans.append(span(span_id, parent_id, start_ns, end_ns, draw(st.sampled_from("abc")), "p"))
    return Recording(HEADER, spans, ROOT)


def at_distinct_times(of: Recording) -> Recording:
    """Return a nested execution with its events pulled apart, no two of them at the same time.

    Of what happened at one instant, starts go first, the outer before the inner ones, and then the
    ends, the inner before the outer ones: all stays nested, and nothing is back to back.
    """
    place = {one.span_id: index for index, one in enumerate(of.spans)}

    def depth(one: SpanRecord) -> int:
        above = place.get(one.parent_id or 0)
        return 0 if above is None else 1 + depth(of.spans[above])

    def key(event: tuple[SpanRecord, bool]) -> tuple[int, bool, int, int]:
        one, is_end = event
        return (
            one.end_ns if is_end else one.start_ns,
            is_end,
            -depth(one) if is_end else depth(one),
            one.span_id,
        )

    order = sorted(((one, is_end) for one in of.spans for is_end in (False, True)), key=key)
    times = {(one.span_id, is_end): number for number, (one, is_end) in enumerate(order)}
    return of._replace(
        spans=[
            one._replace(start_ns=times[one.span_id, False], end_ns=times[one.span_id, True])
            for one in of.spans
        ]
    )
