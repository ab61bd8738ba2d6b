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


class Owner:
    """Knows for how long it was asked to flush, and how often to settle."""

    def __init__(self, answer: bool = True) -> None:
        self.timeouts: list[float] = []
        self.settled = 0
        self._answer = answer

    def flush(self, timeout_s: float) -> bool:
        """Note the time."""
        self.timeouts.append(timeout_s)
        return self._answer

    def settle(self) -> None:
        """Note it."""
        self.settled += 1


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
    switch.connect(owner := Owner(), [names], lambda: calls.append("first"))
    tracer = provider_with(switch).get_tracer("t")
    assert calls == []
    for name in ("a", "b"):
        tracer.start_span(name).end()
    assert (calls, names.names, switch.processors) == (["first"], ["a", "b"], (names,))
    assert switch.owner is owner


def test_a_predecessor_does_not_disconnect_its_successor() -> None:
    """Only who connected last can disconnect."""
    switch, names, first, second = ProcessorSwitch(), Names(), Owner(), Owner()
    switch.connect(first, [], nothing)
    switch.connect(second, [names], nothing)
    switch.disconnect(first)
    assert names in switch.processors
    switch.disconnect(second)
    assert switch.processors == ()


def test_a_providers_shutdown_only_settles() -> None:
    """The application ends its provider; what is behind the switch goes on."""
    switch, names, owner = ProcessorSwitch(), Names(), Owner()
    switch.connect(owner, [names], nothing)
    provider = provider_with(switch)
    provider.shutdown()
    assert (names.ended, owner.settled, owner.timeouts) == (0, 1, [])


@pytest.mark.parametrize("answer", [True, False])
def test_the_owner_flushes_and_answers(answer: bool) -> None:
    """However many processors there are, there is one time for all of it, and one answer."""
    switch, owner = ProcessorSwitch(), Owner(answer)
    switch.connect(owner, [Names(), Names()], nothing)
    assert switch.force_flush(1_500) is answer
    assert owner.timeouts == [1.5]


def test_without_an_owner_there_is_nothing_to_flush() -> None:
    """Neither before anybody has connected nor after he has disconnected."""
    switch, owner = ProcessorSwitch(), Owner(answer=False)
    assert switch.force_flush()
    switch.connect(owner, [Names()], nothing)
    switch.disconnect(owner)
    assert switch.force_flush()
    switch.shutdown()
    assert (owner.timeouts, owner.settled) == ([], 0)


def test_calls_that_run_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ends when a call that began before has ended, and not earlier."""
    inside, release = threading.Event(), threading.Event()

    class Slow(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            inside.set()
            release.wait()

    switch = ProcessorSwitch()
    switch.connect(Owner(), [Slow()], nothing)
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
    switch.connect(Owner(), [Stuck()], nothing)
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
