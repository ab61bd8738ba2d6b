"""One processor of ours in a provider, with insides that can be replaced."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from phasetrace.switch import ProcessorSwitch


class Names(SpanProcessor):
    """Keeps the names of finished spans."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.ended = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Note the name."""
        self.names.append(span.name)

    def shutdown(self) -> None:
        """Note it."""
        self.ended += 1


def provider_with(switch: ProcessorSwitch) -> TracerProvider:
    """Return a provider that hands its spans to the switch."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(switch)
    return provider


def nothing() -> None:
    """Do nothing."""


def test_the_first_use_is_told_once_and_then_costs_nothing() -> None:
    """The call comes before the first span, and leaves the given processors alone behind."""
    switch, names, calls = ProcessorSwitch(), Names(), list[str]()
    switch.connect(self := object(), [names], lambda: calls.append("first"))
    tracer = provider_with(switch).get_tracer("t")
    assert calls == []
    for name in ("a", "b"):
        tracer.start_span(name).end()
    assert (calls, names.names, switch.processors) == (["first"], ["a", "b"], (names,))
    assert switch.owner is self


def test_a_predecessor_does_not_disconnect_its_successor() -> None:
    """Only who connected last can disconnect."""
    switch, names, first, second = ProcessorSwitch(), Names(), object(), object()
    switch.connect(first, [], nothing)
    switch.connect(second, [names], nothing)
    switch.disconnect(first)
    assert names in switch.processors
    switch.disconnect(second)
    assert switch.processors == ()


def test_a_providers_shutdown_only_flushes() -> None:
    """The application ends its provider; what is behind the switch goes on."""
    switch, names = ProcessorSwitch(), Names()
    switch.connect(switch, [names], nothing)
    provider = provider_with(switch)
    provider.shutdown()
    assert names.ended == 0


def test_flushing_tells_of_a_failure() -> None:
    """One processor that could not flush is enough."""

    class Full(SpanProcessor):
        def force_flush(self, timeout_millis: int = 0) -> bool:
            return False

    switch = ProcessorSwitch()
    switch.connect(switch, [Names()], nothing)
    assert switch.force_flush()
    switch.connect(switch, [Full(), Names()], nothing)
    assert not switch.force_flush()


def test_calls_that_run_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ends when a call that began before has ended, and not earlier."""
    inside, release = threading.Event(), threading.Event()

    class Slow(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            inside.set()
            release.wait()

    switch = ProcessorSwitch()
    switch.connect(switch, [Slow()], nothing)
    span = provider_with(switch).get_tracer("t").start_span("s")
    thread = threading.Thread(target=span.end)
    thread.start()
    inside.wait()

    def let_it_end(seconds: float) -> None:
        release.set()
        thread.join()

    fake = SimpleNamespace(monotonic=time.monotonic, sleep=let_it_end)
    monkeypatch.setattr("phasetrace.switch.time", fake)
    switch.wait_for_calls(timeout_s=10.0)
    waited = release.is_set()
    release.set()
    thread.join()
    assert waited


def test_a_call_that_never_ends_is_given_up() -> None:
    """Waiting has an end of its own."""
    inside, release = threading.Event(), threading.Event()

    class Stuck(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            inside.set()
            release.wait()

    switch = ProcessorSwitch()
    switch.connect(switch, [Stuck()], nothing)
    thread = threading.Thread(target=provider_with(switch).get_tracer("t").start_span("s").end)
    thread.start()
    inside.wait()
    switch.wait_for_calls(timeout_s=0.01)
    release.set()
    thread.join()


def test_nobody_inside_is_nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a call that runs there is no wait."""
    monkeypatch.setattr("phasetrace.switch.time", SimpleNamespace(monotonic=time.monotonic))
    ProcessorSwitch.wait_for_calls()
