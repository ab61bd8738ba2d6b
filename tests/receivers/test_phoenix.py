"""Phoenix shows an execution as it was recorded, to the microsecond that it keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from phasetrace.identity import trace_id_of
from tests.integration.otlp_spans import OtlpSpan, plain

from .agent_program import SPANS, TOKENS
from .recording import calls, record, replay, values
from .server import DEADLINE_S, POLL_S, ask, free_ports, require, serving

pytestmark = pytest.mark.slow

EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
STATUSES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}
TOKENS_OF: Final = ("llm.token_count.prompt", "llm.token_count.completion")


class Phoenix(NamedTuple):
    """Where a server listens."""

    http: int
    grpc: int

    def variables(self, protocol: str = "http/protobuf") -> dict[str, str]:
        """Return those of docs/backends.md."""
        port = self.grpc if protocol == "grpc" else self.http
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }

    def spans(self, exec_id: str, project: str = "default") -> list[dict[str, Any]]:
        """Wait until it has as many spans of an execution as were sent; return them by their ids.

        It writes them after it has answered.
        """
        deadline = time.monotonic() + DEADLINE_S
        trace_id = f"{trace_id_of(exec_id):032x}"
        path = f"/v1/projects/{project}/spans"
        while True:
            status, answer = ask(self.http, path, trace_id=trace_id, limit="1000")
            spans = answer["data"] if status == 200 else []
            if len(spans) >= SPANS:
                return sorted(spans, key=lambda span: str(span["context"]["span_id"]))
            assert time.monotonic() < deadline, answer
            time.sleep(POLL_S)


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """Run one server for all tests."""
    program = require("phoenix", "arize-phoenix")
    folder = tmp_path_factory.mktemp("phoenix")
    server = Phoenix(*free_ports())
    variables = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(server.http),
        "PHOENIX_GRPC_PORT": str(server.grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    with serving([str(program), "serve"], folder, server.http, "/healthz", variables):
        yield server


def is_close(shown: str, time_ns: int) -> bool:
    """Tell whether a time that it shows is the microsecond before or after a time in Unix ns."""
    microseconds = (datetime.fromisoformat(shown) - EPOCH) // timedelta(microseconds=1)
    return abs(microseconds * 1_000 - time_ns) < 1_000


def assert_shown(there: dict[str, Any], here: OtlpSpan) -> None:
    """Assert that a span is the one stored; what Phoenix adds to the attributes is its own."""
    assert there["context"] == {"trace_id": here.trace_id, "span_id": here.span_id}
    assert (there["parent_id"] or "", there["name"]) == (here.parent_id, here.name)
    assert is_close(there["start_time"], here.start_ns)
    assert is_close(there["end_time"], here.end_ns)
    assert (STATUSES[there["status_code"]], there["status_message"]) == here.status
    expected = values(here)
    shown = {**there["attributes"], "openinference.span.kind": there["span_kind"]}
    assert {name: shown.get(name) for name in expected} == expected
    assert len(there["events"]) == len(here.events)
    for event, (time_ns, name, attributes) in zip(there["events"], here.events, strict=True):
        assert is_close(event["timestamp"], time_ns)
        assert event["name"] == name
        assert event["attributes"] == {key: plain(value) for key, value in attributes.items()}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_execution_is_whole(protocol: str, phoenix: Phoenix, tmp_path: Path) -> None:
    """Ids, parents, names, times, statuses, events and attributes; but links, it does not keep."""
    exec_id = f"whole by {protocol}"
    recorded = record(tmp_path, exec_id, **phoenix.variables(protocol))
    for there, here in zip(phoenix.spans(exec_id), recorded, strict=True):
        assert_shown(there, here)


def test_calls_of_models_and_tools_are_known(phoenix: Phoenix, tmp_path: Path) -> None:
    """By what the semantic conventions say of them, tokens too; and so is the execution."""
    recorded = record(tmp_path, "known", **phoenix.variables())
    shown = phoenix.spans("known")
    kinds = {span["context"]["span_id"]: span["span_kind"] for span in shown}
    (root,) = (span.span_id for span in recorded if not span.parent_id)
    assert {one for one in kinds if kinds[one] == "AGENT"} == {root}
    assert {one for one in kinds if kinds[one] == "LLM"} == calls(recorded, "chat")
    assert {one for one in kinds if kinds[one] == "TOOL"} == calls(recorded, "execute_tool")
    added = tuple(sum(span["attributes"].get(name, 0) for span in shown) for name in TOKENS_OF)
    assert added == TOKENS


def test_what_is_sent_again_is_there_once(phoenix: Phoenix, tmp_path: Path) -> None:
    """Spans are told by their ids."""
    record(tmp_path, "again", **phoenix.variables())
    before = phoenix.spans("again")
    replay(tmp_path, "again", **phoenix.variables())
    record(tmp_path / "later", "later", **phoenix.variables())
    phoenix.spans("later")  # which it has written after what was sent again
    assert phoenix.spans("again") == before


def test_the_project_is_that_of_the_resource(phoenix: Phoenix, tmp_path: Path) -> None:
    """As docs/backends.md has it."""
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": "openinference.project.name=agents"}
    recorded = record(tmp_path, "in a project", **phoenix.variables(), **attributes)
    assert len(phoenix.spans("in a project", "agents")) == len(recorded)
