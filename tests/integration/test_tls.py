"""TLS and mutual TLS, by the standard variables, to a real Jaeger: every way that spans can go."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from phasetrace.identity import trace_id_of

from .certificates import Authority, Issued
from .delivery.programs import status
from .jaeger import Jaeger, require_binary
from .receiving import jaeger_with, with_tls

PROGRAM: Final = """
import sys
from phasetrace import execution, node, phase
with execution(sys.argv[1]), node("a"):
    for index in range(3):
        with phase("work", index=index):
            pass
"""
SPANS: Final = 5
PATIENCE_S: Final = 20.0
PREFIX: Final = "OTEL_EXPORTER_OTLP_"
PROTOCOLS: Final = ("http/protobuf", "grpc")


class Bench(NamedTuple):
    """Two receivers that speak TLS; one takes what its authority has issued to clients, only."""

    jaeger: Jaeger
    strict: Jaeger
    authority: Authority
    client: Issued
    other: Authority


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Run the receivers for all tests of this module."""
    require_binary()
    folder = tmp_path_factory.mktemp("tls")
    authority, other = Authority(folder / "ours"), Authority(folder / "other")
    (folder / "strict").mkdir()
    plain = with_tls(authority.issue("server"))
    strict = with_tls(authority.issue("strict"), authority)
    with (
        jaeger_with(folder, plain, plain) as one,
        jaeger_with(folder / "strict", strict, strict) as two,
    ):
        yield Bench(one, two, authority, authority.issue("client", "me@client.test"), other)


def address(jaeger: Jaeger, protocol: str) -> str:
    """Return the address of a receiver, without a scheme."""
    url = jaeger.otlp_grpc if protocol == "grpc" else jaeger.otlp_http
    return url.removeprefix("http://")


class Programs:
    """Runs programs that record the same, each its own execution."""

    def __init__(self, folder: Path) -> None:
        self.exec_id = f"run-{secrets.token_hex(4)}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PHASETRACE_STORE": str(folder / "store.db"),
        }

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a program."""
        return {**self._environment, **variables}

    def record(self, **variables: str) -> str:
        """Run the program to its good end; return what it said on stderr."""
        return self._run("-W", "error", "-c", PROGRAM, self.exec_id, **variables)

    def phasetrace(self, *arguments: str, **variables: str) -> str:
        """Run a command to its good end."""
        return self._run("-m", "phasetrace", *arguments, **variables)

    def _run(self, *arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Return what runs programs, with a store of their own."""
    return Programs(tmp_path)


def spans_in(jaeger: Jaeger, exec_id: str) -> int:
    """Return how many spans of an execution are there, those that came twice counted twice."""
    answer = jaeger.trace(f"{trace_id_of(exec_id):032x}", raw=True)
    return len(answer.spans()) if answer.status == 200 else 0


def wait_for_process(programs: Programs, **variables: str) -> None:
    """Wait until the process that delivers has delivered."""
    deadline = time.monotonic() + PATIENCE_S
    while status(programs.environment(**variables))["waiting"]:
        assert time.monotonic() < deadline, status(programs.environment(**variables))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("is_mutual", [False, True], ids=["tls", "mutual"])
@pytest.mark.parametrize("way", ["thread", "process", "ship", "direct"])
def test_spans_arrive(
    bench: Bench, programs: Programs, way: str, is_mutual: bool, protocol: str
) -> None:
    """Each once, and the same; whoever sends them."""
    jaeger = bench.strict if is_mutual else bench.jaeger
    variables = {
        f"{PREFIX}ENDPOINT": f"https://{address(jaeger, protocol)}",
        f"{PREFIX}PROTOCOL": protocol,
        f"{PREFIX}CERTIFICATE": str(bench.authority.certificate),
        "PHASETRACE_DELIVERY": {"ship": "off", "direct": "thread"}.get(way, way),
        **({"PHASETRACE_STORE": "off"} if way == "direct" else {}),
    }
    if is_mutual:
        variables[f"{PREFIX}CLIENT_CERTIFICATE"] = str(bench.client.certificate)
        variables[f"{PREFIX}CLIENT_KEY"] = str(bench.client.key)
    said = programs.record(**variables)
    if way == "ship":
        assert spans_in(jaeger, programs.exec_id) == 0
        programs.phasetrace("ship", **variables)
    if way == "process":
        wait_for_process(programs, **variables)
    assert spans_in(jaeger, programs.exec_id) == SPANS
    if way != "direct":
        programs.phasetrace("verify", programs.exec_id, "--source", jaeger.query_url)
    assert said == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_variables_for_traces_win(bench: Bench, programs: Programs, protocol: str) -> None:
    """Each by itself: the others come from those for all signals, as the specification has it."""
    programs.record(
        **{
            f"{PREFIX}ENDPOINT": f"https://{address(bench.strict, protocol)}",
            f"{PREFIX}PROTOCOL": protocol,
            f"{PREFIX}CERTIFICATE": str(bench.other.certificate),
            f"{PREFIX}TRACES_CERTIFICATE": str(bench.authority.certificate),
            f"{PREFIX}CLIENT_CERTIFICATE": str(bench.client.certificate),
            f"{PREFIX}CLIENT_KEY": "/no/such/key",
            f"{PREFIX}TRACES_CLIENT_KEY": str(bench.client.key),
        }
    )
    assert spans_in(bench.strict, programs.exec_id) == SPANS


def test_another_programs_bundle_is_not_in_the_way(bench: Bench, programs: Programs) -> None:
    """REQUESTS_CA_BUNDLE is for what has no certificate of its own."""
    programs.record(
        **{
            f"{PREFIX}ENDPOINT": f"https://{address(bench.jaeger, 'http/protobuf')}",
            f"{PREFIX}CERTIFICATE": str(bench.authority.certificate),
            "REQUESTS_CA_BUNDLE": str(bench.other.certificate),
        }
    )
    assert spans_in(bench.jaeger, programs.exec_id) == SPANS


@pytest.mark.parametrize(
    ("scheme", "insecure", "is_tls"),
    [
        ("", {}, True),
        ("", {f"{PREFIX}INSECURE": "false"}, True),
        ("", {f"{PREFIX}INSECURE": "true"}, False),
        ("", {f"{PREFIX}INSECURE": "true", f"{PREFIX}TRACES_INSECURE": "false"}, True),
        ("https://", {f"{PREFIX}INSECURE": "true"}, True),
        ("http://", {f"{PREFIX}INSECURE": "false"}, False),
    ],
)
def test_when_grpc_speaks_tls(
    bench: Bench,
    jaeger: Jaeger,
    programs: Programs,
    scheme: str,
    insecure: dict[str, str],
    is_tls: bool,
) -> None:
    """A scheme says so; INSECURE only where there is none, and then the default is TLS."""
    receiver = bench.jaeger if is_tls else jaeger
    programs.record(
        **{
            f"{PREFIX}ENDPOINT": f"{scheme}{address(receiver, 'grpc')}",
            f"{PREFIX}PROTOCOL": "grpc",
            f"{PREFIX}CERTIFICATE": str(bench.authority.certificate),
            **insecure,
        }
    )
    assert spans_in(receiver, programs.exec_id) == SPANS


@pytest.mark.parametrize("key", [None, "/no/such/key", "content"])
@pytest.mark.parametrize("store", ["on", "off"])
def test_a_key_that_is_none_does_not_end_the_program(
    bench: Bench, programs: Programs, key: str | None, store: str
) -> None:
    """GRPC itself would abort it; and a key that stands where its path should is not shown."""
    variables = {
        f"{PREFIX}ENDPOINT": f"https://{address(bench.strict, 'grpc')}",
        f"{PREFIX}PROTOCOL": "grpc",
        f"{PREFIX}CERTIFICATE": str(bench.authority.certificate),
        f"{PREFIX}CLIENT_CERTIFICATE": str(bench.client.certificate),
        "PHASETRACE_DELIVERY": "thread",
    }
    secret = bench.client.key.read_text()
    if key is not None:
        variables[f"{PREFIX}CLIENT_KEY"] = secret if key == "content" else key
    if store == "off":
        variables["PHASETRACE_STORE"] = "off"
    said = programs.record(**variables)
    assert f"{PREFIX}CLIENT_KEY" in said
    assert secret.splitlines()[1] not in said
    assert spans_in(bench.strict, programs.exec_id) == 0
    if store == "on":
        variables[f"{PREFIX}CLIENT_KEY"] = str(bench.client.key)
        programs.phasetrace("ship", **variables)
        assert spans_in(bench.strict, programs.exec_id) == SPANS
