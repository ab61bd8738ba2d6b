"""``phasetrace tree``: what is in its lines, how they fit, and its JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.analysis.folding import Tree, cut, fold
from phasetrace.analysis.recording import Recording as AnyRecording
from phasetrace.cli import main
from phasetrace.cli.tree_text import hidden_text, tree_lines
from phasetrace.rendering import cells
from tests.conftest import FakeClock
from tests.phasetrace.analysis.timelines import ROOT, executions, network, recording, running, span
from tests.phasetrace.described import as_json, nothing_can_be_missing, parsed, wrong
from tests.phasetrace.store.conftest import Recording, path, record, without_thread

__all__ = ["path", "record", "without_thread"]

MS = 1_000_000


def tree(of: AnyRecording) -> Tree:
    """Return the tree of a recording."""
    return fold(of, network(of))


def lines(of: AnyRecording, **options: Any) -> list[str]:
    """Return its lines."""
    return tree_lines(tree(of), "run", open_word="running", **options)


def example() -> AnyRecording:
    """Return an execution with a loop, a failure, a long name and another process."""
    spans = [
        span(ROOT, None, 0, 1_000 * MS),
        span(2, ROOT, 0, 400 * MS, "fetch"),
        *(span(10 + at, 2, at * MS, (at + 1) * MS, "fetch", "download") for at in range(37)),
        span(3, ROOT, 400 * MS, 900 * MS, "load a very long list of very long names")._replace(
            process=5
        ),
        span(
            4, 3, 500 * MS, 600 * MS, "load a very long list of very long names", "insert"
        )._replace(status="error", process=5),
        span(5, ROOT, 950 * MS, 951 * MS, "other", "short"),
    ]
    return recording(*spans)


def test_repeated_calls_are_one_line_with_their_extremes() -> None:
    """How many, in all, and the shortest and longest of them."""
    (line,) = [one for one in lines(example()) if "download" in one]
    assert line.startswith("│  └─ download \N{MULTIPLICATION SIGN}37 ")
    assert line.split()[-5:] == ["37.0ms", "37.0ms", "3.7%", "1.00ms", "each"]


def test_what_did_not_end_well_is_said_in_words() -> None:
    """And the process that a node ran in, and a phase of a node that has no span of its own."""
    found = lines(example())
    assert [one for one in found if one.endswith("  error")]
    assert [one for one in found if one.endswith("  process 2")]
    assert [one for one in found if "other / short" in one]


@pytest.mark.parametrize("width", [80, 200])
def test_lines_fit_into_the_terminal(width: int) -> None:
    """With a bar of each share, which elsewhere is not drawn."""
    found = lines(example(), width=width)
    assert max(map(cells, found)) <= width
    assert found[1].count("█") >= 6
    assert not any("█" in one for one in lines(example()))


@given(st.one_of(executions(), running()), st.sampled_from([60, 80, 200]), st.booleans())
def test_any_tree_fits(of: AnyRecording, width: int, in_ascii: bool) -> None:
    """Running ones as well, and those with everything wrong."""
    found = lines(of, width=width, in_ascii=in_ascii)
    assert len(found) == len(tree(of).rows) + 1
    assert max(map(cells, found)) <= width
    assert all(one.isascii() for one in found) or not in_ascii


@given(st.one_of(executions(), running()), st.sampled_from([0, 1, 40, 200]), st.integers(1, 5_000))
def test_nothing_is_cut_that_there_is_room_for(of: AnyRecording, more: int, calls: int) -> None:
    """Where the terminal is as wide as the longest line, and bars take; however deep rows are."""
    made = tree(of)
    made.rows[-1].calls += calls
    whole = tree_lines(made, "run", open_word="running")
    found = tree_lines(made, "run", open_word="running", width=max(map(cells, whole)) + 8 + more)
    assert not any("…" in one for one in found)


def test_a_deep_row_of_many_calls_is_whole() -> None:
    """The branches that lead to it, its name and how many there are."""
    spans = [span(ROOT, None, 0, 400), span(2, ROOT, 0, 400, "a"), span(3, 2, 0, 400, "a", "b")]
    spans += [span(10 + at, 3, at, at + 1, "a", "job") for at in range(4)]
    (line,) = [one for one in lines(recording(*spans), width=200) if "job" in one]
    assert line.startswith("      └─ job \N{MULTIPLICATION SIGN}4 ")


def test_a_deep_tree_does_not_run_out_of_the_terminal() -> None:
    """Past some depth the way to a line loses its beginning, and in a file says how deep it is."""
    spans = [span(ROOT, None, 0, 400)]
    spans += [span(at, at - 1, 0, 400, "n", f"p{at}") for at in range(2, 200)]
    assert max(map(cells, lines(recording(*spans), width=80))) <= 80
    assert "(198) p199" in lines(recording(*spans))[-1]
    assert max(map(cells, lines(recording(*spans)))) < 300


def test_colour_adds_to_what_is_there() -> None:
    """Without it the same is said."""
    import re

    coloured = lines(example(), width=80, colour=True)
    assert any("\x1b[31m" in one for one in coloured)
    plain = [re.sub(r"\x1b\[\d*m", "", one) for one in coloured]
    assert [one.rstrip() for one in plain] == lines(example(), width=80)


def test_names_do_nothing_to_the_terminal() -> None:
    """What they hold is escaped."""
    of = recording(span(ROOT, None, 0, 10), span(2, ROOT, 0, 5, "a\x1b[2J", "p\n"))
    assert not any(character in "".join(lines(of)) for character in "\x1b\n")


def test_what_is_hidden_is_told() -> None:
    """How many, and how much it was."""
    found = cut(tree(example()), 0.01)
    assert hidden_text(found, "1%") == (
        "Hidden: 1 row of less than 1% with 1 span, 1.00ms (0.1%) of the wall time in all."
    )
    assert hidden_text(tree(example()), "1%") == ""


def test_what_is_too_far_down_is_told_where_it_would_be() -> None:
    """And whether it ended well."""
    found = tree_lines(cut(tree(example()), depth=1), "run", open_word="running")
    assert [one for one in found if one.endswith("+37 below")]
    assert [one for one in found if one.endswith("process 2, +1 below, 1 of them not ok")]


def test_a_recorded_execution(capsys: pytest.CaptureFixture[str]) -> None:
    """By its name; sub-executions are in it when they are asked for."""
    outer = execution("outer", name="nightly")
    with outer, node("fetch"), phase("download"), execution("inner", name="import"), node("parse"):
        pass
    phasetrace.force_flush()
    assert main(["tree", "nightly"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("📊 Execution Metrics\n  Execution ID: outer\n")
    assert ("download" in out, "parse" in out) == (True, False)
    assert out.endswith("\n\n1 execution within it: --rolled-up\n")
    assert main(["tree", "nightly", "--rolled-up"]) == 0
    out = capsys.readouterr().out
    assert "import/parse" in out
    assert "within it" not in out
    assert main(["tree", "import"]) == 0
    assert "within it" not in capsys.readouterr().out
    assert main(["tree", "nightly", "--json"]) == 0
    assert "within it" not in capsys.readouterr().out


def test_a_bare_number_is_a_percentage(capsys: pytest.CaptureFixture[str]) -> None:
    """As it is said in what is hidden."""
    with execution("e"), node("a"), phase("b"):
        pass
    phasetrace.force_flush()
    assert main(["tree", "--min", "99.9"]) == 0
    assert "of less than 99.9% with" in capsys.readouterr().out


def test_a_running_execution(
    record: Callable[..., Recording],
    fake_clock: FakeClock,
    path: Path,
    without_thread: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What has not ended says so."""
    recorded = record(now_ns=fake_clock)
    root = recorded.root("e", start=fake_clock())
    recorded.start("e", "waiting", parent=root, start=fake_clock())
    fake_clock.advance(2_000)
    recorded.writer.flush()
    assert main(["tree", "e", "--source", str(path)]) == 0
    assert [one.split()[-1] for one in capsys.readouterr().out.splitlines()[-2:]] == ["running"] * 2
    assert main(["tree", "e", "--source", str(path), "--json"]) == 0
    document = parsed(capsys.readouterr().out)
    assert wrong(document) == []
    assert [row["open"] for row in document["rows"]] == [1, 1]


@given(st.one_of(executions(), running()))
def test_json_of_any_form_is_as_it_is_described(of: AnyRecording) -> None:
    """Nothing is negative that is said not to be."""
    from phasetrace.cli.tree import tree_dict

    document = as_json(tree_dict(of.execution, cut(tree(of), 0.1)))
    assert wrong(document) == []


def test_json_could_not_be_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a member, or with another type; and it is ASCII."""
    with execution("é"), node("n", iteration=1), phase("p"):
        pass
    phasetrace.force_flush()
    assert main(["tree", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    nothing_can_be_missing(parsed(out))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tree"], 3, "nothing has been recorded yet"),
        (["tree", "--min", "little"], 2, "'little' is not a part like 1% or 0.5%"),
        (["tree", "--min", "-1"], 2, "'-1' is not a part"),
        (["tree", "--min", "101%"], 2, "'101%' is not a part"),
        (["tree", "--min", "nan%"], 2, "'nan%' is not a part"),
        (["tree", "--depth", "-1"], 2, "argument --depth"),
    ],
)
def test_what_cannot_be_shown(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and the exit code that it has everywhere."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert message in captured.err
