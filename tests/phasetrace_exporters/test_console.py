"""Test the tree exporter with the SDK's own provider and processors."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from itertools import count
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from phasetrace import faults
from phasetrace.identity import root_span_id_of
from phasetrace_exporters import ConsoleTreeExporter
from phasetrace_exporters.console import MAX_WAITING

MS = 1_000_000
EXECUTION: dict[str, Any] = {"exec_id": "exec_1", "phasetrace.type": "execution"}


class Ids(IdGenerator):
    """Gives the ids 1, 2, 3, … in the order of asking."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def generate_span_id(self) -> int:
        """Return the next number."""
        return next(self._numbers)

    def generate_trace_id(self) -> int:
        """Return the next number."""
        return next(self._numbers)


class Program:
    """A program traced by the stock SDK, with times in milliseconds."""

    def __init__(self, *exporters: SpanExporter) -> None:
        self.provider = TracerProvider(ALWAYS_ON, id_generator=Ids(), shutdown_on_exit=False)
        for exporter in exporters:
            self.provider.add_span_processor(SimpleSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("tests")

    def start(
        self,
        name: str,
        parent: trace.Span | SpanContext | None = None,
        at: float = 0,
        **attributes: Any,
    ) -> Span:
        """Start a span; a double underscore in a keyword stands for a dot."""
        if isinstance(parent, SpanContext):
            parent = NonRecordingSpan(parent)
        span = self.tracer.start_span(
            name,
            set_span_in_context(parent if parent is not None else trace.INVALID_SPAN),
            attributes={key.replace("__", "."): value for key, value in attributes.items()},
            start_time=round(at * MS),
        )
        assert isinstance(span, Span)
        return span

    def run(
        self,
        name: str,
        parent: trace.Span | SpanContext | None,
        at: float,
        till: float,
        **more: Any,
    ) -> Span:
        """Record a whole span."""
        span = self.start(name, parent, at, **more)
        span.end(round(till * MS))
        return span


def end(span: Span, at: float) -> None:
    """End a span at a time in milliseconds."""
    span.end(round(at * MS))


def tree(golden: str) -> str:
    """Return a golden text without its indentation."""
    return dedent(golden).lstrip("\n")


@pytest.fixture
def out() -> io.StringIO:
    """Return the stream printed to."""
    return io.StringIO()


@pytest.fixture
def exporter(out: io.StringIO) -> ConsoleTreeExporter:
    """Return an exporter that prints to `out`."""
    return ConsoleTreeExporter(out)


@pytest.fixture
def program(exporter: ConsoleTreeExporter) -> Iterator[Program]:
    """Return a program whose spans are exported one by one as they end."""
    program = Program(exporter)
    yield program
    program.provider.shutdown()


def recorded(script: Callable[[Program], object]) -> list[ReadableSpan]:
    """Return the spans of a program, in the order of their ends."""
    memory = InMemorySpanExporter()
    script(Program(memory))
    return list(memory.get_finished_spans())


def one_execution(program: Program) -> None:
    """Run an execution of two nodes and two phases."""
    root = program.start("simple_iter", at=0, **EXECUTION)
    node: dict[str, Any] = {"exec_id": "exec_1", "phasetrace.type": "node"}
    discover = program.start("discover", root, 1, node_id="discover", **node)
    ids: dict[str, Any] = {"exec_id": "exec_1", "node_id": "discover"}
    program.run("list_files", discover, 1, 13, **ids)
    program.run("read_sources", discover, 13, 22.1, files=120, **ids)
    end(discover, 22.3)
    program.run("compare", root, 23, 333, node_id="compare", iteration=0, **node)
    end(root, 4050)


TREE = tree("""
    exec_1  simple_iter  4.05s  ok
    ├─ discover  21.3ms
    │  ├─ list_files  12.0ms
    │  └─ read_sources  9.10ms  files=120
    └─ compare [0]  310ms
    """)


def test_prints_an_execution_when_its_root_has_ended(program: Program, out: io.StringIO) -> None:
    """Spans that come one by one wait for the root, and then are one tree."""
    memory = InMemorySpanExporter()
    program.provider.add_span_processor(SimpleSpanProcessor(memory))
    one_execution(program)
    assert len(memory.get_finished_spans()) == 5
    assert out.getvalue() == TREE


def test_prints_nothing_before_the_root(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """Without the root nothing is printed, not even by a flush."""
    spans = recorded(one_execution)
    exporter.export(spans[:-1])
    assert exporter.force_flush()
    assert out.getvalue() == ""


@given(st.permutations(range(5)), st.integers(1, 5))
def test_the_order_of_a_batch_does_not_matter(order: list[int], shown_from: int) -> None:
    """The root may stand anywhere in the last batch."""
    out = io.StringIO()
    exporter = ConsoleTreeExporter(out)
    spans = recorded(one_execution)
    root_at = order.index(4)
    first = [spans[i] for i in order[: min(shown_from, root_at)]]
    rest = [spans[i] for i in order[min(shown_from, root_at) :]]
    exporter.export(first)
    exporter.export(rest)
    assert out.getvalue() == TREE


def test_keeps_executions_apart(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """A batch of several executions gives a tree for each one that is complete."""

    def script(program: Program) -> None:
        roots = [
            program.start(f"job {i}", exec_id=f"exec_{i}", phasetrace__type="execution")
            for i in range(3)
        ]
        for i, root in enumerate(roots):
            program.run("work", root, 0, i + 1, exec_id=f"exec_{i}", node_id="system")
        end(roots[2], 9)
        end(roots[0], 9)

    exporter.export(recorded(script))
    assert out.getvalue() == tree("""
        exec_2  job 2  9.00ms  ok
        └─ work  3.00ms
        exec_0  job 0  9.00ms  ok
        └─ work  1.00ms
        """)


def test_shows_how_spans_failed(program: Program, out: io.StringIO) -> None:
    """Errors are shown with what is known of them, cancelled spans as such."""
    root = program.start("job", **EXECUTION)
    described = program.start("described", root, 1, exec_id="exec_1")
    described.set_status(Status(StatusCode.ERROR, "ValueError: no pairs"))
    end(described, 2)
    raised = program.start("raised", root, 2, exec_id="exec_1")
    raised.add_event("exception", {"exception.type": "pkg.Bad", "exception.message": "a\nb"})
    raised.set_status(StatusCode.ERROR)
    end(raised, 3)
    silent = program.start("silent", root, 3, exec_id="exec_1")
    silent.set_status(StatusCode.ERROR)
    end(silent, 4)
    program.run("stopped", root, 4, 5, exec_id="exec_1", phasetrace__cancelled=True)
    root.set_status(StatusCode.ERROR, "RuntimeError: it broke")
    end(root, 6)
    assert out.getvalue() == tree(r"""
        exec_1  job  6.00ms  ✗ RuntimeError: it broke
        ├─ described  1.00ms  ✗ ValueError: no pairs
        ├─ raised  1.00ms  ✗ Bad: a\nb
        ├─ silent  1.00ms  ✗ error
        └─ stopped  1.00ms  cancelled
        """)


def test_shows_what_the_sdk_records_of_an_exception(program: Program, out: io.StringIO) -> None:
    """An exception that left a span is shown by its type and message."""
    with pytest.raises(KeyError), program.tracer.start_as_current_span("job"):
        raise KeyError("gone")
    assert "✗ KeyError: 'gone'\n" in out.getvalue()


def test_folds_more_than_three_alike_leaves(program: Program, out: io.StringIO) -> None:
    """Leaves of one name and one outcome share a line; spans with children do not."""
    root = program.start("job", **EXECUTION)
    for i in range(25):
        program.run("parse", root, i, i + 0.5, exec_id="exec_1", file=i)
    for i in range(3):
        program.run("write", root, 30 + i, 31 + i, exec_id="exec_1", file=i)
    for i in range(4):
        broken = program.start("parse", root, 40 + i, exec_id="exec_1")
        broken.set_status(StatusCode.ERROR, "SyntaxError")
        end(broken, 41 + i)
    for i in range(4):
        outer = program.start("check", root, 50 + i, exec_id="exec_1")
        program.run("inner", outer, 50 + i, 50.5 + i, exec_id="exec_1")
        end(outer, 51 + i)
    end(root, 60)
    assert out.getvalue() == tree("""
        exec_1  job  60.0ms  ok
        ├─ parse \N{MULTIPLICATION SIGN}25  12.5ms
        ├─ write  1.00ms  file=0
        ├─ write  1.00ms  file=1
        ├─ write  1.00ms  file=2
        ├─ parse \N{MULTIPLICATION SIGN}4  4.00ms  ✗ SyntaxError
        ├─ check  1.00ms
        │  └─ inner  500µs
        ├─ check  1.00ms
        │  └─ inner  500µs
        ├─ check  1.00ms
        │  └─ inner  500µs
        └─ check  1.00ms
           └─ inner  500µs
        """)


def test_names_the_node_of_a_phase_without_a_node_span(program: Program, out: io.StringIO) -> None:
    """Phases that know their node by id alone say which it is, and fold by it."""
    root = program.start("exec_1", **EXECUTION)
    for i in range(8):
        program.run("llm", root, i, i + 1, exec_id="exec_1", node_id=f"node_{i % 2}")
    outer = program.run("outer", root, 9, 20, exec_id="exec_1", node_id="node_0")
    program.run("inner", outer, 9, 10, exec_id="exec_1", node_id="node_0")
    program.run("cleanup", root, 20, 21, exec_id="exec_1", node_id="system")
    end(root, 30)
    assert out.getvalue() == tree("""
        exec_1  30.0ms  ok
        ├─ llm (node_0) \N{MULTIPLICATION SIGN}4  4.00ms
        ├─ llm (node_1) \N{MULTIPLICATION SIGN}4  4.00ms
        ├─ outer (node_0)  11.0ms
        │  └─ inner  1.00ms
        └─ cleanup  1.00ms
        """)


def test_metadata_end_with_the_line(program: Program, out: io.StringIO) -> None:
    """Long values are cut, and all of them where the line ends; the ids are not among them."""
    root = program.start("job", limit=200, **EXECUTION)
    program.run("one", root, 0, 1, exec_id="exec_1", text="x" * 500, after=(1, 2))
    program.run("many", root, 1, 2, exec_id="exec_1", **{f"key_{i}": "y" * 30 for i in range(9)})
    program.run("n" * 500, root, 2, 3, exec_id="exec_1", key="no room")
    program.run("wide", root, 3, 4, exec_id="exec_1", text="木" * 30)
    end(root, 5)
    assert out.getvalue() == tree(f"""
        exec_1  job  5.00ms  ok  limit=200
        ├─ one  1.00ms  text={"x" * 39}… after=(1, 2)
        ├─ many  1.00ms  key_0={"y" * 30} key_1={"y" * 30} key_2=yy…
        ├─ {"n" * 79}…  1.00ms
        └─ wide  1.00ms  text={"木" * 19}…
        """)
    assert max(map(len, out.getvalue().splitlines())) == 100


def test_escapes_what_could_act_on_the_terminal(program: Program, out: io.StringIO) -> None:
    """Nothing of a span reaches the terminal as it is, if it is a control character."""
    hostile: dict[str, Any] = {"phasetrace.type": "execution", "k\n": "\x07"}
    root = program.start("\x1b[2J", exec_id="exec\r1", **hostile)
    root.set_status(StatusCode.ERROR, "\x9b31m\u202e")
    end(root, 1)
    assert out.getvalue() == "exec\\r1  \\x1b[2J  1.00ms  ✗ \\x9b31m\\u202e  k\\n=\\x07\n"


def test_prints_late_spans_with_the_next_quiet_batch(program: Program, out: io.StringIO) -> None:
    """Spans that end after their root are a small tree once no more of them come."""
    root = program.start("job", **EXECUTION)
    uploading = program.start("upload", root, 1, exec_id="exec_1")
    sending = program.start("send", uploading, 1, exec_id="exec_1")
    end(root, 2)
    end(sending, 3)
    end(uploading, 4)
    other = program.start("other", exec_id="exec_2", phasetrace__type="execution")
    assert "upload" not in out.getvalue()
    end(other, 5)
    assert out.getvalue() == tree("""
        exec_1  job  2.00ms  ok
        exec_1  spans that ended after their root
        └─ upload  3.00ms
           └─ send  2.00ms
        exec_2  other  5.00ms  ok
        """)


@pytest.mark.parametrize("finish", [ConsoleTreeExporter.force_flush, ConsoleTreeExporter.shutdown])
def test_prints_late_spans_at_the_end(
    program: Program,
    exporter: ConsoleTreeExporter,
    out: io.StringIO,
    finish: Callable[[ConsoleTreeExporter], object],
) -> None:
    """Late spans come out with a flush or the shutdown at the latest."""
    root = program.start("job", **EXECUTION)
    end(root, 2)
    program.run("late", root, 1, 3, exec_id="exec_1")
    out.truncate(0)
    out.seek(0)
    finish(exporter)
    assert out.getvalue() == tree("""
        exec_1  spans that ended after their root
        └─ late  2.00ms
        """)


def test_prints_an_execution_that_goes_on_again(program: Program, out: io.StringIO) -> None:
    """An execution opened a second time is printed when that part has ended."""
    end(program.start("job", **EXECUTION), 2)
    root = SpanContext(1, root_span_id_of("exec_1"), is_remote=False)
    again = program.start("job", root, 3, **EXECUTION)
    program.run("more", again, 3, 4, exec_id="exec_1")
    end(again, 5)
    assert out.getvalue() == tree("""
        exec_1  job  2.00ms  ok
        exec_1  job  2.00ms  ok
        └─ more  1.00ms
        """)


def test_waits_for_the_outer_of_two_equal_executions(out: io.StringIO) -> None:
    """An execution opened within itself is printed once, with the outer one."""

    class PlannedRoot(Ids):
        def __init__(self) -> None:
            super().__init__()
            self._first = [root_span_id_of("exec_1")]

        def generate_span_id(self) -> int:
            return self._first.pop() if self._first else super().generate_span_id()

    provider = TracerProvider(ALWAYS_ON, id_generator=PlannedRoot(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ConsoleTreeExporter(out)))
    tracer = provider.get_tracer("tests")
    root = tracer.start_span("job", attributes=EXECUTION, start_time=0)
    again = tracer.start_span(
        "part", set_span_in_context(root), attributes=EXECUTION, start_time=MS
    )
    again.end(2 * MS)
    assert out.getvalue() == ""
    root.end(3 * MS)
    assert out.getvalue() == "exec_1  job  3.00ms  ok\n└─ part  1.00ms\n"


def test_prints_an_implicit_execution(program: Program, out: io.StringIO) -> None:
    """A root made afterwards ends the tree as any other."""
    root = program.start("exec_1", phasetrace__implicit=True, **EXECUTION)
    program.run("work", root, 1, 2, exec_id="exec_1", node_id="n")
    end(root, 2)
    assert out.getvalue() == "exec_1  2.00ms  ok\n└─ work (n)  1.00ms\n"


def test_prints_other_spans_by_trace(program: Program, out: io.StringIO) -> None:
    """Without an exec_id the trace id takes its place, and the local root ends the tree."""
    caller = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    for parent in (None, caller):
        request = program.start("GET /", parent, http__status=200)
        program.run("query", request, 1, 2, iteration=3)
        end(request, 4)
    trace_id = f"{1:032x}"
    assert out.getvalue() == tree(f"""
        {trace_id}  GET /  4.00ms  ok  http.status=200
        └─ query  1.00ms  iteration=3
        {0xABC:032x}  GET /  4.00ms  ok  http.status=200
        └─ query  1.00ms  iteration=3
        """)


def test_two_entries_of_one_trace_share_its_heading(
    exporter: ConsoleTreeExporter, out: io.StringIO
) -> None:
    """Requests that one trace made of this process do not become each other's children."""
    caller = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))

    def script(program: Program) -> None:
        program.run("GET /a", caller, 0, 1)
        program.run("GET /b", caller, 2, 3)

    exporter.export(recorded(script))
    assert out.getvalue() == f"{0xABC:032x}\n├─ GET /a  1.00ms\n└─ GET /b  1.00ms\n"


def test_takes_in_spans_that_do_not_know_their_execution(
    program: Program, out: io.StringIO
) -> None:
    """Where only the root has an exec_id, what is below it is its tree all the same."""
    request = program.start("request")
    root = program.start("job", request, 1, **EXECUTION)
    middle = program.start("middle", root, 1)
    program.run("leaf", middle, 1, 2)
    end(middle, 3)
    end(root, 4)
    end(request, 5)
    assert out.getvalue() == tree(f"""
        exec_1  job  3.00ms  ok
        └─ middle  2.00ms
           └─ leaf  1.00ms
        {1:032x}  request  5.00ms  ok
        """)


def test_a_root_with_an_exec_id_alone_is_enough(program: Program, out: io.StringIO) -> None:
    """With the plain SDK an attribute on the top span names the tree."""
    root = program.start("job", exec_id="exec_1")
    program.run("work", root, 0, 1)
    end(root, 2)
    assert out.getvalue() == "exec_1  job  2.00ms  ok\n└─ work  1.00ms\n"


def test_an_adopted_entry_is_not_a_tree_of_its_own(
    exporter: ConsoleTreeExporter, out: io.StringIO
) -> None:
    """A request that an execution makes of its own process belongs to the execution."""

    def script(program: Program) -> None:
        root = program.start("job", **EXECUTION)
        context = root.get_span_context()
        program.run("GET /", SpanContext(context.trace_id, context.span_id, is_remote=True), 1, 2)
        end(root, 3)

    exporter.export(recorded(script))
    exporter.shutdown()
    assert out.getvalue() == "exec_1  job  3.00ms  ok\n└─ GET /  1.00ms\n"


def test_orphans_belong_to_the_root(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """A span whose parent never came stands below the root."""

    def script(program: Program) -> None:
        root = program.start("job", **EXECUTION)
        lost = program.start("lost", root, 1, exec_id="exec_1")
        program.run("found", lost, 1, 2, exec_id="exec_1")
        end(root, 3)

    exporter.export(recorded(script))
    assert out.getvalue() == "exec_1  job  3.00ms  ok\n└─ found  1.00ms\n"


def spans_of(parents: list[int | None]) -> list[ReadableSpan]:
    """Return spans 1, 2, 3, … of an execution with the given parents; the first is the root."""
    return [
        ReadableSpan(
            name=f"span {i}",
            context=SpanContext(7, i, is_remote=False),
            parent=SpanContext(7, parent, is_remote=False) if parent is not None else None,
            attributes=EXECUTION if i == 1 else {"exec_id": "exec_1"},
            start_time=i * MS,
            end_time=(i + 1) * MS,
        )
        for i, parent in enumerate(parents, start=1)
    ]


def test_parents_in_a_circle_are_cut_open(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """Spans that are each other's parents are printed once, from the one that began."""
    exporter.export(spans_of([None, 4, 2, 3, 5, 3]))
    assert out.getvalue() == tree("""
        exec_1  span 1  1.00ms  ok
        ├─ span 2  1.00ms
        │  └─ span 3  1.00ms
        │     ├─ span 4  1.00ms
        │     └─ span 6  1.00ms
        └─ span 5  1.00ms
        """)


@given(st.lists(st.none() | st.integers(1, 8), min_size=1, max_size=8))
def test_every_span_is_printed_once(parents: list[int | None]) -> None:
    """Whatever the parents are, no span is lost and none is doubled."""
    out = io.StringIO()
    exporter = ConsoleTreeExporter(out)
    exporter.export(spans_of(parents))
    exporter.shutdown()
    for i in range(1, len(parents) + 1):
        assert out.getvalue().count(f"span {i} ") == 1


def test_prints_what_is_left_at_shutdown(
    program: Program, exporter: ConsoleTreeExporter, out: io.StringIO
) -> None:
    """Executions without their root are printed when no root can come any more, and only once."""
    root = program.start("job", **EXECUTION)
    outer = program.start("outer", root, 1, exec_id="exec_1")
    program.run("inner", outer, 1, 2, exec_id="exec_1")
    end(outer, 3)
    program.provider.shutdown()
    exporter.shutdown()
    assert out.getvalue() == tree("""
        exec_1  without its root span: that has not ended, or is an earlier run's or process's
        └─ outer  2.00ms
           └─ inner  1.00ms
        """)
    assert exporter.export(recorded(one_execution)) is SpanExportResult.FAILURE


def test_prints_the_oldest_execution_when_too_many_spans_wait(
    exporter: ConsoleTreeExporter, out: io.StringIO
) -> None:
    """Past the limit the first execution is printed as it is, the others go on waiting."""

    def script(program: Program) -> None:
        first = program.start("first", **EXECUTION)
        for i in range(5):
            program.run("early", first, i, i + 1, exec_id="exec_1")
        second = program.start("second", exec_id="exec_2", phasetrace__type="execution")
        for i in range(MAX_WAITING):
            program.run("work", second, i, i + 1, exec_id="exec_2")
        end(second, MAX_WAITING)
        end(first, MAX_WAITING)

    *waiting, second, first = recorded(script)
    exporter.export(waiting[:MAX_WAITING])
    assert out.getvalue() == ""
    exporter.export(waiting[MAX_WAITING:])
    exporter.export([second])
    exporter.export([first])
    assert out.getvalue() == tree("""
        exec_1  incomplete: more than 10,000 spans were waiting for their root
        └─ early \N{MULTIPLICATION SIGN}5  5.00ms
        exec_2  second  10.0s  ok
        └─ work \N{MULTIPLICATION SIGN}10000  10.0s
        exec_1  first  10.0s  ok
        """)


def test_a_span_sent_twice_counts_once(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """Delivery is at least once: the same span again changes nothing."""
    spans = recorded(one_execution)
    exporter.export([*spans[:3], *spans])
    assert out.getvalue() == TREE


def test_very_deep_trees_stay_readable(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """Beyond some levels the spans are only counted."""
    exporter.export(spans_of([None, *range(1, 3000)]))
    lines = out.getvalue().splitlines()
    assert len(lines) == 42
    assert lines[-1].strip() == "└─ … 2,959 more further down"


def test_works_in_a_batch_processor(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """The SDK's batches lead to the same tree, at its shutdown at the latest."""
    program = Program()
    program.provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=2))
    one_execution(program)
    program.provider.shutdown()
    assert out.getvalue() == TREE


def test_prints_to_what_stdout_is_by_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is looked up when there is something to print."""
    exporter = ConsoleTreeExporter()
    with pytest.MonkeyPatch.context() as patch:
        replacement = io.StringIO()
        patch.setattr("sys.stdout", replacement)
        exporter.export(recorded(one_execution))
    assert replacement.getvalue() == TREE
    assert capsys.readouterr().out == ""


def test_a_stream_without_our_symbols_gets_plain_ones() -> None:
    """What the stream's encoding lacks is replaced or escaped."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    program = Program(ConsoleTreeExporter(stream))
    root = program.start("jöb", **EXECUTION)
    for i in range(4):
        program.run("work", root, i / 1000, (i + 1) / 1000, exec_id="exec_1")
    root.set_status(StatusCode.ERROR, "no")
    end(root, 1)
    assert raw.getvalue().decode() == tree(r"""
        exec_1  j\xf6b  1.00ms  x no
        `- work x4  4.00us
        """)


def test_a_stream_with_our_symbols_keeps_them() -> None:
    """Only the character that a code page lacks is escaped."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="gb18030", newline="\n")
    exporter = ConsoleTreeExporter(stream)
    exporter.export(recorded(one_execution))
    assert raw.getvalue().decode("gb18030") == TREE


class Broken(io.StringIO):
    """A stream that cannot be written to."""

    def write(self, text: str) -> int:
        """Fail."""
        raise BrokenPipeError("nobody reads")


def closed() -> io.StringIO:
    """Return a closed stream."""
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [closed(), Broken()])
def test_a_stream_that_fails_does_not_raise(stream: io.StringIO) -> None:
    """A failure to print is an answer and a counted fault, and keeps no memory."""
    exporter = ConsoleTreeExporter(stream)
    before = faults.counts().get("printing spans", 0)
    assert exporter.export(recorded(one_execution)) is SpanExportResult.FAILURE
    assert exporter.export(recorded(one_execution)[:2]) is SpanExportResult.SUCCESS
    assert not exporter.force_flush()
    assert exporter.export(recorded(one_execution)[:2]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert faults.counts()["printing spans"] == before + 3
    assert not exporter._trees
    assert exporter._waiting == 0


def test_no_stdout_at_all_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without standard output goes on."""
    monkeypatch.setattr("sys.stdout", None)
    exporter = ConsoleTreeExporter()
    assert exporter.export(recorded(one_execution)) is SpanExportResult.FAILURE


def test_an_unreadable_span_does_not_take_others_along(
    exporter: ConsoleTreeExporter, out: io.StringIO
) -> None:
    """A span without a context is refused, the rest of its batch is printed."""
    result = exporter.export([ReadableSpan("nowhere"), *recorded(one_execution)])
    assert result is SpanExportResult.FAILURE
    assert out.getvalue() == TREE


def test_threads_print_whole_trees(exporter: ConsoleTreeExporter, out: io.StringIO) -> None:
    """Trees exported at the same time do not mix."""

    def work(name: str) -> None:
        for i in range(50):
            exec_id = f"{name}_{i}"
            root = traced.start("job", exec_id=exec_id, phasetrace__type="execution")
            traced.run("work", root, 0, 1, exec_id=exec_id)
            end(root, 2)

    traced = Program(exporter)
    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = out.getvalue().splitlines()
    assert len(lines) == 400
    assert {tuple(pair) for pair in zip(lines[::2], lines[1::2], strict=True)} == {
        (f"{name}_{i}  job  2.00ms  ok", "└─ work  1.00ms") for name in "abcd" for i in range(50)
    }


def test_a_stream_that_is_traced_itself_does_not_block(out: io.StringIO) -> None:
    """Writing may end a span that comes back to the exporter."""

    class Traced(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("exec_1"):
                traced.run("write", None, 0, 1)
            return out.write(text)

    traced = Program(ConsoleTreeExporter(Traced()))
    end(traced.start("job", **EXECUTION), 1)
    assert sorted(out.getvalue().splitlines()) == [
        f"{3:032x}  write  1.00ms  ok",
        "exec_1  job  1.00ms  ok",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_the_waiting_spans_to_its_parent(
    exporter: ConsoleTreeExporter, out: io.StringIO
) -> None:
    """What waits is printed by one process; a lock held at the fork does not block the child."""
    exporter.export(recorded(one_execution)[:-1])
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with exporter._lock:
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        exporter.shutdown()
        os._exit(len(out.getvalue()))
    release.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
    exporter.shutdown()
    assert "list_files" in out.getvalue()


def test_is_found_by_its_name() -> None:
    """``OTEL_TRACES_EXPORTER=phasetrace_console`` leads to the class, which needs no arguments."""
    (point,) = entry_points(group="opentelemetry_traces_exporter", name="phasetrace_console")
    assert point.load() is ConsoleTreeExporter
    ConsoleTreeExporter().shutdown()
