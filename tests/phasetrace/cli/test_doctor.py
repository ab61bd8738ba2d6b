"""Test `phasetrace doctor`."""

from __future__ import annotations

import gzip
import json
import os
import socket
import sqlite3
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

import phasetrace
from phasetrace import execution, phase
from phasetrace.cli import command, main
from phasetrace.otlp_variables import otlp_variables
from phasetrace.remedies import remedy
from phasetrace.rendering import cells
from phasetrace.testing import forget_everything
from phasetrace.verdict import Outcome, Verdict
from tests.phasetrace.cli.programs import COMMAND, run
from tests.phasetrace.receivers import (
    SELF_SIGNED,
    Receiver,
    fail,
    grpc_receiver,
    http_receiver,
    respond,
)

HIDDEN = "hunter2"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Report(NamedTuple):
    """What was found, as JSON has it."""

    code: int
    settings: dict[str, tuple[str, str | None]]
    checks: list[dict[str, str]]
    text: str

    def of(self, subject: str, check: str | None = None) -> list[dict[str, str]]:
        """Return the checks of a subject."""
        return [
            one
            for one in self.checks
            if one["subject"] == subject and check in (None, one["check"])
        ]


class Doctor:
    """Runs the command in a test's environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *args: str, **variables: str) -> Report:
        """Set variables, and return the report; it is all that is printed."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)
        code = main(["doctor", "--json", *args])
        shown = self._capsys.readouterr()
        assert shown.out.isascii()
        assert args or shown.err == ""
        found = json.loads(shown.out)
        assert found["schema"] == "phasetrace.doctor/1"
        levels = [one["level"] for one in found["checks"]]
        assert (found["problems"], found["warnings"]) == (
            levels.count("problem"),
            levels.count("warning"),
        )
        assert code == int("problem" in levels)
        settings = {one["setting"]: (one["value"], one["source"]) for one in found["settings"]}
        return Report(code, settings, found["checks"], shown.out)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Return the command."""
    return Doctor(monkeypatch, capsys)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver over HTTP."""
    with http_receiver() as running:
        yield running


def address(receiver: Receiver) -> str:
    """Return where a receiver is."""
    return f"http://127.0.0.1:{receiver.port}"


def closed_port() -> int:
    """Return a port that nobody listens to."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_nothing_is_configured(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well, and nobody is talked to."""

    def refuse(*_: object) -> None:
        raise AssertionError("there is no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    report = doctor()
    assert {one["level"] for one in report.checks} == {"ok"}
    assert report.settings["delivery"] == ("thread", None)
    assert report.settings["store"] == (os.environ["PHASETRACE_STORE"], "PHASETRACE_STORE")
    assert report.of("destinations")[0]["found"] == "none: nothing is sent anywhere"
    assert not Path(os.environ["PHASETRACE_STORE"]).exists()


def test_nothing_is_left_behind(doctor: Doctor, receiver: Receiver) -> None:
    """The request is one without spans, and has all else that others have."""
    report = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver),
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={HIDDEN}",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    assert report.code == 0
    (found,) = report.of("destinations")
    assert found["found"].startswith(f"{address(receiver)}/v1/traces: took a request without spans")
    assert found["found"].endswith("(--send sends one with a span)")
    assert [gzip.decompress(body) for body in receiver.bodies] == [b""]
    assert receiver.headers[0]["authorization"] == HIDDEN
    assert receiver.headers[0]["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("status", [400, 413, 500])
def test_a_receiver_that_takes_no_empty_request(
    status: int, doctor: Doctor, receiver: Receiver
) -> None:
    """Which OTLP has it take, is asked with a span."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        respond(200 if receiver.bodies[-1] else status)(handler)

    receiver.answer = answer
    (found,) = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver)).of("destinations")
    assert (found["level"], len(receiver.bodies)) == ("ok", 2)
    assert "took a span 'phasetrace doctor' in" in found["found"]


def test_a_real_span_is_sent(doctor: Doctor, receiver: Receiver) -> None:
    """Where that is asked for: in its own trace, with the resource that programs have."""
    report = doctor(
        "--send",
        OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver),
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={HIDDEN}",
        OTEL_SERVICE_NAME="shop",
    )
    assert report.code == 0
    (found,) = report.of("destinations")
    assert found["found"].startswith(f"{address(receiver)}/v1/traces: took a span")
    (body,) = receiver.bodies
    (resource_spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    attributes = {one.key: one.value.string_value for one in resource_spans.resource.attributes}
    assert attributes["service.name"] == "shop"
    assert "telemetry.sdk.name" in attributes
    (span,) = resource_spans.scope_spans[0].spans
    assert (span.name, span.parent_span_id) == ("phasetrace doctor", b"")
    assert receiver.headers[0]["authorization"] == HIDDEN
    assert HIDDEN not in report.text
    assert report.settings["headers"] == ("authorization", "OTEL_EXPORTER_OTLP_HEADERS")


def test_over_grpc(doctor: Doctor) -> None:
    """The same, with the other exporter."""
    with grpc_receiver() as receiver:
        report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver), OTEL_EXPORTER_OTLP_PROTOCOL="grpc"
        )
        (found,) = report.of("destinations", "otlp_proto_grpc")
        assert (found["level"], len(receiver.bodies)) == ("ok", 1)
        assert report.settings["protocol"] == ("grpc", "OTEL_EXPORTER_OTLP_PROTOCOL")
        receiver.answer = fail(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        (found,) = doctor().of("destinations")
        assert found["level"] == "problem"
        assert "who are you?" in found["found"]
        assert "OTEL_EXPORTER_OTLP_HEADERS" in found["advice"]


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "HEADERS"),
        (403, "HEADERS"),
        (404, "path"),
        (503, "just now"),
        (400, "does OTEL_EXPORTER_OTLP_ENDPOINT name a receiver of OTLP that takes protobuf?"),
        (413, "raise its limit, or that of a proxy before it"),
    ],
)
def test_what_the_receiver_answers(
    status: int, advice: str, doctor: Doctor, receiver: Receiver
) -> None:
    """Is told, and what to do about it."""
    receiver.answer = respond(status, b"no \x1b[31m")
    report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver))
    (found,) = report.of("destinations")
    assert (report.code, found["level"]) == (1, "problem")
    assert f"HTTP {status}" in found["found"]
    assert advice in found["advice"]


def test_nobody_listens(doctor: Doctor) -> None:
    """The commonest problem has the plainest advice."""
    port = closed_port()
    report = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://me:{HIDDEN}@127.0.0.1:{port}")
    (found,) = report.of("destinations")
    assert "Connection refused" in found["found"]
    assert "is the receiver running" in found["advice"]
    assert HIDDEN not in report.text


def test_it_takes_the_span_and_throws_it_away(doctor: Doctor, receiver: Receiver) -> None:
    """A success that is none is a problem."""
    body = b'{"partialSuccess": {"rejectedSpans": 1, "errorMessage": "over quota"}}'
    receiver.answer = respond(200, body, content_type="application/json")
    (found,) = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver)).of("destinations")
    assert found["level"] == "problem"
    assert "over quota" in found["found"]


@pytest.mark.parametrize(
    ("verdict", "endpoint", "is_grpc", "advice"),
    [
        (Verdict(Outcome.MISCONFIGURED, "HTTP 404"), "http://h:4317/v1/traces", False, "=grpc"),
        (Verdict(Outcome.UNAVAILABLE, "gRPC UNAVAILABLE: eof"), "http://h:4318", True, "4317"),
        (
            Verdict(Outcome.MISCONFIGURED, "the certificate of h is not trusted: self-signed"),
            "https://h",
            False,
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ),
        (Verdict(Outcome.MISCONFIGURED, "h does not speak TLS"), "https://h", False, "http://"),
        (
            Verdict(Outcome.MISCONFIGURED, "h does not speak HTTP/1.1"),
            "http://h:1",
            False,
            "=grpc",
        ),
        (
            Verdict(Outcome.UNAVAILABLE, "cannot connect to h: Name or service not known"),
            "http://h",
            False,
            "spelt",
        ),
        (
            Verdict(Outcome.UNAVAILABLE, "cannot connect to h: it does not answer"),
            "http://h",
            False,
            "firewall",
        ),
        (Verdict(Outcome.MISCONFIGURED, "HTTP 301: to http://x"), "http://h", False, "points to"),
        (
            Verdict(Outcome.MISCONFIGURED, "HTTP 308 Moved: to https://h/v1/traces"),
            "http://h/v1/traces",
            False,
            "begin OTEL_EXPORTER_OTLP_ENDPOINT with https://",
        ),
        (
            Verdict(Outcome.MISCONFIGURED, "HTTP 302 Found: to https://login.example/sso"),
            "http://h/v1/traces",
            False,
            "that is a login page: OTEL_EXPORTER_OTLP_ENDPOINT has to name the receiver itself",
        ),
        (
            Verdict(Outcome.MISCONFIGURED, "the certificate of h is for another host"),
            "https://h",
            False,
            "OTEL_EXPORTER_OTLP_ENDPOINT has to name a host that the certificate is for",
        ),
        (
            Verdict(Outcome.MISCONFIGURED, "h:1 does not speak gRPC: there is no HTTP/2 behind"),
            "https://h:1",
            True,
            "answers like this, which OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf is for",
        ),
        (
            Verdict(Outcome.UNAVAILABLE, "cannot connect to h:43l8: name or service not known"),
            "http://h:43l8",
            True,
            "the port in OTEL_EXPORTER_OTLP_ENDPOINT has to be a number",
        ),
        (
            Verdict(Outcome.MISCONFIGURED, "there can be no such address: http:///v1/traces"),
            "http:///v1/traces",
            False,
            "set OTEL_EXPORTER_OTLP_ENDPOINT to one like http://host:4318",
        ),
        *(
            (
                Verdict(Outcome.MISCONFIGURED, reason),
                "http://h:16686",
                is_grpc,
                "16686 is Jaeger's page; name the port for OTLP in OTEL_EXPORTER_OTLP_ENDPOINT:"
                " 4318, or 4317 with OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
            )
            for reason, is_grpc in [
                ("HTTP 200 with a web page", False),
                ("HTTP 405", False),
                ("h:16686 does not speak gRPC: it answers in HTTP/1.1", True),
            ]
        ),
        (
            Verdict(Outcome.MISCONFIGURED, "one of the headers cannot be sent"),
            "http://h",
            False,
            "name=value",
        ),
        (Verdict(Outcome.UNAVAILABLE, "gRPC UNAVAILABLE: eof"), "h:1", True, "without http://"),
        (Verdict(Outcome.MISCONFIGURED, "HTTP 407"), "http://h", False, "proxy"),
        (
            Verdict(Outcome.UNAVAILABLE, "no answer from h:1: Connection reset by peer"),
            "http://h:1",
            False,
            "is this the port for http/protobuf (usually 4318)? a gRPC receiver answers like this",
        ),
        (
            Verdict(
                Outcome.MISCONFIGURED,
                "gRPC UNIMPLEMENTED: Received http2 header with status: 404",
            ),
            "http://h:1",
            True,
            "is this the port for OTEL_EXPORTER_OTLP_PROTOCOL=grpc (usually 4317)?",
        ),
        (
            Verdict(Outcome.UNAVAILABLE, "no answer from h:1: Remote end closed connection"),
            "http://h:1",
            False,
            "is this the port for http/protobuf (usually 4318)?",
        ),
        (
            Verdict(
                Outcome.REFUSED,
                "gRPC INTERNAL: Received http2 header with status: 400",
            ),
            "http://h:1",
            True,
            "is this the port for OTEL_EXPORTER_OTLP_PROTOCOL=grpc (usually 4317)?",
        ),
        (
            Verdict(Outcome.MISCONFIGURED, "gRPC UNIMPLEMENTED: unknown service"),
            "http://h:1",
            True,
            "is this the port for OTEL_EXPORTER_OTLP_PROTOCOL=grpc (usually 4317)?",
        ),
        (
            Verdict(Outcome.UNAVAILABLE, "gRPC UNAVAILABLE: Socket closed"),
            "http://h:1",
            True,
            "is this the port for OTEL_EXPORTER_OTLP_PROTOCOL=grpc (usually 4317)?",
        ),
        (
            Verdict(Outcome.UNAVAILABLE, "gRPC UNAVAILABLE: Ssl handshake failed: eof"),
            "unix:///run/otlp.sock",
            True,
            "set OTEL_EXPORTER_OTLP_INSECURE=true",
        ),
    ],
)
def test_remedies(verdict: Verdict, endpoint: str, is_grpc: bool, advice: str) -> None:
    """Each mistake has its own."""
    assert advice in remedy(verdict, endpoint, is_grpc)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_nobody_has_expanded(status: int) -> None:
    """Is what a receiver does not know, whatever it says of it."""
    environ = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Bearer%20${API_KEY}"}
    verdict = Verdict(Outcome.MISCONFIGURED, f"HTTP {status}")
    assert remedy(verdict, "http://h:4318", False, otlp_variables(environ)) == (
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS: ${API_KEY} stands in it as it is: was it in single"
        " quotes, or in a file that nobody expands?"
    )


def test_what_does_not_speak_tls_is_not_asked_about_it() -> None:
    """The advice says what is to be changed."""
    verdict = Verdict(Outcome.MISCONFIGURED, "h:1 does not speak TLS")
    assert remedy(verdict, "https://h:1", False) == (
        "begin OTEL_EXPORTER_OTLP_ENDPOINT with http://, or name the port where it does"
    )


@pytest.mark.parametrize(
    ("endpoint", "headers", "advice"),
    [
        (
            f"http://me:{HIDDEN}@",
            "",
            "are the user and the password in OTEL_EXPORTER_OTLP_ENDPOINT right?",
        ),
        (
            f"http://me:{HIDDEN}@",
            "a=b",
            "are the user and the password in OTEL_EXPORTER_OTLP_ENDPOINT right? (they win over an"
            " authorization in OTEL_EXPORTER_OTLP_HEADERS)",
        ),
        (
            "http://",
            "x-api-key=,Langsmith-Project=",
            "OTEL_EXPORTER_OTLP_HEADERS: x-api-key and Langsmith-Project have no value: are the"
            " variables in them set?",
        ),
        (
            "http://",
            "authorization=Basic%20",
            "OTEL_EXPORTER_OTLP_HEADERS: authorization has nothing behind Basic: is the variable"
            " in it set?",
        ),
        ("http://", "", "it wants to know who sends: set OTEL_EXPORTER_OTLP_HEADERS, which is not"),
        ("http://", f"a={HIDDEN}", "does OTEL_EXPORTER_OTLP_HEADERS hold what the receiver wants"),
    ],
)
def test_who_sends(
    endpoint: str, headers: str, advice: str, doctor: Doctor, receiver: Receiver
) -> None:
    """A 401 is about what was sent, wherever that came from."""
    receiver.answer = respond(401)
    report = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"{endpoint}127.0.0.1:{receiver.port}",
        OTEL_EXPORTER_OTLP_HEADERS=headers,
    )
    (found,) = report.of("destinations")
    assert found["advice"].startswith(advice)
    assert HIDDEN not in report.text
    sent = receiver.headers[0]
    assert ("authorization" in sent) == ("me:" in endpoint or "authorization" in headers)
    assert sent.get("x-api-key", "") == ""  # what is empty is sent, for it is allowed
    assert ("x-api-key" in sent) == ("x-api-key" in headers)


def test_a_certificate_for_another_host(doctor: Doctor) -> None:
    """Is called that, and not one that nobody trusts."""
    with http_receiver(tls=True) as receiver:
        report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://localhost:{receiver.port}",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(SELF_SIGNED),
        )
    (found,) = report.of("destinations")
    what = f": the certificate of localhost:{receiver.port} is for another host (after"
    assert what in found["found"]
    assert "has to name a host that the certificate is for" in found["advice"]


def test_tls_without_http_2(doctor: Doctor) -> None:
    """Is a receiver of the other protocol's, and running."""
    with http_receiver(tls=True) as receiver:
        report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://127.0.0.1:{receiver.port}",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(SELF_SIGNED),
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        )
    (found,) = report.of("destinations")
    assert "does not speak gRPC: there is no HTTP/2 behind its TLS" in found["found"]
    assert found["advice"].endswith("which OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf is for")


def test_grpc_says_nothing_itself(tmp_path: Path) -> None:
    """On stderr, above the answer; unless somebody wants to hear it."""
    with http_receiver(tls=True) as receiver:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{receiver.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        }
        command = [sys.executable, str(COMMAND), "doctor"]
        ended = run(command, tmp_path, tmp_path / "store.db", **variables)
        assert "is not trusted" in ended.out
        assert ended.err == ""
        variables["GRPC_VERBOSITY"] = "INFO"
        assert "Handshake failed" in run(command, tmp_path, tmp_path / "s.db", **variables).err


def test_a_port_of_the_other_protocol(doctor: Doctor, receiver: Receiver) -> None:
    """The advice is about the port and the protocol, whatever each receiver makes of the other."""
    report = doctor(
        OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver), OTEL_EXPORTER_OTLP_PROTOCOL="grpc"
    )
    (found,) = report.of("destinations")
    assert found["advice"].startswith("is this the port for OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
    with grpc_receiver() as other:
        report = doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=address(other), OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf"
        )
    (found,) = report.of("destinations")
    assert found["advice"].startswith("is this the port for http/protobuf")


@pytest.mark.parametrize("endpoint", ["localhost:4318", "127.0.0.1:4318", "localhost"])
def test_an_address_without_http(endpoint: str, doctor: Doctor) -> None:
    """Says what is missing, and not what a library makes of it."""
    (found,) = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint).of("destinations")
    assert found["level"] == "problem"
    assert "http:// (or https://) is missing in front of the address" in found["found"]
    assert found["advice"] == (
        "put http:// in front of it in OTEL_EXPORTER_OTLP_ENDPOINT, or https:// if it speaks TLS"
    )


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"]
)
@pytest.mark.parametrize(("value", "is_bad"), [("abc", True), ("-1", True), ("2.5", False)])
def test_a_timeout_that_is_none(name: str, value: str, is_bad: bool, doctor: Doctor) -> None:
    """The default is in force instead."""
    (found,) = doctor(**{name: value}).of("configuration")
    assert (found["level"] == "warning") == is_bad
    told = f"{name}={value!r}: expected a number of seconds; the default is used"
    assert (found["found"] == told) == is_bad
    assert not is_bad or "timeout" not in doctor().settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1"),
        ("OTEL_TRACES_SAMPLER", "half"),
        ("OTEL_PROPAGATORS", "foo"),
    ],
)
def test_what_others_cannot_use_is_told(name: str, value: str, doctor: Doctor) -> None:
    """In a line like that on what phasetrace reads itself, and once."""
    (found,) = doctor(**{name: value}).of("configuration")
    assert (found["level"], found["check"]) == ("warning", "value")
    assert found["found"].startswith(f"{name}={value!r}: ")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"OTEL_BSP_EXPORT_TIMEOUT": "30000"},
            "OTEL_BSP_EXPORT_TIMEOUT has no effect: how long a request may take is what"
            " OTEL_EXPORTER_OTLP_TIMEOUT says, in seconds",
        ),
        (
            {"OTEL_TRACES_SAMPLER_ARG": "0.5"},
            "OTEL_TRACES_SAMPLER_ARG has no effect: it is for OTEL_TRACES_SAMPLER=traceidratio",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            "OTEL_TRACES_SAMPLER_ARG has no effect",
        ),
        ({"OTEL_TRACES_SAMPLER": "TraceIdRatio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, ""),
    ],
)
def test_what_nobody_asks_for(variables: dict[str, str], told: str, doctor: Doctor) -> None:
    """Is told here, for it changes nothing elsewhere."""
    found = doctor(**variables).of("configuration")
    assert [one["level"] for one in found] == ["warning" if told else "ok"]
    assert found[0]["found"].startswith(told)


def test_a_variable_that_is_mistyped(doctor: Doctor) -> None:
    """Is told with the one that may have been meant."""
    report = doctor(OTEL_EXPORTER_OTLP_ENDPONT="http://h", OTEL_PYTHON_ODD="x")
    (found,) = report.of("configuration")
    assert (found["level"], found["found"]) == ("warning", "OTEL_EXPORTER_OTLP_ENDPONT")
    assert found["advice"] == (
        "was OTEL_EXPORTER_OTLP_ENDPOINT meant? nobody reads a variable of this name"
    )


def test_every_bad_value_is_told(doctor: Doctor) -> None:
    """Not just the first; ours are problems, the others warnings."""
    report = doctor(
        PHASETRACE_RETENTION="much",
        PHASETRACE_DELIVERY="pigeon",
        PHASETRACE_STOER="off",
        OTEL_BSP_SCHEDULE_DELAY="-1",
        OTEL_SDK_DISABLED="perhaps",
        OTEL_TRACES_SAMPLER="dice",
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={HIDDEN},{HIDDEN}",
    )
    found = report.of("configuration")
    text = " ".join(one["found"] for one in found)
    problems = [one["found"] for one in found if one["level"] == "problem"]
    assert len(problems) == 2
    for expected in (
        "PHASETRACE_RETENTION='much': expected like",
        "PHASETRACE_DELIVERY='pigeon': expected thread, process or off",
        "PHASETRACE_STOER",
        "OTEL_BSP_SCHEDULE_DELAY='-1'",
        "OTEL_SDK_DISABLED='perhaps'",
        "OTEL_TRACES_SAMPLER='dice'",
        "OTEL_EXPORTER_OTLP_HEADERS: part 2 of 2 cannot be read and is not sent",
    ):
        assert expected in text
    assert HIDDEN not in report.text
    assert report.settings["retention"] == ("500 executions, 512MB", None)


def test_a_name_that_cannot_be_redacted(doctor: Doctor) -> None:
    """Traces are put together by it; whoever asks for that is told."""
    report = doctor(PHASETRACE_REDACT="Exec_ID, customer")
    (found,) = report.of("configuration")
    assert found["level"] == "warning"
    assert "redacting 'exec_id' has no effect" in found["found"]


def test_an_exporter_that_is_not_installed(doctor: Doctor, receiver: Receiver) -> None:
    """The others are tried all the same."""
    report = doctor(
        OTEL_TRACES_EXPORTER="nonsense,otlp", OTEL_EXPORTER_OTLP_ENDPOINT=address(receiver)
    )
    missing, working = report.of("destinations")
    assert (missing["level"], working["level"]) == ("problem", "ok")
    assert "no such exporter" in missing["found"]


def test_the_console_is_not_written_to(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless that is asked for; then on stderr."""
    (found,) = doctor(OTEL_TRACES_EXPORTER="console").of("destinations")
    assert "nothing was sent" in found["found"]
    (found,) = doctor("--send").of("destinations")
    assert "took a span" in found["found"]


def configurators(monkeypatch: pytest.MonkeyPatch, *installed: EntryPoint) -> None:
    """Have these configurators installed, whatever there is where the tests run."""

    def points(group: str) -> Any:
        if group == "opentelemetry_configurator":
            return EntryPoints(installed)
        return entry_points(group=group)

    monkeypatch.setattr("phasetrace.checks.ownership.entry_points", points)


def test_whose_the_provider_is(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, by the program, or phasetrace's."""
    configurators(monkeypatch)
    (found,) = doctor().of("tracer provider")
    assert found["found"] == "phasetrace's own, unless the program sets one"
    (found,) = doctor(OTEL_PYTHON_TRACER_PROVIDER="nobody").of("tracer provider")
    assert (found["level"], "'nobody'" in found["found"]) == ("problem", True)
    found, kept_out = doctor(
        OTEL_PYTHON_TRACER_PROVIDER="phasetrace", OTEL_PYTHON_CONFIGURATOR="none"
    ).of("tracer provider")
    assert "never import it" in found["found"]
    assert "'none' keeps out" in kept_out["found"]
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    (found,) = doctor().of("tracer provider")
    assert found["found"].startswith("opentelemetry.sdk.trace.TracerProvider, installed before")


def test_a_configurator_that_overrules(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opentelemetry-distro does, where it is installed, is warned of."""
    distro = EntryPoint("configurator", "opentelemetry.distro:C", "opentelemetry_configurator")
    configurators(monkeypatch, distro)
    _, found = doctor(OTEL_PYTHON_TRACER_PROVIDER="phasetrace").of("tracer provider")
    assert found["level"] == "warning"
    assert found["advice"] == "keep it out with OTEL_PYTHON_CONFIGURATOR=none"


def record(exec_id: str = "exec_1", is_taken: bool = True) -> Path:
    """Record an execution, wait until it is delivered if it is, and return the store."""
    with execution(exec_id), phase("work"):
        pass
    if is_taken:
        phasetrace.force_flush()
    phasetrace.shutdown()
    return Path(os.environ["PHASETRACE_STORE"])


def test_a_sound_store(doctor: Doctor) -> None:
    """It is there, can be used, and has room."""
    record()
    report = doctor()
    assert {one["level"] for one in report.of("store")} == {"ok"}
    assert {one["check"] for one in report.of("store")} == {"file", "disk", "content", "size"}


def test_others_can_read_it(doctor: Doctor) -> None:
    """Which is worth a warning."""
    record().chmod(0o644)
    (found,) = doctor().of("store", "file")
    assert (found["level"], "0644" in found["found"]) == ("warning", True)


def test_it_cannot_be_written(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor its folder."""
    record()
    for module in ("keeping", "writing"):
        monkeypatch.setattr(
            f"phasetrace.checks.{module}.os.access", lambda path, mode: not mode & os.W_OK
        )
    report = doctor()
    assert report.of("store", "folder")[0]["level"] == "problem"
    assert report.of("store", "file")[0]["level"] == "problem"


def test_the_folder_is_a_file(doctor: Doctor, tmp_path: Path) -> None:
    """Then there cannot be a store."""
    (tmp_path / "file").touch()
    report = doctor(PHASETRACE_STORE=str(tmp_path / "file" / "traces.db"))
    assert report.of("store", "folder")[0]["level"] == "problem"


def test_it_is_a_folder(doctor: Doctor, tmp_path: Path) -> None:
    """Whose mode is nobody's business here."""
    tmp_path.chmod(0o755)
    (found,) = doctor(PHASETRACE_STORE=str(tmp_path)).of("store")
    assert (found["level"], found["found"]) == ("problem", f"{tmp_path}: it is a folder")
    assert found["advice"] == "PHASETRACE_STORE is the path of a file"


def test_it_is_a_device(doctor: Doctor) -> None:
    """Nor is there anything to be done about one."""
    (found,) = doctor(PHASETRACE_STORE="/dev/null").of("store", "file")
    assert (found["level"], found["found"]) == ("problem", "/dev/null: it is not a regular file")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc")
def test_a_folder_that_takes_no_files(doctor: Doctor) -> None:
    """Whatever its mode says."""
    (found,) = doctor(PHASETRACE_STORE="/proc/x").of("store")
    assert (found["level"], found["check"]) == ("problem", "folder")
    assert found["found"].startswith("/proc: files cannot be made in it: ")


def test_looking_leaves_nothing_behind(doctor: Doctor, tmp_path: Path) -> None:
    """Where it was found out whether files can be made."""
    folder = tmp_path / "folder"
    folder.mkdir()
    doctor(PHASETRACE_STORE=str(folder / "traces.db"), PHASETRACE_TIMING=str(folder / "log"))
    assert list(folder.iterdir()) == []


def test_the_timing_log(doctor: Doctor, tmp_path: Path) -> None:
    """It is a problem if it cannot be written; nothing is said of one that is off."""
    assert doctor().of("TIMING log") == []
    file = tmp_path / "log"
    (found,) = doctor(PHASETRACE_TIMING=str(file)).of("TIMING log")
    assert (found["level"], "not there yet" in found["found"]) == ("ok", True)
    file.touch()
    (found,) = doctor().of("TIMING log")
    assert (found["level"], found["found"]) == ("ok", f"{file}: can be written")
    (found,) = doctor(PHASETRACE_TIMING="/").of("TIMING log")
    assert (found["level"], found["found"]) == ("problem", "/: it is a folder")
    (found,) = doctor(PHASETRACE_TIMING=str(file / "log")).of("TIMING log")
    assert (found["level"], found["found"]) == (
        "problem",
        f"{file}: files cannot be made in it: it is not a folder",
    )


def test_a_timing_log_of_somebody_elses(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is told."""
    file = tmp_path / "log"
    file.touch()
    monkeypatch.setattr("phasetrace.checks.timing.os.access", lambda path, mode: False)
    (found,) = doctor(PHASETRACE_TIMING=str(file)).of("TIMING log")
    assert (found["level"], found["found"]) == ("problem", f"{file}: permission denied")


def test_it_is_no_store(doctor: Doctor) -> None:
    """A problem, and not an exception."""
    record().write_bytes(b"not a database" * 1000)
    (found,) = doctor().of("store", "content")
    assert (found["level"], "damaged" in found["found"]) == ("problem", True)


def test_pages_that_are_broken(doctor: Doctor) -> None:
    """Are found, though the numbers can be read."""
    store = record()
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("CREATE TABLE ballast (text)")
        connection.execute("CREATE INDEX by_text ON ballast (text)")
        connection.execute("INSERT INTO ballast VALUES (zeroblob(100000))")
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'by_text'"
        ).fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with store.open("r+b") as file:
        file.seek((root - 1) * page_size)
        file.write(b"\xff" * page_size)
    (found,) = doctor().of("store", "content")
    assert (found["level"], "damaged" in found["found"]) == ("problem", True)


def test_a_newer_version(doctor: Doctor) -> None:
    """Says to upgrade."""
    with sqlite3.connect(record()) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    (found,) = doctor().of("store", "content")
    assert "upgrade phasetrace" in found["found"]


def test_it_is_full(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the disk is."""
    record()
    (found,) = doctor(PHASETRACE_RETENTION="1KB").of("store", "size")
    assert found["level"] == "warning"
    monkeypatch.setattr(
        "phasetrace.checks.keeping.shutil.disk_usage", lambda folder: type("", (), {"free": 1024})
    )
    (found,) = doctor().of("store", "disk")
    assert found["level"] == "problem"


def test_what_waits(doctor: Doctor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whom, and whether this environment is the one to deliver it."""
    receiver.answer = respond(503)
    monkeypatch.setenv(ENDPOINT, address(receiver))
    record(is_taken=False)
    (found,) = doctor().of("store", "waiting")
    assert "2 spans, for" in found["found"]
    whither = f"{address(receiver)}/v1/traces"
    mend = f"if a variable is wrong, mend it; then, to send them to where it says: {command()}"
    other = f"{mend} ship --instead-of {whither}"
    assert found["advice"] == f"deliver them: {command()} ship; {other}"
    monkeypatch.delenv(ENDPOINT)
    (found,) = doctor().of("store", "waiting")
    assert found["advice"] == f"deliver them: {command()} ship --endpoint {whither}; {other}"


def test_what_would_never_be_taken_is_not_to_be_shipped_there(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is to be mended, and then it is another destination; with and without it."""
    monkeypatch.setenv(ENDPOINT, "http:/localhost:4318")
    record(is_taken=False)
    again = f"{command()} ship --instead-of http:/localhost:4318/v1/traces"
    advice = f"if a variable is wrong, mend it; then, to send them to where it says: {again}"
    for _ in range(2):
        (found,) = doctor().of("store", "waiting")
        assert found["advice"] == advice
        monkeypatch.delenv(ENDPOINT, raising=False)


def test_many_that_nothing_waits_for_are_one_line(
    doctor: Doctor,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Unless they are what is configured; a single one is told as it is, and JSON has all."""
    for number in range(3):
        forget_everything()
        monkeypatch.setenv(ENDPOINT, f"{address(receiver)}/{number}")
        record(f"exec_{number}")
        found = doctor().of("store", "delivery")
        assert len(found) == number + 1
        assert all(
            one["found"].endswith("/v1/traces (otlp_proto_http): nothing waits") for one in found
        )
        main(["doctor"])
        lines = [line for line in capsys.readouterr().out.splitlines() if "nothing waits" in line]
        if number < 2:
            assert [line.split(maxsplit=2)[2] for line in lines] == [one["found"] for one in found]
    assert [line.split(maxsplit=2)[2] for line in lines] == [
        f"{address(receiver)}/2/v1/traces (otlp_proto_http): nothing waits",
        "2 other destinations: nothing waits",
    ]


def test_an_account_that_is_wrong(doctor: Doctor, receiver: Receiver) -> None:
    """Is not passed over."""
    phasetrace.configure(endpoint=address(receiver))
    store = record()
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE destination_counts SET value = value + 1 WHERE what = 'stored'")
    connection.close()
    (found,) = doctor().of("store", "account")
    assert found["level"] == "problem"


@pytest.mark.parametrize("width", [0, 60, 80, 200])
def test_as_text(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a terminal no line is longer than that; the advice is below what it is about."""
    monkeypatch.setattr("phasetrace.cli.sheet.terminal_width", lambda: width)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{closed_port()}")
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    lines = text.splitlines()
    if width:
        assert max(map(cells, lines)) <= width
    else:
        above = next(index for index, line in enumerate(lines) if "Connection refused" in line)
        assert lines[above + 1].strip() == (
            "-> is the receiver running, there and on this port?"
            " OTEL_EXPORTER_OTLP_ENDPOINT names both"
        )
    assert "\x1b" not in text
    assert lines[-1] == "1 problem"
