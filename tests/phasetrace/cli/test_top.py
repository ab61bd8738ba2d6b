"""``phasetrace top``: the picture, how it fits, and its JSON; drawing is tested in a terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.cli import main
from phasetrace.cli.parts import Part, fitted, plain
from phasetrace.cli.top import activity_dict
from phasetrace.cli.top_text import MOST_CALLS, MOST_LINES, picture, title
from phasetrace.history import Usual
from phasetrace.live import Activity, Known, LastCall, LiveCall, LiveExecution
from phasetrace.rendering import cells, safe
from tests.phasetrace.cli.stored_runs import Run, put
from tests.phasetrace.described import nothing_can_be_missing, parsed, wrong

S = 1_000_000_000
NOW = 1_700_000_000 * S

RUNNING = LiveExecution(
    exec_id="exec_1",
    name="nightly import",
    status="running",
    trace_id="0" * 32,
    parent_exec_id=None,
    started_ns=NOW - 12 * S,
    duration_ns=12 * S,
    ended_ns=None,
    spans=157,
    errors=2,
    input_tokens=12_000,
    output_tokens=300,
    usual=Usual(9, 15 * S, S, 14 * S, 16 * S),
    open=(
        LiveCall("fetch", "download", NOW - 4 * S, 4 * S, True, Known(34, S)),
        LiveCall("load", None, NOW - 2 * S, 2 * S, True, None),
    ),
    last=LastCall("fetch", "download", NOW - 5 * S),
    spans_per_s=45.0,
)
ENDED = RUNNING._replace(
    exec_id="exec_2",
    name="short",
    status="ok",
    ended_ns=NOW - 3 * S,
    open=(),
    errors=0,
    spans_per_s=None,
    last=None,
    usual=None,
)
GONE = RUNNING._replace(
    exec_id="exec_3",
    name=None,
    status="abandoned",
    ended_ns=NOW - 9 * S,
    spans_per_s=None,
    open=(LiveCall("load", "insert", NOW - 10 * S, S, False, None),),
)
ALL = Activity(NOW, (RUNNING, GONE, ENDED), quiet=2, abandoned=3)
SUB = RUNNING._replace(exec_id="sub_1", name="shard 1", parent_exec_id="exec_1", open=(), errors=0)


def shown(activity: Activity, width: int = 0, height: int = 0, in_ascii: bool = False) -> list[str]:
    """Return the lines as text."""
    return [plain(line) for line in picture(activity, width, height, ascii_only=in_ascii)]


def test_the_whole_picture() -> None:
    """As it is printed into a file."""
    assert shown(ALL) == [
        "1 running, 45 spans/s",
        "",
        "● nightly import  running for 12.0s, usually 15.0s"
        "  157 spans, 45/s, 12,300 tokens, 2 errors  exec_1",
        "    fetch / download  4.00s  longer than usual: 34 calls took 1.00s at most",
        "    load              2.00s",
        "",
        "✗ exec_3  abandoned, last heard of 9.00s ago, 12.0s after its start"
        "  157 spans, 12,300 tokens, 2 errors",
        "    died in load / insert  begun 2.00s after the start",
        "",
        "✓ short  ok after 12.0s, 3.00s ago  157 spans, 12,300 tokens  exec_2",
        "",
        "3 abandoned earlier: phasetrace list --status abandoned",
        "2 more executions have not ended, and nothing has happened in them lately",
    ]


def test_in_a_narrow_terminal_whole_parts_are_left_out() -> None:
    """Those that tell least; nothing but a name loses its middle, and only at the very end."""
    assert shown(ALL, 80) == [
        "1 running, 45 spans/s",
        "",
        "● nightly import  running for 12.0s, usually 15.0s",
        "    157 spans, 45/s, 12,300 tokens, 2 errors  exec_1",
        "    fetch / download  4.00s  longer than usual: 34 calls took 1.00s at most",
        "    load              2.00s",
        "",
        "✗ exec_3  abandoned, last heard of 9.00s ago, 12.0s after its start",
        "    157 spans, 12,300 tokens, 2 errors",
        "    died in load / insert  begun 2.00s after the start",
        "",
        "✓ short  ok after 12.0s, 3.00s ago  157 spans, 12,300 tokens  exec_2",
        "",
        "3 abandoned earlier: phasetrace list --status abandoned",
        "2 more executions have not ended, and nothing has happened in them lately",
    ]
    assert shown(ALL, 40) == [
        "1 running, 45 spans/s",
        "",
        "● nightly import  running for 12.0s",
        "    157 spans, 45/s, 2 errors",
        "    fetch / download  4.00s",
        "    load              2.00s",
        "",
        "✗ exec_3  abandoned",
        "    157 spans, 12,300 tokens, 2 errors",
        "    died in load / insert",
        "",
        "✓ short  ok after 12.0s  157 spans",
        "",
        "3 abandoned earlier",
        "2 more executions have not ended",
    ]


PARTS = st.builds(Part, st.text("ab", min_size=1, max_size=12), st.just(""), st.integers(0, 4))


@given(st.lists(PARTS, max_size=6), st.integers(1, 30), st.integers(10, 60))
def test_parts_go_by_what_they_tell(parts: list[Part], length: int, width: int) -> None:
    """As many stay as fit, those that are spared least easily; then names are cut."""
    line = [Part("x" * length, shrinks=True), *parts]
    by_worth = sorted(range(len(line)), key=lambda at: (line[at].spare, at))
    needed = sum(part.spare == 0 for part in line)
    left = fitted(line, width)
    for number in range(len(line), needed - 1, -1):
        some = [line[at] for at in sorted(by_worth[:number])]
        if len(plain(some)) <= width:
            assert left == some
            return
    assert len(left) == needed
    assert cells(plain(left)) <= width
    assert "…" in left[0].text or length <= 8


def test_what_has_no_open_call_tells_of_the_last_one() -> None:
    """A call that takes less than a second is not seen while it is open."""
    assert shown(Activity(NOW, (RUNNING._replace(open=()),)))[-1] == (
        "    last was fetch / download, 5.00s ago"
    )
    assert shown(Activity(NOW, (GONE._replace(open=()),)))[-1] == (
        "    died after fetch / download"
    )
    assert len(shown(Activity(NOW, (RUNNING._replace(open=(), last=None),)))) == 3


def test_calls_that_are_too_short_to_be_seen_are_work_all_the_same() -> None:
    """Where one has ended within a second or two; how many there are is said if that is known."""
    busy = RUNNING._replace(open=(), last=LastCall("fetch", "download", NOW - S // 2))
    assert shown(Activity(NOW, (busy,)))[-1] == "    busy: 45 spans/s, last fetch / download"
    busy = busy._replace(spans_per_s=None)
    assert shown(Activity(NOW, (busy,)))[-1] == "    busy, last fetch / download, 500ms ago"


def test_an_open_node_tells_which_phase_of_it_ended_last() -> None:
    """If one has."""
    call = RUNNING.open[1]._replace(last=LastCall("load", "insert", NOW - S // 4))
    activity = Activity(NOW, (RUNNING._replace(open=(call,)),))
    assert shown(activity)[-1] == "    load  2.00s  last insert, 250ms ago"
    assert shown(activity, 30)[-1] == "    load  2.00s  last insert"
    assert shown(activity, 25)[-1] == "    load  2.00s"


def test_executions_are_below_the_ones_that_they_are_in() -> None:
    """With their calls, each in a line if it can be."""
    assert shown(Activity(NOW, (RUNNING, GONE, SUB)), 80)[3:9] == [
        "    157 spans, 45/s, 12,300 tokens, 2 errors  exec_1",
        "    fetch / download  4.00s  longer than usual: 34 calls took 1.00s at most",
        "    load              2.00s",
        "    ● shard 1  running for 12.0s, usually 15.0s  157 spans, 45/s, 12,300 tokens",
        "        last was fetch / download, 5.00s ago",
        "",
    ]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_was_abandoned_takes_a_few_lines(width: int) -> None:
    """The call that began last comes first, and how many more there were."""
    calls = [LiveCall("n", f"p{at}", NOW - at * S, S, False, None) for at in (5, 2, 9, 4, 3)]
    found = shown(Activity(NOW, (GONE._replace(open=tuple(calls)),)), width)[2:]
    assert len(found) == MOST_LINES
    died = [line.split("  ")[2] for line in found if "died in" in line]
    assert died == ["died in n / p2", "died in n / p3"][: len(died)]
    assert found[-1] == f"    and {5 - len(died)} more open"
    one = shown(Activity(NOW, (GONE._replace(open=tuple(calls[:2])),)), width)
    assert "more open" not in one[-1]


def test_what_runs_is_there_before_what_does_not() -> None:
    """With fewer calls, if it takes that; and then it is told how many others there are."""
    calls = tuple(LiveCall("n", f"p{at}", NOW, 0, True, None) for at in range(MOST_CALLS))
    busy = [RUNNING._replace(exec_id=f"run_{at}", open=calls) for at in range(3)]
    dead = [GONE._replace(exec_id=f"dead_{at}", open=calls) for at in range(5)]
    activity = Activity(NOW, (*busy, *dead, ENDED), abandoned=2)
    found = shown(activity, 80, 23)
    assert sum(line.startswith("●") for line in found) == 3
    assert (found[-3], found[-1][:19]) == (
        "and 5 more abandoned, 1 more ended",
        "2 abandoned earlier",
    )
    assert sum("n / p0 " in line for line in found) == 3
    assert sum(line.startswith("✗") for line in shown(activity, 80, 50)) == 2
    subs = [SUB._replace(exec_id=f"sub_{at}") for at in range(9)]
    found = shown(Activity(NOW, (RUNNING, *busy, *subs)), 80, 14)
    assert sum(line.startswith("●") for line in found) == 4  # and not what is within the first one
    assert found[-1].endswith("more running")


def test_of_many_open_calls_some_are_shown() -> None:
    """The oldest, and how many there are more."""
    calls = tuple(LiveCall("n", f"p{at}", NOW, 0, True, None) for at in range(MOST_CALLS + 3))
    found = shown(Activity(NOW, (RUNNING._replace(open=calls),)))
    assert len(found) == 3 + MOST_CALLS + 1
    assert found[-1] == "    and 3 more open"


def test_a_call_whose_process_is_gone_says_so() -> None:
    """The execution goes on in another one."""
    call = LiveCall("n", "p", NOW, 0, False, None)
    assert shown(Activity(NOW, (RUNNING._replace(open=(call,)),)))[-1].endswith("process is gone")


@given(
    st.integers(40, 220),
    st.integers(3, 30),
    st.text(max_size=120),
    st.text(max_size=60),
    st.booleans(),
)
def test_the_picture_fits_into_the_terminal(
    width: int, height: int, name: str, phase_name: str, in_ascii: bool
) -> None:
    """Whatever things are called, and however many there are."""
    call = RUNNING.open[0]._replace(phase=phase_name, node_id=name)
    some = [
        one._replace(
            name=name,
            exec_id=f"{name}{at}",
            parent_exec_id=f"{name}{at // 2}" if at % 3 else None,
            open=(call,) * (at % 5),
        )
        for at, one in enumerate(ALL.executions * 3)
    ]
    found = shown(Activity(NOW, tuple(some), 1, 1), width, height, in_ascii)
    assert len(found) <= height
    assert max(map(cells, found)) <= width
    assert all(safe(line) == line for line in found)


def test_names_stand_out_and_alarms_are_not_by_colour_alone() -> None:
    """What is styled as an alarm says in words what it is."""
    alarms = [
        part.text.strip()
        for line in picture(ALL)
        for part in line
        if ("red" in part.style or part.style == "yellow") and part.text
    ]
    assert all(alarm for alarm in alarms)
    assert any("longer than usual" in alarm for alarm in alarms)
    assert any("died in" in alarm for alarm in alarms)


def test_nothing_running_is_said() -> None:
    """On top, where it is drawn."""
    assert title(Activity(NOW)) == "nothing is running"


def test_once_prints_one_picture(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the store that the environment names; so it is without the option where none is drawn."""
    put([Run("exec_1", "nightly", "running", ago_s=60)])
    for arguments in (["top", "--once"], ["top"]):
        assert main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "1 running"
        assert lines[2].startswith("● nightly  running for 1m00s")


@pytest.mark.parametrize("is_there", [True, False])
def test_where_nothing_runs_that_is_said(
    is_there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, whether there is a store or not; in JSON the list is empty."""
    if is_there:
        put([Run("exec_1")])
    assert main(["top", "--once"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "phasetrace: nothing is running\n")
    assert main(["top", "--json"]) == 0
    document = parsed(capsys.readouterr().out)
    assert wrong(document) == []
    assert document["executions"] == []
    assert Path(os.environ["PHASETRACE_STORE"]).exists() == is_there


def test_json_of_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """With a call that is open, as somebody else sees it."""
    with execution("é", name="nightly"), node("n"), phase("p"):
        phasetrace.force_flush()
        assert main(["top", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert wrong(parsed(out)) == []


def test_json_could_not_be_otherwise() -> None:
    """Without a member, or with another type."""
    call = RUNNING.open[0]._replace(last=RUNNING.last)
    one = RUNNING._replace(parent_exec_id="outer", open=(call, *RUNNING.open))
    document = parsed(json.dumps(activity_dict(Activity(NOW, (one,), 1))))
    assert wrong(document) == []
    nothing_can_be_missing(document)
    assert wrong(parsed(json.dumps(activity_dict(ALL)))) == []


@pytest.mark.parametrize("interval", ["0", "soon", "nan", "0.01"])
def test_an_interval_is_some_time(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Or it is wrong usage."""
    assert main(["top", "--interval", interval]) == 2
    assert f"'{interval}' is not a number of seconds from 0.1" in capsys.readouterr().err
