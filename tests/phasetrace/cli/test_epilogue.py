"""What ``phasetrace run`` says at the end, told without running a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

import phasetrace
from phasetrace import configuration, execution, timing_collector
from phasetrace.cli import epilogue
from phasetrace.cli.epilogue import Run, about_waiting, print_epilogue
from phasetrace.delivery.fleet import Delivery
from phasetrace.settings import settings_from
from phasetrace.store.destinations import DestinationSpec
from tests.phasetrace.receivers import http_receiver, respond

ADDRESS = "http://h:4318/v1/traces"
HERE = DestinationSpec(f"otlp_proto_http {ADDRESS}", "otlp_proto_http", ADDRESS, False)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that are said."""
    lines: list[str] = []
    monkeypatch.setattr(epilogue, "say", lines.append)
    return lines


def told(number: int, **settings: Any) -> str:
    """Return what is said where so many spans wait."""
    delivery = Delivery(HERE, False, number, None)
    return about_waiting(delivery, settings_from(**settings), Run("p", None, 0, False))


def test_the_runs_own_execution_without_an_id(said: list[str]) -> None:
    """Is known by the id that it was given, and told of before a longer one."""
    with execution("own"):
        pass
    timing_collector.record("longer", "n", "p", 60_000.0)
    phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, Run("phasetrace", None, 0, False, "own"))
    assert said[0].startswith("own: 1 span in ")
    assert said[-1] == "and 1 more execution: phasetrace list"


@pytest.mark.parametrize("with_breakdown", [True, False])
def test_a_breakdown_has_not_what_was_started_within_it(
    with_breakdown: bool, said: list[str]
) -> None:
    """So it is said where that is, with the breakdown only."""
    with execution("own"), execution("inner"):
        pass
    phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, Run("phasetrace", None, 0, with_breakdown, "own"))
    lines = [line for line in said if "within it" in line]
    line = "1 execution within it: phasetrace metrics own --breakdown --rolled-up"
    assert lines == [line] * with_breakdown


def test_an_execution_that_is_an_id_only_is_none(said: list[str]) -> None:
    """The run's own is there before its first phase, for the programs that it starts."""
    with execution("first"):
        pass
    configuration.current_tracing().recorder().state_of("own")  # type: ignore[union-attr]
    phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, Run("phasetrace", "own", 0, False))
    assert len(said) == 3
    assert said[0].startswith("first: 1 span in ")
    assert said[2] == "--exec-id own was not used: all executions have ids of their own"


def test_what_waits_and_how_to_deliver_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment that names the destination."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318")
    assert told(1) == f"1 span waits for {ADDRESS}; to deliver it: p ship"
    assert told(2) == f"2 spans wait for {ADDRESS}; to deliver them: p ship"


def test_how_to_deliver_to_a_destination_of_the_programs_own() -> None:
    """The environment does not name it, so the command does."""
    line = told(2, endpoint="http://h:4318")
    assert line == f"2 spans wait for {ADDRESS}; to deliver them: p ship --endpoint {ADDRESS}"


@pytest.mark.parametrize(("number", "spans"), [(1, "1 span is"), (2, "2 spans are")])
def test_what_a_process_delivers_needs_no_command(number: int, spans: str) -> None:
    """It is on its way, which ``status`` shows."""
    line = told(number, delivery="process")
    assert line == f"{spans} being delivered to {ADDRESS} by a process; see p status"


def test_why_it_waits_is_told_with_how_to_deliver_it(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with the variable to change."""
    with http_receiver() as receiver:
        receiver.answer = respond(403, b"not \x1b yours")
        whither = f"http://127.0.0.1:{receiver.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", whither)
        with execution("own"):
            pass
        phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, Run("p", None, 0, False, "own"))
    assert said[-1] == (
        f"1 span waits for {whither}/v1/traces: HTTP 403 Forbidden: not \\x1b yours; it wants to"
        " know who sends: set OTEL_EXPORTER_OTLP_HEADERS, which is not set; to deliver it: p ship"
    )


def test_why_a_process_has_not_delivered() -> None:
    """Where it has tried."""
    delivery = Delivery(HERE, False, 2, "HTTP 404")
    line = about_waiting(delivery, settings_from(delivery="process"), Run("p", None, 0, False))
    assert line == (
        f"2 spans are being delivered to {ADDRESS} by a process: HTTP 404; see p status"
    )


def test_why_it_is_lost_without_a_store(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind how much it is."""
    with http_receiver() as receiver:
        receiver.answer = respond(200, b"<html></html>", content_type="text/html")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        monkeypatch.setenv("PHASETRACE_STORE", "off")
        with execution("own"):
            pass
        phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, Run("p", None, 0, False, "own"))
    start = "1 span could not be delivered to otlp_proto_http: HTTP 200 with a web page"
    assert said[-1].startswith(start)


def lines_of_a_run(said: list[str], exec_id: str = "own") -> list[str]:
    """Record an execution in a program, and return what is said at its end."""
    with execution(exec_id):
        pass
    phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, Run("p", None, 0, False))
    return said


def test_where_the_trace_is(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If it has got there."""
    monkeypatch.setenv("PHASETRACE_TRACE_URL", "http://page/{trace_id}")
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        assert lines_of_a_run(said)[-1].startswith("trace: http://page/")


def test_no_address_of_what_a_sampler_has_left_out(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nowhere; and that is no fault."""
    monkeypatch.setenv("PHASETRACE_TRACE_URL", "http://page/{trace_id}")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        lines = lines_of_a_run(said)
    assert receiver.bodies == []
    assert lines[-1] == "own: not sent, the sampler has left it out"
    assert not any(line.startswith("trace: ") for line in lines)


def test_what_a_receiver_has_refused(
    said: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """How many, and where the reasons are."""
    partial = ExportTracePartialSuccess(rejected_spans=1)
    answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    with http_receiver() as receiver:
        receiver.answer = respond(200, answer, content_type="application/x-protobuf")
        whither = f"http://127.0.0.1:{receiver.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", whither)
        lines = lines_of_a_run(said)
    assert f"1 span refused by {whither}/v1/traces; see p status" in lines


def test_what_another_process_delivers(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on its way, as with a process of our own, and so is the address of the trace."""
    monkeypatch.setenv("PHASETRACE_TRACE_URL", "http://page/{trace_id}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    store = Path(os.environ["PHASETRACE_STORE"])
    store.parent.mkdir(parents=True)
    key = "otlp_proto_http http://127.0.0.1:9/v1/traces"
    program = f"""
import sys
from pathlib import Path
from phasetrace.delivery.lock import ServingLock, lock_path
lock = ServingLock(lock_path(Path({str(store)!r}), {key!r}))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        lines = lines_of_a_run(said)
        other.communicate()
    whither = "http://127.0.0.1:9/v1/traces"
    assert f"1 span is being delivered to {whither} by a process; see p status" in lines
    assert lines[-1].startswith("trace: http://page/")
