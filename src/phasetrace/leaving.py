"""Giving back the context that a span replaced, also when it is no longer the current one.

What is entered last is left first, but for a phase around a ``yield``. Its generator may be closed
while other phases are open, or be collected as garbage in whichever context that happens. Resetting
the variable then would take the place of what is current, and the reset of those other phases would
make the ended one current again. So a span that is left out of its turn is only marked, and skipped
by whoever comes back to it.

What was merely attached within a phase, and not by one of ours, goes with the phase, as it does
with OpenTelemetry's own spans.
"""

from __future__ import annotations

import contextlib
from contextvars import Token
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN

from phasetrace.context import ids_in
from phasetrace.current import SPAN_KEY, attach, current_context, reset

_FAR: Final = 10_000
"""Contexts within each other; nobody gets that far, but in a circle."""


def leave(token: Any, span: Any) -> None:
    """Give back the context that `span` replaced: now, or once what came after it is left."""
    if without_left(current_context()).get(SPAN_KEY) is not span and _is_open_above(span):
        _mark(span, token)
        return
    try:
        reset(token)
    except ValueError:  # of another thread or task, where it is still current
        _mark(span, token)
        if current_context().get(SPAN_KEY) is span:
            attach(before(token))
    skip_left()


def give_back(token: Any, context: Context) -> None:
    """Give back what `attach` replaced by a context; nothing where another one is current."""
    try:
        reset(token)
    except ValueError:  # of another thread or task
        if current_context() is context:
            attach(before(token))
    skip_left()


def skip_left() -> None:
    """Go on to the nearest context around the current one whose span has not been left."""
    context = current_context()
    open_one = without_left(context)
    if open_one is not context:
        attach(open_one)


def without_left(context: Context) -> Context:
    """Return a context, or the nearest one around it whose span has not been left."""
    for _ in range(_FAR):
        outer = getattr(context.get(SPAN_KEY), "_left_for", None)
        if outer is None:
            break
        context = outer
    return context


def around_a_start(context: Context) -> Context:
    """Return the context that a span starts in: without what has been left, mostly.

    A task may outlive the phase in which it was started, and be all that knows of its execution.
    """
    open_one = without_left(context)
    if open_one is not context and ids_in(open_one) is None and ids_in(context) is not None:
        return context
    return open_one


def before(token: Any) -> Context:
    """Return the context that `attach` replaced."""
    old = getattr(token, "old_value", Token.MISSING)
    return old if isinstance(old, Context) else Context()


def _mark(span: Any, token: Any) -> None:
    if span is INVALID_SPAN:  # it is everybody's
        return
    with contextlib.suppress(AttributeError, TypeError):
        # Whoever is left hand over hand does not keep all that came before.
        span._left_for = without_left(before(token))
        span.__class__ = span.left_class  # which nobody takes for a parent without looking


def _is_open_above(left: Any) -> bool:
    """Tell whether a span of ours was entered after this one, in this context, and is not left.

    A phase that will come back to this one is told to look, since those that take the short way do
    not.
    """
    span: Any = current_context().get(SPAN_KEY)
    for _ in range(_FAR):
        token = getattr(span, "_token", None) or getattr(span, "_kept_token", None)
        if token is not None:
            around = before(token).get(SPAN_KEY)
            if around is left:
                look_closely = getattr(span, "look_closely", None)
                if look_closely is not None:
                    look_closely()
                return True
        else:
            outer = getattr(span, "_left_for", None)
            if outer is None:
                return False
            around = outer.get(SPAN_KEY)
        span = around
    return False
