"""The line of ``phasetrace run``: what it says, and where it has that from."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import phasetrace
from phasetrace import clock, execution, node, phase, time_phase, timing_collector
from phasetrace.cli import progress, status_line
from phasetrace.cli.column import Column
from phasetrace.cli.progress import look
from phasetrace.cli.progress_text import Doing, Progress, progress_text
from phasetrace.cli.status_line import StatusLine
from phasetrace.history import Usual
from phasetrace.rendering import cells, safe
from phasetrace.store.blocks import messages
from phasetrace.store.reader import StoreReader
from phasetrace.store.tokens import TokenCount

S = 1_000_000_000

EXAMPLE = Progress(
    exec_id="exec_1",
    name="nightly import",
    started_ns=0,
    elapsed_ns=12 * S,
    spans=157,
    doing=(Doing("load", "insert", 3 * S), Doing("fetch", None, S)),
    usual=Usual(9, 16 * S, 0, 16 * S, 16 * S),
)


def test_the_line_says_what_goes_on_and_what_is_left() -> None:
    """The execution, its deepest open calls, what is done, and what is usual."""
    assert progress_text(EXAMPLE, 100) == (
        "nightly import 12.0s · load / insert 3.00s, fetch 1.00s · 157 spans · about 4.00s left"
    )


def test_what_takes_longer_than_usual_has_nothing_left() -> None:
    """What is usual is said then; nothing where that is not known."""
    late = EXAMPLE._replace(elapsed_ns=20 * S)
    assert progress_text(late, 100).endswith(" · 157 spans · usually 16.0s")
    assert progress_text(EXAMPLE._replace(usual=None), 100).endswith(" · 157 spans")


def test_of_many_calls_the_oldest_are_named() -> None:
    """As many as there is room for."""
    many = EXAMPLE._replace(doing=tuple(Doing("n", f"p{at}", S) for at in range(9)), others=2)
    assert progress_text(many, 200).startswith(
        "nightly import and 2 more 12.0s · n / p0 1.00s, n / p1 1.00s, n / p2 1.00s, 6 more · "
    )
    assert "n / p0 1.00s, 8 more" in progress_text(many, 85)


def test_calls_of_one_name_are_summed() -> None:
    """With the age of the oldest; that of further names goes first where there is no room."""
    calls = [Doing(f"writer_{at}", "llm_completion", (9 - at) * S) for at in range(5)]
    calls += [Doing("search", "tool", 3 * S)] * 3 + [Doing("load", None, 2 * S)]
    many = EXAMPLE._replace(doing=tuple(calls), usual=None)
    assert progress_text(many, 120) == (
        "nightly import 12.0s · 5 x llm_completion up to 9.00s, 3 x tool up to 3.00s, load 2.00s"
        " · 157 spans"
    )
    assert progress_text(many, 90) == (
        "nightly import 12.0s · 5 x llm_completion up to 9.00s, 3 x tool, load · 157 spans"
    )
    assert "5 x llm_completion up to 9.00s, 4 more ·" in progress_text(many, 76)
    assert "9.00s, 1,004 more ·" in progress_text(many._replace(unseen=1_000), 80)


def test_what_failed_and_what_was_used_is_said_as_far_as_there_is_room() -> None:
    """Tokens go first, then the spans, then what is left; that something failed is said longest."""
    one = EXAMPLE._replace(doing=EXAMPLE.doing[:1], errors=2, tokens=12_345)
    start = "nightly import 12.0s · load / insert 3.00s · "
    end = "157 spans · 2 errors · 12,345 tokens · about 4.00s left"
    assert progress_text(one, 100) == start + end
    lines = [progress_text(one, width) for width in range(100, 20, -1)]
    parts = ("token", "span", "left", "error")
    lost = [next(width for width, line in enumerate(lines) if part not in line) for part in parts]
    assert lost == sorted(set(lost))
    assert "1 error ·" in progress_text(one._replace(errors=1), 100)


def test_without_an_open_call_there_is_the_execution() -> None:
    """And no more."""
    idle = EXAMPLE._replace(doing=(), usual=None, spans=1)
    assert progress_text(idle, 80) == "nightly import 12.0s · 1 span"


@given(
    st.integers(5, 200),
    st.text(min_size=1, max_size=100),
    st.lists(st.tuples(st.text(max_size=60), st.none() | st.text(max_size=60)), max_size=5),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10**7),
)
def test_the_line_fits_into_a_row(
    width: int,
    name: str,
    calls: list[tuple[str, str | None]],
    is_usual: bool,
    in_ascii: bool,
    number: int,
) -> None:
    """Whatever things are called; nothing in it does anything to the terminal."""
    made = EXAMPLE._replace(
        name=name,
        doing=tuple(Doing(node_id, phase_name, 123 * S) for node_id, phase_name in calls),
        usual=EXAMPLE.usual if is_usual else None,
        errors=number,
        tokens=number // 2,
        unseen=number // 3,
    )
    line = progress_text(made, width, in_ascii)
    assert cells(line) <= width
    assert safe(line) == line


def test_in_ascii_no_character_of_ours_is_another() -> None:
    """The separator, and what stands for what was left out."""
    assert progress_text(EXAMPLE, 40, in_ascii=True).isascii()


# Where it has that from


def test_the_deepest_open_calls_are_seen() -> None:
    """With what has ended, and when the execution began."""
    with execution("exec_1", name="nightly"), node("load"):
        with phase("read"):
            pass
        with phase("insert"):
            timing_collector.executions()  # what has ended is counted a few times a second
            found = look(timing_collector, clock.now_ns())
    assert found is not None
    assert (found.exec_id, found.name, found.spans, found.others) == ("exec_1", "nightly", 1, 0)
    assert [(one.node_id, one.phase) for one in found.doing] == [("load", "insert")]
    assert found.elapsed_ns >= found.doing[0].age_ns
    assert look(timing_collector, clock.now_ns()) is None


def test_the_execution_that_began_first_gives_the_line_its_name() -> None:
    """The calls are those of all that are open."""
    with execution("outer", name="nightly"), phase("import"), execution("inner"), phase("parse"):
        found = look(timing_collector, clock.now_ns())
    assert found is not None
    assert (found.exec_id, found.others) == ("outer", 1)
    assert [one.phase for one in found.doing][-1:] == ["parse"]


def test_phases_that_name_their_ids_are_an_execution() -> None:
    """It began with the first of them."""
    with time_phase("exec_1", "n", "first"):
        pass
    timing_collector.executions()
    with time_phase("exec_1", "n", "second"):
        found = look(timing_collector, clock.now_ns())
    assert found is not None
    assert [(one.node_id, one.phase) for one in found.doing] == [("n", "second")]
    assert found.elapsed_ns > found.doing[0].age_ns


def test_spans_of_another_provider_are_seen_as_well() -> None:
    """Where the application has one."""
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    phasetrace.configure()
    with execution("exec_1", name="nightly"), node("n"), phase("p"):
        found = look(timing_collector, clock.now_ns())
    assert found is not None
    assert found.name == "nightly"
    assert [(one.node_id, one.phase) for one in found.doing] == [("n", "p")]


def test_of_many_open_calls_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at all of them would be felt by the program."""
    monkeypatch.setattr(progress, "_MOST_OPEN", 3)
    with execution("exec_1"):
        spans = [
            copy_context().run(time_phase("exec_1", "n", f"p{at}").__enter__) for at in range(20)
        ]
        found = look(timing_collector, clock.now_ns())
        assert len(spans) == 20
    assert found is not None
    assert [one.phase for one in found.doing] == ["p0", "p1", "p17", "p18", "p19"]
    assert found.unseen == 15


def test_failed_calls_are_counted() -> None:
    """So far, of the executions that are open."""
    with execution("exec_1"), node("n"):
        for _ in range(2):
            with suppress(ValueError), phase("p"):
                raise ValueError
        timing_collector.executions()
        found = look(timing_collector, clock.now_ns())
    assert found is not None
    assert found.errors == 2


def test_tokens_are_counted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the executions that are asked for; what was read is not read again."""
    read: list[int] = []

    def noted(*block: object) -> list[bytes]:
        found = messages(*block)  # type: ignore[arg-type]
        read.append(len(found))
        return found

    monkeypatch.setattr("phasetrace.store.tokens.messages", noted)
    count = TokenCount()

    def tokens(*exec_ids: str) -> int:
        phasetrace.force_flush()
        with StoreReader(Path(os.environ["PHASETRACE_STORE"])) as reader:
            return count.read(reader, exec_ids, 0)

    def call(number: int) -> None:
        usage = {"gen_ai.usage.input_tokens": number, "gen_ai.usage.output_tokens": 1}
        with phase("llm", **usage), phase("other"):
            pass

    with execution("exec_1"), execution("exec_2"):
        call(10)
        with execution("exec_3"):
            call(100)
        assert tokens("exec_1", "exec_2") == 11
        call(20)
        assert tokens("exec_1", "exec_2") == 32
        seen = len(read)
        with phase("other"):
            pass
        assert tokens("exec_2") == 32
        assert tokens("exec_2", "exec_3") == 133
        assert len(read) == seen


def test_without_a_terminal_there_is_no_thread() -> None:
    """As in this test."""
    assert progress.progress_thread(timing_collector) is None


def test_a_line_that_cannot_be_drawn_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that is no terminal, or was closed: nothing is raised, nor tried again."""
    line = StatusLine(999)
    assert not line.show("text")
    assert line.is_over
    line.printing(b"text")
    line.clear()
    line.end()


@pytest.mark.parametrize(
    ("data", "moves"),
    [
        (b"text\n", False),
        (b"text\r\n", False),
        (b"\x1b[31mred\x1b[0m\n", False),
        (b"50 %\r", True),
        (b"\r50 %", True),
        (b"\x1b[2K", True),
        (b"\x1b[?1049h", True),
        (b"\x1b7", True),
        (b"|\b/", True),
    ],
)
def test_a_program_that_moves_the_cursor_is_told_from_others(data: bytes, moves: bool) -> None:
    """Colours, and lines that end as they do on other systems, move nothing."""
    line = StatusLine(999)
    line.printing(data)
    assert line.is_over == moves


def test_nothing_is_drawn_right_after_something_was_printed() -> None:
    """The terminal is not even asked."""
    line = StatusLine(999)
    line.printing(b"text\n")
    assert not line.show("text")
    assert not line.is_over
    assert status_line.QUIET_S < 1


def test_a_descriptor_that_is_opened_may_be_to_start_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As multiprocessing does it: whatever the child prints must find the row empty."""
    line = StatusLine(999)
    for name in status_line._STARTERS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    line._audit("open", (7, "wb", 0))
    assert line._is_time()
    monkeypatch.setitem(sys.modules, "multiprocessing.popen_spawn_posix", sys)
    line._audit("open", ("path", "wb", 0))
    assert line._is_time()
    line._audit("open", (7, "wb", 0))
    assert not line._is_time()


def test_where_curses_draw_there_is_no_line() -> None:
    """It takes Ctrl-Z only where nobody else has."""
    line = StatusLine(999)
    line._audit("import", ("_curses", None, [], [], []))
    assert line.is_over


PRINTED = st.sampled_from(
    ("a", "A" * 9, "A" * 10, " ", "\n", "\u00e9", "\u6f22", "\t", "\x1b[1;31m", "\x1b[0m", "\a")
)


@given(st.lists(st.lists(PRINTED, max_size=20), max_size=5))
def test_a_row_that_is_full_is_told(writes: list[list[str]]) -> None:
    """`pyte` has its cursor behind the row then. Of ASCII and colours it is known exactly."""
    columns = 10
    screen = pyte.Screen(columns, 200)
    stream = pyte.Stream(screen)
    column = Column()
    row = ""
    for write in writes:
        text = "".join(write)
        stream.feed(text.replace("\n", "\r\n"))
        column.add(text.encode())
        row = (row + text).rpartition("\n")[2]
        is_full = screen.cursor.x == columns
        assert column.may_be_at_edge(columns) >= is_full
        if row.isascii() and not set("\a\t") & set(row):
            assert column.may_be_at_edge(columns) == is_full


def test_a_short_row_is_never_full() -> None:
    """Whatever is in it, but what may move the cursor; a newline begins another one."""
    column = Column()
    for text, is_full in (
        ("\u6f22 \u00e9\t", False),
        ("a" * 80, True),
        ("\n", False),
        ("\a", True),
        ("b", True),
        ("\nb", False),
        ("\x1b]0;title\x07", True),
    ):
        column.add(text.encode())
        assert column.may_be_at_edge(80) == is_full
