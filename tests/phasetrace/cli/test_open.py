"""Test `phasetrace open`: which address it says, when it opens it, and what it says instead."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import webbrowser
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.cli import main
from phasetrace.identity import trace_id_of
from phasetrace.store.reader import StoreReader
from tests.phasetrace.receivers import HttpAnswer, Receiver, grpc_receiver, http_receiver, respond
from tests.phasetrace.recordings.made import root
from tests.phasetrace.recordings.otlp_files import write_otlp
from tests.phasetrace.recordings.query_service import HTML, QueryService, running

PAGE = "http://pages.test/{trace_id}/all"
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Run a receiver that the environment names, whose traces have pages."""
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(receiver))
        monkeypatch.setenv("PHASETRACE_TRACE_URL", PAGE)
        yield receiver


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[QueryService]:
    """Run a query service, which is where traces are looked at."""
    with running() as service:
        monkeypatch.setenv("PHASETRACE_TRACE_URL", f"{service.url}/trace/{{trace_id}}")
        yield service


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the browser is asked to open."""
    addresses: list[str] = []

    def open_one(address: str) -> bool:
        addresses.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", open_one)
    return addresses


@pytest.fixture
def say(
    capsys: pytest.CaptureFixture[str], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> Say:
    """Return a function that calls the command, and returns its code, data and complaints."""
    monkeypatch.setattr(sys, "argv", ["/nowhere/phasetrace"])
    monkeypatch.setattr("phasetrace.cli.opening.command", lambda: "phasetrace")

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(["open", *arguments]), *capsys.readouterr()

    return call


def address(receiver: Receiver) -> str:
    """Return what the environment is to name a receiver by."""
    return f"http://127.0.0.1:{receiver.port}"


def record(*exec_ids: str, name: str | None = None) -> None:
    """Record executions of three spans, and write out what can be."""
    phasetrace.configure()
    for exec_id in exec_ids:
        with execution(exec_id, name=name), node("n"), phase("p"):
            pass
    phasetrace.shutdown()


def refusing(exec_id: str, receiver: Receiver) -> HttpAnswer:
    """Return what has a receiver take everything but the spans of an execution."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        respond(400 if exec_id.encode() in receiver.bodies[-1] else 200)(handler)

    return answer


def page(exec_id: str, form: str = PAGE) -> str:
    """Return the address of an execution's trace as it is printed."""
    return form.replace("{trace_id}", f"{trace_id_of(exec_id):032x}") + "\n"


# --- the address ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [["run_1"], ["nightly~1"], ["latest~1"]])
def test_the_address_is_all_that_is_printed(
    receiver: Receiver, say: Say, reference: list[str]
) -> None:
    """Of the execution that is called as everywhere."""
    record("run_1", "run_2", name="nightly")
    assert say(*reference) == (0, page("run_1"), "")
    assert say() == (0, page("run_2"), "")


def test_an_execution_within_another_is_in_its_trace(receiver: Receiver, say: Say) -> None:
    """So that is where its address leads."""
    with execution("outer"), execution("inner"), phase("p"):
        pass
    phasetrace.shutdown()
    assert say("inner") == (0, page("outer"), "")


def test_of_a_file_it_is_not_known_where_it_was_sent(
    receiver: Receiver, say: Say, tmp_path: Path
) -> None:
    """The address is that of its trace."""
    record("run_1")
    file = write_otlp(Path(os.environ["PHASETRACE_STORE"]), tmp_path / "run.jsonl")
    assert say(str(file)) == (0, page("run_1"), "")


# --- the browser ----------------------------------------------------------------------------------


def test_a_terminal_has_it_opened(
    receiver: Receiver, say: Say, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless only the address is asked for; without a terminal nothing opens."""
    record("run_1")
    say("run_1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert say("run_1", "--print") == (0, page("run_1"), "")
    assert opened == []
    assert say("run_1") == (0, page("run_1"), "")
    assert opened == [page("run_1").rstrip()]


def test_without_a_browser_the_address_is_there_all_the_same(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no failure: the terminal may be one of another machine."""
    record("run_1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    said = "phasetrace: there is no browser to open it in\n"
    assert say("run_1") == (0, page("run_1"), said)


def test_a_browser_that_cannot_be_called_is_told_of(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the variable names may be no command."""

    def fail(address: str) -> bool:
        raise ValueError("No closing quotation")

    record("run_1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(webbrowser, "open", fail)
    said = "phasetrace: cannot open a browser (BROWSER names it): No closing quotation\n"
    assert say("run_1") == (0, page("run_1"), said)


# --- what is said instead -------------------------------------------------------------------------


def test_without_an_address_it_is_said_what_to_set(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which variable, and what it looks like."""
    record("run_1")
    code, out, err = say("run_1")
    assert (code, out) == (2, "")
    assert err == (
        "phasetrace: no address of traces is known: set OTEL_EXPORTER_OTLP_ENDPOINT to a Jaeger's,"
        " such as http://localhost:4318, or PHASETRACE_TRACE_URL to the address of a trace, with"
        " {trace_id} in it\n"
    )
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:hunter2@h.test:4318")
    code, out, err = say("run_1")
    assert (code, out) == (2, "")
    assert err == (
        "phasetrace: where https://…@h.test:4318/v1/traces shows traces is not known:"
        " set PHASETRACE_TRACE_URL to the address of a trace, with {trace_id} in it\n"
    )


def test_an_unknown_execution_is_one_everywhere(receiver: Receiver, say: Say) -> None:
    """With the exit code of the other commands."""
    code, _, err = say()
    assert code == 3
    assert err.startswith("phasetrace: nothing has been recorded yet")
    record("run_1")
    code, out, err = say("run_2")
    assert (code, out) == (3, "")
    assert "did you mean run_1? See phasetrace list" in err


def test_what_waits_is_not_there_yet(
    receiver: Receiver, say: Say, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said how to deliver it, also where the environment does not name the destination."""
    receiver.answer = respond(503)
    record("run_1")
    there = f"{address(receiver)}/v1/traces"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    waits = f"phasetrace: run_1 is not there yet: 3 spans wait for {there}; to deliver them: "
    assert say("run_1") == (1, "", f"{waits}phasetrace ship\n")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert say("run_1") == (1, "", f"{waits}phasetrace ship --endpoint {there}\n")
    assert opened == []


def test_what_is_there_in_part_is_shown(receiver: Receiver, say: Say) -> None:
    """With a word on the rest."""
    record("run_1")
    receiver.answer = respond(503)
    phasetrace.configure()
    with execution("run_1"):
        pass
    phasetrace.shutdown()
    code, out, err = say("run_1")
    assert (code, out) == (0, page("run_1"))
    there = f"{address(receiver)}/v1/traces"
    how = "to deliver it: phasetrace ship"
    assert err == f"phasetrace: 1 span waits for {there} still; {how}\n"


def test_what_was_refused_is_not_there(receiver: Receiver, say: Say) -> None:
    """It never will be by itself."""
    receiver.answer = refusing("run_1", receiver)
    record("run_1", "run_2")
    code, out, err = say("run_1")
    assert (code, out) == (1, "")
    there = f"{address(receiver)}/v1/traces"
    assert err == f"phasetrace: run_1 is not there: {there} refused it; see phasetrace status\n"
    assert say("run_2") == (0, page("run_2"), "")


def test_the_destination_that_counts_is_the_one_of_the_environment(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another one has got, or waits for, is not looked at."""
    record("run_1")
    with http_receiver() as other:
        other.answer = respond(503)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(other))
        record("run_1")
        assert say("run_1")[:2] == (1, "")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(receiver))
        assert say("run_1") == (0, page("run_1"), "")


def test_without_a_destination_in_the_environment_any_will_do(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has got most of it, whichever was the first."""
    with http_receiver() as other:
        other.answer = respond(503)
        for endpoint in (address(other), address(receiver)):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            record("run_1")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert say("run_1") == (0, page("run_1"), "")


def test_an_exporter_that_is_named_may_speak_another_protocol(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its destination is the one of the environment all the same."""
    monkeypatch.setenv("PHASETRACE_TRACE_URL", PAGE)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp_proto_grpc")
    with grpc_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(receiver))
        record("run_1")
        assert say("run_1") == (0, page("run_1"), "")


def test_the_store_tells_by_destination(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many spans of an execution each has got, and how many wait, or were refused."""
    record("run_1", "run_2")
    with http_receiver() as choosy, http_receiver() as away:
        choosy.answer, away.answer = refusing("run_1", choosy), respond(503)
        for one in (choosy, away):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(one))
            record("run_1", "run_3")
    with StoreReader(Path(os.environ["PHASETRACE_STORE"])) as store:
        found = [tuple(one[1:]) for one in store.arrivals(store.find("run_1"))]
        assert found == [(3, 0, 0), (0, 0, 3), (0, 3, 0)]
        assert [tuple(one[1:]) for one in store.arrivals(store.find("run_2"))] == [(3, 0, 0)]


# --- what the store cannot tell -------------------------------------------------------------------


def test_jaeger_itself_says_whether_it_has_what_was_sent_by_hand(
    service: QueryService, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has no book of what was recorded without a destination."""
    record("run_1")
    how = "to send it: phasetrace ship --replay run_1"
    recorded = "phasetrace: run_1 was recorded without a destination"
    assert say("run_1") == (1, "", f"{recorded}, and is not there; {how}\n")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h.test:4318")
    recorded = "phasetrace: run_1 was not to go to http://h.test:4318/v1/traces"
    assert say("run_1") == (1, "", f"{recorded}, and is not there; {how}\n")
    service.add(root("run_1"))
    form = f"{service.url}/trace/{{trace_id}}"
    assert say("run_1") == (0, page("run_1", form), "")


@pytest.mark.parametrize("form", ["/trace/{trace_id}", "/find?id={trace_id}"])
def test_where_nobody_can_say_the_address_is_printed(
    service: QueryService, say: Say, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """With what to do if nothing is there; what has no page like Jaeger's is not asked."""
    record("run_1")
    monkeypatch.setenv("PHASETRACE_TRACE_URL", f"{service.url}{form}")
    service.answer = lambda path, query: HTML
    code, out, err = say("run_1")
    assert (code, out) == (0, page("run_1", f"{service.url}{form}"))
    assert err == (
        "phasetrace: run_1 was recorded without a destination; unless it was sent since, it is not"
        " there; to send it: phasetrace ship --replay run_1\n"
    )
    assert bool(service.asked) == form.startswith("/trace/")


def test_text_is_made_safe(receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id comes from the program."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    odd = "run\x1b[31m"
    record(odd)
    code, _, err = say("latest")
    assert code == 0
    assert "run\\x1b[31m was recorded" in err
    trace_id = f"{trace_id_of(odd):032x}"
    assert f"--replay {trace_id}\n" in err  # which can be pasted


# --- another place than the environment names -----------------------------------------------------


def call_the_destination(name: str) -> None:
    """Have the store know its only destination by another address."""
    with sqlite3.connect(os.environ["PHASETRACE_STORE"]) as connection:
        connection.execute("UPDATE destinations SET endpoint = ?", (name,))
    connection.close()


def test_in_a_new_shell_the_store_knows_where_it_went(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable need not be set again to look at what was sent; unless it says that none is."""
    record("run_1")
    call_the_destination("http://jaeger.test:4318/v1/traces")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    monkeypatch.delenv("PHASETRACE_TRACE_URL")
    there = page("run_1", "http://jaeger.test:16686/trace/{trace_id}")
    assert say("run_1") == (0, there, "")
    monkeypatch.setenv("PHASETRACE_TRACE_URL", "off")
    code, out, err = say("run_1")
    assert (code, out) == (2, "")
    assert "no address of traces is known" in err


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "went to {there}, and was not to go to {here}; "),
        (503, "waits for {there}, and was not to go to {here}; "),
    ],
)
def test_what_went_elsewhere_is_told_with_what_to_do(
    status: int, said: str, receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for an address that was wrong is taken from there, and not sent twice."""
    receiver.answer = respond(status)
    record("run_1")
    there = f"{address(receiver)}/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h.test:4318")
    err = say("run_1")[2]
    assert f"run_1 {said.format(there=there, here='http://h.test:4318/v1/traces')}" in err
    assert (f"ship --instead-of {there}" in err) is (status == 503)
    assert ("ship --replay run_1" in err) is (status == 200)


def test_a_password_is_not_printed(
    receiver: Receiver, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the address may have one."""
    monkeypatch.setenv("PHASETRACE_TRACE_URL", "https://me:hunter2@pages.test/{trace_id}?a=b@c")
    record("run_1")
    assert say("run_1") == (0, page("run_1", "https://pages.test/{trace_id}?a=b@c"), "")


def test_an_id_that_looks_like_an_option(
    say: Say, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that is printed can be used."""
    monkeypatch.setenv("PHASETRACE_TRACE_URL", PAGE)
    record("--print")
    err = say()[2]
    (command,) = re.findall(r"phasetrace (ship .*)$", err.strip())
    assert command == "ship --replay=--print"
    with http_receiver() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(running))
        assert main(command.split()) == 0
    assert len(running.bodies) == 1
