"""Test `phasetrace ship --instead-of`: what waits for an address that was wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import phasetrace
from phasetrace import execution, phase
from phasetrace.cli import main
from phasetrace.testing import forget_everything
from tests.phasetrace.delivery.conftest import names_in
from tests.phasetrace.receivers import Receiver, http_receiver, respond

HIDDEN = "hunter2"


def closed_port() -> int:
    """Return a port that nobody listens to."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


WRONG = f"http://127.0.0.1:{closed_port()}"


def record(monkeypatch: pytest.MonkeyPatch, endpoint: str, headers: str = "") -> None:
    """Record a phase for an address, with these headers, in a program of its own."""
    forget_everything()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    with execution(), phase("work"):
        pass
    phasetrace.shutdown()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver."""
    with http_receiver() as running:
        yield running


def address(receiver: Receiver) -> str:
    """Return where a receiver is."""
    return f"http://127.0.0.1:{receiver.port}"


def destinations(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what ``phasetrace status`` has of each destination."""
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["destinations"]
    return found


@pytest.mark.parametrize("given", [WRONG, f"{WRONG}/v1/traces"])
def test_an_address_that_was_wrong(
    given: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing goes elsewhere by itself; when it is asked for, each span once, in the old books."""
    record(monkeypatch, WRONG)
    record(monkeypatch, address(receiver))
    assert main(["ship"]) == 0
    assert [len(names_in(body)) for body in receiver.bodies] == [2]
    hint = f"2 spans wait for {WRONG}/v1/traces, as it was set before; to deliver them here: "
    said = capsys.readouterr().err
    assert hint in said
    assert said.rstrip().endswith(f"ship --instead-of {WRONG}/v1/traces")

    assert main(["ship", "--instead-of", given]) == 0
    assert [len(names_in(body)) for body in receiver.bodies] == [2, 2]
    out, err = capsys.readouterr()
    assert out.startswith(f"{address(receiver)}/v1/traces: 2 spans delivered, 0 waiting")
    assert "--instead-of" not in err
    found = destinations(capsys)
    assert [(one["delivered"], one["waiting"]) for one in found] == [(2, 0), (2, 0)]
    assert found[0]["endpoint"] == f"{WRONG}/v1/traces"


def test_another_key(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two destinations with one address, the one that the settings do not name."""
    receiver.answer = respond(401, f"{HIDDEN} has expired".encode())
    for number in range(2):
        record(monkeypatch, address(receiver), f"key={HIDDEN}-{number}")
    receiver.answer = respond(200)
    receiver.bodies.clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"key={HIDDEN}-new")
    capsys.readouterr()
    assert main(["ship", "--instead-of", address(receiver)]) == 0
    assert [len(names_in(body)) for body in receiver.bodies] == [2, 2]
    assert {one["key"] for one in receiver.headers[-2:]} == {f"{HIDDEN}-new"}
    found = destinations(capsys)
    assert [(one["delivered"], one["waiting"]) for one in found] == [(2, 0), (2, 0)]
    assert HIDDEN not in json.dumps(found)


def test_nothing_waits_for_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then it says what spans wait for, and shows no password."""
    record(monkeypatch, WRONG)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(receiver))
    capsys.readouterr()
    assert main(["ship", "--instead-of", f"http://me:{HIDDEN}@h"]) == 2
    said = capsys.readouterr().err
    assert f"--instead-of='http://…@h': spans wait for {WRONG}/v1/traces" in said
    assert receiver.bodies == []


def test_there_is_no_address_to_ship_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is none."""
    record(monkeypatch, WRONG)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "phasetrace_jsonl")
    assert main(["ship", "--instead-of", WRONG]) in (1, 2)
    assert "set OTEL_EXPORTER_OTLP_ENDPOINT" in capsys.readouterr().err


def test_status_says_how(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the last try failed."""
    record(monkeypatch, WRONG)
    capsys.readouterr()
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (error,) = (line for line in lines if "Connection refused" in line)
    assert "; is the receiver running, there and on this port? OTEL_EXPORTER_OTLP_ENDPOINT" in error
    assert any(line.endswith(f"ship --instead-of {WRONG}/v1/traces") for line in lines)


def test_what_waits_for_the_address_itself_needs_no_other_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told with its reason."""
    record(monkeypatch, WRONG)
    capsys.readouterr()
    assert main(["ship", "--timeout", "0"]) == 1
    assert "--instead-of" not in capsys.readouterr().err
