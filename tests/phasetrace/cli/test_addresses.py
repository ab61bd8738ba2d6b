"""Test what `phasetrace ship` says of where traces can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import phasetrace
from phasetrace import execution, phase
from phasetrace.cli import main
from phasetrace.identity import trace_id_of
from tests.phasetrace.receivers import Receiver, http_receiver, respond

Say = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Run a receiver that the environment names, whose traces have pages."""
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        monkeypatch.setenv("PHASETRACE_TRACE_URL", "http://pages.test/{trace_id}")
        monkeypatch.setenv("PHASETRACE_DELIVERY", "off")
        yield receiver


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Return a function that calls the command, and returns its code and the lines on stderr."""
    monkeypatch.setattr("phasetrace.cli.addresses.command", lambda: "phasetrace")

    def call(*arguments: str) -> tuple[int, list[str]]:
        capsys.readouterr()
        code = main(["ship", *arguments])
        return code, capsys.readouterr().err.splitlines()

    return call


def record(*exec_ids: str) -> None:
    """Record executions, each with one within it; delivery is left to the command."""
    phasetrace.configure()
    for exec_id in exec_ids:
        with execution(exec_id), phase("p"), execution(f"{exec_id} within"):
            pass
    phasetrace.shutdown()


def told(exec_id: str) -> str:
    """Return the line with the address of an execution's trace."""
    return f"phasetrace: trace: http://pages.test/{trace_id_of(exec_id):032x}"


def test_what_was_delivered_has_an_address(receiver: Receiver, say: Say) -> None:
    """As after a run; what has been there before is not spoken of."""
    record("one")
    assert say() == (0, [told("one")])
    assert say() == (0, [])
    record("two")
    assert say() == (0, [told("two")])


def test_of_several_traces_the_latest_is_told(receiver: Receiver, say: Say) -> None:
    """And how to get the others' addresses; executions within each other are in one trace."""
    record("one", "two")
    assert say() == (0, [told("two"), "phasetrace: and 1 more trace: phasetrace open EXEC"])
    record("three", "four", "five")
    assert say() == (0, [told("five"), "phasetrace: and 2 more traces: phasetrace open EXEC"])


def test_what_was_not_delivered_has_none(receiver: Receiver, say: Say) -> None:
    """There is nothing to look at."""
    receiver.answer = respond(503)
    record("one")
    code, lines = say("--timeout", "0.2")
    assert code == 1
    assert told("one") not in lines


def test_without_a_page_there_is_no_address(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spans are delivered all the same."""
    monkeypatch.setenv("PHASETRACE_TRACE_URL", "off")
    record("one")
    assert say() == (0, [])
    assert say("--replay", "one") == (0, [])
    assert receiver.bodies


def test_what_is_sent_again_has_an_address(receiver: Receiver, say: Say) -> None:
    """Each that was asked for, in that order; an execution within another has that one's."""
    record("one", "two")
    assert say("--replay", "two", "one", "one within") == (0, [told("two"), told("one")])
    receiver.answer = respond(503)
    code, lines = say("--replay", "one", "--timeout", "0.2")
    assert code == 1
    assert told("one") not in lines


def test_other_exporters_have_no_pages(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is written into a file is not at the address."""
    monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / "traces.jsonl"))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "phasetrace_jsonl")
    record("one")
    assert say() == (0, [])
    assert say("--replay", "one") == (0, [])
