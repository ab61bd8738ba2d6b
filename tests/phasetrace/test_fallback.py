"""What was to be delivered from a store that cannot be written is delivered all the same."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

import phasetrace
from phasetrace import configuration, execution, faults, phase, time_phase
from phasetrace.tracing import Tracing
from tests import stored_spans
from tests.phasetrace.receivers import Receiver, grpc_receiver, http_receiver

LONG_S = 60.0
PROVIDERS = ("own", "stock")
ROOT = "execution"


def below_a_file(folder: Path) -> Path:
    """Return a store that cannot be there."""
    (folder / "file").touch()
    return folder / "file" / "traces.db"


def a_folder(folder: Path) -> Path:
    """Return a store that is a folder."""
    path = folder / "traces.db"
    path.mkdir()
    return path


def of_a_newer_version(folder: Path) -> Path:
    """Return a store that only a later phasetrace can write."""
    path = folder / "traces.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE something (value)")
        connection.execute("PRAGMA user_version = 999")
    return path


UNUSABLE = (below_a_file, a_folder, of_a_newer_version)


@pytest.fixture(params=UNUSABLE, ids=[one.__name__ for one in UNUSABLE])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return where a store cannot be written."""
    make: Callable[[Path], Path] = request.param
    return make(tmp_path)


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no process that delivers: it would look at the store for minutes."""
    monkeypatch.setattr("phasetrace.delivery.remote.Starter._start", lambda *_: None)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Return a receiver that the environment names."""
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
        yield receiver


def received(receiver: Receiver) -> list[str]:
    """Return the names of the spans that have come, sorted; each has come once."""
    ids: Counter[bytes] = Counter()
    names = []
    for body in receiver.bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    ids[span.span_id] += 1
                    names.append(span.name)
    assert set(ids.values()) <= {1}
    return sorted(names)


def install(provider: str) -> None:
    """Have spans made through a provider of this kind."""
    if provider == "stock":
        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))


def latest() -> Tracing:
    """Return what records, or has recorded."""
    tracing = configuration.latest_tracing()
    assert tracing is not None
    return tracing


def run_phase(name: str, exec_id: str = "e") -> None:
    """Record one phase."""
    with time_phase(exec_id, "n", name):
        pass


@pytest.mark.parametrize("delivery", ["thread", "process"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_program_that_ends_at_once_delivers_everything(
    unusable: Path, receiver: Receiver, provider: str, delivery: str
) -> None:
    """Also where another process was to deliver, which cannot read the store either."""
    install(provider)
    phasetrace.configure(store=unusable, exporters=["otlp"], delivery=delivery)
    with execution("e", name="at once"), phase("p"):
        pass
    phasetrace.shutdown()
    assert received(receiver) == ["at once", "p"]
    assert latest().lost_before_delivery() == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_flush_delivers_everything_each_time(
    unusable: Path, receiver: Receiver, provider: str
) -> None:
    """It waits for it, and still says that it is not stored."""
    install(provider)
    phasetrace.configure(store=unusable, exporters=["otlp"])
    for number in range(3):
        run_phase(f"p{number}")
        assert not phasetrace.force_flush(LONG_S)
        assert received(receiver) == [f"p{one}" for one in range(number + 1)]
    phasetrace.shutdown()


def test_over_grpc_as_well(unusable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an exporter of its own."""
    with grpc_receiver() as receiver:
        endpoint = f"http://127.0.0.1:{receiver.port}"
        phasetrace.configure(store=unusable, exporters=["otlp"], protocol="grpc", endpoint=endpoint)
        run_phase("p")
        phasetrace.shutdown()
        assert received(receiver) == [ROOT, "p"]


def test_what_the_environment_leaves_to_the_application_is_left_to_it(
    unusable: Path, receiver: Receiver
) -> None:
    """Its provider has the exporters that it wants."""
    install("stock")
    phasetrace.configure(store=unusable)
    run_phase("p")
    phasetrace.shutdown()
    assert received(receiver) == []


def test_what_has_no_execution_is_delivered_too(unusable: Path, receiver: Receiver) -> None:
    """Spans of others, through the application's provider."""
    install("stock")
    phasetrace.configure(store=unusable, exporters=["otlp"])
    with trace.get_tracer("theirs").start_as_current_span("alone"):
        pass
    phasetrace.shutdown()
    assert received(receiver) == ["alone"]


def test_nothing_is_delivered_twice_when_the_provider_changes(
    unusable: Path, receiver: Receiver
) -> None:
    """What was fed from memory so far is not fed in two ways from then on."""
    phasetrace.configure(store=unusable, exporters=["otlp"])
    run_phase("before")
    phasetrace.force_flush(LONG_S)
    install("stock")
    run_phase("after")
    phasetrace.force_flush(LONG_S)
    run_phase("later")
    phasetrace.shutdown()
    assert received(receiver) == ["after", "before", ROOT, "later"]


def test_another_configuration_goes_on(tmp_path: Path, receiver: Receiver) -> None:
    """With the same store or another one, and each span goes one way."""
    usable, unusable = tmp_path / "usable.db", below_a_file(tmp_path)
    phasetrace.configure(store=unusable, exporters=["otlp"])
    run_phase("first", "a")
    phasetrace.configure(store=unusable, exporters=["otlp"], service_name="another")
    run_phase("second", "a")
    phasetrace.configure(store=usable)
    run_phase("third", "b")
    phasetrace.shutdown()
    names = received(receiver)
    assert [one for one in names if one != ROOT] == ["first", "second", "third"]
    with closing(stored_spans.connect(usable)) as connection:
        stored = {name for (name,) in connection.execute("SELECT name FROM spans")}
    assert "third" in stored
    assert not stored & {"first", "second"}


def test_a_store_that_is_locked_to_the_end_costs_no_delivery(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written until then goes from memory; what was written, from the store."""
    monkeypatch.setattr("phasetrace.tracing._STORE_TIMEOUT_S", 0.2)
    store = tmp_path / "traces.db"
    phasetrace.configure(store=store, exporters=["otlp"])
    run_phase("stored")
    assert phasetrace.force_flush(LONG_S)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run_phase("waiting")
        phasetrace.shutdown()
        other.execute("ROLLBACK")
    assert received(receiver) == [ROOT, "stored", "waiting"]
    assert latest().lost_before_delivery() == {}


def test_a_store_that_becomes_writable_gets_what_waited(tmp_path: Path, receiver: Receiver) -> None:
    """All of it is delivered from there, once."""
    store = tmp_path / "traces.db"
    phasetrace.configure(store=store, exporters=["otlp"])
    run_phase("stored")
    assert phasetrace.force_flush(LONG_S)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run_phase("waiting")
        assert not phasetrace.force_flush(0.2)
        other.execute("ROLLBACK")
    phasetrace.shutdown()
    assert received(receiver) == [ROOT, "stored", "waiting"]
    assert latest().fallbacks == ()


def test_a_burst_is_delivered_whole(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is held up by a slow receiver, as it is without a store."""
    take = receiver.answer

    def answer(handler: Any) -> None:
        time.sleep(0.02)
        take(handler)

    receiver.answer = answer
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20000")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512")
    phasetrace.configure(store=below_a_file(tmp_path), exporters=["otlp"])
    number = 60_000
    with execution("e"):
        for _ in range(number):
            run_phase("p")
    phasetrace.shutdown()
    (feed,) = latest().fallbacks
    assert (feed.failed, feed.dropped, feed.delivered) == (0, 0, number + 1)


def test_the_end_waits_for_the_receiver_as_long_as_without_a_store(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And counts what it gives up."""
    monkeypatch.setattr("phasetrace.tracing.EXIT_TIMEOUT_S", 0.5)
    receiver.answer = receiver.hang
    phasetrace.configure(store=below_a_file(tmp_path), exporters=["otlp"])
    run_phase("p")
    began = time.monotonic()
    phasetrace.shutdown()
    assert 0.5 <= time.monotonic() - began < 5.0
    (feed,) = latest().fallbacks
    assert (feed.delivered, feed.in_flight + feed.failed) == (0, 2)


def test_with_delivery_off_nothing_is_sent(tmp_path: Path, receiver: Receiver) -> None:
    """It was to be sent from the store later: that it will not be is counted."""
    phasetrace.configure(store=below_a_file(tmp_path), exporters=["otlp"], delivery="off")
    run_phase("p")
    phasetrace.shutdown()
    assert received(receiver) == []
    assert latest().lost_before_delivery() == {"unwritable": 2}


def test_an_exporter_that_cannot_be_made_costs_no_other(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Where another process was to make it, nobody knew before."""
    phasetrace.configure(
        store=below_a_file(tmp_path), exporters=["otlp_proto_grpc", "otlp"], delivery="process"
    )
    fallback: Any = latest()._fallback

    def fail() -> None:
        raise ValueError("no such thing")

    first, second = fallback._outlets
    fallback._outlets = first._replace(make=fail), second
    run_phase("p")
    phasetrace.shutdown()
    assert received(receiver) == [ROOT, "p"]
    assert faults.counts()["making the exporter otlp_proto_grpc"] == 1


def test_a_usable_store_needs_no_other_way(tmp_path: Path, receiver: Receiver) -> None:
    """No exporter is made for what does not come up."""
    phasetrace.configure(store=tmp_path / "traces.db", exporters=["otlp"])
    run_phase("p")
    assert phasetrace.force_flush(LONG_S)
    phasetrace.shutdown()
    assert latest().fallbacks == ()
    assert received(receiver) == [ROOT, "p"]


FORKING = """
import os
import phasetrace
from phasetrace import time_phase
with time_phase("e", "n", "parent"): pass
if {flush}:
    phasetrace.force_flush()
child = os.fork()
if not child:
    with time_phase("e", "n", "child"): pass
    phasetrace.shutdown()
    os._exit(0)
os.waitpid(child, 0)
with time_phase("e", "n", "later"): pass
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("flush", [True, False])
def test_a_forked_child_delivers_its_own(tmp_path: Path, receiver: Receiver, flush: bool) -> None:
    """By connections of its own; the parent goes on, and nothing comes twice."""
    env = {**os.environ, "PHASETRACE_STORE": str(below_a_file(tmp_path))}
    source = FORKING.format(flush=flush)
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", source]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LONG_S)
    assert done.returncode == 0, done.stderr
    names = [name for name in received(receiver) if name != ROOT]
    assert names == ["child", "later", "parent"]
