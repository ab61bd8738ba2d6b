"""Files of OTLP JSON, in the forms in which they come, and broken in as many."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from typing import Any

import pytest

from phasetrace.errors import SourceError
from phasetrace.recordings import otlp_file
from phasetrace.recordings.otlp_file import spans_of_file
from tests.phasetrace.recordings.made import document, line, phase, root

FIRST, SECOND = line(root("e")), line(phase(7, "e"))
WHOLE = json.dumps(document([root("e"), phase(7, "e")]), indent=2).encode()


@pytest.mark.parametrize(
    "content",
    [
        FIRST + SECOND,
        (FIRST + SECOND).rstrip(),
        b"\n" + FIRST + b"\r\n  \r\n" + SECOND.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + FIRST + SECOND,
        FIRST + b'{"resourceLogs": []}\n{}\n' + SECOND,
        gzip.compress(FIRST + SECOND),
        gzip.compress(FIRST) + gzip.compress(SECOND),
        WHOLE,
        gzip.compress(WHOLE),
        b"\n\n" + WHOLE + b"\n",
        json.dumps(json.loads(FIRST), indent=1).encode() + json.dumps(json.loads(SECOND)).encode(),
    ],
)
def test_all_forms_of_a_file_are_read(content: bytes) -> None:
    """A line an object, one over many lines, compressed, with a mark of its encoding."""
    assert [one.span.type for one in spans_of_file("f", content)] == ["execution", "phase"]


def test_a_line_may_have_what_else_ends_lines_in_its_texts() -> None:
    """Only a line feed ends one."""
    content = json.dumps(document([phase(7, "e", "a\u2028b\x85c")]), ensure_ascii=False).encode()
    *_, found = spans_of_file("f", FIRST + content + b"\n")
    assert found.span.name == "a\u2028b\x85c"


def test_there_may_be_nothing_in_it() -> None:
    """A collector makes the file before there are spans."""
    assert spans_of_file("f", b"") == spans_of_file("f", b"\n \n") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SECOND[:50], "f, line 1: no JSON ("),
        (SECOND[:50] + b"\n" + FIRST[:50], "f, line 2: no JSON ("),
        (b"\n\nnot JSON\n{}\n5\n", "f, line 3: no JSON (Expecting value, column 1)"),
        (WHOLE[:-9], "f, line "),
        (WHOLE.replace(b'"spans": [', b'"spans": [,'), "f, line 12: no JSON (Expecting value"),
        (FIRST + b'{"data": 1}\n', 'f, line 2: it has "data", and no "resourceSpans"'),
        (WHOLE + b"\n" + b'\n{"data": 1}', 'it has "data", and no "resourceSpans"'),
        (b"\xff\n{}\n", "f, line 1: it is not UTF-8"),
        (b"<!doctype html>", "f, line 1: no JSON (Expecting value, column 1)"),
        (b'"""A program."""\nimport os\n', "f, line 1: no JSON (Extra data, column 3)"),
        (WHOLE + b"\xff", f"f, line {WHOLE.count(bytes([10])) + 1}: it is not UTF-8"),
        (b"[" * 100_000, "f, line 1: no JSON ("),
        (b'{"a": 1' + b"0" * 5_000 + b"}", "f, line 1: no JSON (Exceeds the limit"),
        (gzip.compress(FIRST)[:-5], "f is compressed by gzip, and is damaged"),
        (b"\x1f\x8bnothing", "f is compressed by gzip, and is damaged"),
        (b'{"resourceSpans": [1]}', "f, line 1: resourceSpans is [1] and no list of objects"),
    ],
)
def test_what_is_broken_is_said_with_its_line(content: bytes, message: str) -> None:
    """And with what was expected; nothing of the file is read."""
    with pytest.raises(SourceError, match=re.escape(message)) as error:
        spans_of_file("f", content)
    assert "\n" not in str(error.value)
    assert (
        "damaged" in message
        or 'expected OTLP JSON lines, each an object with "resourceSpans"' in str(error.value)
    )


TORN = FIRST[: len(FIRST) // 2]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (FIRST + TORN + b"\n" + SECOND, "line 2 cannot be read, and is left out"),
        (FIRST + SECOND + TORN, "line 3 cannot be read, and is left out"),
        (TORN + b"\n" + FIRST + SECOND, "line 1 cannot be read, and is left out"),
        (b"\0" * 99 + b"\n" + FIRST + SECOND, "line 1 cannot be read, and is left out"),
        (FIRST + b"\xff\n" + SECOND, "line 2 cannot be read, and is left out"),
        (
            FIRST + b"\n" + TORN + b"\n" + SECOND + b"[" * 100_000,
            "2 lines cannot be read, and are left out; the first is 3",
        ),
        (
            TORN + b"\n" + FIRST + TORN + b"\n" + SECOND,
            "2 lines cannot be read, and are left out; the first is 1",
        ),
    ],
)
def test_a_line_that_is_torn_is_left_out_and_counted(content: bytes, note: str) -> None:
    """As long as another one is whole, wherever; it is in the notes."""
    for data in (content, gzip.compress(content)):
        assert [one.span.type for one in spans_of_file("f", data)] == ["execution", "phase"]
        source = otlp_file.file_source("f", data)
        assert source.notes == (note,)
        assert len(list(source.traces(source.latest()))) == 2


@pytest.mark.parametrize("whole", [b"", FIRST])
def test_what_is_json_and_no_span_is_an_error_all_the_same(whole: bytes) -> None:
    """It is not torn; to go on behind it would be to guess."""
    for broken in (b'{"data": 1}\n', line({**phase(7, "e"), "spanId": "x"}), b"5\n"):
        with pytest.raises(SourceError, match="f, line "):
            spans_of_file("f", whole + broken + SECOND)


def test_what_cannot_be_written_again_is_said_with_its_line() -> None:
    """Where its spans are asked for: there is more in them than was looked at before."""
    source = otlp_file.file_source("f", FIRST + line({**phase(7, "e"), "events": 5}))
    with pytest.raises(SourceError, match="f, line 2: events is 5 and no list of objects; exp"):
        list(source.traces(source.latest()))


@pytest.mark.parametrize("name", ["startTimeUnixNano", "endTimeUnixNano"])
@pytest.mark.parametrize(
    "time", [-1, "-1", 2**64, 10**30, str(10**400), 10**400, 1e300, "1e999", float("inf")]
)
def test_what_is_no_time_is_said_with_its_place(name: str, time: Any) -> None:
    """Only what 64 bits without a sign can tell is one."""
    made = {**phase(7, "e"), name: time}
    with pytest.raises(SourceError) as error:
        spans_of_file("f", FIRST + line(made))
    what = "its start is" if name.startswith("start") else "its end is"
    assert f"f, line 2: resourceSpans[0].scopeSpans[0].spans[0]: {what} " in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**63, str(2**63), 10**400])
def test_what_is_no_number_of_an_attribute_is_said_with_its_place(number: Any) -> None:
    """They are 64 bits with a sign."""
    made = phase(7, "e")
    made["attributes"].append({"key": "k", "value": {"intValue": number}})
    with pytest.raises(SourceError, match=r"f, line 1: .*spans\[0\]: intValue is .*; expected -92"):
        spans_of_file("f", line(made))


def test_the_largest_numbers_are_read() -> None:
    """In both directions."""
    made = phase(7, "e", node=None)
    made["attributes"] += [
        {"key": "iteration", "value": {"intValue": str(number)}} for number in (-(2**63), 2**63 - 1)
    ]
    made = {**made, "startTimeUnixNano": 0, "endTimeUnixNano": str(2**64 - 1)}
    (found,) = spans_of_file("f", line(made))
    assert (found.span.start_ns, found.span.end_ns) == (0, 2**64 - 1)
    assert found.span.iteration == 2**63 - 1


@pytest.mark.parametrize("byte", [b"\0", b" "])
def test_what_explodes_is_refused(monkeypatch: pytest.MonkeyPatch, byte: bytes) -> None:
    """No text of spans is compressed as well as what is made to fill memories; little always is."""
    monkeypatch.setattr(otlp_file, "_ALWAYS_READ", 1024**2)
    packed = gzip.compress(byte * (16 * 1024**2))
    assert len(packed) < 20_000
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="f is compressed by gzip, and more than 3 MiB"):
            spans_of_file("f", packed)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 * 1024**2
    monkeypatch.setattr(otlp_file, "_ALWAYS_READ", 16 * 1024**2)
    if byte != b"\0":
        assert spans_of_file("f", packed) == []
        assert len(spans_of_file("f", gzip.compress(byte * 1_000_000 + FIRST))) == 1


def test_a_file_of_lines_is_read_a_line_at_a_time() -> None:
    """What is held of it is its spans."""
    lines = 200
    content = line(phase(7, "e", padding="x" * 100_000)) * lines
    tracemalloc.start()
    try:
        assert len(spans_of_file("f", content)) == lines
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(content) / 4


def test_the_line_of_a_broken_document_over_many_lines_is_where_it_breaks() -> None:
    """Not where the document begins."""
    content = WHOLE.replace(b'"name": "p"', b'"name": p')
    line_number = content[: content.index(b'"name": p')].count(b"\n") + 1
    with pytest.raises(SourceError, match=f"line {line_number}:"):
        spans_of_file("f", content)
