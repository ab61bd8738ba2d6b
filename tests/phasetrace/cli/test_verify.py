"""Test `phasetrace verify`: what it says, and what its exit code is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.cli import main
from phasetrace.testing import forget_everything
from tests.phasetrace.recordings.otlp_files import lines, spans_of
from tests.phasetrace.recordings.query_service import HTML, running

Change = Callable[[list[dict[str, Any]]], None]


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record an execution of a node with phases, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    with execution("run_1", name="nightly"), node("n"):
        for _ in range(3):
            with phase("first"):
                pass
        with phase("second"):
            pass
    phasetrace.force_flush()


def copy(change: Change | None = None) -> list[dict[str, Any]]:
    """Write what the store has into the file ``f``, changed; return the documents in it."""
    documents = list(lines(Path(os.environ["PHASETRACE_STORE"])))
    for document in documents:
        for group in document["resourceSpans"]:
            for scope in group["scopeSpans"]:
                if change is not None:
                    change(scope["spans"])
    Path("f").write_text("".join(f"{json.dumps(one)}\n" for one in documents))
    return documents


def verify(*arguments: str, source: str = "f") -> int:
    """Call the command; return its exit code."""
    return main(["verify", *arguments, "--source", source])


def named(spans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the spans of a name, the first one first."""
    found = [one for one in spans if one["name"] == name]
    return sorted(found, key=lambda one: int(one["startTimeUnixNano"]))


def cut(spans: list[dict[str, Any]]) -> None:
    """Keep whole microseconds only."""
    for one in spans:
        start, end = int(one["startTimeUnixNano"]), int(one["endTimeUnixNano"])
        start_us = start // 1_000
        one["startTimeUnixNano"] = str(start_us * 1_000)
        one["endTimeUnixNano"] = str((start_us + (end - start) // 1_000) * 1_000)


@pytest.mark.parametrize("arguments", [["run_1"], ["nightly"], ["latest"], []])
def test_what_is_the_same_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """With how much was compared."""
    copy()
    assert verify(*arguments) == 0
    out, err = capsys.readouterr()
    size = r"6 spans, 1 node, 2 phases, [\d,]+ ns"
    assert re.fullmatch(rf"identical: run_1 in the store and in f \({size}\)\n", out)
    assert err == ""


def test_what_differs_is_said_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Spans that are missing, or more, or not the same, and the numbers."""

    def change(spans: list[dict[str, Any]]) -> None:
        spans.remove(named(spans, "second")[0])
        first = named(spans, "first")[0]
        first["endTimeUnixNano"] = str(int(first["endTimeUnixNano"]) + 1_500)
        spans.append({**named(spans, "first")[1], "spanId": "00000000000000ff"})

    copy(change)
    assert verify("run_1") == 1
    out, err = capsys.readouterr()
    found = re.sub(r"[\d,.]+(ns|µs|ms) for [\d,.]+(ns|µs|ms)", "A for B", out)
    found = re.sub(r"\(\w{16}\)", "(ID)", found)
    said = re.sub(r"[\d,]+ ns", "X ns", found).splitlines()
    assert said[:9] == [
        "different: run_1 in the store (here) and in f (there)",
        "  missing there, of 6 spans: 1",
        "    n / second (ID), at A for B",
        "  only there: 1",
        "    n / first (ID), at A for B",
        "  different there: 1 span",
        "    n / first (ID): end X ns later there",
        f"  numbers that differ: {out.count(' here, ')}",
        said[8],
    ]
    assert "1,500 ns later there" in out
    assert "    n / second: count 1 here, none there" in said
    assert err == ""


def test_of_many_differences_some_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """And the others counted."""
    copy(lambda spans: spans.clear())
    assert verify("run_1") == 1
    out = capsys.readouterr().out
    assert "  missing there, of 6 spans: 6\n    the execution itself (" in out
    assert out.endswith("    and 1 more\n")


def test_times_in_microseconds_are_fine_and_said_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A backend that keeps no more is not at fault."""
    copy(cut)
    assert verify("run_1") == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "identical to the microsecond, which is what the backend keeps: run_1 in the store and in f"
    )


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """In whole nanoseconds, as a schema of its own."""
    copy(lambda spans: spans.remove(named(spans, "second")[0]))
    assert verify("run_1", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    (missing,) = found["missing"].pop("spans")
    assert (missing["node_id"], missing["name"], missing["type"]) == ("n", "second", "phase")
    assert missing["end_ns"] >= missing["start_ns"] > 1_700_000_000_000_000_000
    assert re.fullmatch("[0-9a-f]{16}", missing["span_id"])
    assert {key: found[key] for key in ("schema", "exec_id", "source", "result")} == {
        "schema": "phasetrace.verify/1",
        "exec_id": "run_1",
        "source": "f",
        "result": "different",
    }
    assert (found["spans"], found["spans_there"], found["nodes"], found["phases"]) == (6, 5, 1, 2)
    assert (found["missing"], found["extra"]["count"]) == ({"count": 1}, 0)
    assert {
        "node_id": "n",
        "phase": "second",
        "what": "count",
        "store": 1,
        "source": None,
    } in found["numbers"]
    copy()
    assert verify("run_1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["result"], found["numbers"], found["notes"]) == ("identical", [], [])
    copy(cut)
    assert verify("run_1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["result"] == "identical to the microsecond"


def test_a_jaeger_that_lacks_something_can_be_sent_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said how."""
    documents = copy()
    spans = [one for document in documents for one in spans_of(document)]
    with running() as service:
        service.add(*spans[:-1])
        assert verify("run_1", source=service.url) == 1
        assert capsys.readouterr().err.endswith(" ship --replay run_1\n")  # nothing of it waits
        service.spans.clear()
        assert verify("run_1", source=service.url) == 1
        err = capsys.readouterr().err
        assert "nothing of it is there; send it: " in err
        assert err.endswith(" ship --replay run_1\n")
        service.add(*spans)
        assert verify("run_1", source=service.url) == 0


def test_what_has_not_ended_is_compared_as_far_as_it_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And that is said."""
    program = (
        "import os, phasetrace\n"
        "with phasetrace.execution('killed'):\n"
        "    with phasetrace.phase('p'): pass\n"
        "    phasetrace.force_flush()\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    copy()
    assert verify("killed") == 0
    out, err = capsys.readouterr()
    assert out.startswith("identical: killed in the store and in f (1 span, ")
    assert err == "phasetrace: it has not ended, so only the spans that have were compared\n"


def test_what_waits_is_to_be_delivered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only if it is of this execution; another's does not help."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    forget_everything()
    with execution("waits"), phase("p"):
        pass
    phasetrace.shutdown()
    with running() as service:
        assert verify("waits", source=service.url) == 1
        assert capsys.readouterr().err.endswith(" ship\n")
        assert verify("run_1", source=service.url) == 1
        assert capsys.readouterr().err.endswith(" ship --replay run_1\n")


def with_a_stray(*, is_alone: bool) -> None:
    """Write the file ``f`` with a span that names no execution, beside another one that does."""

    def change(spans: list[dict[str, Any]]) -> None:
        first = spans[0]
        if is_alone:
            spans.clear()
            attributes = [{"key": "exec_id", "value": {"stringValue": "another"}}]
            spans.append({**first, "spanId": "00000000000000fe", "attributes": attributes})
        spans.append({**first, "spanId": "00000000000000ff", "attributes": []})

    documents = copy(change)
    Path("f").write_text(f"{json.dumps(documents[0])}\n" if is_alone else Path("f").read_text())


def test_what_other_spans_there_are_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    """They are nobody's business where an execution is compared."""
    with_a_stray(is_alone=False)
    assert verify("run_1") == 0
    assert capsys.readouterr().err == ""


def test_spans_that_name_no_execution_may_be_why_it_is_not_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What takes attributes away takes the id, too."""
    with_a_stray(is_alone=True)
    assert verify("run_1") == 1
    told = capsys.readouterr().err
    service = "(?: of 'unknown_service:python')?"  # OpenTelemetry names it by default since 1.40
    assert re.fullmatch(
        f"phasetrace: 1 span{service} names no execution and counts for none\n", told
    )


def test_a_jaeger_is_full_of_other_spans(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own, for one; they are looked at where nothing of the execution is found."""
    with_a_stray(is_alone=True)
    (document,) = (json.loads(one) for one in Path("f").read_text().splitlines())
    with running() as service:
        service.add(*spans_of(document))
        assert verify("run_1", source=service.url) == 1
    assert "execution and count" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "source", "code", "message"),
    [
        (["nihgtly"], "f", 3, "no execution 'nihgtly' has been recorded; did you mean nightly?"),
        (["run_1"], "nowhere", 4, "there is no file nowhere; expected a store"),
        (["run_1"], "http://x:y", 4, "'http://x:y' is no address"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], source: str, code: int, message: str
) -> None:
    """With an exit code that tells it from a difference."""
    copy()
    assert verify(*arguments, source=source) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"phasetrace: {message}")


def test_what_is_no_jaeger_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A page of something else."""
    with running() as service:
        service.answer = lambda path, query: HTML
        assert verify("run_1", source=service.url) == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "answers something else than JSON" in err


def test_the_source_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no usual place to compare with."""
    assert main(["verify", "run_1"]) == 2
    assert "--source" in capsys.readouterr().err


def test_names_cannot_write_into_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever spans and files are called."""
    with execution("e\x1b[31m"), node("n\n"), phase("p\x1b[2J"):
        pass
    phasetrace.force_flush()
    copy(lambda spans: spans.clear())
    Path("f").rename("f\x07")
    assert verify("e\x1b[31m", source="f\x07") == 1
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert r"n\n / p\x1b[2J" in out


def test_on_a_terminal_names_make_room_for_what_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere they are whole."""
    name = "a name that goes on and on, " * 5
    with execution("long"), node("n"), phase(name):
        pass
    phasetrace.force_flush()
    copy(lambda spans: spans.remove(named(spans, name)[0]) if named(spans, name) else None)
    assert verify("long") == 1
    assert name in capsys.readouterr().out
    monkeypatch.setattr("phasetrace.cli.table.terminal_width", lambda: 80)
    assert verify("long") == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 80
    assert re.fullmatch(r"    n / a name .*….* \(\w{16}\), at \S+ for \S+", lines[2])


def test_a_span_below_another_one_is_told_by_both_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """As they are written elsewhere."""

    def change(spans: list[dict[str, Any]]) -> None:
        named(spans, "second")[0]["parentSpanId"] = "00000000000000ff"

    copy(change)
    assert verify("run_1") == 1
    assert re.search(
        r"\): parent_id \w{16} here, 00000000000000ff there\n", capsys.readouterr().out
    )
    assert verify("run_1", "--json") == 1
    (one,) = json.loads(capsys.readouterr().out)["changed"]["spans"]
    assert one["fields"]["parent_id"]["source"] == "00000000000000ff"
