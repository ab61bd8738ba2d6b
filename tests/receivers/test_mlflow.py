"""MLflow shows an execution as it was recorded, and knows its calls of models and tools."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from phasetrace.identity import trace_id_of
from phasetrace.store.reader import StoreReader
from tests.integration.otlp_spans import OtlpSpan, otlp_spans, plain_json

from .agent_program import ANSWER, QUESTION, SPANS, TOKENS
from .recording import PROGRAM, calls, environment, python, record, replay, values
from .server import ask, free_ports, require, serving

pytestmark = pytest.mark.slow

EXPERIMENT: Final = "0"
"""The one that there always is."""

IN_PARTS: Final = """
from phasetrace import execution, force_flush, node, phase

with execution("in parts", name="in parts"):
    with node("first"), phase("work"):
        pass
    force_flush()
    print("sent", flush=True)
    input()
    with node("second"), phase("work"):
        pass
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run one server for all tests."""
    mlflow = require("mlflow", "mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    port, _ = free_ports()
    command = [
        *(str(mlflow), "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"),
        f"--backend-store-uri=sqlite:///{folder / 'mlflow.db'}",
        f"--artifacts-destination={folder / 'artifacts'}",
    ]
    with serving(command, folder, port, "/health", {"MLFLOW_DISABLE_TELEMETRY": "true"}):
        yield port


def variables(port: int, experiment: str = EXPERIMENT) -> dict[str, str]:
    """Return those of docs/backends.md."""
    return {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"x-mlflow-experiment-id={experiment}",
    }


def trace(port: int, exec_id: str) -> dict[str, Any]:
    """Ask for an execution's trace."""
    trace_id = f"tr-{trace_id_of(exec_id):032x}"
    status, answer = ask(port, "/api/3.0/mlflow/traces/get", trace_id=trace_id)
    assert status == 200, answer
    return dict(answer["trace"])


def spans_in(trace: dict[str, Any]) -> list[OtlpSpan]:
    """Return its spans, which are protobuf's JSON with the names of the fields as they are."""
    scope_spans = [{"spans": trace["spans"]}]
    message = ParseDict({"resource_spans": [{"scope_spans": scope_spans}]}, TracesData())
    return otlp_spans([plain_json(message)])


def kept(span: OtlpSpan) -> OtlpSpan:
    """Return a span without what MLflow has elsewhere, or leaves out; attributes are apart."""
    return span._replace(attributes={}, kind=0, remote=0, scope=("", "", {}), resource={})


def read(value: Any) -> Any:
    """Return an attribute's value as MLflow has it: text that is a list or an object, it reads."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("[", "{")) else value


def test_an_execution_is_whole(port: int, tmp_path: Path) -> None:
    """Ids, parents, names, nanoseconds, statuses, events, links and attributes are those stored."""
    recorded = record(tmp_path, "whole", **variables(port))
    shown = spans_in(trace(port, "whole"))
    assert [kept(span) for span in shown] == [kept(span) for span in recorded]
    for there, here in zip(shown, recorded, strict=True):
        expected = {name: read(value) for name, value in values(here).items()}
        found = {name: value for name, value in values(there).items() if "mlflow." not in name}
        assert found == expected


def test_calls_of_models_and_tools_are_known(port: int, tmp_path: Path) -> None:
    """By what the semantic conventions say of them; tokens are added up."""
    recorded = record(tmp_path, "known", **variables(port))
    answer = trace(port, "known")
    types = {span.span_id: values(span).get("mlflow.spanType") for span in spans_in(answer)}
    known = {kind: {one for one in types if types[one] == kind} for kind in ("CHAT_MODEL", "TOOL")}
    assert known["CHAT_MODEL"] == calls(recorded, "chat")
    assert known["TOOL"] == calls(recorded, "execute_tool")
    info = answer["trace_info"]
    tokens = json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"])
    assert (tokens["input_tokens"], tokens["output_tokens"]) == TOKENS
    assert (info["state"], info["tags"]["service.name"]) == ("OK", "agent")


def test_the_list_has_what_was_asked_and_answered(port: int, tmp_path: Path) -> None:
    """And the session and the user, where the execution has them as OpenInference says."""
    record(tmp_path, "asked", **variables(port))
    info = trace(port, "asked")["trace_info"]
    previews = json.loads(info["request_preview"]), json.loads(info["response_preview"])
    assert previews == (QUESTION, ANSWER)
    metadata = info["trace_metadata"]
    assert metadata["mlflow.trace.session"] == "a session"
    assert metadata["mlflow.trace.user"] == "ada"


def test_what_is_sent_again_is_there_once(port: int, tmp_path: Path) -> None:
    """Spans are told by their ids, and tokens are not counted twice."""
    record(tmp_path, "again", **variables(port))
    before = trace(port, "again")
    replay(tmp_path, "again", **variables(port))
    after = trace(port, "again")
    assert len(after["spans"]) == SPANS
    assert spans_in(after) == spans_in(before)
    assert after["trace_info"]["trace_metadata"] == before["trace_info"]["trace_metadata"]


def test_an_execution_may_come_in_parts(port: int, tmp_path: Path) -> None:
    """What has ended is there while it runs, and the rest comes to the same trace."""
    with subprocess.Popen(
        [sys.executable, "-c", IN_PARTS],
        env=environment(tmp_path) | variables(port),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "sent\n"
        first = trace(port, "in parts")
        program.communicate("go on\n", timeout=60)
    shipped = python(tmp_path, "-m", "phasetrace", "ship", **variables(port))
    assert shipped.returncode == 0, shipped.stderr
    last = trace(port, "in parts")
    assert (len(first["spans"]), first["trace_info"]["state"]) == (2, "IN_PROGRESS")
    assert (len(last["spans"]), last["trace_info"]["state"]) == (5, "OK")


def test_spans_wait_where_there_is_no_such_experiment(port: int, tmp_path: Path) -> None:
    """And it is said why."""
    python(tmp_path, str(PROGRAM), "nowhere", **variables(port, "77"))
    ship = ("-m", "phasetrace", "ship", "--timeout", "5")
    said = python(tmp_path, *ship, **variables(port, "77"))
    assert said.returncode == 1
    assert "No Experiment with id=77 exists" in said.stderr
    with StoreReader(tmp_path / "traces.db") as reader:
        (destination,) = reader.standing().destinations
    assert (destination.waiting, destination.delivered) == (SPANS, 0)
