"""A real Jaeger for tests, and what its query APIs answer.

[Jaeger](https://github.com/jaegertracing/jaeger) v2 is one program; `.ci/jaeger` finds it or builds
it. `Jaeger` runs it on loopback ports with its own all-in-one configuration, less what nobody here
asks for: OTLP in, the latest traces in memory, the query APIs out. The batch processor is left out
as well, so that a span can be found as soon as the request that brought it is answered. Another
configuration, such as one of `deploy/jaeger`, is run as it is, but for where it listens.

What its answers are like, as of 2.13:

The API v3 (`trace`, `search`) answers with one JSON object, `{"result": {"resourceSpans": […]}}`,
in OTLP's JSON: ids in lower-case hex, 64-bit numbers as strings, kinds and status codes as numbers,
bytes in base64, and every field left out that has its default. Its content type is `text/plain`.
What is not found is a 404 with `{"error": {"httpCode": 404, "message": "No traces found"}}`, for a
search as well. A search looks at services, span names, times and durations, and not at attributes;
of the traces found all `resourceSpans` are in one list.

Unless it is asked for raw traces, it shows what it makes of them: attributes and events sorted by
name, identical spans of one resource once (what held the others stays, without `spans`), and
remarks about clocks and parents in an attribute `@jaeger@warnings`. The memory store keeps these
changes, so that raw traces show them too from then on.

Badger keeps spans in the model of Jaeger v1: lists and mappings as text, in JSON; no flags, no
attributes of scopes and links, of which each gets an `opentracing.ref_type`.

The API of the user interface (`traces_v1`, `search_v1`) answers with `{"data": […], "errors": …}`,
in microseconds. It searches a service by attributes.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import pytest
import yaml

from .rotel import _free_ports

POLL_S: Final = 0.01
DEADLINE_S: Final = 30.0
MAX_TRACES: Final = 1000

_FINDER: Final = Path(__file__).parents[2] / ".ci" / "jaeger"
_ATTEMPTS: Final = 10


class Answer(NamedTuple):
    """What the query API answers."""

    status: int
    content_type: str
    text: str

    def json(self) -> Any:
        """Return the answer's one JSON value."""
        return json.loads(self.text)

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans of an answer of the API v3, in its order, as they are in the JSON."""
        return [
            span
            for resource_spans in self.json()["result"]["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for span in scope_spans.get("spans", [])
        ]


def find_binary() -> Path | None:
    """Find Jaeger's program, without building it."""
    return _found()[0]


def in_its_words(configuration: Path, folder: Path) -> Path:
    """Return a configuration as the program here understands it, if need be rewritten in a folder.

    2.20 warns of the connector's old name, and 2.13 does not know the new one.
    """
    text = configuration.read_text()
    if "span_metrics:" not in text or knows_span_metrics():
        return configuration
    rewritten = folder / configuration.name
    rewritten.write_text(re.sub(r"\bspan_metrics\b", "spanmetrics", text))
    return rewritten


@functools.cache
def knows_span_metrics() -> bool:
    """Tell whether the program here has the name that 2.20 has for it, and 2.13 has not."""
    binary = find_binary()
    assert binary is not None
    done = subprocess.run([binary, "components"], capture_output=True, text=True, check=True)
    return "name: span_metrics" in done.stdout


def require_binary() -> None:
    """Skip the test if there is no program, saying how to get one; in CI with Go, fail it."""
    if find_binary() is None:
        in_ci = os.environ.get("CI", "").lower() in ("true", "1")
        give_up = pytest.fail if in_ci and shutil.which("go") else pytest.skip
        give_up(_found()[1])


@functools.cache
def _found() -> tuple[Path | None, str]:
    done = subprocess.run([_FINDER, "--find"], capture_output=True, text=True, check=False)
    if done.returncode:
        return None, done.stderr.strip()
    return Path(done.stdout.strip()).resolve(), ""


class _Ports(NamedTuple):
    grpc: int
    http: int
    query: int
    health: int
    metrics: int


class Jaeger:
    """A Jaeger process on loopback ports, for use as a context manager from one thread.

    The ports are chosen at the first start and kept; the traces are gone after a stop, unless they
    are in a folder. It traces and reports nothing about itself, and variables that could change
    that are not passed on.

    Args:
        configuration: A file to run in place of the one above; those of its parts that listen do
            so on the ports here.
        environment: What its `${env:…}` are to be.
        badger: A folder for traces, kept there by Badger; without one they are in memory. Not for
            another configuration.
    """

    def __init__(
        self,
        configuration: Path | None = None,
        environment: Mapping[str, str] | None = None,
        badger: Path | None = None,
    ) -> None:
        self._configuration = configuration
        self._backend = _IN_MEMORY if badger is None else _in_badger(badger)
        self._variables = dict(environment or {})
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: _Ports | None = None
        # Only the process that was started knows the path: no other's answer is taken for its.
        self._health_path = f"/{secrets.token_hex(8)}"

    def __enter__(self) -> Jaeger:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def otlp_grpc(self) -> str:
        """Where it takes OTLP over gRPC; it has no TLS."""
        return f"http://127.0.0.1:{self._bound().grpc}"

    @property
    def otlp_http(self) -> str:
        """Where it takes OTLP over HTTP; traces go to `/v1/traces` below it."""
        return f"http://127.0.0.1:{self._bound().http}"

    @property
    def query_url(self) -> str:
        """Where the query APIs are: below `/api/v3`, and below `/api` those of the interface."""
        return f"http://127.0.0.1:{self._bound().query}"

    @property
    def metrics_address(self) -> str:
        """Where the exporter `prometheus` of its configuration listens, as host and port."""
        return f"127.0.0.1:{self._bound().metrics}"

    def start(self) -> None:
        """Run the program and return when everything in it is up.

        Raises:
            RuntimeError: It runs already, or there is no program.
            AssertionError: It does not come up.
        """
        if self._running():
            raise RuntimeError("Jaeger runs already; call stop() first")
        self.stop()
        ports = self._ports
        for _ in range(_ATTEMPTS):
            self._ports = ports or _choose_ports()
            self._spawn()
            if self._gets_ready():
                return
            if "address already in use" not in self._log():
                break
            time.sleep(POLL_S)
        raise AssertionError(f"Jaeger does not start: {self._log() or 'no message'}")

    def stop(self) -> None:
        """End it in order, and with it what it has in memory; does nothing if it is down."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop it and remove its files."""
        try:
            self.stop()
        finally:
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def trace(self, trace_id: str, *, raw: bool = False) -> Answer:
        """Ask the API v3 for a trace, by its id in hex; raw: as it was sent."""
        return self.get(f"/api/v3/traces/{trace_id}", **({"raw_traces": "true"} if raw else {}))

    def search(self, limit: int = MAX_TRACES, **query: str) -> Answer:
        """Ask the API v3 for traces, by its parameters without their `query.`; newest first.

        The time range, which it insists on, is everything unless given.
        """
        asked = {
            "start_time_min": "1970-01-01T00:00:00Z",
            "start_time_max": "2200-01-01T00:00:00Z",
            "num_traces": str(limit),
            "search_depth": str(limit),  # the name of num_traces in later releases
            **query,
        }
        return self.get("/api/v3/traces", **{f"query.{key}": asked[key] for key in asked})

    def traces_v1(self, trace_id: str) -> Answer:
        """Ask as the user interface does for a trace, by its id in hex."""
        return self.get(f"/api/traces/{trace_id}")

    def search_v1(self, service: str, **attributes: str) -> Answer:
        """Ask as the user interface does for a service's traces, by attributes of one span.

        It looks at the last two days.
        """
        return self.get("/api/traces", service=service, tags=json.dumps(attributes))

    def get(self, path: str, **parameters: str) -> Answer:
        """Get a path of the query APIs.

        Raises:
            OSError: Nothing answers.
        """
        return _get(self._bound().query, f"{path}?{urlencode(parameters)}")

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _bound(self) -> _Ports:
        if self._ports is None:
            raise RuntimeError("the ports are not known before the first start()")
        return self._ports

    def _file(self, name: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="jaeger-")
        return Path(self._folder.name) / name

    def _log(self) -> str:
        """Return the end of what it logged since its last start."""
        return self._file("log").read_text().strip()[-2000:]

    def _spawn(self) -> None:
        binary = find_binary()
        if binary is None:
            raise RuntimeError(_found()[1])
        configuration = self._configuration
        if configuration is None:
            configuration = self._file("configuration.json")  # of which YAML is a superset
            configuration.write_text(json.dumps(_storing(self._backend)))
        else:
            configuration = in_its_words(configuration, self._file("configuration.json").parent)
        listening = self._file("listening.json")
        parts = yaml.safe_load(configuration.read_text())
        listening.write_text(json.dumps(_listening(self._bound(), self._health_path, parts)))
        with self._file("log").open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "--config", configuration, "--config", listening],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment() | self._variables,
            )

    def _gets_ready(self) -> bool:
        """Wait until this very process says that all of it is up; False if it ended instead."""
        deadline = time.monotonic() + DEADLINE_S
        while self._running():
            try:
                if _get(self._bound().health, self._health_path, 1).status == http.client.OK:
                    return True
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() >= deadline:
                raise AssertionError(f"Jaeger is not ready in {DEADLINE_S} s: {self._log()}")
            time.sleep(POLL_S)
        return False


def _choose_ports() -> _Ports:
    """Pick ports nobody listens on now; whoever binds them must be ready to try others."""
    return _Ports(*_free_ports(), *_free_ports(), _free_ports()[0])


def _get(port: int, target: str, timeout_s: float = DEADLINE_S) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        content_type = response.getheader("Content-Type", "")
        return Answer(response.status, content_type, response.read().decode())
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("JAEGER_", "OTEL_"))}


def _listening(ports: _Ports, health_path: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is laid over a configuration, for the parts that it has: where they listen."""

    def at(port: int) -> dict[str, Any]:
        return {"endpoint": f"127.0.0.1:{port}"}

    addresses: dict[str, dict[str, Any]] = {
        "receivers": {"otlp": {"protocols": {"grpc": at(ports.grpc), "http": at(ports.http)}}},
        "exporters": {"prometheus": at(ports.metrics)},
        "extensions": {
            "jaeger_query": {"http": at(ports.query), "grpc": at(0)},
            "healthcheckv2": {
                "http": {**at(ports.health), "status": {"enabled": True, "path": health_path}}
            },
        },
    }
    return {
        "service": {"telemetry": {"metrics": {"level": "none"}}},
        **{
            kind: {name: part for name, part in named.items() if name in parts[kind]}
            for kind, named in addresses.items()
        },
    }


_IN_MEMORY: Final = {"memory": {"max_traces": MAX_TRACES}}


def _in_badger(folder: Path) -> dict[str, Any]:
    """Return a storage that outlives its Jaeger."""
    directories = {"keys": f"{folder / 'keys'}", "values": f"{folder / 'values'}"}
    return {"badger": {"directories": directories, "ephemeral": False}}


def _storing(backend: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed of Jaeger's all-in-one configuration, with this storage.

    Without a queue or a batch processor between receiver and storage, a request is answered when
    its spans are stored.
    """
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
            },
        },
        "receivers": {"otlp": {"protocols": {"grpc": None, "http": None}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "some_storage"}},
        "extensions": {
            "jaeger_storage": {"backends": {"some_storage": backend}},
            "jaeger_query": {"storage": {"traces": "some_storage"}, "enable_tracing": False},
            "healthcheckv2": {"use_v2": True},
        },
    }
