"""Every way out of a process is without secrets, whoever makes the spans and whoever gets them."""

from __future__ import annotations

import gzip
import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, set_tracer_provider
from opentelemetry.trace import get_tracer as tracer_of_any

import phasetrace
from phasetrace import carrier, execution, node, phase, redaction, time_phase, timing_collector
from phasetrace.redaction import MARK
from phasetrace.redaction_rules import Rules
from phasetrace.sending import shipping_environment
from phasetrace.settings import settings_from
from phasetrace.store.reader import StoreReader
from phasetrace_exporters.console import ConsoleTreeExporter
from phasetrace_exporters.jsonl import JsonLinesExporter
from tests.phasetrace.receivers import http_receiver, respond

HIDDEN = "hunter2zz"
ADDRESS = f"postgres://me:{HIDDEN}@db"
CONTEXT = SpanContext(3, 4, is_remote=False)


def work(exec_id: str = "exec_1") -> None:
    """Record secrets in every part of spans, on the plain way and on others, twice."""
    for number in range(2):
        odd: dict[str, Any] = {ADDRESS: number}
        typed = node("n", node_type=f"on {ADDRESS}", api_key=HIDDEN)
        with execution(exec_id, "work", password=HIDDEN), typed:
            with phase("plain", token=HIDDEN, n=number, dsn=ADDRESS, input_tokens=7):
                pass
            with phase("odd", **odd, rows=[["x-api-key", HIDDEN]]) as span:
                span.add_event("an event", odd)
                span.add_link(CONTEXT, odd)
            with phase(f"connect {ADDRESS}", headers={"Authorization": HIDDEN}, words=[ADDRESS]):
                pass
            with pytest.raises(ValueError), phase("fails") as span:
                span.add_event("an event", {"passwd": HIDDEN, "url": ADDRESS})
                span.add_link(CONTEXT, {"cookie": HIDDEN})
                raise ValueError(f"cannot connect to {ADDRESS}")
            tracer = tracer_of_any("library")
            links = [Link(CONTEXT, {"secret": HIDDEN})]
            with tracer.start_as_current_span(
                f"library {ADDRESS}", attributes={"db.password": HIDDEN}, links=links
            ):
                pass
    timing_collector.record(exec_id, "n", "measured", 1.0, password=HIDDEN)


@pytest.fixture
def store() -> Path:
    """Return the store, in which nothing is yet."""
    return Path(os.environ["PHASETRACE_STORE"])


@pytest.fixture(autouse=True)
def _resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"deploy.token={HIDDEN},team=a")


def check_store(path: Path) -> None:
    """Look for the secret in every byte of a store, and for what stands in its place."""
    for file in path.parent.glob(f"{path.name}*"):
        assert HIDDEN.encode() not in file.read_bytes(), file
    connection = sqlite3.connect(path)
    named = "SELECT name FROM sqlite_master WHERE type = 'table'"
    tables = [name for (name,) in connection.execute(named)]
    assert not any(
        HIDDEN in str(value) or HIDDEN.encode() in (value if isinstance(value, bytes) else b"")
        for table in tables
        for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608
        for value in row
    )
    connection.close()


def details(spans: Any) -> str:
    """Return all that spans show of themselves."""
    return "\n".join(
        repr(
            (
                span.name,
                dict(span.attributes),
                [(one.name, dict(one.attributes)) for one in span.events],
                [dict(link.attributes) for link in span.links],
                span.status.description,
                dict(span.resource.attributes),
            )
        )
        for span in spans
    )


def check_text(text: str) -> None:
    """Look for the secret, and for what stands in its place."""
    assert HIDDEN not in text
    assert MARK in text


@pytest.mark.parametrize("provider", ["own", "stock"])
def test_the_store(store: Path, provider: str) -> None:
    """Through our provider, and through a stock one of the application's."""
    if provider == "stock":
        set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    work()
    assert phasetrace.force_flush()
    check_store(store)
    with StoreReader(store) as reader:
        answer = reader.breakdown(reader.find("exec_1"))
    names = [one.phase for found in answer.nodes for one in found.phases]
    assert f"connect postgres://me:{MARK}@db" in names
    assert [one.node_type for one in answer.nodes if one.node_id == "n"] == [
        f"on postgres://me:{MARK}@db"
    ]
    assert names.count("plain") == 1
    phasetrace.shutdown()
    check_store(store)


@pytest.mark.parametrize("provider", ["own", "stock"])
def test_what_is_cut_is_redacted(
    store: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that ends before its host is there has a password all the same."""
    start = f"postgres://me:{HIDDEN}"
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", str(len(start)))
    if provider == "stock":
        set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    with time_phase("exec_1", "n", "p", dsn=f"{start}@db.internal/x"):
        pass
    assert phasetrace.force_flush()
    check_store(store)
    phasetrace.shutdown()


def test_what_is_open(store: Path) -> None:
    """Rows of what runs have names only, and these are looked at, too."""
    run = execution("exec_1", f"run {ADDRESS}", password=HIDDEN)
    with run, node("n", node_type=f"on {ADDRESS}"):
        assert phasetrace.force_flush()
        connection = sqlite3.connect(store)
        names = [name for (name,) in connection.execute("SELECT name FROM open_spans")]
        connection.close()
        assert f"run postgres://me:{MARK}@db" in names
        check_store(store)
    phasetrace.force_flush()
    check_store(store)


@pytest.mark.parametrize("delivery", ["thread", "off"])
def test_otlp_from_the_store(store: Path, delivery: str) -> None:
    """What is sent is what is stored; also what is sent later by another process."""
    with http_receiver() as receiver:
        endpoint = f"http://127.0.0.1:{receiver.port}"
        phasetrace.configure(endpoint=endpoint, delivery=delivery)
        work()
        phasetrace.shutdown()
        if delivery == "off":
            ship = [sys.executable, "-m", "phasetrace", "ship", "--endpoint", endpoint]
            subprocess.run(ship, check=True, capture_output=True, timeout=60)
        sent = b"".join(map(uncompressed, receiver.bodies))
    assert b"fails" in sent
    assert HIDDEN.encode() not in sent
    assert MARK.encode() in sent


def uncompressed(body: bytes) -> bytes:
    """Return the bytes of a request."""
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def test_dead_letters(store: Path) -> None:
    """What a receiver refuses is kept as it is stored."""
    with http_receiver() as receiver:

        def answer(handler: Any) -> None:
            is_bad = b"fails" in uncompressed(receiver.bodies[-1])
            (respond(400, f"no: {ADDRESS}".encode()) if is_bad else respond(200))(handler)

        receiver.answer = answer
        phasetrace.configure(endpoint=f"http://127.0.0.1:{receiver.port}")
        work()
        assert not phasetrace.force_flush()  # not all of them
        phasetrace.shutdown()
    check_store(store)
    connection = sqlite3.connect(store)
    reasons = [reason for (reason,) in connection.execute("SELECT reason FROM dead_letters")]
    connection.close()
    assert reasons == ["HTTP 400 Bad Request: no: postgres://…@db"] * 2


def test_otlp_from_memory() -> None:
    """Without a store, encoded on the way."""
    with http_receiver() as receiver:
        phasetrace.configure(store=False, endpoint=f"http://127.0.0.1:{receiver.port}")
        work()
        phasetrace.shutdown()
        sent = b"".join(map(uncompressed, receiver.bodies))
    assert b"fails" in sent
    assert HIDDEN.encode() not in sent


@pytest.mark.parametrize("store_is_on", [True, False])
@pytest.mark.parametrize("provider", ["own", "stock"])
def test_exporters_that_are_given(store_is_on: bool, provider: str) -> None:
    """They get spans, of which copies are redacted; the others are as they were."""
    if provider == "stock":
        resource = Resource.create()
        set_tracer_provider(TracerProvider(resource=resource, shutdown_on_exit=False))
    exported = InMemorySpanExporter()
    phasetrace.configure(exporters=[exported], **({} if store_is_on else {"store": False}))
    work()
    phasetrace.force_flush()
    spans = exported.get_finished_spans()
    text = details(spans)
    check_text(text)
    assert "'input_tokens': 7" in text
    assert f"'deploy.token': '{MARK}'" in text
    assert f"'postgres://me:{MARK}@db': 1" in text
    assert f"'node_type': 'on postgres://me:{MARK}@db'" in text
    assert {span.attributes["exec_id"] for span in spans if span.attributes} == {"exec_1"}
    assert {span.parent.span_id for span in spans if span.parent} <= {
        span.context.span_id for span in spans if span.context
    }


def test_exporters_get_no_secret_in_what_looks_like_clean_spans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of which the names, the keys and most values were seen before, all of them harmless."""
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES")
    exported = InMemorySpanExporter()
    phasetrace.configure(store=False, exporters=[exported])
    attributes: list[dict[str, Any]] = [{}, {"a": "x", "n": 1}, {"a": ADDRESS}, {"passwd": 1234}]
    for _ in range(2):
        for given in attributes:
            with time_phase("exec_1", "n", "p", **given):
                pass
    phasetrace.force_flush()
    found = [one.attributes for one in exported.get_finished_spans() if one.name == "p"]
    shown: list[dict[str, Any]]
    shown = [{}, {"a": "x", "n": 1}, {"a": f"postgres://me:{MARK}@db"}, {"passwd": MARK}] * 2
    assert found == [{"exec_id": "exec_1", "node_id": "n", **one} for one in shown]


def test_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the store, from memory, and in a program that knows nothing else of phasetrace."""
    for number, settings in enumerate([{}, {"store": False}]):
        file = tmp_path / f"{number}.jsonl"
        monkeypatch.setenv("PHASETRACE_JSONL", str(file))
        phasetrace.configure(exporters=["phasetrace_jsonl"], **settings)
        work(f"exec_{number}")
        phasetrace.shutdown()
        check_text(file.read_text())
    monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / "alone.jsonl"))
    with_processor(JsonLinesExporter())
    check_text((tmp_path / "alone.jsonl").read_text())


def with_processor(exporter: Any) -> None:
    """Have a stock provider export a span with secrets."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("s", attributes={"passwd": HIDDEN, "u": ADDRESS}):
        pass
    provider.shutdown()


def test_the_environment_tells_exporters_that_are_used_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nobody has configured anything else."""
    monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / "alone.jsonl"))
    monkeypatch.setenv("PHASETRACE_REDACT", "off,u")
    with_processor(JsonLinesExporter())
    text = (tmp_path / "alone.jsonl").read_text()
    assert HIDDEN in text
    assert ADDRESS not in text


def test_an_exporter_does_not_undo_what_was_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it is made."""
    phasetrace.configure(store=False, redact="off,u")
    monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / "alone.jsonl"))
    with_processor(JsonLinesExporter())
    text = (tmp_path / "alone.jsonl").read_text()
    assert HIDDEN in text
    assert ADDRESS not in text


def test_a_bad_setting_leaves_exporters_redacting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And is told."""
    monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / "alone.jsonl"))
    monkeypatch.setenv("PHASETRACE_REDACT", "off,on")
    with_processor(JsonLinesExporter())
    check_text((tmp_path / "alone.jsonl").read_text())
    assert "PHASETRACE_REDACT: on and off contradict each other" in caplog.text


def test_a_bad_item_leaves_the_others_in_force_for_exporters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that nothing of phasetrace was configured for."""
    monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / "alone.jsonl"))
    monkeypatch.setenv("PHASETRACE_REDACT", "off, /(/, n")
    with_processor(JsonLinesExporter())
    check_text((tmp_path / "alone.jsonl").read_text())
    assert redaction.in_force().rules == Rules(True, ("n",))


def test_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    """As phasetrace feeds it, and by itself."""
    phasetrace.configure(exporters=["console"])
    work()
    phasetrace.shutdown()
    shown = capsys.readouterr()
    check_text(shown.out + shown.err)
    stream = io.StringIO()
    with_processor(ConsoleTreeExporter(stream))
    check_text(stream.getvalue())


def test_the_timing_log(tmp_path: Path) -> None:
    """It has names only, and these are looked at."""
    file = tmp_path / "timing.log"
    phasetrace.configure(timing=str(file))
    work()
    phasetrace.shutdown()
    check_text(file.read_text())


def test_what_is_told_another_process() -> None:
    """The type of the node goes with its ids."""
    with execution("exec_1"), node("n", node_type=f"on {ADDRESS}"):
        headers: dict[str, str] = {}
        carrier.inject(headers)
        text = str(headers)
    assert HIDDEN not in text
    assert "node_type=on%20postgres" in text


def test_what_stays_in_the_process_is_as_it_was() -> None:
    """Nobody stores or sends it."""
    with time_phase("exec_1", "n", "p", password=HIDDEN) as span:
        span.set_attribute("dsn", ADDRESS)
    phasetrace.force_flush()
    metadata = timing_collector.get("exec_1")["n"]["p_metadata"]
    assert metadata == {"password": HIDDEN, "dsn": ADDRESS}
    assert isinstance(span, ReadableSpan)
    assert span.attributes is not None
    assert span.attributes["password"] == HIDDEN


def test_an_applications_own_exporters_see_all() -> None:
    """They are its own; the store beside them does not."""
    theirs = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    set_tracer_provider(provider)
    work()
    phasetrace.force_flush()
    assert HIDDEN in details(theirs.get_finished_spans())
    check_store(Path(os.environ["PHASETRACE_STORE"]))


def test_off_by_choice(store: Path) -> None:
    """Then everything is kept as it was recorded."""
    phasetrace.configure(redact="off")
    with time_phase("exec_1", "n", "p", password=HIDDEN):
        pass
    phasetrace.shutdown()
    assert HIDDEN.encode() in store.read_bytes()


def test_patterns_of_the_users(store: Path) -> None:
    """By the name of an attribute, and by what is in any."""
    phasetrace.configure(redact=["*.prompt", r"/customer \d+/"])
    with time_phase("exec_1", "n", "p", **{"llm.prompt": "tell me", "note": "for customer 4711"}):
        pass
    phasetrace.shutdown()
    stored = store.read_bytes()
    assert b"tell me" not in stored
    assert b"4711" not in stored
    assert b"for [redacted]" in stored


def test_what_was_recorded_before_a_change_goes_by_the_old_policy(store: Path) -> None:
    """Also what had not been written yet."""
    exported = InMemorySpanExporter()
    phasetrace.configure(exporters=[exported])
    with time_phase("exec_1", "n", "before", password="kept back"):  # noqa: S106
        pass
    phasetrace.configure(redact="off", exporters=[exported])
    with time_phase("exec_1", "n", "after", password="shown"):  # noqa: S106
        pass
    phasetrace.force_flush()
    found = {one.name: one.attributes["password"] for one in exported.get_finished_spans()}  # type: ignore[index]
    assert found == {"before": MARK, "after": "shown"}
    phasetrace.shutdown()
    assert b"kept back" not in store.read_bytes()


def test_the_resource_follows_a_change() -> None:
    """Its message is kept with the tracer, and the tracer stays."""
    with http_receiver() as receiver:
        endpoint = f"http://127.0.0.1:{receiver.port}"
        for setting, is_there in (("off", True), ("secrets", False), ("off", True)):
            receiver.bodies.clear()
            phasetrace.configure(store=False, endpoint=endpoint, redact=setting)
            with time_phase(f"exec_{setting}", "n", "p"):
                pass
            assert phasetrace.force_flush()
            sent = b"".join(map(uncompressed, receiver.bodies))
            assert (HIDDEN.encode() in sent) is is_there
        phasetrace.shutdown()


def test_a_forked_child_goes_by_the_same_policy(store: Path) -> None:
    """Also with exporters of its own."""
    program = """
import os, phasetrace
phasetrace.configure(redact="off,mine", exporters=["phasetrace_jsonl"])
with phasetrace.time_phase("e", "n", "p", mine="hunter2zz"): pass
if not (child := os.fork()):
    with phasetrace.time_phase("e", "n", "q", mine="hunter2zz", password="kept"): pass
    phasetrace.shutdown()
    os._exit(0)
os.waitpid(child, 0)
"""
    file = store.parent / "x.jsonl"
    environment = {**os.environ, "PHASETRACE_JSONL": str(file)}
    del environment["OTEL_RESOURCE_ATTRIBUTES"]
    run = [sys.executable, "-c", program]
    subprocess.run(run, check=True, env=environment, timeout=60)
    text = file.read_text()
    check_text(text)
    assert "kept" in text
    assert '"name":"p"' in text
    assert '"name":"q"' in text


def test_a_delivering_process_is_told() -> None:
    """It may make exporters that encode by themselves."""
    environment = shipping_environment(settings_from(redact="off,*.prompt,/a,b/"))
    assert environment["PHASETRACE_REDACT"] == "off, *.prompt, /a,b/"
