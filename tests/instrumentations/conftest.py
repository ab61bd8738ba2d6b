"""A server to talk to, and instrumentations that are taken off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from .http_server import HTTPServer

Instrument = Callable[..., None]


class Instrumentor(Protocol):
    """What every instrumentation has; contrib's own base class is exempt from type checking."""

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether it is at work."""

    def instrument(self, **options: object) -> None:
        """Start."""

    def uninstrument(self) -> None:
        """Stop."""


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    """Return a function that instruments until the end of the test."""
    with ExitStack() as stack:

        def until_the_end(instrumentor: Instrumentor, **options: object) -> None:
            instrumentor.instrument(**options)
            assert instrumentor.is_instrumented_by_opentelemetry, "refused, see the log"
            stack.callback(instrumentor.uninstrument)

        yield until_the_end


@pytest.fixture
def http_server() -> Iterator[HTTPServer]:
    """Run an HTTP server on a free local port."""
    with HTTPServer() as server:
        yield server
