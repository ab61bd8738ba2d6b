"""Every setting of phasetrace: its variable, its default, and how its value is read.

Variables of our own raise `ConfigError` on a bad value. Nothing in here reads the environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from phasetrace.errors import ConfigError
from phasetrace.redaction_rules import EXPECTED, UnreadableItemsError, read_rules

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_RETENTION: Final = (500, 512 * 1024 * 1024)
DEFAULT_ROTATION: Final = (100 * 1024 * 1024, 5)
TIMING_LOG: Final = ".logs/phasetrace.log"
JSONL_FILE: Final = ".logs/traces.jsonl"
PROTOCOLS: Final = ("http/protobuf", "grpc")
EXPORTERS: Final = ("otlp", "console", "none", "zipkin")
"""The names that the specification has for exporters."""

_SIZES: Final = {"KB": 1024, "MB": 1024**2, "GB": 1024**3}
_HEADER_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER_VALUE: Final = r"[\t -~\x80-\xff]*"
"""RFC 9110, 5.5 and 5.6.2."""
_TRUE: Final = frozenset({"1", "true", "on", "yes"})
_FALSE: Final = frozenset({"0", "false", "off", "no"})


class Setting(NamedTuple):
    """What a call of `configure` can set."""

    field: str
    read: Callable[[Any], Any]
    """Takes the value in any form, and raises ValueError or TypeError."""
    expected: str


class Variable(NamedTuple):
    """One environment variable of phasetrace's own, which a call can set too."""

    name: str
    field: str
    read: Callable[[Any], Any]
    """Takes the variable's text or a call's value, and raises ValueError or TypeError."""
    expected: str
    meaning: str
    is_secret: bool = False
    """No value of it is shown."""


def _read_path(value: Any) -> Path:
    from pathlib import Path  # dear to import, and not needed before there is a path

    # Absolute, so that it stays the same file when the program changes its folder.
    path = Path(value).expanduser().absolute()
    if "\0" in str(path):
        raise ValueError(value)
    return path


def _read_store(value: Any) -> Path | None:
    return None if _is_off(value) else _read_path(value)


def _read_retention(value: Any) -> tuple[int | None, int | None]:
    if _is_off(value):
        return None, None
    if not isinstance(value, str):
        most, size = (limit if limit is None else _read_count(limit) for limit in value)
        return most, size
    executions: int | None = None
    size = None
    for part in value.split(","):
        count = re.fullmatch(r"\s*(\d+)\s*executions?\s*", part, re.IGNORECASE)
        amount = re.fullmatch(r"\s*(\d+)\s*(KB|MB|GB)\s*", part, re.IGNORECASE)
        if count:
            executions = int(count[1])
        elif amount:
            size = int(amount[1]) * _SIZES[amount[2].upper()]
        else:
            raise ValueError(part)
    return executions, size


def _read_delivery(value: Any) -> str:
    if _is_off(value):
        return "off"
    if value.lower() not in ("thread", "process"):
        raise ValueError(value)
    return str(value.lower())


def _read_timing(value: Any) -> Path | None:
    if _is_off(value):
        return None
    return _read_path(TIMING_LOG if _is_on(value) else value)


def _read_trace_url(value: Any) -> str | None:
    if _is_off(value):
        return None
    # A browser would take what begins with a dash for an option, and open any file.
    if "{trace_id}" not in value or not re.match("https?://", value, re.IGNORECASE):
        raise ValueError(value)
    return str(value)


def _read_rotation(value: Any) -> tuple[int | None, int]:
    if _is_off(value):
        return None, 1
    size, files = DEFAULT_ROTATION
    for part in value.split(","):
        number = re.fullmatch(r"\s*0*([1-9]\d*)\s*(files?|KB|MB|GB)\s*", part, re.IGNORECASE)
        if number is None:
            raise ValueError(part)
        unit = number[2].upper()
        if unit in _SIZES:
            size = int(number[1]) * _SIZES[unit]
        else:
            files = int(number[1])
    return size, files


def _read_headers(value: Any) -> dict[str, str]:
    from urllib.parse import unquote

    headers = {}
    for part in filter(str.strip, value.split(",")):
        name, sign, content = part.partition("=")
        name, content = name.strip(), unquote(content.strip(), errors="strict")
        is_header = re.fullmatch(_HEADER_NAME, name) and re.fullmatch(_HEADER_VALUE, content)
        if not sign or not is_header:
            raise ValueError(name)
        headers[name] = content
    return headers


def _is_off(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.lower() in _FALSE)


def _is_on(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in _TRUE)


VARIABLES: Final = (
    Variable(
        "PHASETRACE_STORE",
        "store",
        _read_store,
        "the path of a file, or off",
        "where executions and spans are kept; default: in the user's state folder",
    ),
    Variable(
        "PHASETRACE_RETENTION",
        "retention",
        _read_retention,
        "like '500 executions, 512MB', either part alone, or off",
        "how much the store keeps; the oldest finished executions go first",
    ),
    Variable(
        "PHASETRACE_DELIVERY",
        "delivery",
        _read_delivery,
        "thread, process or off",
        "who feeds exporters: a background thread, a process of its own, or phasetrace ship",
    ),
    Variable(
        "PHASETRACE_TIMING",
        "timing",
        _read_timing,
        "on, off, or the path of a file",
        f"the TIMING log, a line a phase; on writes {TIMING_LOG}",
    ),
    Variable(
        "PHASETRACE_TRACE_URL",
        "trace_url",
        _read_trace_url,
        "an http:// or https:// address with {trace_id} in it, or off",
        "what is printed after an export; default: Jaeger's page on the OTLP endpoint's host",
    ),
    Variable(
        "PHASETRACE_REDACT",
        "redact",
        read_rules,
        EXPECTED,
        "what of attributes is neither stored nor sent; default: secrets",
    ),
)


EXPORTER_VARIABLES: Final = (
    Variable(
        "PHASETRACE_JSONL",
        "jsonl",
        _read_path,
        "the path of a file",
        f"where the exporter phasetrace_jsonl writes; default: {JSONL_FILE}",
    ),
    Variable(
        "PHASETRACE_JSONL_ROTATION",
        "jsonl_rotation",
        _read_rotation,
        "like '100MB, 5 files', either part alone, or off",
        "how large that file gets before another is begun, and how many are kept",
    ),
)
"""What tells exporters of ours what to do; they work without anything else of phasetrace, too."""


SOURCE_VARIABLES: Final = (
    Variable(
        "PHASETRACE_SOURCE_HEADERS",
        "source_headers",
        _read_headers,
        "key=value,key=value, with values as in a URL where there are commas in them",
        "what is sent to a Jaeger that is read from, such as authorization=Bearer%20…",
        is_secret=True,
    ),
)
"""What the commands go by that read from elsewhere."""


def read_exporters(value: Any) -> tuple[Any, ...]:
    """Return exporters' names and exporters, each once; ``none`` is no exporter."""
    given = value.split(",") if isinstance(value, str) else value
    if hasattr(given, "export"):
        given = (given,)
    exporters: list[Any] = []
    for exporter in given:
        if isinstance(exporter, str):
            exporter = _exporter_name(exporter.strip())
            if not exporter or exporter == "none":
                continue
        elif not hasattr(exporter, "export"):
            raise TypeError(exporter)
        if not any(exporter is one or exporter == one for one in exporters):
            exporters.append(exporter)
    return tuple(exporters)


def _exporter_name(name: str) -> str:
    """Return a name of the specification's in small letters, in which it means the same.

    Names in the entry-point group are taken as they stand: one may differ by its case alone.
    """
    small = name.lower()
    if small == name or small not in EXPORTERS:
        return name
    from importlib.metadata import entry_points  # dear, and hardly ever needed

    there = entry_points(group="opentelemetry_traces_exporter", name=name)
    return name if there else small


def _read_protocol(value: Any) -> str:
    if not isinstance(value, str) or value.lower() not in PROTOCOLS:
        raise ValueError(value)
    return value.lower()


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(value)
    return value.strip()


def _read_flag(value: Any) -> bool:
    if not (_is_on(value) or _is_off(value)):
        raise ValueError(value)
    return _is_on(value)


def _read_count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(value)
    return value


CALL_ONLY: Final = (
    Setting(
        "exporters",
        read_exporters,
        "names of exporters, in a list or with commas between, or exporters",
    ),
    Setting("protocol", _read_protocol, f"one of {', '.join(PROTOCOLS)}"),
    Setting("endpoint", _read_text, "an address"),
    Setting("service_name", _read_text, "a name"),
    Setting("disabled", _read_flag, "True or False"),
    Setting("max_value_length", _read_count, "a number of characters"),
    Setting("handle_signals", _read_flag, "True or False"),
)
"""What a call can set beside `VARIABLES`; in the environment it has a standard variable."""


def read_value(setting: Setting | Variable, source: str, value: Any) -> Any:
    """Return the value that `source` has for a setting.

    Raises:
        ConfigError: naming the source, the value and what is expected.
    """
    try:
        return setting.read(value)
    except UnreadableItemsError as error:
        raise ConfigError(f"{source}: {redacted(str(error))}") from None
    except (ValueError, TypeError, AttributeError, RuntimeError):
        # RuntimeError: the home folder of a "~" cannot be found.
        is_secret = isinstance(setting, Variable) and setting.is_secret
        shown = "…" if is_secret else redacted(repr(value))
        raise ConfigError(f"{source}={shown}: expected {setting.expected}") from None


def redacted(text: str) -> str:
    """Return `text` without what addresses in it carry in front of their host, or as a query."""
    without_user = re.sub(r"://\S*@", "://…@", text)
    return re.sub(r"(://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1?…", without_user)
