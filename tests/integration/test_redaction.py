"""A real receiver gets no secret, whichever way spans take to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .rotel import ReceivedSpan, Rotel

HIDDEN = "hunter2zz"
PROGRAM = f"""
import phasetrace
from opentelemetry.trace import get_tracer
from phasetrace import execution, node, phase

address = "postgres://me:{HIDDEN}@db/x"
with execution("run_1", "redaction", password="{HIDDEN}"), node("n"):
    with phase("plain", api_key="{HIDDEN}", dsn=address, max_tokens=4096, pin=5, passwd=1234):
        pass
    with phase("nested", headers={{"Authorization": "{HIDDEN}", "accept": "*/*"}}, urls=[address]):
        pass
    try:
        with phase("fails"):
            raise ConnectionError(f"no answer from {{address}}")
    except ConnectionError:
        pass
    with get_tracer("library").start_as_current_span(
        f"connect {{address}}", attributes={{"http.request.header.cookie": ["{HIDDEN}"], "n": 1}}
    ):
        pass
phasetrace.shutdown()
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("way", ["store", "memory", "process"])
def test_a_real_receiver_gets_no_secret(
    rotel: Rotel, tmp_path: Path, protocol: str, way: str
) -> None:
    """From the store, from memory, and by a process of its own; and all else as it was."""
    is_grpc = protocol == "grpc"
    environment = {
        **os.environ,
        "PHASETRACE_STORE": "off" if way == "memory" else str(tmp_path / "traces.db"),
        "PHASETRACE_DELIVERY": "process" if way == "process" else "thread",
        "OTEL_EXPORTER_OTLP_ENDPOINT": rotel.grpc_endpoint if is_grpc else rotel.http_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_RESOURCE_ATTRIBUTES": f"deploy.token={HIDDEN},team=a",
    }
    run = [sys.executable, "-c", PROGRAM]
    subprocess.run(run, check=True, env=environment, timeout=60)
    spans = {span.name: span for span in rotel.wait_for(6)}
    assert HIDDEN not in repr(spans)
    check_what_is_left(spans)
    if way != "memory":
        assert HIDDEN.encode() not in b"".join(
            file.read_bytes() for file in tmp_path.iterdir() if file.is_file()
        )


def check_what_is_left(spans: dict[str, ReceivedSpan]) -> None:
    """Look at what was redacted, and at what was not."""
    shown = "postgres://me:[redacted]@db/x"
    assert set(spans) == {"redaction", "n", "plain", "nested", "fails", f"connect {shown}"}
    assert {span.resource["deploy.token"] for span in spans.values()} == {"[redacted]"}
    assert {span.resource["team"] for span in spans.values()} == {"a"}
    assert {span.attributes["exec_id"] for span in spans.values()} == {"run_1"}
    plain = spans["plain"].attributes
    assert {name: plain[name] for name in ("api_key", "dsn", "max_tokens", "pin", "passwd")} == {
        "api_key": "[redacted]",
        "dsn": shown,
        "max_tokens": 4096,
        "pin": 5,
        "passwd": "[redacted]",
    }
    assert spans["redaction"].attributes["password"] == "[redacted]"  # noqa: S105
    assert shown in spans["fails"].status_message
    (event,) = spans["fails"].events
    assert event.attributes["exception.message"] == f"no answer from {shown}"
    assert shown in event.attributes["exception.stacktrace"]
    library = spans[f"connect {shown}"].attributes
    assert (library["http.request.header.cookie"], library["n"]) == ("[redacted]", 1)
    assert spans["nested"].attributes["headers"] == {"Authorization": "[redacted]", "accept": "*/*"}
