"""Spans that are started by one event and ended by another; a fault of theirs stays in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Span

from phasetrace import faults
from phasetrace.attributes import faithful
from phasetrace.current import attach
from phasetrace.leaving import give_back
from phasetrace.names import CANCELLED
from phasetrace.observer.events import Event
from phasetrace.observer.metrics import is_number
from phasetrace.recorder import Recorder, Started
from phasetrace.scopes import source

_TOKENS: Final = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "input": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "output": "gen_ai.usage.output_tokens",
}
"""Names of token counts (OpenTelemetry semantic conventions, "Generative AI")."""


class EventSpan:
    """A span that was started for an event.

    `within` is the context that it starts in, whatever is current; without a recorder, or where it
    failed, there is no span, and `context` is still that one.
    """

    def __init__(self, start: Callable[[Recorder], Started], within: Context) -> None:
        self.context = within
        self._span: Span | None = None
        token = attach(within)
        try:
            recorder = source.recorder()
            if recorder is not None:
                self._span, self.context = start(recorder)
                self._recorder = recorder
        except Exception as error:
            faults.report("starting a span", error)
        finally:
            give_back(token, within)

    def end(self, ending: Event, end_ns: int, attributes: Mapping[str, Any]) -> None:
        """End the span as the event says, with what it used and further attributes."""
        span, self._span = self._span, None
        if span is None:
            return
        try:
            for key, value in {**_usage_attributes(ending), **attributes}.items():
                span.set_attribute(key, faithful(value))
            cancelled = ending.outcome == "cancelled"
            if cancelled:
                span.set_attribute(CANCELLED, True)
            self._recorder.end(span, None if cancelled else ending.error, end_ns)
            self._recorder.node_ended(self.context)
        except Exception as error:
            faults.report("ending a span", error)


def _usage_attributes(ending: Event) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    token_usage = ending.token_usage
    if isinstance(token_usage, dict):
        rest = {}
        for key, count in token_usage.items():
            name = _TOKENS.get(key) if is_number(count) else None
            if name is not None and name not in attributes:
                attributes[name] = count
            elif count is not None:
                rest[key] = count
        token_usage = rest or None
    if token_usage is not None:
        attributes["token_usage"] = token_usage
    if ending.memory_usage is not None:
        attributes["memory_usage"] = ending.memory_usage
    return attributes
