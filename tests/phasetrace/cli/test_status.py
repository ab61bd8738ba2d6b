"""Test `phasetrace status`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

import phasetrace
from phasetrace import execution, phase
from phasetrace.cli import command, main
from phasetrace.cli.status import size
from phasetrace.cli.waiting import how_to_ship
from phasetrace.rendering import cells
from phasetrace.store.destinations import DestinationSpec
from tests.phasetrace.receivers import fail, grpc_receiver, http_receiver, respond


def record(
    endpoint: str | None, *names: str, exec_id: str = "exec_1", is_taken: bool = True
) -> None:
    """Record phases, and deliver them if they are taken; else they are tried at the end."""
    phasetrace.configure(endpoint=endpoint)
    with execution(exec_id):
        for name in names:
            with phase(name):
                pass
    if is_taken:
        phasetrace.force_flush()
    phasetrace.shutdown()


def record_only(name: str) -> None:
    """Record a phase, and wait no longer for its delivery than the end of a program does."""
    with execution("exec_1"), phase(name):
        pass
    phasetrace.shutdown()


def status(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is printed."""
    assert main(["status"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def status_json(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what is printed as JSON."""
    assert main(["status", "--json"]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    return json.loads(text)


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for the store and a line for the destination."""
    with http_receiver() as receiver:
        record(f"http://127.0.0.1:{receiver.port}", "work", "work")
        text = status(capsys)
        store, kept, redacting, _, whither, delivered = text.splitlines()
        assert store == f"Store {os.environ['PHASETRACE_STORE']}"
        assert kept.startswith("  kept       1 execution, 3 spans, ")
        assert kept.endswith(" of 512 MB")
        assert redacting == "  redacting  secrets"
        assert whither == f"http://127.0.0.1:{receiver.port}/v1/traces (otlp_proto_http)"
        assert delivered == "  delivered  3  all that was recorded; the last just now"


def test_what_waits_and_what_to_do(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """With the receiver's reason, its age, and the commands."""
    with http_receiver() as receiver:
        receiver.answer = respond(503, b"no \x1b[31mroom")
        record(f"http://127.0.0.1:{receiver.port}", "work", is_taken=False)
    text = status(capsys)
    assert "  recorded   2\n  delivered  0\n  waiting    2  for " in text
    assert r"HTTP 503 Service Unavailable: no \x1b[31mroom (just now)" in text
    assert "nobody is delivering; to do so: " in text
    assert " doctor\n" in text
    (found,) = status_json(capsys)["destinations"]
    assert (found["recorded"], found["stored"], found["waiting"]) == (2, 2, 2)
    assert (found["delivered"], found["refused"], found["dropped"], found["lost"]) == (0, 0, {}, {})
    assert found["served"] is False
    assert found["oldest_waiting_ns"] > 10**18
    assert found["last_error_ns"] > 10**18
    assert found["last_success_ns"] is None


def shipped(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command as it is printed, with the variables before it; return its exit code."""
    words = shlex.split(command)
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    return main(words[words.index("ship") :])


@pytest.mark.parametrize(
    ("protocol", "path", "other"),
    [
        ("http/protobuf", "", "http/protobuf"),
        ("http/protobuf", "", "grpc"),
        ("http/protobuf", "/custom", "http/protobuf"),
        ("grpc", "", "http/protobuf"),
        ("grpc", "", "grpc"),
    ],
)
def test_how_to_ship_to_what_the_environment_does_not_name(
    protocol: str,
    path: str,
    other: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The command that is printed delivers, whatever protocol the environment has."""
    with grpc_receiver() if protocol == "grpc" else http_receiver() as receiver:
        take = receiver.answer
        receiver.answer = respond(503)
        if protocol == "grpc":
            receiver.answer = fail(grpc.StatusCode.UNAVAILABLE)
        with monkeypatch.context() as recording:
            recording.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            address = f"http://127.0.0.1:{receiver.port}"
            if path:
                recording.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{address}{path}")
            else:
                recording.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
            record_only("work")
        receiver.answer = take
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", other)
        (line,) = (line for line in status(capsys).splitlines() if "to do so: " in line)
        _, command = line.split("to do so: ")
        assert shipped(command, monkeypatch) == 0
        assert "2 spans delivered, 0 waiting" in capsys.readouterr().out


def test_how_to_ship_to_what_the_environment_names(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No more is to be said than the command."""
    with http_receiver() as receiver:
        receiver.answer = respond(503)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        record_only("work")
    assert " ship\n" in status(capsys)


def spec(key: str, name: str, endpoint: str | None) -> DestinationSpec:
    """Return a destination."""
    return DestinationSpec(key, name, endpoint, False)


@pytest.mark.parametrize(
    ("destination", "command"),
    [
        (
            spec("otlp_proto_http http://h/v1/traces #1234", "otlp_proto_http", "http://h"),
            "p ship, in the environment of the program that recorded",
        ),
        (spec("lines", "lines", None), "OTEL_TRACES_EXPORTER=lines p ship"),
        (
            spec("otlp_proto_http a b/v1/traces", "otlp_proto_http", "a b/v1/traces"),
            "p ship --endpoint 'a b/v1/traces'",
        ),
    ],
)
def test_how_to_ship_elsewhere(destination: DestinationSpec, command: str) -> None:
    """With headers, which are not to be seen, there is no command; others name the exporter."""
    assert how_to_ship(destination, ["another"], "http/protobuf", "p") == command


def record_wrongly(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> str:
    """Record for an address that takes nothing, and return the command that takes it over."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    record_only("work")
    return f"{command()} ship --instead-of {endpoint}/v1/traces"


@pytest.mark.parametrize("is_named", [True, False])
def test_an_address_that_was_wrong_is_not_to_be_shipped_to(
    is_named: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is to be mended first."""
    again = record_wrongly(monkeypatch, "http:/localhost:4318")
    if not is_named:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    text = status(capsys)
    mend = "if a variable is wrong, mend it; then, to send them to where it says: "
    *_, who, wrong, how = text.splitlines()
    assert who == "  -> nobody is delivering"
    assert wrong.endswith(" doctor")
    assert how == f"  -> {mend}{again}"


def test_an_address_that_was_wrong_and_is_mended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is where the settings say now."""
    again = record_wrongly(monkeypatch, "http:/localhost:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    *_, who, _, how = status(capsys).splitlines()
    assert who == "  -> nobody is delivering"
    wrong = "if that address was wrong, send them to where the settings say now: "
    assert how == f"  -> {wrong}{again}"


def test_where_nobody_listens_it_may_be_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the command that delivers there comes first, and the other after it."""
    again = record_wrongly(monkeypatch, "http://127.0.0.1:9")
    *_, who, _, how = status(capsys).splitlines()
    assert who == f"  -> nobody is delivering; to do so: {command()} ship"
    assert how.endswith(f": {again}")


def test_many_others_that_nothing_waits_for_are_told_of_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those served last are told of one by one; where one would be left, it is, too."""
    with http_receiver() as receiver:
        addresses = [f"http://127.0.0.1:{receiver.port}/{number}" for number in range(5)]
        for number, address in enumerate(addresses):
            text = ""
            record(address, "work", exec_id=f"exec_{number}")
            if number >= 3:
                text = status(capsys)
                headings = [line for line in text.splitlines() if line.startswith("http")]
                assert len(headings) == (4 if number == 3 else 3)
    assert headings == [f"{one}/v1/traces (otlp_proto_http)" for one in addresses[2:]]
    assert text.endswith(
        "\n2 other destinations\n  delivered  4  all that was recorded; nothing waits\n"
        f"  -> one by one: {command()} status --json\n"
    )
    assert len(status_json(capsys)["destinations"]) == 5


def test_refused_spans(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """By name, with the receiver's reason; the others got there."""
    with http_receiver() as receiver:

        def answer(handler: Any) -> None:
            is_bad = b"monster" in receiver.bodies[-1]
            (respond(400, b"too long") if is_bad else respond(200))(handler)

        receiver.answer = answer
        record(f"http://127.0.0.1:{receiver.port}", "work", "monster\n", "work")
    text = status(capsys)
    assert "  delivered  3  the last just now\n" in text
    assert "  refused    1  the receiver will not take them\n" in text
    assert r"  monster\n  exec_1  just now  HTTP 400 Bad Request: too long" in text
    assert "ship --replay EXEC_ID" in text
    found = status_json(capsys)
    (span,) = found["refused_spans"]
    assert found["refused_spans_total"] == 1
    assert (span["name"], span["exec_id"]) == ("monster\n", "exec_1")
    assert span["endpoint"] == found["destinations"][0]["endpoint"]


def test_what_a_receiver_remarks(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It may not keep a part of what it takes, without saying which; its words are told once."""
    partial = ExportTracePartialSuccess(rejected_spans=1, error_message="too \x1b old")
    said = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    with http_receiver() as receiver:
        receiver.answer = respond(200, said, content_type="application/x-protobuf")
        for number in range(2):
            record(f"http://127.0.0.1:{receiver.port}", "work", exec_id=f"exec_{number}")
    text = status(capsys)
    assert "  delivered  2  the last just now\n" in text
    assert "  refused    2  the receiver will not take them\n" in text
    assert r"  it says       too \x1b old" in text
    (found,) = status_json(capsys)["destinations"]
    assert (found["remark"], found["last_error"]) == ("too \x1b old", None)
    assert "did not keep 1 of the spans; it says: too" in caplog.text


def test_no_destination_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """That is how it is without an endpoint."""
    record(None, "work")
    text = status(capsys)
    assert "1 execution, 2 spans" in text
    assert "no program has recorded with a destination yet" in text
    assert status_json(capsys)["destinations"] == []


def test_no_store(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, and how to make one."""
    assert main(["status"]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "phasetrace run" in shown.err
    assert not Path(os.environ["PHASETRACE_STORE"]).exists()


def test_a_store_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4, in one line."""
    store = Path(os.environ["PHASETRACE_STORE"])
    store.parent.mkdir()
    store.write_bytes(b"not a database" * 100)
    assert main(["status"]) == 4
    assert capsys.readouterr().err.count("\n") == 1


def test_bad_limits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A usage error that names the variable."""
    monkeypatch.setenv("PHASETRACE_RETENTION", "much")
    assert main(["status"]) == 2
    assert "PHASETRACE_RETENTION='much'" in capsys.readouterr().err


def test_it_is_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do then is said."""
    record(None, "work")
    monkeypatch.setenv("PHASETRACE_RETENTION", "1KB")
    assert "it is full: deliver what waits" in status(capsys)


def test_the_same_address_with_other_headers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is told apart, without the headers."""
    with http_receiver() as receiver:
        for number, secret in enumerate(("hunter2", "hunter3")):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={secret}")
            record(f"http://127.0.0.1:{receiver.port}", "work", exec_id=f"exec_{number}")
    text = status(capsys)
    assert "hunter" not in text + json.dumps(status_json(capsys))
    headings = [line for line in text.splitlines() if line.startswith("http")]
    assert len(set(headings)) == 2


@pytest.mark.parametrize("width", [60, 80, 200])
def test_in_a_terminal(
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No line is longer, and the reason is there to its end."""
    monkeypatch.setattr("phasetrace.cli.sheet.terminal_width", lambda: width)
    monkeypatch.setenv("NO_COLOR", "1")
    with http_receiver() as receiver:
        receiver.answer = respond(503, b"the disk of the receiver is " + b"very " * 20 + b"FULL")
        record(f"http://127.0.0.1:{receiver.port}", "work", is_taken=False)
    text = status(capsys)
    assert all(cells(line) <= width for line in text.splitlines())
    assert "FULL" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (184_320, "180 kB"),
        (1024**2, "1 MB"),
        (512 * 1024**2, "512 MB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    """Three digits, in powers of 1,024 as the setting has them."""
    assert size(number) == text
