"""What is set wrongly is told in one line with the variable, loses nothing, and can be mended.

By real receivers, but for the answers that none of them gives.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from phasetrace.identity import trace_id_of

from .certificates import Authority, Issued
from .gate import Answer, Gate, gate_before
from .jaeger import Jaeger, require_binary
from .receiving import PASSWORD, USER, WITH_PASSWORD, jaeger_with, with_tls
from .rotel import _free_ports

PROGRAM: Final = """
import logging
import os
import sys
if "DEBUG" in os.environ:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from phasetrace import execution, node, phase
with execution(sys.argv[1]), node("a"):
    for index in range(3):
        with phase("work", index=index, text="x" * int(sys.argv[2])):
            pass
sys.exit(3)
"""
SPANS: Final = 5
PREFIX: Final = "OTEL_EXPORTER_OTLP_"
HTTP, GRPC = "http/protobuf", "grpc"
BOTH: Final = (HTTP, GRPC)
TOKEN: Final = "tok-3d1f0c5e9a"  # noqa: S105 - of nobody


class Bench(NamedTuple):
    """Receivers, each with one thing that can go wrong."""

    plain: Jaeger
    tls: Jaeger
    elsewhere: Jaeger
    """Its certificate is for another host."""
    expired: Jaeger
    mutual: Jaeger
    password: Jaeger
    small: Jaeger
    """It takes a tenth of a megabyte over HTTP, and one over gRPC."""
    gate: Gate
    """In front of the plain one."""
    authority: Authority
    client: Issued


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Run the receivers for all tests of this module."""
    require_binary()
    authority = Authority(tmp_path_factory.mktemp("authority"))
    good = authority.issue("server")
    tls = with_tls(good)
    elsewhere = with_tls(authority.issue("elsewhere", "elsewhere.test"))
    expired = with_tls(authority.issue("expired", has_expired=True))
    mutual = with_tls(good, authority)
    with ExitStack() as stack:

        def run(grpc: dict[str, Any], http: dict[str, Any]) -> Jaeger:
            folder = tmp_path_factory.mktemp("jaeger")
            return stack.enter_context(jaeger_with(folder, grpc, http))

        plain = run({}, {})
        yield Bench(
            plain,
            run(tls, tls),
            run(elsewhere, elsewhere),
            run(expired, expired),
            run(mutual, mutual),
            run(WITH_PASSWORD, WITH_PASSWORD),
            run({"max_recv_msg_size_mib": 1}, {"max_request_body_size": 100_000}),
            stack.enter_context(gate_before(plain.otlp_http)),
            authority,
            authority.issue("client", "me@client.test"),
        )


class Wrong(NamedTuple):
    """What is set wrongly, how it is told, and what is right."""

    wrong: dict[str, str]
    right: dict[str, str]
    told: tuple[str, ...]
    """What is in the line, in this order."""
    jaeger: Jaeger
    """Where the spans are in the end."""
    answer: Answer | None = None
    """What the gate answers until it is mended."""


def to(jaeger: Jaeger, protocol: str, scheme: str = "https") -> dict[str, str]:
    """Return the variables that name a receiver."""
    url = jaeger.otlp_grpc if protocol == GRPC else jaeger.otlp_http
    return {"ENDPOINT": url.replace("http://", f"{scheme}://"), "PROTOCOL": protocol}


def named(host: str, port: int, protocol: str) -> dict[str, str]:
    """Return the variables that name a host and port."""
    return {"ENDPOINT": f"http://{host}:{port}", "PROTOCOL": protocol}


def trusting(bench: Bench) -> dict[str, str]:
    """Return the variable that names the authority."""
    return {"CERTIFICATE": str(bench.authority.certificate)}


def unknown_authority(bench: Bench, protocol: str) -> Wrong:
    """Nobody has said whom to trust."""
    wrong = to(bench.tls, protocol)
    told = ("is not trusted", "unable to get local issuer certificate", f"{PREFIX}CERTIFICATE")
    return Wrong(wrong, wrong | trusting(bench), told, bench.tls)


def another_host(bench: Bench, protocol: str) -> Wrong:
    """The certificate is for a host of another name."""
    wrong = to(bench.elsewhere, protocol) | trusting(bench)
    right = to(bench.tls, protocol) | trusting(bench)
    return Wrong(wrong, right, ("is for another host", f"{PREFIX}ENDPOINT has to name"), bench.tls)


def expired(bench: Bench, protocol: str) -> Wrong:
    """The certificate was good until yesterday."""
    wrong = to(bench.expired, protocol) | trusting(bench)
    right = to(bench.tls, protocol) | trusting(bench)
    told = ("is not trusted: certificate has expired", "the receiver's to renew")
    return Wrong(wrong, right, told, bench.tls)


def nobodys_client(bench: Bench, protocol: str) -> Wrong:
    """The receiver wants to see a certificate, and there is none."""
    wrong = to(bench.mutual, protocol) | trusting(bench)
    client = {"CLIENT_CERTIFICATE": str(bench.client.certificate)}
    right = wrong | client | {"CLIENT_KEY": str(bench.client.key)}
    told = (f"{PREFIX}CLIENT_CERTIFICATE and {PREFIX}CLIENT_KEY",)
    return Wrong(wrong, right, told, bench.mutual)


def plain_to_tls(bench: Bench, protocol: str) -> Wrong:
    """The address begins with http, and TLS is spoken there."""
    wrong = to(bench.tls, protocol, "http") | trusting(bench)
    right = to(bench.tls, protocol) | trusting(bench)
    return Wrong(wrong, right, (f"begin {PREFIX}ENDPOINT with https://",), bench.tls)


def tls_to_plain(bench: Bench, protocol: str) -> Wrong:
    """The address begins with https, and no TLS is spoken there."""
    wrong, right = to(bench.plain, protocol), to(bench.plain, protocol, "http")
    told = ("does not speak TLS", f"begin {PREFIX}ENDPOINT with http://")
    return Wrong(wrong, right, told, bench.plain)


def wrong_password(bench: Bench, protocol: str) -> Wrong:
    """A real receiver answers 401, or UNAUTHENTICATED."""

    def authorization(password: str) -> dict[str, str]:
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        return {"HEADERS": f"Authorization=Basic%20{token}"}

    there = to(bench.password, protocol, "http")
    wrong, right = there | authorization(TOKEN), there | authorization(PASSWORD)
    answer = "gRPC UNAUTHENTICATED" if protocol == GRPC else "HTTP 401"
    return Wrong(wrong, right, (answer, f"{PREFIX}HEADERS", "valid still"), bench.password)


def nobody_listens(bench: Bench, protocol: str) -> Wrong:
    """The port is wrong."""
    port = _free_ports()[0]
    wrong, right = named("127.0.0.1", port, protocol), to(bench.plain, protocol, "http")
    told = (f"cannot connect to 127.0.0.1:{port}: Connection refused", f"{PREFIX}ENDPOINT")
    return Wrong(wrong, right, told, bench.plain)


def no_such_host(bench: Bench, protocol: str) -> Wrong:
    """The host's name is spelt wrongly."""
    wrong, right = named("nosuch.invalid", 4999, protocol), to(bench.plain, protocol, "http")
    told = ("cannot connect to nosuch.invalid:4999", f"name in {PREFIX}ENDPOINT spelt right")
    return Wrong(wrong, right, told, bench.plain)


def the_other_protocol(bench: Bench, protocol: str) -> Wrong:
    """The port is that of the other protocol."""
    other = HTTP if protocol == GRPC else GRPC
    wrong = to(bench.plain, other, "http") | {"PROTOCOL": protocol}
    usual = f"{PREFIX}PROTOCOL=grpc (usually 4317)" if protocol == GRPC else "(usually 4318)"
    told = ("is this the port for", usual)
    return Wrong(wrong, to(bench.plain, protocol, "http"), told, bench.plain)


def path_twice(bench: Bench, protocol: str) -> Wrong:
    """The path is added to a base that has it already."""
    right = to(bench.plain, protocol, "http")
    wrong = right | {"ENDPOINT": f"{right['ENDPOINT']}/v1/traces"}
    told = ("HTTP 404", f"/v1/traces is added to {PREFIX}ENDPOINT", "TRACES_ENDPOINT")
    return Wrong(wrong, right, told, bench.plain)


def no_path(bench: Bench, protocol: str) -> Wrong:
    """No path is added to the address for traces."""
    right = to(bench.plain, protocol, "http")
    wrong = {"TRACES_ENDPOINT": right["ENDPOINT"]}
    told = ("HTTP 404", f"{PREFIX}TRACES_ENDPOINT is taken whole", "/v1/traces is missing")
    return Wrong(wrong, right, told, bench.plain)


def _gated(bench: Bench, answer: Answer, *told: str) -> Wrong:
    there = {"ENDPOINT": bench.gate.address, "HEADERS": f"x-api-key={TOKEN}"}
    return Wrong(there, there, told, bench.plain, answer)


def expired_token(bench: Bench, protocol: str) -> Wrong:
    """The receiver repeats the token that it does not take."""
    body = b'{"message": "token %s has expired"}' % TOKEN.encode()
    answer = Answer(401, body, {"content-type": "application/json"})
    return _gated(bench, answer, "HTTP 401", "token … has expired", f"{PREFIX}HEADERS")


def forbidden(bench: Bench, protocol: str) -> Wrong:
    """The token has not the right."""
    return _gated(bench, Answer(403, b"not yours"), "HTTP 403", "not yours", f"{PREFIX}HEADERS")


def web_page(bench: Bench, protocol: str) -> Wrong:
    """A proxy answers 200, and has taken nothing."""
    page = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
    answer = Answer(200, page, {"content-type": "text/html; charset=utf-8"})
    told = ("HTTP 200 with a web page", "Sign in", f"{PREFIX}ENDPOINT", "login page")
    return _gated(bench, answer, *told)


def login_page(bench: Bench, protocol: str) -> Wrong:
    """The proxy sends one on to where one logs in."""
    answer = Answer(302, b"", {"location": f"{bench.gate.address}/login"})
    return _gated(bench, answer, "HTTP 302", "/login", "login page", f"{PREFIX}ENDPOINT")


CASES: Final = [
    *(
        (make, protocol)
        for make in (
            unknown_authority,
            another_host,
            expired,
            nobodys_client,
            plain_to_tls,
            tls_to_plain,
            wrong_password,
            nobody_listens,
            no_such_host,
            the_other_protocol,
        )
        for protocol in BOTH
    ),
    *(
        (make, HTTP)
        for make in (
            path_twice,
            no_path,
            expired_token,
            forbidden,
            web_page,
            login_page,
        )
    ),
]


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


class Shell:
    """Runs commands with one store, and keeps all that they say."""

    def __init__(self, folder: Path) -> None:
        self._store = folder / "store.db"
        self._folder = folder
        self.said: list[str] = []

    def __call__(self, variables: dict[str, str], *arguments: str, **more: str) -> Done:
        """Run phasetrace; the variables are OTLP's, without what they begin with, and more."""
        done = subprocess.run(
            [sys.executable, "-m", "phasetrace", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "PHASETRACE_STORE": str(self._store),
                "PHASETRACE_DELIVERY": "thread",
                **{f"{PREFIX}{name}": value for name, value in variables.items()},
                **more,
            },
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        return Done(done.returncode, done.stdout, done.stderr)

    def record(
        self,
        variables: dict[str, str],
        exec_id: str,
        more: dict[str, str] | None = None,
        length: int = 0,
    ) -> list[str]:
        """Run a program that exits with 3; return what it says on stderr."""
        script = self._folder / "program.py"
        script.write_text(PROGRAM)
        done = self(variables, "run", "--quiet", str(script), exec_id, str(length), **(more or {}))
        assert done.code == 3, done.err
        return done.err.splitlines()

    def destination(self) -> dict[str, Any]:
        """Return the only destination of ``phasetrace status --json``."""
        (destination,) = json.loads(self({}, "status", "--json").out)["destinations"]
        assert isinstance(destination, dict)
        return destination

    def files(self) -> bytes:
        """Return every byte of the store and of what is beside it."""
        return b"".join(path.read_bytes() for path in self._folder.glob("store.db*"))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return what runs commands; a process that delivers ends with the store."""
    yield Shell(tmp_path)
    for path in tmp_path.glob("store.db*"):
        path.unlink()


def has_in_order(line: str, parts: tuple[str, ...]) -> bool:
    """Tell whether a line has all parts, one behind the other."""
    at = 0
    for part in parts:
        at = line.find(part, at)
        if at < 0:
            return False
    return True


def spans_in(jaeger: Jaeger, exec_id: str) -> int:
    """Return how many spans of an execution are there, those that came twice counted twice."""
    answer = jaeger.trace(f"{trace_id_of(exec_id):032x}", raw=True)
    return len(answer.spans()) if answer.status == 200 else 0


@pytest.mark.parametrize(
    ("make", "protocol"), CASES, ids=[f"{make.__name__}-{protocol}" for make, protocol in CASES]
)
def test_it_is_told_and_mended(bench: Bench, shell: Shell, make: Any, protocol: str) -> None:
    """At the end of the run, by status and by doctor; then all is delivered, each span once."""
    case: Wrong = make(bench, protocol)
    exec_id = f"run-{secrets.token_hex(4)}"
    bench.gate.answer = case.answer

    lines = shell.record(case.wrong, exec_id)
    assert len([line for line in lines if has_in_order(line, case.told)]) in (1, 2), lines
    assert any(f"{SPANS} spans wait for" in line for line in lines), lines
    before = shell.destination()
    assert (before["waiting"], before["delivered"], before["refused"]) == (SPANS, 0, 0)
    assert has_in_order(before["last_error"], case.told), before["last_error"]
    assert "\n" not in before["last_error"]

    doctor = shell(case.wrong, "doctor", "--json")
    assert doctor.code == 1
    (found,) = (one for one in json.loads(doctor.out)["checks"] if one["subject"] == "destinations")
    assert has_in_order(f"{found['found']} {found['advice']}", case.told), found

    bench.gate.answer = None
    shipped = shell(case.right, "ship")
    if "--instead-of" in shipped.err:  # what was mended is another address, or another key
        assert spans_in(case.jaeger, exec_id) == 0
        shipped = shell(case.right, "ship", "--instead-of", before["endpoint"])
    assert shipped.code == 0, shipped.err
    after = shell.destination()
    assert (after["waiting"], after["delivered"], after["last_error"]) == (0, SPANS, None)
    assert spans_in(case.jaeger, exec_id) == SPANS
    verified = shell({}, "verify", exec_id, "--source", case.jaeger.query_url)
    assert verified.code == 0, verified.out

    everything = "".join(shell.said).encode() + shell.files()
    for secret in (TOKEN, PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
        assert secret.encode() not in everything


@pytest.mark.parametrize("make", [expired_token, web_page, login_page, nobody_listens])
def test_without_a_store_it_is_told_all_the_same(bench: Bench, shell: Shell, make: Any) -> None:
    """Nothing keeps the spans then, so what cannot pass by waiting is not waited for."""
    case: Wrong = make(bench, HTTP)
    bench.gate.answer = case.answer
    exec_id = f"run-{secrets.token_hex(4)}"
    lines = shell.record(case.wrong, exec_id, {"PHASETRACE_STORE": "off", "DEBUG": "1"})
    (line,) = (one for one in lines if "could not be delivered to" in one)
    assert line.startswith(f"phasetrace: {SPANS} spans could not be delivered to otlp_proto_http: ")
    assert has_in_order(line, case.told)
    assert TOKEN not in "".join(shell.said)
    bench.gate.answer = None
    assert spans_in(bench.plain, exec_id) == 0


@pytest.mark.parametrize("protocol", BOTH)
def test_what_is_too_large_is_cut(bench: Bench, shell: Shell, protocol: str) -> None:
    """Until it fits; a span that never does is put aside with the reason, the others arrive."""
    there, limit = to(bench.small, protocol, "http"), 100_000 if protocol == HTTP else 1_048_576
    unlimited = {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9999999"}
    shell.record(there, cut := f"run-{secrets.token_hex(4)}", unlimited, limit // 2)
    assert (shell.destination()["delivered"], spans_in(bench.small, cut)) == (SPANS, SPANS)

    shell.record(there, exec_id := f"run-{secrets.token_hex(4)}", unlimited, limit + 1)
    found = json.loads(shell({}, "status", "--json").out)
    (destination,) = found["destinations"]
    assert (destination["refused"], destination["waiting"]) == (3, 0)
    told = (
        "large",
        "a single span is more than it takes",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    )
    assert all(has_in_order(one["reason"], told) for one in found["refused_spans"])
    assert spans_in(bench.small, exec_id) == SPANS - 3
    shipped = shell(to(bench.plain, protocol, "http"), "ship", "--replay", exec_id)
    assert shipped.code == 0, shipped.err
    assert shell({}, "verify", exec_id, "--source", bench.plain.query_url).code == 0


@pytest.mark.parametrize(
    ("protocol", "way"),
    [(HTTP, "thread"), (GRPC, "process"), (HTTP, "direct"), (GRPC, "direct")],
)
@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        (f"x-ok=1,authorization=Bearer {TOKEN};v=1", "part 2 of 2 cannot be read and is not sent"),
        (f"authorization=Bearer%20{TOKEN}%0A%00", "its value holds what cannot be sent"),
        (f"{TOKEN}{TOKEN}", "its value cannot be read and is not sent"),
    ],
)
def test_headers_that_cannot_be_read_are_not_shown(
    bench: Bench, shell: Shell, headers: str, wrong: str, protocol: str, way: str
) -> None:
    """Neither by OpenTelemetry, whose parser logs them, nor by us: the variable and the place."""
    more = {"PHASETRACE_STORE": "off"} if way == "direct" else {"PHASETRACE_DELIVERY": way}
    there = to(bench.plain, protocol, "http") | {"HEADERS": headers}
    exec_id = f"run-{secrets.token_hex(4)}"
    lines = shell.record(there, exec_id, {"DEBUG": "1", **more})
    told = [line for line in lines if f"{PREFIX}HEADERS: {wrong}" in line]
    assert len(told) == 1, lines
    doctor = json.loads(shell(there, "doctor", "--json").out)
    (found,) = (one for one in doctor["checks"] if one["subject"] == "configuration")
    assert (found["level"], found["found"].startswith(f"{PREFIX}HEADERS: {wrong}")) == (
        "warning",
        True,
    )
    if way == "thread":
        shell({}, "status", "--json")
        shell(there, "ship", "--timeout", "1")
    everything = "".join(shell.said).encode() + shell.files()
    assert TOKEN.encode() not in everything


@pytest.mark.parametrize("way", ["store", "direct"])
def test_what_is_in_an_address_is_not_shown(bench: Bench, shell: Shell, way: str) -> None:
    """A password in front of the host, and a query, which urllib3 logs with each request."""
    host = bench.gate.address.removeprefix("http://")
    there = {"TRACES_ENDPOINT": f"http://me:{PASSWORD}@{host}/v1/traces?token={TOKEN}"}
    more = {"PHASETRACE_STORE": "off"} if way == "direct" else {}
    for answer in (None, Answer(401, f"token {TOKEN}, password {PASSWORD}".encode()), Answer(400)):
        bench.gate.answer = answer
        shell.record(there, f"run-{secrets.token_hex(4)}", {"DEBUG": "1", **more})
        shell(there, "doctor", "--json")
    bench.gate.answer = None
    assert "POST" in "".join(shell.said)
    everything = "".join(shell.said).encode() + shell.files()
    for secret in (TOKEN, PASSWORD, base64.b64encode(f"me:{PASSWORD}".encode()).decode()):
        assert secret.encode() not in everything
