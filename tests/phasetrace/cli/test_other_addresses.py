"""Test `phasetrace ship --instead-of`: what waits for an address that was wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

import phasetrace
from phasetrace import execution, phase
from phasetrace.cli import main, other_addresses
from phasetrace.store.standing import DestinationStanding
from phasetrace.testing import forget_everything
from tests.phasetrace.delivery.conftest import names_in
from tests.phasetrace.receivers import Receiver, http_receiver, respond

HIDDEN = "hunter2"
DAY_NS = 24 * 3600 * 1_000_000_000


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
    hint = f"2 spans wait for {WRONG}/v1/traces; if that address was wrong, send them here: "
    said = capsys.readouterr().err
    assert hint in said
    assert said.rstrip().endswith(f"ship --instead-of {WRONG}/v1/traces")

    assert main(["ship", "--instead-of", given]) == 0
    assert [len(names_in(body)) for body in receiver.bodies] == [2, 2]
    out, err = capsys.readouterr()
    assert out.startswith(f"{address(receiver)}/v1/traces: 2 spans delivered, 0 waiting")
    assert "--instead-of" not in err
    assert err.startswith(
        f"phasetrace: 2 spans recorded for {WRONG}/v1/traces will be sent to"
        f" {address(receiver)}/v1/traces and never to {WRONG}/v1/traces\n"
    )
    found = destinations(capsys)
    assert [(one["delivered"], one["waiting"]) for one in found] == [(2, 0), (2, 0)]
    assert found[0]["endpoint"] == f"{WRONG}/v1/traces"
    # The wrong address has taken nothing, and that shows.
    assert [one["elsewhere"] for one in found] == [2, 0]
    assert found[0]["last_success_ns"] is None
    assert main(["status"]) == 0
    assert (
        "  delivered  2  all that was recorded; all to another address, by ship --instead-of\n"
        in capsys.readouterr().out
    )


def test_what_others_send_is_told_of(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is theirs, so there is no command that takes it; but all is not well either."""
    with http_receiver() as other:
        record(monkeypatch, address(other))
        other.answer = respond(503)
        record(monkeypatch, address(other))
        whither = f"{address(other)}/v1/traces"
    record(monkeypatch, address(receiver))
    assert main(["ship"]) == 0
    said = capsys.readouterr().err
    assert f"2 spans wait for {whither}, which other programs send to: " in said
    assert "--instead-of" not in said
    assert said.rstrip().endswith(" status")


def test_many_others_are_not_told_of_one_by_one(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three are, and how many more there are."""
    for number in range(5):
        record(monkeypatch, f"{WRONG}/{number}")
    record(monkeypatch, address(receiver))
    assert main(["ship"]) == 0
    *lines, last = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert last.startswith("phasetrace: 2 more destinations have spans waiting: ")


def keys(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the short key of each destination, in the order in which they were first used."""
    return [one["key"].rpartition(" ")[2] for one in destinations(capsys)]


def test_another_key(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two destinations with one address only the one is taken whose key is named."""
    receiver.answer = respond(401, f"{HIDDEN} has expired".encode())
    for number in range(2):
        record(monkeypatch, address(receiver), f"key={HIDDEN}-{number}")
    receiver.answer = respond(200)
    receiver.bodies.clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"key={HIDDEN}-new")
    first, second = keys(capsys)
    assert main(["ship", "--instead-of", second]) == 0
    assert [len(names_in(body)) for body in receiver.bodies] == [2]
    assert receiver.headers[-1]["key"] == f"{HIDDEN}-new"
    found = destinations(capsys)
    assert [(one["delivered"], one["waiting"]) for one in found] == [(0, 2), (2, 0)]
    assert main(["ship", "--instead-of", first.removeprefix("#")]) == 0
    found = destinations(capsys)
    assert [(one["delivered"], one["waiting"]) for one in found] == [(2, 0), (2, 0)]
    assert HIDDEN not in json.dumps(found)


def test_several_are_taken_over_at_once(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each by its key, and once, however often it is named; what is not named stays."""
    receiver.answer = respond(401)
    for number in range(3):
        record(monkeypatch, address(receiver), f"key={HIDDEN}-{number}")
    receiver.answer = respond(200)
    receiver.bodies.clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"key={HIDDEN}-new")
    first, _, last = keys(capsys)
    names = [first, last, first.removeprefix("#")]
    ended: list[OTLPSpanExporter] = []
    monkeypatch.setattr(OTLPSpanExporter, "shutdown", lambda self: ended.append(self))
    assert main(["ship", *(word for one in names for word in ("--instead-of", one))]) == 0
    assert [len(names_in(body)) for body in receiver.bodies] == [2, 2]
    assert [one["elsewhere"] for one in destinations(capsys)] == [2, 0, 2]
    assert len(set(map(id, ended))) == 2  # each has an exporter of its own


def test_of_several_none_is_taken_over_if_one_is_not_known(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of what would have happened."""
    record(monkeypatch, WRONG)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address(receiver))
    capsys.readouterr()
    assert main(["ship", "--instead-of", WRONG, "--instead-of", "http://h"]) == 2
    assert capsys.readouterr().err.startswith("phasetrace: --instead-of='http://h': spans wait for")
    assert receiver.bodies == []


def two_tenants(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Record for A and for B, who was served before; return their keys; A's is in force."""
    record(monkeypatch, address(receiver), f"tenant={HIDDEN}-b")
    receiver.answer = respond(401)
    record(monkeypatch, address(receiver), f"tenant={HIDDEN}-b")
    record(monkeypatch, address(receiver), f"tenant={HIDDEN}-a")
    receiver.answer = respond(200)
    receiver.bodies.clear()
    return keys(capsys)


def test_an_address_that_means_several_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their keys, what waits, and when each was last served; nothing is sent."""
    tenant_b, tenant_a = two_tenants(receiver, monkeypatch, capsys)
    assert main(["ship", "--instead-of", address(receiver)]) == 2
    assert capsys.readouterr().err == (
        f"phasetrace: --instead-of='{address(receiver)}' means 2 destinations; give the key of"
        f" one, or several, each behind an --instead-of: '{tenant_b}' (2 spans wait, last served"
        f" just now), '{tenant_a}' (2 spans wait, never served, what the settings name)\n"
    )
    assert receiver.bodies == []


def test_what_another_uses_is_not_offered(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by ship nor by status; its spans are another tenant's."""
    two_tenants(receiver, monkeypatch, capsys)
    assert main(["ship"]) == 0
    assert "--instead-of" not in capsys.readouterr().err
    assert {one["tenant"] for one in receiver.headers[-1:]} == {f"{HIDDEN}-a"}
    assert [one["waiting"] for one in destinations(capsys)] == [2, 0]
    assert main(["status"]) == 0
    assert "--instead-of" not in capsys.readouterr().out


def test_what_was_used_two_days_ago_is_offered(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key may have expired since."""
    tenant_b, _ = two_tenants(receiver, monkeypatch, capsys)
    monkeypatch.setattr(other_addresses, "_IN_USE_NS", 0)
    assert main(["ship"]) == 0
    assert f"ship --instead-of '{tenant_b}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("last_ns", "is_in_use"), [(None, False), (1, True), (0, False), (DAY_NS + 5, True)]
)
def test_in_use_is_within_a_day(last_ns: int | None, is_in_use: bool) -> None:
    """Counted from the last success; one that is yet to come is a clock that was set back."""
    one = standing("otlp_proto_http http://h", "http://h")._replace(last_success_ns=last_ns)
    assert other_addresses.is_in_use(one, DAY_NS) is is_in_use


def test_the_key_is_named_where_the_address_is_the_same(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By ship and by status, and under which condition; taking over says what will happen."""
    receiver.answer = respond(401)
    record(monkeypatch, address(receiver), f"key={HIDDEN}-old")
    receiver.answer = respond(200)
    record(monkeypatch, address(receiver), f"key={HIDDEN}-new")
    old, new = keys(capsys)
    condition = "if the headers were wrong, "
    assert main(["status"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"{condition}send them to where the settings say now: " in out
    assert f"ship --instead-of '{old}'" in out
    assert main(["ship"]) == 0
    said = capsys.readouterr().err
    there, here = (f"{address(receiver)}/v1/traces ({key})" for key in (old, new))
    assert f"phasetrace: 2 spans wait for {there}; {condition}send them here: " in said
    assert said.rstrip().endswith(f"ship --instead-of '{old}'")
    assert main(["ship", "--instead-of", old]) == 0
    said = capsys.readouterr().err
    told = f"2 spans recorded for {there} will be sent to {here} and never to {there}\n"
    assert said.startswith(f"phasetrace: {told}")


def test_what_has_no_key_is_named_in_full_beside_one_that_has(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without headers there is none, and the address means both."""
    receiver.answer = respond(401)
    record(monkeypatch, address(receiver))
    record(monkeypatch, address(receiver), f"key={HIDDEN}")
    receiver.answer = respond(200)
    receiver.bodies.clear()
    whole = f"otlp_proto_http {address(receiver)}/v1/traces"
    capsys.readouterr()
    for which in ("", "#"):
        assert main(["ship", "--instead-of", which]) == 2
    assert main(["ship"]) == 0
    assert capsys.readouterr().err.rstrip().endswith(f"ship --instead-of '{whole}'")
    assert main(["ship", "--instead-of", whole]) == 0
    assert [one["waiting"] for one in destinations(capsys)] == [0, 0]


def test_the_settings_own_destination_is_served_by_its_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where what had to be mended is no part of it; nothing is taken over then."""
    receiver.answer = respond(401)
    record(monkeypatch, address(receiver))
    receiver.answer = respond(200)
    capsys.readouterr()
    assert main(["ship", "--instead-of", address(receiver)]) == 0
    out, err = capsys.readouterr()
    assert "2 spans delivered, 0 waiting" in out
    assert "never to" not in err


def test_another_protocol_is_no_matter_of_headers() -> None:
    """The condition says what differs."""
    one = standing("otlp_proto_grpc http://h:4317", "http://h:4317")
    said = "if the protocol was wrong"
    assert other_addresses.only_if(one, {"otlp_proto_http http://h:4317 #0123"}) == said
    one = standing("otlp_proto_http http://…@h #4567", "http://…@h")
    said = "if the headers, the password or the query were wrong"
    assert other_addresses.only_if(one, {"otlp_proto_http http://…@h #0123"}) == said


def standing(key: str, endpoint: str) -> DestinationStanding:
    """Return where a destination stands that nothing was recorded for."""
    name = key.partition(" ")[0]
    never = (None, None, None, None, None)
    none: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    return DestinationStanding(key, name, endpoint, *none, {}, {}, *never, False, False, False)


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
