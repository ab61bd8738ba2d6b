"""Test what a page has of that which spans say, and that there is an end to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.findings import FAILED, Finding
from phasetrace.analysis.recording import Recording
from phasetrace.errors import SourceError
from phasetrace.recordings.details import Details, SpanEvent, first_failures
from phasetrace.recordings.otlp_file import file_source
from phasetrace.recordings.source import Source
from phasetrace.reports import details as reports_details
from phasetrace.reports.details import Said, detail_columns, places_by_weight, read_details
from phasetrace.reports.packing import MOST_EVENTS
from phasetrace.reports.page import in_markup
from phasetrace.reports.report import make_report
from phasetrace.reports.texts import LONGEST, shown
from phasetrace.spans import SpanRecord, Usage
from tests.phasetrace.analysis.timelines import ROOT, arbitrary, nested, recording, running, span
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import S, T, attributes, line, root
from tests.phasetrace.reports.decoding import numbers
from tests.phasetrace.reports.test_report import document_in

ROOM = 10_000_000
TEXTS = st.text(max_size=6) | st.sampled_from(["<b>&", "\u2028", "x" * 500, "é" * 9, "a\nb"])
VALUES = TEXTS | st.integers(0, 5) | st.tuples(st.booleans(), st.integers(0, 3))
ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "b", "c d", "", "é"]), VALUES, max_size=4)
EVENTS = st.builds(SpanEvent, st.integers(0, 50), TEXTS, ATTRIBUTES)
SAID = st.builds(
    Details,
    attributes=ATTRIBUTES,
    events=st.lists(EVENTS, max_size=3).map(tuple),
    message=st.sampled_from(["", "no", "never"]),
)


def columns_of(said: Mapping[int, Details], most_bytes: int = ROOM, **of_span: Any) -> Any:
    """Return the columns of what some spans said, by their numbers; as the page's script has it."""
    spans = [span(n, None, 10, 20, "n", "p")._replace(**of_span) for n in range(max(said) + 1)]
    known = Said(list(said), {(number, 10): details for number, details in said.items()})
    places = {number: number for number in said}
    return json.loads(json.dumps(detail_columns(known, spans, places, most_bytes)))


def decoded(columns: Any) -> dict[int, Any]:
    """Return what spans say by their numbers, as it comes out of the columns."""
    texts = columns["texts"]

    def pairs(entry: int) -> list[tuple[str, str]]:
        shape, *values = columns["entries"][entry]
        names = [texts[name] for name in columns["shapes"][shape]]
        return list(zip(names, (texts[value] for value in values), strict=True))

    event = columns["event"]
    events: dict[int, list[Any]] = {}
    for number, name, offset, entry, stack in zip(
        numbers(event["at"]), event["name"], event["offset"], event["entry"], event["stack"],
        strict=True,
    ):  # fmt: skip
        lines = [texts[one] for one in columns["stacks"][stack]] if stack >= 0 else []
        events.setdefault(number, []).append((texts[name], offset, pairs(entry), lines))
    messages = dict(zip(numbers(columns["message"]["at"]), columns["message"]["text"], strict=True))
    more = dict(
        zip(numbers(columns["more_events"]["at"]), columns["more_events"]["count"], strict=True)
    )
    return {
        number: (
            pairs(entry),
            events.get(number, []),
            texts[messages[number]] if number in messages else None,
            more.get(number, 0),
        )
        for number, entry in zip(numbers(columns["at"]), columns["entry"], strict=True)
    }


def as_shown(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return attributes as a page has them."""

    def text(value: Any) -> str:
        whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return shown(whole) if whole else "(empty)"

    return [(shown(name), text(value)) for name, value in attributes.items()]


@given(st.dictionaries(st.integers(0, 30), SAID, min_size=1, max_size=12))
def test_what_spans_say_comes_out_as_it_went_in(said: dict[int, Details]) -> None:
    """With room for all: each with its own, in the order of their numbers, whatever came first."""
    columns = columns_of(said)
    found = decoded(columns)
    assert list(found) == sorted(found)
    for number, details in said.items():
        events: list[Any] = [
            (shown(one.name), one.time_ns - 10, as_shown(one.attributes), [])
            for one in details.events
        ]
        expected = (as_shown(details.attributes), events, details.message or None, 0)
        assert found.get(number, ([], [], None, 0)) == expected
    assert columns["left_out"] == 0
    assert columns["nothing"] == []


@settings(max_examples=200)
@given(
    st.dictionaries(st.integers(0, 60), SAID, min_size=1, max_size=30),
    st.integers(0, 3_000),
)
def test_there_is_no_more_of_it_than_there_is_room_for(
    said: dict[int, Details], most_bytes: int
) -> None:
    """In bytes of the page; and each span is there, says nothing, or is counted."""
    columns = columns_of(said, most_bytes)
    empty = columns_of({0: Details()})
    frame = len(in_markup(empty)) + len(str(columns["left_out"]))
    size = len(in_markup({**columns, "nothing": []}).encode())
    assert size - frame <= most_bytes
    silent = {n for n, one in said.items() if not (one.attributes or one.events or one.message)}
    there = set(decoded(columns))
    assert columns["left_out"] == len(said) - len(silent) - len(there)
    assert set(numbers(columns["nothing"])) == (silent if columns["left_out"] else set())


def test_what_comes_first_is_there_first() -> None:
    """The places are by weight, and not by number."""
    said = {number: Details(attributes={"a": f"{number} " * 40}) for number in (7, 3, 5)}
    columns = columns_of(said, 150)
    assert list(decoded(columns)) == [7]
    assert columns["left_out"] == 2


def test_what_does_not_fit_is_not_in_the_way_of_what_does() -> None:
    """Nothing stays behind of it, however often it is tried."""
    large = {number: Details(attributes={"a": f"{number}" * 300}) for number in range(10)}
    columns = columns_of({**large, 10: Details(attributes={"b": "small"})}, 60)
    assert decoded(columns) == {10: ([("b", "small")], [], None, 0)}
    assert columns["texts"] == ["b", "small"]


def test_what_is_equal_takes_the_room_of_a_number() -> None:
    """A thousand calls with the same arguments are a thousand small numbers."""
    same = Details(attributes={"prompt": "x" * 300, "temperature": 0.2})
    columns = columns_of(dict.fromkeys(range(1_000), same), 12_000)
    assert columns["left_out"] == 0
    assert len(in_markup(columns)) < 5_000


def test_stack_traces_have_their_lines_in_common() -> None:
    """They differ in the last one."""
    stacks = [f"Traceback:\n  File 'x', line 1\nValueError: {number}" for number in range(3)]
    events = [SpanEvent(12, "exception", {"exception.stacktrace": stack}) for stack in stacks]
    columns = columns_of({n: Details(events=(one,)) for n, one in enumerate(events)})
    assert [one[1][0][3] for one in decoded(columns).values()] == [
        stack.split("\n") for stack in stacks
    ]
    assert columns["texts"].count("Traceback:") == 1


def test_a_long_value_is_cut() -> None:
    """As every text on the page."""
    [(pairs, *_)] = decoded(columns_of({0: Details(attributes={"a": "x" * 9_999})})).values()
    assert len(pairs[0][1]) == LONGEST
    assert "…" in pairs[0][1]


def test_of_many_events_only_some_are_there() -> None:
    """The first ones; the others are counted."""
    events = tuple(SpanEvent(n, f"event {n}", {}) for n in range(MOST_EVENTS + 5))
    [(_, found, _, more)] = decoded(columns_of({0: Details(events=events)})).values()
    assert [one[0] for one in found] == [f"event {n}" for n in range(MOST_EVENTS)]
    assert more == 5


def test_what_the_page_tells_otherwise_is_left_out() -> None:
    """Ids and types; and what a call took of a model, where the page knows that it did."""
    told = {"exec_id": "e", "node_id": "n", "node_type": "t", "iteration": 1}
    use = {"gen_ai.usage.input_tokens": 5, "gen_ai.request.model": "m", "model": "other"}
    said = {0: Details(attributes={**told, **use, "a": 1})}
    names = [name for name, _ in decoded(columns_of(said))[0][0]]
    assert names == ["gen_ai.usage.input_tokens", "gen_ai.request.model", "model", "a"]
    names = [name for name, _ in decoded(columns_of(said, usage=Usage(5, 0, "m")))[0][0]]
    assert names == ["model", "a"]


def test_the_message_of_a_status_is_not_said_twice() -> None:
    """It mostly is that of the exception."""
    event = SpanEvent(12, "exception", {"exception.type": "E", "exception.message": "m"})
    for message, said in (("E: m", None), ("other", "other")):
        [(_, _, found, _)] = decoded(
            columns_of({0: Details(events=(event,), message=message)})
        ).values()
        assert found == said


def test_the_first_failure_of_each_finding_comes_before_all_others() -> None:
    """So that none is without its message, however often something else fails."""
    spans = [
        span(ROOT, None, 0, 30),
        *(span(n, ROOT, n, n + 1, "a", "p")._replace(status="error") for n in (2, 3, 4)),
        span(5, ROOT, 9, 10, "b", "q")._replace(status="error"),
        span(6, ROOT, 10, 20, "b", "r"),
        span(7, ROOT, 20, 25, "b", "r")._replace(metadata=1),
        span(8, ROOT, 25, 26, "b", "r")._replace(usage=Usage(1)),
    ]
    examination = Examination(recording(*spans))
    found = [Finding(FAILED, node, phase, 0, 0.0) for node, phase in (("b", "q"), ("a", "p"))]
    assert [
        one.span_id
        for place in places_by_weight(examination, found)
        if (one := examination.network.spans[place])
    ] == [2, 5, 3, 4, 7, 8, ROOT, 6]


@given(st.one_of(nested(), running(), arbitrary(repeated=True)))
def test_what_failed_comes_first_and_then_what_took_longest(of: Recording) -> None:
    """Of what failed, that which findings are about; of the others, that which says something."""
    examination = Examination(of)
    spans = examination.network.spans
    places = places_by_weight(examination, examination.findings)
    still_open = {one[0] for one in of.open_spans}
    known = [at for at, one in enumerate(spans) if one and one.span_id not in still_open]
    assert sorted(places) == known
    in_order = [one for place in places if (one := spans[place]) is not None]
    failed = [one for one in in_order if one.status == "error"]
    assert in_order[: len(failed)] == failed
    first = list(first_failures(examination.findings, spans).values())
    assert {id(one) for one in failed[: len(first)]} == set(map(id, first))
    assert starts(failed[len(first) :]) == sorted(starts(failed[len(first) :]))
    rest = in_order[len(failed) :]
    says = [one.metadata is not None or one.usage is not None for one in rest]
    assert says == sorted(says, reverse=True)
    lengths = [(not told, one.start_ns - one.end_ns) for told, one in zip(says, rest, strict=True)]
    assert lengths == sorted(lengths)


def starts(spans: Sequence[SpanRecord]) -> list[int]:
    """Return when spans began."""
    return [one.start_ns for one in spans]


def failing() -> list[Any]:
    """Return an execution in which a call failed, with what it said."""
    event = {
        "timeUnixNano": str(T + 2 * S),
        "name": "exception",
        "attributes": attributes(
            {
                "exception.type": "ValueError",
                "exception.message": "bad row 7",
                "exception.stacktrace": "Traceback\nValueError: bad row 7",
            }
        ),
    }
    bad = made.phase(1, "e", "parse", "worker", start=S, end=2 * S, status={"code": 2}, row=7)
    good = made.phase(2, "e", "parse", "other", start=3 * S, end=9 * S, prompt="hello")
    return [root("e"), {**bad, "events": [event]}, good]


def page_of(spans: Sequence[Any], folder: Path) -> Any:
    """Return what the page of an execution has of it."""
    file = folder / "run.jsonl"
    file.write_bytes(line(*spans))
    return document_in(make_report(str(file)).html)["runs"][0]


def test_a_page_has_what_its_spans_say(tmp_path: Path) -> None:
    """And a finding about a failed call what that said."""
    run = page_of(failing(), tmp_path)
    by_row = {run["names"][row]: row for row in run["rows"]["name"]}
    assert "parse" in by_row
    said = sorted(decoded(run["details"]).values(), key=str)
    stack = ["Traceback", "ValueError: bad row 7"]
    exception = [("exception.type", "ValueError"), ("exception.message", "bad row 7")]
    assert said == [
        ([("prompt", "hello")], [], None, 0),
        ([("row", "7")], [("exception", S, exception, stack)], None, 0),
    ]
    assert [one["text"] for one in run["findings"] if one["kind"] == "failed"] == [
        "worker / parse failed once: ValueError: bad row 7"
    ]
    assert run["notes"] == []


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are, and where all are."""
    monkeypatch.setattr(reports_details, "MOST_SPANS", 1)
    run = page_of(failing(), tmp_path)
    assert len(decoded(run["details"])) == 1
    assert run["details"]["left_out"] == 2
    assert run["notes"] == [
        "attributes and events are here of 1 of 3 spans, of those that failed first and then of"
        " the longest; phasetrace export has all of them"
    ]


class Asked:
    """A source of one execution that notes which spans it is asked for; it may refuse."""

    def __init__(self, source: Source, error: Exception | None = None) -> None:
        self._source = source
        self._error = error
        self.ids: list[Any] = []

    def traces(self, execution: Any, rolled_up: bool, only: Any) -> Iterator[dict[str, Any]]:
        """Give what the source has."""
        self.ids.append(only)
        if self._error is not None:
            raise self._error
        return self._source.traces(execution, rolled_up, only)


def asked(error: Exception | None = None) -> tuple[Asked, Said]:
    """Return which spans of an execution are asked for, and what they said."""
    source = file_source("f", line(*failing()))
    execution = source.latest()
    examination = Examination(source.recording(execution))
    spy = Asked(source, error)
    said = read_details(spy, execution, False, examination, examination.findings)  # type: ignore[arg-type]
    return spy, said


def test_only_the_spans_that_matter_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than that, the source is not asked."""
    monkeypatch.setattr(reports_details, "MOST_SPANS", 1)
    spy, said = asked()
    assert spy.ids == [{1}]
    assert [one.attributes.get("row") for one in said.details.values()] == [7]


def test_a_source_that_cannot_tell_is_noted() -> None:
    """The page has everything else."""
    _, said = asked(SourceError("gone"))
    assert said == Said((), {}, "attributes and events are not here: gone")


def test_an_execution_without_a_root_has_what_its_spans_say() -> None:
    """The row of the whole has no span then."""
    examination = Examination(recording(span(2, ROOT, 0, 5, "a", "p"), span(3, ROOT, 0, 9, "a")))
    assert [
        one.span_id
        for place in places_by_weight(examination, ())
        if (one := examination.network.spans[place])
    ] == [3, 2]
