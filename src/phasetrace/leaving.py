"""Giving back the context that a span replaced, also when it is no longer the current one.

What is entered last is left first, but for a phase around a ``yield``. Its generator may be closed
while other phases are open, or be collected as garbage in whichever context that happens. Resetting
the variable then would take the place of what is current, and the reset of those other phases would
make the ended one current again. So a span that is left out of its turn is only marked, and skipped
by whoever comes back to it.
"""

from __future__ import annotations

import contextlib
from contextvars import Token
from typing import Any

from opentelemetry.context import Context

from phasetrace.current import SPAN_KEY, attach, current_context, reset


def leave(token: Any, span: Any) -> None:
    """Give back the context that `span` replaced: now, or once what came after it is left."""
    if without_left(current_context()).get(SPAN_KEY) is not span:
        _mark(span, token)
        _have_it_looked_at(span)
    elif not give_back(token):
        _mark(span, token)  # where it was entered, it is still current


def give_back(token: Any) -> bool:
    """Give back the context that `attach` replaced, without what has been left meanwhile.

    Returns:
        Whether that was in the same thread or task; what was replaced is as good in others.
    """
    is_here = True
    try:
        reset(token)
    except ValueError:
        is_here = False
        attach(before(token))
    skip_left()
    return is_here


def skip_left() -> None:
    """Go on to the nearest context around the current one whose span has not been left."""
    context = current_context()
    open_one = without_left(context)
    if open_one is not context:
        attach(open_one)


def without_left(context: Context) -> Context:
    """Return a context, or the nearest one around it whose span has not been left."""
    while (outer := getattr(context.get(SPAN_KEY), "_left_for", None)) is not None:
        context = outer
    return context


def before(token: Any) -> Context:
    """Return the context that `attach` replaced."""
    old = getattr(token, "old_value", Token.MISSING)
    return old if isinstance(old, Context) else Context()


def _mark(span: Any, token: Any) -> None:
    with contextlib.suppress(AttributeError):
        span._left_for = before(token)


def _have_it_looked_at(left: Any) -> None:
    """Have the phase that comes back to a span that has been left look for that.

    Phases that take the short way do not. Others do in any case.
    """
    span: Any = current_context().get(SPAN_KEY)
    while (token := getattr(span, "_token", None)) is not None:
        around = before(token).get(SPAN_KEY)
        if around is left:
            span.look_closely()
            return
        span = around
