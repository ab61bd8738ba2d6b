"""Test `phasetrace ship --replay`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

import phasetrace
from phasetrace import execution, phase
from phasetrace.cli import main
from phasetrace.identity import trace_id_of
from tests.phasetrace.delivery.conftest import names_in
from tests.phasetrace.receivers import Receiver, http_receiver, respond


class Ends:
    """Stands between a test and its exporters' ends."""

    def __init__(self) -> None:
        self.is_flushed = True
        """What a flush answers."""
        self.of: list[int] = []
        """The exporters that were ended, in order; each twice: flushed, and shut down."""
        self.calls: list[str] = []
        self.timeouts_ms: list[int] = []

    def force_flush(self, exporter: Any, timeout_millis: int) -> bool:
        """Note it."""
        self.of.append(id(exporter))
        self.calls.append("flush")
        self.timeouts_ms.append(timeout_millis)
        return self.is_flushed

    def shutdown(self, exporter: Any) -> None:
        """Note it."""
        self.of.append(id(exporter))
        self.calls.append("shutdown")


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Return what becomes of the exporters that are made in this process."""
    ends = Ends()
    monkeypatch.setattr(
        OTLPSpanExporter,
        "force_flush",
        lambda self, timeout_millis=30_000: ends.force_flush(self, timeout_millis),
    )
    monkeypatch.setattr(OTLPSpanExporter, "shutdown", lambda self: ends.shutdown(self))
    return ends


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Record two executions that go nowhere, and return a receiver that the settings name."""
    for exec_id in ("one", "two"):
        with execution(exec_id), phase(f"work of {exec_id}"):
            pass
    phasetrace.force_flush(5)
    phasetrace.shutdown()
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        yield receiver


def test_exporters_are_flushed_and_shut_down(
    receiver: Receiver, ends: Ends, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, when all executions have gone, in the time that is left."""
    assert main(["ship", "--replay", "one", "two", "--timeout", "20"]) == 0
    assert [name for body in receiver.bodies for name in names_in(body) if "work" in name] == [
        "work of one",
        "work of two",
    ]
    assert ends.calls == ["flush", "shutdown"]
    assert len(set(ends.of)) == 1
    assert 0 < ends.timeouts_ms[0] <= 20_000
    shown = capsys.readouterr()
    assert shown.out.count("2 spans sent") == 2
    assert shown.err == ""


@pytest.mark.parametrize("name", ["one", "latest~1", f"{trace_id_of('one'):032x}", "on[e]"])
def test_an_execution_is_called_as_elsewhere(receiver: Receiver, name: str) -> None:
    """By its id, its turn, the id of its trace, or its name."""
    assert main(["ship", "--replay", name]) == 0
    names = [name for body in receiver.bodies for name in names_in(body) if "work" in name]
    assert names == ["work of one"]


def test_what_an_exporter_keeps_back_is_a_failure(
    receiver: Receiver, ends: Ends, capsys: pytest.CaptureFixture[str]
) -> None:
    """It took the spans, but they did not get through."""
    ends.is_flushed = False
    assert main(["ship", "--replay", "one"]) == 1
    assert ends.calls == ["flush", "shutdown"]
    assert "the exporter did not send all that it was given" in capsys.readouterr().err


def test_what_is_to_be_changed_is_told(
    receiver: Receiver, ends: Ends, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words of any other delivery."""
    receiver.answer = respond(401)
    assert main(["ship", "--replay", "one", "--timeout", "0.2"]) == 1
    assert "401 Unauthorized; " in (told := capsys.readouterr().err)
    assert "OTEL_EXPORTER_OTLP_HEADERS" in told


def test_exporters_are_shut_down_after_a_failure(
    receiver: Receiver, ends: Ends, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the receiver, or of the one who asked; the time that is left may be none."""
    receiver.answer = respond(503)
    before = time.monotonic()
    assert main(["ship", "--replay", "one", "--timeout", "0.2"]) == 1
    assert time.monotonic() - before < 5
    assert main(["ship", "--replay", "unheard of"]) != 0
    assert ends.calls == ["flush", "shutdown"] * 2
    assert ends.timeouts_ms[0] <= 200
