"""A span processor whose insides can be replaced."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from phasetrace.processor import TimingSpanProcessor


class Owner(Protocol):
    """Who connects processors, and knows where what they are handed goes in the end."""

    def flush(self, timeout_s: float) -> bool:
        """Bring it there, within a time in seconds; return whether it is there."""

    def settle(self) -> None:
        """Do that for as long as the end of a program takes."""


class ProcessorSwitch(SpanProcessor):
    """Passes everything on to `processors`, in order.

    An SDK provider never gives a processor back. It is therefore handed one switch, once, and a new
    configuration replaces what is behind it. Replacing the tuple is atomic; spans in flight see the
    old one or the new one.
    """

    def __init__(self) -> None:
        self.processors: tuple[SpanProcessor, ...] = ()
        self.owner: Owner | None = None
        """Who connected the processors; a predecessor must not disconnect them."""

    def connect(
        self, owner: Owner, processors: Iterable[SpanProcessor], first_use: Callable[[], None]
    ) -> None:
        """Pass on to `processors` from now on; call `first_use` before the first span."""
        self.owner = owner
        # A processor that removes itself costs the later spans nothing.
        self.processors = (_FirstUse(self, first_use), *processors)

    def disconnect(self, owner: Owner) -> None:
        """Pass nothing on any more, unless somebody else has connected meanwhile."""
        if self.owner is owner:
            self.owner, self.processors = None, ()

    @staticmethod
    def wait_for_calls(timeout_s: float = 1.0) -> None:
        """Wait until the calls that run now are over, which may still pass on to the old ones.

        To be called between replacing processors and shutting the old ones down. Looking at the
        other threads' frames, rarely, costs the spans nothing, as counting the calls would.
        """
        deadline = time.monotonic() + timeout_s
        running = _calls()
        while running and time.monotonic() < deadline:
            time.sleep(0.000_1)
            now = _calls()
            running = [call for call in running if any(call is one for one in now)]

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass a started span on."""
        for processor in self.processors:
            processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass a finished span on, with its ids."""
        completed = span
        for processor in self.processors:
            if isinstance(processor, TimingSpanProcessor):
                completed = processor.completed(span)
            processor.on_end(completed)

    def shutdown(self) -> None:
        """Write out; the provider's owner ends it, not us."""
        owner = self.owner
        if owner is not None:
            owner.settle()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Bring what was passed on to where it goes, in time; return whether it is there."""
        owner = self.owner
        return owner is None or owner.flush(timeout_millis / 1000)


class _FirstUse(SpanProcessor):
    def __init__(self, switch: ProcessorSwitch, call: Callable[[], None]) -> None:
        self._switch = switch
        self._call = call

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        switch = self._switch
        switch.processors = tuple(one for one in switch.processors if one is not self)
        self._call()


_PASSING_ON = (ProcessorSwitch.on_start.__code__, ProcessorSwitch.on_end.__code__)


def _calls() -> list[FrameType]:
    """Return the frames of other threads that are passing a span on."""
    calls = []
    for thread, top in sys._current_frames().items():
        frame: FrameType | None = top if thread != threading.get_ident() else None
        while frame is not None:
            if frame.f_code in _PASSING_ON:
                calls.append(frame)
            frame = frame.f_back
    return calls
