"""The variables that say how OTLP is sent: which of them are in force."""

from __future__ import annotations

import pytest

from phasetrace.otlp_variables import (
    Named,
    OtlpVariables,
    completed,
    is_doubled,
    lacks_path,
    otlp_variables,
    unknown_scheme,
)

PREFIX = "OTEL_EXPORTER_OTLP_"


def test_those_for_all_signals_are_named_where_none_is_set() -> None:
    """They are the ones to set."""
    assert otlp_variables({}) == OtlpVariables()
    assert otlp_variables({f"{PREFIX}TRACES_HEADERS": "  "}) == OtlpVariables()


def test_those_for_traces_win() -> None:
    """Each by itself; headers are known to be there, and not kept."""
    environ = {
        f"{PREFIX}ENDPOINT": "http://all",
        f"{PREFIX}TRACES_ENDPOINT": "http://traces",
        f"{PREFIX}HEADERS": "key=hunter2",
        f"{PREFIX}CERTIFICATE": "all.pem",
        f"{PREFIX}TRACES_CLIENT_KEY": " traces.key ",
        f"{PREFIX}TRACES_PROTOCOL": "grpc",
        f"{PREFIX}COMPRESSION": "gzip",
    }
    variables = otlp_variables(environ)
    assert variables == OtlpVariables(
        f"{PREFIX}TRACES_ENDPOINT",
        True,
        f"{PREFIX}TRACES_PROTOCOL",
        f"{PREFIX}HEADERS",
        True,
        Named(f"{PREFIX}CERTIFICATE", "all.pem"),
        Named(f"{PREFIX}CLIENT_CERTIFICATE"),
        Named(f"{PREFIX}TRACES_CLIENT_KEY", "traces.key"),
        "",
        Named(f"{PREFIX}COMPRESSION", "gzip"),
    )
    assert "hunter2" not in repr(variables)


def test_headers_without_a_value_are_known() -> None:
    """By their names; and where the wider variable has values, by those of the narrower."""
    environ = {f"{PREFIX}HEADERS": "a=b", f"{PREFIX}TRACES_HEADERS": "x-api-key="}
    variables = otlp_variables(environ)
    assert variables.missing == "x-api-key has no value: is the variable in it set?"
    assert variables.has_headers


def test_an_address_that_a_call_gave_is_in_no_variable() -> None:
    """It is completed, whatever the variable for traces says."""
    variables = otlp_variables({f"{PREFIX}TRACES_ENDPOINT": "http://traces"}, "http://given")
    assert (variables.endpoint, variables.is_whole) == ("the endpoint", False)


@pytest.mark.parametrize(
    ("base", "address", "doubled"),
    [
        ("http://h", "http://h/v1/traces", False),
        ("http://h/", "http://h/v1/traces", False),
        ("http://h/v1/traces", "http://h/v1/traces/v1/traces", True),
        ("http://h/v1/traces/", "http://h/v1/traces/v1/traces", True),
    ],
)
def test_a_base_is_completed(base: str, address: str, doubled: bool) -> None:
    """As exporters do it, also where the path is there already."""
    assert (completed(base), is_doubled(completed(base))) == (address, doubled)


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("htp://localhost:4318", "htp://"),
        ("grpc://h", "grpc://"),
        ("x-y+z.1://h", "x-y+z.1://"),
        ("http://h", ""),
        ("HTTPS://h", ""),
        ("h:4318", ""),
        ("h:4318/?to=http://i", ""),
        ('"http://h"', ""),
        ("1a://h", ""),
        ("://h", ""),
        (f"{'a' * 40}://h", ""),
    ],
)
def test_a_scheme_that_is_none_for_otlp(address: str, scheme: str) -> None:
    """Is one by its form (RFC 3986), and not of HTTP."""
    assert unknown_scheme(address) == scheme


@pytest.mark.parametrize(
    ("address", "lacks"),
    [
        ("http://h", True),
        ("http://h/v1/traces", False),
        ("http://h/a/v1/traces/?key=x", False),
        ("http://h/v1/metrics", True),
    ],
)
def test_whether_the_usual_path_is_there(address: str, lacks: bool) -> None:
    """At the end of the path, whatever follows it."""
    assert lacks_path(address) is lacks
