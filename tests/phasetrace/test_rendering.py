"""Test how numbers, untrusted text and breakdowns become lines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.breakdowns import (
    ExecutionBreakdown,
    ExecutionHeader,
    ExecutionSummary,
    OpenCall,
    breakdown_of,
)
from phasetrace.rendering import (
    ABOUT_PERCENTAGES,
    ago,
    breakdown_text,
    cells,
    header_text,
    human,
    local_time,
    milliseconds,
    name_text,
    safe,
    summary_text,
)
from phasetrace.spans import PhaseKey, SpanRecord, SpanType, Status

GOLDEN = Path(__file__).parents[1] / "golden"
MS = 1_000_000
S = 1_000_000_000
STARTED = 1_700_000_000 * S
HEADER = ExecutionHeader("exec_1", "nightly", "ok", "0" * 32, STARTED, 100 * MS)


def span(
    span_id: int,
    parent_id: int | None,
    type_: SpanType,
    name: str,
    milliseconds: tuple[float, float],
    status: Status = "ok",
    node_id: str | None = "node_1",
) -> SpanRecord:
    """Return a span from so many to so many milliseconds after the start."""
    start_ns, end_ns = (STARTED + round(number * MS) for number in milliseconds)
    return SpanRecord(span_id, parent_id, type_, name, node_id, None, start_ns, end_ns, status)


def breakdown(*spans: SpanRecord, status: str = "ok") -> ExecutionBreakdown:
    """Return the breakdown of an execution of 100 ms with these spans below its root, span 1."""
    root = span(1, None, "execution", "nightly", (0, 100), node_id=None)
    return breakdown_of(replace(HEADER, status=status), [root, *spans], root_id=1)


def summary_of(answer: ExecutionBreakdown) -> ExecutionSummary:
    """Return what a summary says of an execution."""
    return ExecutionSummary(
        answer.execution, len(answer.nodes), answer.spans, answer.errors, answer.open
    )


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0ms"),
        (1, "0.000001ms"),
        (3_000, "0.003ms"),
        (250_000, "0.25ms"),
        (253_400, "0.253ms"),
        (999_999, "1.00ms"),
        (MS, "1ms"),
        (4_700_000, "4.70ms"),
        (4_703_000, "4.70ms"),
        (9_996_000, "10.0ms"),
        (12_345_678, "12.3ms"),
        (50 * MS, "50ms"),
        (99_960_000, "100ms"),
        (350_400_000, "350ms"),
        (3_500_600_000, "3501ms"),
        (-4_700_000, "-4.70ms"),
    ],
)
def test_milliseconds(duration_ns: int, text: str) -> None:
    """Whole where that says enough, 3 digits where it would not."""
    assert milliseconds(duration_ns) == text


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (7, "7ns"),
        (999, "999ns"),
        (1_000, "1.00µs"),
        (850_000, "850µs"),
        (999_600, "1.00ms"),
        (4_700_000, "4.70ms"),
        (12_340 * MS, "12.3s"),
        (59_949 * MS, "59.9s"),
        (59_960 * MS, "1m00s"),
        (123 * S, "2m03s"),
        (3_599_600 * MS, "1h00m"),
        (7_380 * S, "2h03m"),
        (76 * 3_600 * S, "3d04h"),
        (-123 * S, "-2m03s"),
    ],
)
def test_human(duration_ns: int, text: str) -> None:
    """Three significant digits, in the unit that has them before the point or just behind it."""
    assert human(duration_ns) == text


@given(st.integers(min_value=1, max_value=10**15))
def test_milliseconds_are_what_they_say(duration_ns: int) -> None:
    """What is read back is off by half a unit in the third digit at most, or half a millisecond."""
    read = float(milliseconds(duration_ns).removesuffix("ms")) * MS
    assert abs(read - duration_ns) <= max(duration_ns * 0.005, 0.5 * MS * (duration_ns > 99 * MS))


@given(st.integers(min_value=1_000, max_value=59 * S))
def test_human_durations_have_three_digits(duration_ns: int) -> None:
    """Neither more nor fewer, from a microsecond to a minute, and the right ones."""
    text = human(duration_ns)
    number, unit = re.fullmatch(r"([\d.]+)(µs|ms|s)", text).groups()  # type: ignore[union-attr]
    assert len(number.replace(".", "")) == 3
    read = float(number) * {"µs": 1_000, "ms": MS, "s": S}[unit]
    assert abs(read - duration_ns) <= duration_ns * 0.005 + 1


def test_harmful_characters_are_escaped() -> None:
    """Escape sequences, newlines, reversed text and what no encoding can write."""
    assert safe("a\x1b[2J\n\t\x7f\x85") == r"a\x1b[2J\n\t\x7f\x85"
    assert safe("\u202eevil\u2066\u2028\ud800") == r"\u202eevil\u2066\u2028\ud800"


@pytest.mark.parametrize(
    "text", ["llm_completion", "日本語 é", "👩\u200d💻", "c:\\new", "[red]x[/]", ""]
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    """Also what only looks dangerous, and joined emojis."""
    assert safe(text) == text


@given(st.text(alphabet=st.characters()))
def test_safe_text_is_one_line_that_can_be_written(text: str) -> None:
    """Whatever comes in; and doing it twice changes nothing."""
    escaped = safe(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", escaped)
    escaped.encode()
    assert safe(escaped) == escaped


def test_width_in_columns() -> None:
    """Wide characters count twice, combining ones not at all."""
    assert cells("phase") == 5
    assert cells("日本") == 4
    assert cells("e\u0301") == 1


def test_time_ago() -> None:
    """Relative for a day, then the local time; the future is none of ours."""
    assert ago(STARTED, STARTED + 2 * S) == "just now"
    assert ago(STARTED, STARTED + 42 * S) == "42 s ago"
    assert ago(STARTED, STARTED + 190 * S) == "3 min ago"
    assert ago(STARTED, STARTED + 7_300 * S) == "2 h ago"
    for now_ns in (STARTED + 90_000 * S, STARTED - 10 * S):
        assert ago(STARTED, now_ns) == local_time(STARTED)[:16].replace("T", " ")


@pytest.mark.parametrize("seconds", [10**15, -(10**15), 10**30, -(10**30)])
def test_a_time_that_no_calendar_has_is_its_seconds(seconds: int) -> None:
    """Spans say what they want."""
    assert local_time(seconds * 1_000_000_000) == f"{seconds}s"
    assert ago(seconds * 1_000_000_000, 0)


def test_local_time_has_an_offset() -> None:
    """ISO 8601, to the second."""
    assert re.fullmatch(r"2023-11-1\dT\d\d:\d\d:20[+-]\d\d:\d\d", local_time(STARTED))


def test_the_form_of_a_breakdown() -> None:
    """Iterations, calls, errors, cancellations, small numbers, own time, unattributed time."""
    spans = [
        span(2, 1, "node", "node_1", (0, 40)),
        span(3, 1, "node", "node_1", (40, 80), "error"),
        span(4, 2, "phase", "llm_completion", (0, 30), "error"),
        span(5, 3, "phase", "llm_completion", (40, 75.5), "error"),
        span(6, 2, "phase", "a_phase_of_a_name_longer_than_usual", (30, 34.7), "cancelled"),
        span(7, 2, "phase", "日本語", (35, 35.25)),
        span(8, 1, "node", "node_2", (80, 99.5), node_id="node_2"),
    ]
    assert breakdown_text(breakdown(*spans, status="error")) == (
        "📊 Execution Metrics\n"
        "  Execution ID: exec_1\n"
        "  Total Duration: 100.00ms\n"
        "  Status: error\n"
        "\n"
        "⏱️  Node Timing Breakdown:\n"
        "\n"
        "  node_1 - Total: 80ms (2 iterations) · 1 error\n"
        "    ├─ llm_completion                      65.5ms (81.9%) ×2 · 2 errors\n"  # noqa: RUF001
        "    ├─ a_phase_of_a_name_longer_than_usual 4.70ms (5.9%) · 1 cancelled\n"
        "    ├─ 日本語                              0.25ms (0.3%)\n"
        "    └─ (self)                              9.55ms (11.9%)\n"
        "\n"
        "  node_2 - Total: 19.5ms\n"
        "    └─ (self)                              19.5ms (100.0%)\n"
        "\n"
        "  unattributed: 0.50ms (0.5% of the execution)"
    )


def test_wide_numbers_stay_aligned() -> None:
    """A number that needs more room than the usual six columns moves all of them."""
    spans = [
        span(2, 1, "phase", "long", (0, 12_345_678)),
        span(3, 1, "phase", "short", (0, 50)),
    ]
    lines = breakdown_text(breakdown(*spans)).splitlines()[-2:]
    assert lines[0].startswith("    ├─ long                       12345678ms (")
    assert lines[1].startswith("    └─ short                            50ms (")


def long_names() -> ExecutionBreakdown:
    """Return a breakdown with long names wherever there may be some."""
    node, phase = "node_" * 40, "phase_" * 30
    answer = breakdown(
        span(2, 1, "node", node, (0, 90), "error", node),
        span(3, 2, "phase", f"{phase}a", (0, 50), "error", node),
        span(4, 2, "phase", f"{phase}b", (50, 60), node_id=node),
        span(5, 2, "phase", "日本" * 40, (60, 70), node_id=node),
    )
    return replace(answer, open=(OpenCall(node, phase, 3 * MS),))


@pytest.mark.parametrize("width", [60, 80, 99])
def test_names_are_shortened_to_the_width(width: int) -> None:
    """Of nodes, phases and what is open; the numbers stay in their columns."""
    lines = breakdown_text(long_names(), width=width).splitlines()
    assert max(map(cells, lines)) <= width
    rows = [line for line in lines if "─ " in line]
    assert [("…" in row, "ms" in row) for row in rows] == [(True, True)] * 3 + [(False, True)]
    assert len({cells(row[: row.index("ms")]) for row in rows}) == 1
    assert rows[0].split(" ")[5].endswith("_a")  # without their middle they are told apart


def test_names_are_whole_without_a_width() -> None:
    """As in pipes."""
    assert "…" not in breakdown_text(long_names())


@given(st.text() | st.text("a\u6f22\x1b", min_size=100, max_size=1_000))
def test_names_of_hundreds_of_columns_lose_their_middle(name: str) -> None:
    """Others are as `safe` has them."""
    text = name_text(name)
    assert cells(text) <= 400
    assert safe(text) == text
    if cells(safe(name)) <= 400:
        assert text == safe(name)
    else:
        assert text[:100] == safe(name)[:100]
        assert text[-60:] == safe(name)[-60:]


def test_numbers_go_before_names_where_there_is_no_width_at_all() -> None:
    """A few characters of each name stay, and the id of the execution as a whole."""
    answer = long_names()
    answer = replace(answer, execution=replace(answer.execution, exec_id="id" * 50))
    text = breakdown_text(answer, width=20)
    assert "id" * 50 in text
    assert "phase_…e_a" in text


def test_names_that_fit_are_left_alone() -> None:
    """The text is that without a width."""
    answer = breakdown(span(2, 1, "phase", "work", (0, 50)))
    assert breakdown_text(answer, width=80) == breakdown_text(answer)


def test_a_small_rest_gets_no_row() -> None:
    """Below 0.1 % neither the node's own time nor the unattributed one is worth a line."""
    spans = [
        span(2, 1, "node", "node_1", (0, 99.99)),
        span(3, 2, "phase", "work", (0, 99.98)),
    ]
    text = breakdown_text(breakdown(*spans))
    assert "(self)" not in text
    assert "unattributed" not in text
    assert text.endswith("└─ work                        100ms (100.0%)")


def test_what_is_open_is_running() -> None:
    """A phase that has not ended, and a node of which nothing has."""
    whole = breakdown(span(2, 1, "phase", "work", (0, 50)), span(3, 1, "phase", "wait", (50, 100)))
    node = whole.nodes[0]
    work, wait = node.phases
    one = replace(node, phases=(work, replace(wait, count=0, total_ns=0)))
    none = replace(node, node_id="node_2", phases=(replace(wait, count=0, total_ns=0),))
    lines = breakdown_text(replace(whole, nodes=(one, none))).splitlines()
    assert "  node_1 - Total: 100ms" in lines
    assert (
        "    └─ work                              (running) 50.0% of the execution so far" in lines
    )
    assert "  node_2 - (running)" in lines


def test_a_running_execution_shows_what_is_open() -> None:
    """What is open has its share up to now and its age; the rows add up to the whole."""
    header = replace(HEADER, status="running")
    root, node, done, wait = 1, 2, 3, 4
    answer = breakdown_of(
        header,
        [span(done, node, "phase", "done", (0, 25))],
        root,
        [
            (root, None, STARTED, "execution"),
            (node, root, STARTED, PhaseKey("node_1", None)),
            (wait, node, STARTED + 25 * MS, PhaseKey("node_1", "wait")),
        ],
        STARTED + 100 * MS,
    )
    (row,) = answer.nodes
    assert {phase.phase: (phase.count, phase.share_ns) for phase in row.phases} == {
        "done": (1, 25 * MS),
        "wait": (0, 75 * MS),
    }
    assert answer.unattributed_ns == 0
    assert breakdown_text(answer).endswith(
        "    └─ wait                              (running) 75.0% of the execution so far\n"
        "\n"
        "  Open:\n"
        "    node_1 for 100ms\n"
        "    node_1 / wait for 75.0ms"
    )


def test_what_was_open_when_its_process_died_does_not_run() -> None:
    """The report of an abandoned execution says of nothing that it is running."""
    header = replace(HEADER, status="abandoned")
    text = breakdown_text(
        breakdown_of(header, [], None, [(2, None, STARTED, PhaseKey("node_1", "wait"))])
    )
    assert "(not ended)" in text
    assert "running" not in text


def test_many_open_calls_are_counted() -> None:
    """The oldest are named."""
    calls = tuple(OpenCall("node_1", f"phase_{index}", 1_000) for index in range(25))
    text = summary_text(ExecutionSummary(HEADER, 1, 2, 0, calls))
    assert "phase_19 for" in text
    assert "phase_20 for" not in text
    assert text.endswith("    and 5 more")


def test_totals_beyond_the_clock_are_explained() -> None:
    """Where phases nest or run side by side, and only there."""
    side_by_side = [span(2, 1, "node", "node_1", (0, 60))]
    side_by_side += [span(3 + i, 2, "phase", f"p{i}", (0, 50)) for i in range(2)]
    nested = [span(2, 1, "phase", "outer", (0, 60)), span(3, 2, "phase", "inner", (10, 20))]
    in_turn = [span(2, 1, "phase", "one", (0, 60)), span(3, 1, "phase", "two", (60, 100))]
    shown = [
        breakdown_text(breakdown(*spans)).endswith(f"\n\n  {ABOUT_PERCENTAGES}")
        for spans in (side_by_side, nested, in_turn)
    ]
    assert shown == [True, True, False]


def test_an_execution_of_several_roots_lasts_from_the_first_to_the_last() -> None:
    """Also where they have one id; what lies between is unattributed, and nobody's share."""
    roots = [span(1, None, "execution", "e", times, node_id=None) for times in [(0, 20), (80, 100)]]
    phases = [span(2, 1, "phase", "p", (5, 20)), span(3, 1, "phase", "p", (80, 90))]
    answer = breakdown_of(HEADER, [phases[0], roots[0], phases[1], roots[1]])
    assert answer.nodes[0].share_ns == 25 * MS
    assert answer.unattributed_ns == 75 * MS
    assert answer.unattributed == 0.75


def test_a_breakdown_without_nodes() -> None:
    """An execution that only has its root says so."""
    assert breakdown_text(breakdown()).splitlines()[5:] == [
        "",
        "  (no nodes)",
        "",
        "  unattributed: 100ms (100.0% of the execution)",
    ]


def test_names_are_escaped_everywhere() -> None:
    """In the ids and names of executions, nodes and phases."""
    evil = "x\x1b[31m\n\u202e"
    header = ExecutionHeader(evil, f"name {evil}", evil, "0" * 32, STARTED, 100 * MS)
    spans = [span(2, None, "phase", evil, (0, 100), node_id=evil)]
    answer = breakdown_of(header, spans)
    answer = replace(answer, open=(OpenCall(evil, evil, 1),))
    texts = (breakdown_text(answer), summary_text(summary_of(answer)), header_text(answer))
    for text in texts:
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert r"x\x1b[31m\n\u202e" in text


def test_colours_are_additions() -> None:
    """Without its escape sequences the coloured text is the plain one."""
    answer = breakdown(span(2, 1, "phase", "work", (0, 50), "error"), status="error")
    for plain, coloured in (
        (breakdown_text(answer), breakdown_text(answer, colour=True)),
        (header_text(answer), header_text(answer, colour=True)),
        (summary_text(summary_of(answer)), summary_text(summary_of(answer), colour=True)),
    ):
        assert "\x1b[1m" in coloured
        assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


def test_summary() -> None:
    """The lines of an execution of which nothing went wrong."""
    answer = summary_of(breakdown(span(2, 1, "phase", "work", (0, 50))))
    assert summary_text(answer).splitlines() == [
        "📊 Execution Metrics",
        "  Execution ID: exec_1",
        "  Total Duration: 100.00ms",
        "  Name: nightly",
        "  Status: ok",
        f"  Started: {local_time(STARTED)}",
        "  Nodes: 1",
        "  Spans: 2",
    ]


def test_summary_of_a_failure() -> None:
    """Errors are counted; a name that only repeats the id is left out."""
    answer = breakdown(span(2, 1, "phase", "work", (0, 50), "error"), status="error")
    answer = replace(answer, execution=replace(answer.execution, name="exec_1"))
    lines = summary_text(summary_of(answer)).splitlines()
    assert lines[3] == "  Status: error"
    assert lines[-1] == "  Errors: 1"


def test_printing_a_breakdown_gives_this_text() -> None:
    """`print(breakdown(exec_id))` and the command line say the same."""
    answer = breakdown(span(2, 1, "phase", "work", (0, 50)))
    assert str(answer) == breakdown_text(answer)
