"""Execution and node on their way from one process to another, beside ``traceparent``.

``traceparent`` names a trace and a span, and says nothing of whose they are. The field
``phasetrace`` says that: ``exec_id=…;node_id=…;node_type=…``, percent-encoded (RFC 3986). It is
carried by a propagator like any other; ``OTEL_PROPAGATORS=tracecontext,baggage,phasetrace`` has
instrumented libraries carry it too.

In the environment, names are in capitals and values as they are (OpenTelemetry, "Environment
Variables as Context Propagation Carriers").
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import quote, unquote

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from phasetrace import faults, redaction
from phasetrace.context import Ids, ids_in, with_ids
from phasetrace.environment import standard_variables
from phasetrace.scopes import source

FIELD: Final = "phasetrace"
_FIELDS: Final = ("exec_id", "node_id", "node_type")
_MAX_LENGTH: Final = 8_192
"""Of a value; servers refuse headers beyond that."""


class IdsPropagator(TextMapPropagator):
    """Carries the execution and the node; see `opentelemetry.propagators.textmap`."""

    def extract(
        self,
        carrier: Any,
        context: Context | None = None,
        getter: Getter[Any] = default_getter,
    ) -> Context:
        """Return `context` with the ids that the carrier names, if it names an execution."""
        context = context if context is not None else Context()
        values = getter.get(carrier, FIELD)
        ids = _read(values[0]) if values else None
        return with_ids(ids, context) if ids is not None else context

    def inject(
        self,
        carrier: Any,
        context: Context | None = None,
        setter: Setter[Any] = default_setter,
    ) -> None:
        """Write the ids of `context` (default: the current one) into the carrier."""
        ids = ids_in(context)
        value = _written(ids) if ids is not None else ""
        if ids is not None and len(value) <= _MAX_LENGTH:
            setter.set(carrier, FIELD, value)
            recorder = source.recorder()
            if recorder is not None:
                recorder.executions.handed_on(ids.exec_id)

    @property
    def fields(self) -> set[str]:
        """The names that it writes."""
        return {FIELD}


_ids: Final = IdsPropagator()
_standard: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def inject(carrier: MutableMapping[str, str], context: Context | None = None) -> None:
    """Write what a context carries, by the propagators that are installed and by ours.

    Never raises: what cannot be written is left out.
    """
    try:
        _installed().inject(carrier, context)
        _ids.inject(carrier, context)
    except Exception as error:
        faults.report("handing the context over", error)


def extract(carrier: Mapping[str, str], context: Context | None = None) -> Context:
    """Return `context` with what a carrier says, by the propagators installed and by ours.

    Never raises: what cannot be read is left out.
    """
    base = context if context is not None else Context()
    try:
        return _ids.extract(carrier, _installed().extract(carrier, base))
    except Exception as error:
        faults.report("reading the context that was handed over", error)
        return base


def of_root(exec_id: str, root: SpanContext) -> dict[str, str]:
    """Return the carrier of an execution that nobody may have opened yet."""
    carrier: dict[str, str] = {}
    inject(carrier, with_ids(Ids(exec_id), set_span_in_context(NonRecordingSpan(root), Context())))
    return carrier


def in_environment(carrier: Mapping[str, str]) -> dict[str, str]:
    """Return what a carrier says as variables of an environment."""
    return {name.upper().replace("-", "_"): value for name, value in carrier.items()}


def inherited(environ: Mapping[str, str]) -> Context | None:
    """Return the context that the process was started with, if its environment names one."""
    carrier = {
        field: environ[variable]
        for field in fields()
        if (variable := field.upper().replace("-", "_")) in environ
    }
    context = extract(carrier)
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def fields() -> set[str]:
    """Return the names that a carrier may have."""
    return {*_installed().fields, FIELD}


def _installed() -> TextMapPropagator:
    """Return the propagators that OpenTelemetry is set up with."""
    try:
        if "opentelemetry.propagate" not in sys.modules:
            # It raises where OTEL_PROPAGATORS names one that is not there.
            with standard_variables():
                import opentelemetry.propagate  # noqa: F401
        from opentelemetry import propagate

        return propagate.get_global_textmap()
    except Exception as error:
        faults.report("loading the propagators", error)
        return _standard


def _written(ids: Ids) -> str:
    node_type = redaction.in_force().node_type(ids.node_type)
    values = (ids.exec_id, ids.node_id, node_type)
    return ";".join(
        f"{name}={quote(str(value).encode('utf-8', 'surrogatepass'), safe='')}"
        for name, value in zip(_FIELDS, values, strict=True)
        if value is not None
    )


def _read(value: object) -> Ids | None:
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        return None
    found: dict[str, str] = {}
    for part in value.split(";"):
        name, sign, encoded = part.strip().partition("=")
        if sign and name in _FIELDS and name not in found:
            found[name] = unquote(encoded, errors="surrogatepass")
    exec_id = found.get("exec_id")
    return Ids(exec_id, found.get("node_id"), found.get("node_type")) if exec_id else None
