"""Chrome's trace events."""

from __future__ import annotations

import json
import re
from typing import Any

from phasetrace.exports.chrome import chrome_parts
from phasetrace.exports.exported import ExportedExecution
from tests.phasetrace.exports.some import HOSTILE, export_of, hostile
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import T, root


def written(exported: ExportedExecution) -> Any:
    """Return the file as JSON."""
    return json.loads("".join(chrome_parts(exported)), parse_float=str)


def of_kind(document: Any, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind."""
    return [event for event in document["traceEvents"] if event["ph"] == kind]


def signs(text: str) -> str:
    """Return a text with signs for what is not printed."""
    pictures = {code: 0x2400 + code for code in range(0x20)}
    return text.translate({**pictures, 0x202E: "<U+202E>"})


def test_a_span_is_a_slice() -> None:
    """With its type, its attributes, and how it ended."""
    exported = export_of(
        root("e", "nightly", end=9_000),
        made.phase(1, "e", start=1_000, end=3_500, model="m", status={"code": 2, "message": "no"}),
        **{"service.name": "program"},
    )
    document = written(exported)
    first, second = of_kind(document, "X")
    assert (first["name"], first["cat"], first["ts"], first["dur"]) == (
        "nightly",
        "execution",
        0,
        9,
    )
    assert (second["name"], second["cat"], second["ts"], second["dur"]) == (
        "p",
        "phase",
        1,
        "2.500",
    )
    assert second["args"] == {
        "model": "m",
        "phasetrace.span_id": f"{1:016x}",
        "phasetrace.status": "error: no",
        "phasetrace.node_id": "n",
    }
    assert "cname" in second
    assert "cname" not in first
    assert (second["pid"], second["tid"]) == (first["pid"], first["tid"])
    assert document["otherData"]["started_ns"] == str(T)
    names = {event["name"]: event["args"] for event in of_kind(document, "M")}
    assert names["process_name"] == {"name": "program"}
    assert names["thread_name"] == {"name": "lane 1"}


def test_no_attribute_is_lost_to_ours_and_none_of_ours_is_one() -> None:
    """What a program calls a status is not how the span ended."""
    one = made.phase(1, "e", node_type="io", depends_on=["a"])
    mine = {"status": "MINE", "span_id": "MINE", "phasetrace.cancelled": True, "iteration": 2}
    one["attributes"] += made.attributes(mine)
    exported = export_of(root("e"), one)
    (args,) = [one["args"] for one in of_kind(written(exported), "X") if one["cat"] == "phase"]
    assert args == {
        "status": "MINE",
        "span_id": "MINE",
        "phasetrace.span_id": f"{1:016x}",
        "phasetrace.status": "cancelled",
        "phasetrace.node_id": "n",
        "phasetrace.node_type": "io",
        "phasetrace.iteration": "2",
        "phasetrace.depends_on": ["a"],
    }


def test_no_nanosecond_gets_lost() -> None:
    """In decimals, whatever a float would make of them."""
    year_ns = 366 * 86_400 * 10**9 + 1
    exported = export_of(root("e", end=year_ns), made.phase(1, "e", start=7, end=year_ns - 1_000))
    first, second = of_kind(written(exported), "X")
    assert first["dur"] == f"{year_ns // 1_000}.001"
    assert second["ts"] == "0.007"
    assert second["dur"] == f"{(year_ns - 1_007) // 1_000}.994"


def test_what_runs_at_the_same_time_is_in_threads_of_its_own() -> None:
    """None of which has the number of a process."""
    exported = export_of(
        root("e"),
        made.phase(1, "e", "a", start=0, end=10),
        made.phase(2, "e", "b", start=5, end=15),
    )
    slices = {event["name"]: event for event in of_kind(written(exported), "X")}
    assert slices["a"]["tid"] != slices["b"]["tid"]
    assert slices["a"]["pid"] == slices["b"]["pid"]
    assert {one["tid"] for one in slices.values()} & {
        one["pid"] for one in slices.values()
    } == set()


def test_an_arrow_leads_from_what_was_waited_for() -> None:
    """From inside of the one to the start of the other."""
    is_node = {"phasetrace.type": "node"}
    exported = export_of(
        root("e", end=20_000),
        made.phase(1, "e", "a", "a", start=0, end=5_000, **is_node),
        made.phase(2, "e", "b", "b", start=7_000, end=9_000, depends_on=["a"], **is_node),
    )
    document = written(exported)
    (begin,), (end,) = of_kind(document, "s"), of_kind(document, "f")
    assert (begin["ts"], end["ts"]) == ("4.999", 7)
    assert begin["id"] == end["id"]
    assert (begin["name"], begin["cat"]) == (end["name"], end["cat"])
    assert end["bp"] == "e"


def test_what_happened_in_a_span_is_an_instant() -> None:
    """As long as it is in it."""
    event = {"name": "hello", "timeUnixNano": str(T + 2_000), "attributes": []}
    late = {"name": "late", "timeUnixNano": str(T + 99_000), "attributes": []}
    exported = export_of({**root("e", end=9_000), "events": [event, late]})
    (instant,) = of_kind(written(exported), "i")
    assert (instant["name"], instant["ts"], instant["s"]) == ("hello", 2, "t")


def test_hostile_names_are_text() -> None:
    """Without an escape that Perfetto does not know, and with no number but JavaScript's."""
    text = "".join(chrome_parts(hostile()))
    assert set(re.findall(r"\\(.)", text)) == {"\\", '"'}
    assert text.replace("\n", "").isprintable()
    document = json.loads(text, parse_constant=lambda name: 1 / 0)
    names = {event["name"] for event in of_kind(document, "X")}
    expected = {signs(name) or "(unnamed)" for name in HOSTILE}
    assert expected <= names
    assert {"line\N{SYMBOL FOR LINE FEED}break\N{SYMBOL FOR ESCAPE}[31m", "<U+202E>evil"} <= names
    (slice_of_a, *_) = [one for one in of_kind(document, "X") if one["name"] == HOSTILE[0]]
    assert slice_of_a["args"]["big"] == str(2**62)
    assert slice_of_a["args"]["nan"] == "NaN"
