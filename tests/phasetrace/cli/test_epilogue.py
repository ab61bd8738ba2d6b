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
from phasetrace import configuration, execution, phase, timing_collector
from phasetrace.cli import epilogue
from phasetrace.cli.epilogue import Run, about_waiting, print_epilogue
from phasetrace.delivery.fleet import Delivery
from phasetrace.identity import trace_id_of
from phasetrace.settings import settings_from
from phasetrace.store.destinations import DestinationSpec
from phasetrace.testing import forget_everything
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


def epilogue_of(run: Run) -> None:
    """End the program, and say what there is to say."""
    phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, run)


def test_the_runs_own_execution_is_told_of_if_it_has_most(said: list[str]) -> None:
    """Without an id it is known by the one that it was given."""
    timing_collector.record("own", "n", "p", 90_000.0)
    timing_collector.record("other", "n", "p", 60_000.0)
    epilogue_of(Run("phasetrace", None, 0, False, "own"))
    assert said[0].startswith("own: 2 spans in ")
    assert said[-1] == "and 1 more execution: phasetrace list"


def test_the_runs_own_execution_with_a_stray_phase(said: list[str]) -> None:
    """Is one of the others, unless it was named."""
    timing_collector.record("own", "n", "p", 1.0)
    timing_collector.record("other", "n", "p", 60_000.0)
    epilogue_of(Run("phasetrace", None, 0, False, "own"))
    assert said[0].startswith("other: 2 spans in ")
    said.clear()
    epilogue_of(Run("phasetrace", "own", 0, False))
    assert said[0].startswith("own: 2 spans in ")


@pytest.mark.parametrize("with_breakdown", [True, False])
def test_a_breakdown_has_not_what_was_started_within_it(
    with_breakdown: bool, said: list[str]
) -> None:
    """So it is said where that is, with the breakdown only."""
    with execution("own"), phase("around"), execution("inner"):
        pass
    epilogue_of(Run("phasetrace", None, 0, with_breakdown, "own"))
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
        " know who sends: set OTEL_EXPORTER_OTLP_HEADERS, which is not set; once that is mended, to"
        f" deliver it: p ship --instead-of {whither}/v1/traces"
    )


def test_what_may_be_taken_later_is_shipped_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that is not there may be so for a while only; a mistake stays one."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318")
    for problem, command in [
        ("cannot connect to h:4318: Connection refused; is the receiver running?", "p ship"),
        ("HTTP 404; is the path right? V is taken whole", f"p ship --instead-of {ADDRESS}"),
    ]:
        delivery = Delivery(HERE, False, 2, problem)
        line = about_waiting(delivery, settings_from(), Run("p", None, 0, False))
        assert line.endswith(f": {command}")


def test_a_key_is_named_where_the_address_means_several(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the one who has recorded, too: the store knows the others."""
    with http_receiver() as receiver:
        receiver.answer = respond(403)
        for key in ("key=first", ""):
            forget_everything()
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", key)
            with execution():
                pass
            phasetrace.shutdown()
    tracing = configuration.latest_tracing()
    assert tracing is not None
    print_epilogue(tracing, Run("p", None, 0, False))
    (delivery,) = tracing.deliveries()
    assert said[-1].endswith(f"p ship --instead-of '{delivery.spec.key}'")


@pytest.mark.parametrize(
    ("exec_id", "command"),
    [
        ("-dash", "p metrics --breakdown -- -dash"),
        ("latest", f"p metrics {trace_id_of('latest'):032x} --breakdown"),
    ],
)
def test_how_to_look_again_can_be_pasted(said: list[str], exec_id: str, command: str) -> None:
    """Whatever the id is."""
    assert f"look again: {command}" in lines_of_a_run(said, exec_id)


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


@pytest.mark.parametrize("delivery", ["thread", "process"])
def test_what_was_delivered_without_the_store_is_told(
    delivery: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said before that the run is not stored; with where to look at it."""
    (tmp_path / "file").touch()
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        monkeypatch.setenv("PHASETRACE_TRACE_URL", "http://ui/trace/{trace_id}")
        phasetrace.configure(store=tmp_path / "file" / "traces.db", delivery=delivery)
        with execution("own"):
            pass
        epilogue_of(Run("p", None, 0, False, "own"))
    line = "1 span delivered to otlp_proto_http from memory, for the store did not take it"
    assert said[1:] == [line, f"trace: http://ui/trace/{trace_id_of('own'):032x}"]


def test_what_was_not_delivered_without_the_store_is_told(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And why."""
    (tmp_path / "file").touch()
    with http_receiver() as receiver:
        receiver.answer = respond(403, b"not yours")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        phasetrace.configure(store=tmp_path / "file" / "traces.db")
        with execution("own"), phase("p"):
            pass
        epilogue_of(Run("p", None, 0, False, "own"))
    (line,) = said[1:]
    start = "2 spans could not be delivered to otlp_proto_http: HTTP 403 Forbidden: not yours"
    assert line.startswith(start)


def test_what_was_to_be_delivered_later_and_is_not_stored_is_told(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can deliver it any more."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    phasetrace.configure(store=tmp_path / "file" / "traces.db", delivery="off")
    with execution("own"):
        pass
    epilogue_of(Run("p", None, 0, False, "own"))
    assert said[1:] == ["1 span not delivered: not stored (unwritable)"]
