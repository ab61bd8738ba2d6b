"""Values of standard variables that OpenTelemetry's SDK and exporters read, and cannot use.

They make the best of such a value, or the worst: a warning that names no variable, an exporter that
cannot be made, an SDK that cannot be imported. The specification has it warned about and then taken
for not set ("Environment Variable Specification", "Numeric", "Enum"), and an empty value for none
at all ("Parsing empty value"). Blanks at the ends, as files and shells leave them there, belong to
no value. So each is judged here first, told with its variable, and kept out of the way while the
SDK and the exporters read (`phasetrace.environment.standard_variables`).

Nothing in here reads the environment; it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from phasetrace.credential_provider import PROVIDERS
from phasetrace.variables import redacted

SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
"""Those of the specification that the SDK has."""
AT_IMPORT: Final = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
"""The SDK reads it when it is imported, and cannot be if it is no number."""
_OTLP: Final = ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_")
_AS_THEY_ARE: Final = ("ENDPOINT", "HEADERS", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
"""Anything may be in them, but the exporters take blanks at the ends for a part of it."""
_LONGEST_S: Final = 60
"""See `phasetrace.otlp_attempt`."""
_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
_ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"
_BATCH_TIMEOUT: Final = "OTEL_BSP_EXPORT_TIMEOUT"
_RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
_USUAL: Final = ("tracecontext", "baggage", "none")
_PROPAGATORS: Final = "OTEL_PROPAGATORS"
_COUNTS: Final = (
    AT_IMPORT,
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
)
_LENGTHS: Final = ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
_SCHEMES: Final = frozenset({"none", "gzip", "deflate"})
_GRPC_SCHEMES: Final = frozenset({"none", "gzip"})


class Unusable(NamedTuple):
    """A value that cannot be used."""

    name: str
    message: str
    """One line with the name; it may be shown to anybody. Empty: there is nothing to say."""
    instead: str | None = None
    """What of it can be used; None is nothing."""


def unusable_values(environ: Mapping[str, str], is_grpc: bool) -> list[Unusable]:
    """Return the values that cannot be used, of what others read; `is_grpc`: OTLP goes over gRPC.

    What phasetrace itself reads of the standard variables is judged where it is read.
    """
    return [
        *_limits(environ),
        *_sampling(environ),
        *_sending(environ, is_grpc),
        *_resource(environ),
        *_propagators(environ),
    ]


def in_force(environ: Mapping[str, str], unusable: list[Unusable]) -> dict[str, str]:
    """Return an environment with what can be used of it."""
    changed = dict(environ)
    for one in unusable:
        if one.instead is None:
            changed.pop(one.name, None)
        else:
            changed[one.name] = one.instead
    return changed


def without_effect(environ: Mapping[str, str]) -> list[str]:
    """Return a line on each variable whose value has not the effect that it seems to have."""
    lines = []
    for name in (f"{prefix}TIMEOUT" for prefix in _OTLP):
        value = environ.get(name, "").strip()
        if is_seconds(value) and float(value) > _LONGEST_S:
            lines.append(
                f"{name}={value} is in seconds, as Python's exporters read it; a request is given"
                f" {_LONGEST_S} at most"
            )
    if environ.get(_BATCH_TIMEOUT, "").strip():
        lines.append(
            f"{_BATCH_TIMEOUT} has no effect: how long a request may take is what"
            " OTEL_EXPORTER_OTLP_TIMEOUT says, in seconds"
        )
    sampler = environ.get(_SAMPLER, "").strip().lower()
    takes_one = sampler.endswith("traceidratio") or sampler not in ("", *SAMPLERS)
    if environ.get(_ARGUMENT, "").strip() and not takes_one:
        lines.append(
            f"{_ARGUMENT} has no effect: it is for {_SAMPLER}=traceidratio and"
            " parentbased_traceidratio"
        )
    return lines


def expected(name: str, value: str, what: str) -> str:
    """Return the line on a value that is not what it has to be."""
    return f"{name}={redacted(repr(value))}: expected {what}; the default is used"


def is_seconds(text: str) -> bool:
    """Tell whether a text is a time for which something may go on."""
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _judged(
    environ: Mapping[str, str], name: str, is_usable: Callable[[str], bool], what: str
) -> Iterator[Unusable]:
    value = environ.get(name)
    if value is None:
        return
    text = value.strip()
    if not text:
        yield Unusable(name, "")  # not set, says the specification, and not all know
    elif not is_usable(text):
        yield Unusable(name, expected(name, text, what))
    elif text != value:
        yield Unusable(name, "", text)


def _limits(environ: Mapping[str, str]) -> Iterator[Unusable]:
    for name in _COUNTS:
        yield from _judged(environ, name, _is_count, "a whole number")
    for name in _LENGTHS:  # which phasetrace reads, too, and speaks about
        for one in _judged(environ, name, _is_count, ""):
            yield one._replace(message="")


def _sampling(environ: Mapping[str, str]) -> Iterator[Unusable]:
    given = environ.get(_SAMPLER)
    if given is None:
        return
    sampler = given.strip().lower()
    if sampler not in SAMPLERS and not _is_installed("opentelemetry_traces_sampler", sampler):
        names = ", ".join(SAMPLERS)
        told = expected(_SAMPLER, given.strip(), f"one of {names}") if sampler else ""
        yield Unusable(_SAMPLER, told)
    elif given != given.strip():
        yield Unusable(_SAMPLER, "", sampler)
    if sampler.endswith("traceidratio"):
        argument = environ.get(_ARGUMENT, "").strip()
        if not argument:  # the SDK complains where nothing is wrong: the default is 1
            yield Unusable(_ARGUMENT, "", "1.0")
        elif not (is_seconds(argument) and float(argument) <= 1):
            told = expected(_ARGUMENT, argument, "a number from 0 to 1")
            yield Unusable(_ARGUMENT, told, "1.0")


def _sending(environ: Mapping[str, str], is_grpc: bool) -> Iterator[Unusable]:
    known = _GRPC_SCHEMES if is_grpc else _SCHEMES
    names = ", ".join(one for one in ("none", "gzip", "deflate") if one in known)
    over = " (over gRPC)" if is_grpc else ""
    for prefix in _OTLP:
        yield from _judged(environ, f"{prefix}TIMEOUT", is_seconds, "a number of seconds")
        yield from _judged(
            environ,
            f"{prefix}COMPRESSION",
            lambda text: text.lower() in known,
            f"one of {names}{over}",
        )
        yield from _judged(
            environ,
            f"{prefix}INSECURE",
            lambda text: text.lower() in ("true", "false"),
            "true or false",
        )
        for what in _AS_THEY_ARE:
            yield from _judged(environ, f"{prefix}{what}", bool, "")
    for name in PROVIDERS[is_grpc]:
        yield from _judged(environ, name, bool, "")
    general, traces = (environ.get(name, "").strip() for name in PROVIDERS[True])
    if is_grpc and traces and not general:
        # The exporter looks at it only where an authority's certificate is named for traces, too.
        yield Unusable(PROVIDERS[True][0], "", traces)


def _resource(environ: Mapping[str, str]) -> Iterator[Unusable]:
    """Leave out parts that are none, as the SDK does, which shows them."""
    parts = environ.get(_RESOURCE, "").split(",")
    good = [part for part in parts if "=" in part]
    bad = [place for place, part in enumerate(parts, 1) if part.strip() and "=" not in part]
    if len(good) == len(parts) or _RESOURCE not in environ:
        return
    message = ""
    if bad:
        places = " and ".join(map(str, bad))
        which = f"part {places} of {len(parts)}" if len(parts) > 1 else "its value"
        message = f"{_RESOURCE}: {which} is not name=value, and is left out"
    yield Unusable(_RESOURCE, message, ",".join(good) or None)


def _propagators(environ: Mapping[str, str]) -> Iterator[Unusable]:
    """Leave out those that are not installed: OpenTelemetry cannot be imported with them."""
    given = environ.get(_PROPAGATORS)
    names = [name.strip() for name in (given or "").split(",")]
    if given is None or all(name in _USUAL for name in names):
        return
    installed = _installed("opentelemetry_propagator")
    small = {name.lower(): name for name in installed} | {"none": "none"}
    found = [name if name in installed else small.get(name.lower(), "") for name in names]
    missing = [name for name, one in zip(names, found, strict=True) if name and not one]
    if list(filter(None, found)) == names:
        return
    message = ""
    if missing:
        there = ", ".join(sorted({*installed, "none"}))
        message = (
            f"{_PROPAGATORS}={redacted(repr(missing[0]))}: no such propagator is installed; there"
            f" are {there}"
        )
    yield Unusable(_PROPAGATORS, message, ",".join(filter(None, found)) or None)


def _is_installed(group: str, name: str) -> bool:
    """Tell whether a package brings something of this name, which only some can use."""
    return bool(name) and name in _installed(group)


def _installed(group: str) -> set[str]:
    from importlib.metadata import entry_points  # dear, and not needed for what is usual

    return {point.name for point in entry_points(group=group)}
