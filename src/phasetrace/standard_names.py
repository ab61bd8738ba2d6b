"""The names of OpenTelemetry's variables, to tell a mistyped one by.

Those of the specification ("Environment Variable Specification", "OTLP Exporter Configuration"),
for all signals, and those of the SDK for Python. Whoever sets a name that is almost one of them
most likely meant that one; a name that is like none is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_OTLP: Final = (
    "ENDPOINT",
    "PROTOCOL",
    "HEADERS",
    "TIMEOUT",
    "COMPRESSION",
    "INSECURE",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
)
_SIGNALS: Final = ("", "TRACES_", "METRICS_", "LOGS_", "PROFILES_")
_BATCHES: Final = ("SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE")
KNOWN: Final = frozenset(
    {
        "OTEL_SDK_DISABLED",
        "OTEL_ENTITIES",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SERVICE_NAME",
        "OTEL_LOG_LEVEL",
        "OTEL_PROPAGATORS",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_CONFIG_FILE",
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_SPAN_EVENT_COUNT_LIMIT",
        "OTEL_SPAN_LINK_COUNT_LIMIT",
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_METRICS_EXEMPLAR_FILTER",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
        "OTEL_EXPORTER_ZIPKIN_PROTOCOL",
        "OTEL_EXPORTER_JAEGER_ENDPOINT",
        "OTEL_EXPORTER_JAEGER_TIMEOUT",
        "OTEL_EXPORTER_OTLP_SPAN_INSECURE",
        "OTEL_EXPORTER_OTLP_METRIC_INSECURE",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        *(f"OTEL_{signal}EXPORTER" for signal in _SIGNALS if signal),
        *(f"OTEL_EXPORTER_OTLP_{signal}{what}" for signal in _SIGNALS for what in _OTLP),
        *(f"OTEL_{which}_{what}" for which in ("BSP", "BLRP") for what in _BATCHES),
    }
)
_OF_OTHERS: Final = (
    "OTEL_PYTHON_",
    "OTEL_INSTRUMENTATION_",
    "OTEL_JAVA",
    "OTEL_JMX_",
    "OTEL_GO_",
    "OTEL_NODE_",
    "OTEL_DOTNET_",
    "OTEL_PHP_",
    "OTEL_RUBY_",
    "OTEL_CPP_",
    "OTEL_EXPERIMENTAL_",
)
"""What names of a language's or of an instrumentation's own begin with."""
_ALIKE: Final = 0.9
"""By `difflib`: two letters that changed places in ``OTEL_SERVICE_NAME`` make 0.94, and
``OTEL_SERVICE_NAMESPACE``, which some programs have, is 0.87 of it."""


def mistyped(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the names that are almost one of OpenTelemetry's, each with that one."""
    odd = [
        name
        for name in names
        if name.startswith(("OTEL_", "OTLP_"))
        and name not in KNOWN
        and not name.startswith(_OF_OTHERS)
    ]
    found = ((name, _meant(name)) for name in sorted(odd))
    return [(name, meant) for name, meant in found if meant]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that another one is almost; empty if there is none."""
    from difflib import get_close_matches  # dear, and not needed where nothing is odd

    return next(iter(get_close_matches(name, known, 1, _ALIKE)), "")


def _meant(name: str) -> str:
    for prefix in ("OTEL_EXPORTER_", "OTEL_EXPORTER_OTLP_"):  # which may have been forgotten
        longer = prefix + name.removeprefix("OTEL_")
        if longer in KNOWN:
            return longer
    return nearest(name, sorted(KNOWN))
