"""A real OTLP collector for tests: rotel, and what it says it received.

[rotel](https://github.com/streamfold/rotel) comes as a program inside the wheel of that name.
`Rotel` runs it on loopback ports with its detailed debug log, which prints every request it
accepted to standard output, and reads the spans back from there.

The print-out is meant for people: line by line, nothing quoted or escaped.

What it gives exactly: ids, parent, kind, trace state, times in nanoseconds, status, events,
links, scope and resource, and the type of every attribute (doubles are printed in full, so they
come back equal; bytes too).

What it does not give: span flags, the counts of dropped attributes, events and links, and a
scope's name apart from its version where either holds a space. A kind or status that the request
left out, or that OTLP does not define, is not printed either; it reads as `""` here.

What it leaves ambiguous: text that imitates the lines around it. Values, span and event names and
status messages with newlines, quotes, brackets and ` -> ` read back as they were, unless what
follows a newline in them is itself a well-formed next field or attribute. In an array or map, a
string must not hold `), ` before something that looks like a value; nested deeper, it must not
hold `)` at its end or before `, ` or `)`. A key is one line, without `: Str(` or its like.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any, Final, NamedTuple, TypeVar

_T = TypeVar("_T")

POLL_S: Final = 0.01
DEADLINE_S: Final = 10.0

# Below the range that Linux and macOS give to outgoing connections: a client that keeps trying a
# stopped server can otherwise be given the server's own port.
_PORTS: Final = range(20_000, 32_000)
_ATTEMPTS: Final = 10


class ReceivedEvent(NamedTuple):
    """An event of a span."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


class ReceivedLink(NamedTuple):
    """A link of a span; ids in lower-case hex."""

    trace_id: str
    span_id: str
    trace_state: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as rotel printed it.

    Ids are lower-case hex, `parent_span_id` is `""` for a root. `kind` and `status_code` are
    OTLP's names (`SPAN_KIND_SERVER`, `STATUS_CODE_ERROR`), or `""` where the request had none.
    Attributes are `str`, `bool`, `int`, `float`, `bytes`, `list`, `dict`, or None for an empty
    value.
    """

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: str
    trace_state: str
    start_ns: int
    end_ns: int
    status_code: str
    status_message: str
    attributes: dict[str, Any]
    events: list[ReceivedEvent]
    links: list[ReceivedLink]
    resource: dict[str, Any]
    scope_name: str
    scope_version: str
    scope_attributes: dict[str, Any]


class UnexpectedOutputError(AssertionError):
    """rotel printed something this module cannot read, or a key twice in one set of attributes."""


# --- reading the print-out ------------------------------------------------------------------

_VALUE = r"(?:(?:Str|Bool|Int|Double|Bytes|Slice|Map)\(|Empty(?=[\n,)]|\Z))"
_SPAN = r"Span #\d+\n    Trace ID       : "
_SCOPE = r"ScopeSpans #\d+\nScopeSpans SchemaURL: "
_RESOURCE = r"ResourceSpans #\d+\nResource SchemaURL: "
_EVENT = r"SpanEvent #\d+\n     -> Name: "
_LINK = r"SpanLink #\d+\n     -> Trace ID: "
_OUTER = rf"{_SPAN}|{_SCOPE}|{_RESOURCE}|\Z"
_NEXT = rf"Events:\n{_EVENT}|Links:\n{_LINK}|{_EVENT}|{_LINK}|{_OUTER}"


def _before(follower: str) -> re.Pattern[str]:
    """Match the newline that ends a text, known by what comes after it."""
    return re.compile(rf"\n(?={follower})")


def _after_value(indent: str) -> re.Pattern[str]:
    """Match the newline that ends an attribute's value: it is closed, and a known line follows."""
    return re.compile(rf"(?:(?<=\))|(?<=: Empty))\n(?={indent}-> [^\n]*?: {_VALUE}|{_NEXT})")


_TIMES = r"Start time: \d+\nEnd time: \d+\n"
_RESOURCE_URL_END = _before(rf"Resource attributes:\n     -> |{_SCOPE}|{_RESOURCE}|\Z")
_SCOPE_URL_END = _before(rf"InstrumentationScope |{_OUTER}")
_SCOPE_END = _before(rf"InstrumentationScope attributes:\n     -> |{_OUTER}")
_NAME_END = _before(rf"    Kind           : SPAN_KIND_\w+\n|    TraceState     : |{_TIMES}")
_TRACE_STATE_END = _before(_TIMES)
_MESSAGE_END = _before(rf"Attributes:\n     -> |{_NEXT}")
_EVENT_NAME_END = _before(r"     -> Timestamp: \d+\n     -> DroppedAttributesCount: \d+\n")
_LINK_STATE_END = _before(r"     -> DroppedAttributesCount: \d+\n")
_OUTER_INDENT, _INNER_INDENT = " " * 5, " " * 10
_KEYS = {i: re.compile(rf"{i}-> ([^\n]*?): (?={_VALUE})") for i in (_OUTER_INDENT, _INNER_INDENT)}
_VALUE_ENDS = {i: _after_value(i) for i in _KEYS}


class _Text:
    """The print-out and how far it has been read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def find(self, pattern: str | re.Pattern[str]) -> str | None:
        """Step over the pattern if it comes next; return its first group, or all of it."""
        match = re.compile(pattern).match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match.group(match.lastindex or 0)

    def take(self, pattern: str) -> str:
        """Step over the pattern, which must come next."""
        found = self.find(pattern)
        if found is None:
            raise self._unexpected(pattern)
        return found

    def until(self, end: re.Pattern[str]) -> str:
        """Take everything up to the nearest end, and step over the end."""
        match = end.search(self._text, self._at)
        if match is None:
            raise self._unexpected(end.pattern)
        taken = self._text[self._at : match.start()]
        self._at = match.end()
        return taken

    def _unexpected(self, pattern: str) -> UnexpectedOutputError:
        excerpt = self._text[max(self._at - 100, 0) : self._at + 200]
        return UnexpectedOutputError(f"no {pattern!r} at offset {self._at}, around {excerpt!r}")


def parse(output: str) -> list[ReceivedSpan]:
    """Read whole requests as rotel prints them.

    The format is that of `DebugLoggable for [ResourceSpans]` in rotel's source.
    """
    text = _Text(output)
    spans: list[ReceivedSpan] = []
    while text.find(_RESOURCE) is not None:
        text.until(_RESOURCE_URL_END)
        resource = _attributes(text, "Resource attributes:\n")
        while text.find(_SCOPE) is not None:
            text.until(_SCOPE_URL_END)
            spans += _scope_spans(text, resource)
    text.take(r"\Z")
    return spans


def _scope_spans(text: _Text, resource: dict[str, Any]) -> list[ReceivedSpan]:
    scope = text.until(_SCOPE_END) if text.find("InstrumentationScope ") is not None else " "
    name, _, version = scope.rpartition(" ")
    attributes = _attributes(text, "InstrumentationScope attributes:\n")
    spans = []
    while text.find(r"Span #\d+\n") is not None:
        spans.append(_span(text, resource, name, version, attributes))
    return spans


def _span(
    text: _Text,
    resource: dict[str, Any],
    scope_name: str,
    scope_version: str,
    scope_attributes: dict[str, Any],
) -> ReceivedSpan:
    # The arguments are evaluated in the print-out's order, the parent's id first.
    return ReceivedSpan(
        trace_id=text.take(r"    Trace ID       : ([0-9a-f]*)\n"),
        parent_span_id=text.take(r"    Parent ID      : ([0-9a-f]*)\n"),
        span_id=text.take(r"    ID             : ([0-9a-f]*)\n"),
        name=_optional(text, "    Name           : ", _NAME_END),
        kind=text.find(r"    Kind           : (\w+)\n") or "",
        trace_state=_optional(text, "    TraceState     : ", _TRACE_STATE_END),
        start_ns=int(text.take(r"Start time: (\d+)\n")),
        end_ns=int(text.take(r"End time: (\d+)\n")),
        status_code=text.find(r"    Status code    : (\w+)\n") or "",
        status_message=_optional(text, "    Status message : ", _MESSAGE_END),
        attributes=_attributes(text, "Attributes:\n"),
        events=_repeated(text, "Events:\n", r"SpanEvent #\d+\n", _event),
        links=_repeated(text, "Links:\n", r"SpanLink #\d+\n", _link),
        resource=resource,
        scope_name=scope_name,
        scope_version=scope_version,
        scope_attributes=scope_attributes,
    )


def _optional(text: _Text, label: str, end: re.Pattern[str]) -> str:
    return "" if text.find(label) is None else text.until(end)


def _repeated(text: _Text, header: str, start: str, read: Callable[[_Text], _T]) -> list[_T]:
    found: list[_T] = []
    if text.find(header) is not None:
        while text.find(start) is not None:
            found.append(read(text))
    return found


def _event(text: _Text) -> ReceivedEvent:
    text.take("     -> Name: ")
    name = text.until(_EVENT_NAME_END)
    time_ns = int(text.take(r"     -> Timestamp: (\d+)\n"))
    text.take(r"     -> DroppedAttributesCount: \d+\n")
    return ReceivedEvent(name, time_ns, _attributes(text, "     -> Attributes::\n", _INNER_INDENT))


def _link(text: _Text) -> ReceivedLink:
    trace_id = text.take(r"     -> Trace ID: ([0-9a-f]*)\n")
    span_id = text.take(r"     -> ID: ([0-9a-f]*)\n")
    text.take("     -> TraceState: ")
    trace_state = text.until(_LINK_STATE_END)
    text.take(r"     -> DroppedAttributesCount: \d+\n")
    attributes = _attributes(text, "     -> Attributes::\n", _INNER_INDENT)
    return ReceivedLink(trace_id, span_id, trace_state, attributes)


def _attributes(text: _Text, header: str, indent: str = _OUTER_INDENT) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if text.find(header) is None:
        return attributes
    while (key := text.find(_KEYS[indent])) is not None:
        if key in attributes:
            raise UnexpectedOutputError(f"the attribute {key!r} was sent twice in one set")
        attributes[key] = _value(text.until(_VALUE_ENDS[indent]))
    return attributes


# --- values ---------------------------------------------------------------------------------

# Where a string ends: at the last bracket on its own; inside one array or map, at a bracket before
# another element or the very end; deeper, at the first that can be one.
_STRING_ENDS = (
    re.compile(r"\)\Z"),
    re.compile(rf"\)(?=, (?:[^(),]*?:)?{_VALUE}|\)\Z)"),
    re.compile(r"\)(?=, |\))"),
)
_SCALARS: dict[str, Callable[[str], Any]] = {
    "Str": str,
    "Bool": lambda printed: {"true": True, "false": False}[printed],
    "Int": int,
    "Double": float,
    "Bytes": lambda printed: bytes(int(byte) for byte in re.findall(r"\d+", printed)),
}
_KIND = re.compile(r"(Str|Bool|Int|Double|Bytes|Slice|Map)\(")
_MAP_KEY = re.compile(rf"(.*?):(?={_VALUE})", re.DOTALL)
_BRACKET = re.compile(r"\)")


def _value(printed: str) -> Any:
    value, end = _value_at(printed, 0, 0)
    if end != len(printed):
        raise UnexpectedOutputError(f"text after the value in {printed!r}")
    return value


def _value_at(printed: str, at: int, depth: int) -> tuple[Any, int]:
    """Read the value at an offset; return it and the offset after it."""
    if printed.startswith("Empty", at):
        return None, at + len("Empty")
    kind = _matched(_KIND.match(printed, at), printed)
    if kind[1] in ("Slice", "Map"):
        return _collection(printed, kind.end(), depth + 1, keyed=kind[1] == "Map")
    ends = _STRING_ENDS[min(depth, 2)] if kind[1] == "Str" else _BRACKET
    end = _matched(ends.search(printed, kind.end()), printed)
    text = printed[kind.end() : end.start()]
    return _SCALARS[kind[1]](text), end.end()


def _collection(printed: str, at: int, depth: int, keyed: bool) -> tuple[Any, int]:
    keys: list[str] = []
    values: list[Any] = []
    while not printed.startswith(")", at):
        if keyed:
            key = _matched(_MAP_KEY.match(printed, at), printed)
            keys.append(key[1])
            at = key.end()
        value, at = _value_at(printed, at, depth)
        values.append(value)
        at += len(", ") if printed.startswith(", ", at) else 0
    return (dict(zip(keys, values, strict=True)) if keyed else values), at + 1


def _matched(match: re.Match[str] | None, printed: str) -> re.Match[str]:
    if match is None:
        raise UnexpectedOutputError(f"not a value: {printed!r}")
    return match


# --- the server -----------------------------------------------------------------------------


def find_binary() -> Path | None:
    """Find rotel's program beside its Python package, without importing that."""
    spec = importlib.util.find_spec("rotel")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "rotel-agent"
    return binary if binary.is_file() else None


class Rotel:
    """A rotel process on two loopback ports, for use as a context manager from one thread.

    The ports are chosen at the first start and kept. What was received before a stop, kill or
    restart stays. Nothing leaves the process: its exporter is a black hole, its own telemetry is
    off, and variables that could change that are not passed on.

    Args:
        exporter: The options of another exporter, which then gets the spans.
    """

    def __init__(self, exporter: Sequence[str] = ("--exporter=blackhole",)) -> None:
        self._exporter = exporter
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: tuple[int, int] | None = None
        self._read = 0
        self._spans: list[ReceivedSpan] = []
        self._markers: set[str] = set()

    def __enter__(self) -> Rotel:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def grpc_endpoint(self) -> str:
        """Where it takes OTLP over gRPC; it has no TLS."""
        return f"http://127.0.0.1:{self._bound()[0]}"

    @property
    def http_endpoint(self) -> str:
        """Where it takes OTLP over HTTP; traces go to `/v1/traces` below it."""
        return f"http://127.0.0.1:{self._bound()[1]}"

    def start(self) -> None:
        """Run the program and return when it answers on both ports.

        Raises:
            RuntimeError: It runs already, or its wheel is not installed.
            AssertionError: It does not come up.
        """
        if self._running():
            raise RuntimeError("rotel runs already; call stop() or kill() first")
        self.stop()
        ports = self._ports
        for _ in range(_ATTEMPTS):
            self._ports = ports or _free_ports()
            self._spawn()
            if self._answers():
                return
            if "unable to bind" not in self._errors():
                break
            time.sleep(POLL_S)
        raise AssertionError(f"rotel does not start: {self._errors() or 'no message'}")

    def stop(self) -> None:
        """End it in order, so that it prints everything it accepted; does nothing if it is down."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """End it at once, as a crash would; a request it printed only in part is left out."""
        self._end(subprocess.Popen.kill)

    def restart(self) -> None:
        """Stop it and start it on the same ports."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and remove its files; `spans()` still answers."""
        try:
            self.stop()
        finally:
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def spans(self) -> list[ReceivedSpan]:
        """Return every span received so far, in the order of arrival, repetitions included.

        This is exact: what rotel had acknowledged before the call is in it. To know that, the call
        sends a span of its own and waits until that is printed (requests are printed in the order
        they are accepted in, over either protocol); such spans are left out here.
        """
        if self._running():
            self._pass_marker()
        else:
            self.stop()  # it may have ended by itself, with output still to read
        return list(self._spans)

    def wait_for(self, count: int, timeout_s: float = DEADLINE_S) -> list[ReceivedSpan]:
        """Return the spans as soon as there are at least `count`.

        Raises:
            AssertionError: There were fewer when the time was up.
        """
        deadline = time.monotonic() + timeout_s
        while len(spans := self.spans()) < count:
            if time.monotonic() >= deadline:
                names = [span.name for span in spans]
                raise AssertionError(f"{len(spans)} of {count} spans in {timeout_s} s: {names}")
            time.sleep(POLL_S)
        return spans

    def send(self, request: bytes) -> None:
        """Post an encoded ExportTraceServiceRequest over HTTP, as it is.

        Raises:
            OSError: Nothing answers.
            http.client.HTTPException: The answer is not 200.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._bound()[1], timeout=DEADLINE_S)
        try:
            headers = {"Content-Type": "application/x-protobuf"}
            connection.request("POST", "/v1/traces", request, headers)
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"rotel answered {response.status}")

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _bound(self) -> tuple[int, int]:
        if self._ports is None:
            raise RuntimeError("the ports are not known before the first start()")
        return self._ports

    def _file(self, name: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="rotel-")
        return Path(self._folder.name) / name

    def _errors(self) -> str:
        return self._file("stderr").read_text().strip()

    def _spawn(self) -> None:
        binary = find_binary()
        if binary is None:
            raise RuntimeError("rotel is not installed: pip install rotel")
        grpc_port, http_port = self._bound()
        command = [
            str(binary),
            "start",
            f"--otlp-grpc-endpoint=127.0.0.1:{grpc_port}",
            f"--otlp-http-endpoint=127.0.0.1:{http_port}",
            *self._exporter,
            "--debug-log=traces",
            "--debug-log-verbosity=detailed",
        ]
        with self._file("stdout").open("ab") as stdout, self._file("stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=_environment()
            )

    def _answers(self) -> bool:
        """Wait until both ports are served by this very process; False if it ended instead."""
        deadline = time.monotonic() + DEADLINE_S
        while self._running():
            try:
                socket.create_connection(("127.0.0.1", self._bound()[0]), DEADLINE_S).close()
                self._pass_marker()
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() >= deadline:
                    raise AssertionError(f"rotel does not answer in {DEADLINE_S} s") from error
                time.sleep(POLL_S)
            else:
                return self._running()
        return False

    def _end(self, signal: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        signal(process)
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._read_to_end()

    def _pass_marker(self) -> None:
        """Send a span of our own and read everything that was printed before it."""
        trace_id = os.urandom(16)
        self._markers.add(trace_id.hex())
        self.send(_request(trace_id))
        deadline = time.monotonic() + DEADLINE_S
        while not self._read_through(trace_id.hex()) and self._running():
            if time.monotonic() >= deadline:
                raise AssertionError(f"rotel did not print a request in {DEADLINE_S} s")
            time.sleep(POLL_S / 10)

    def _read_through(self, marker: str) -> bool:
        """Read up to the end of the marker's request; False if that is not there in full yet."""
        output = self._unread()
        at = output.find(f"    Trace ID       : {marker}\n".encode())
        last_line = b"\nEnd time: 0\n"
        end = output.find(last_line, at)
        if at < 0 or end < 0:
            return False
        self._take(output[: end + len(last_line)])
        return True

    def _read_to_end(self) -> None:
        output = self._unread()
        if not output.endswith(b"\n"):
            cut = output.rfind(b"ResourceSpans #0\nResource SchemaURL: ")
            self._read += len(output) - max(cut, 0)
            output = output[: max(cut, 0)]
        self._take(output)

    def _unread(self) -> bytes:
        with self._file("stdout").open("rb") as stdout:
            stdout.seek(self._read)
            return stdout.read()

    def _take(self, output: bytes) -> None:
        self._read += len(output)  # first, so that what cannot be read is reported once
        spans = parse(output.decode())
        self._spans += [span for span in spans if span.trace_id not in self._markers]


def _free_ports() -> tuple[int, int]:
    """Pick two ports nobody listens on now; whoever binds them must be ready to try others."""
    candidates = iter(SystemRandom().sample(_PORTS, len(_PORTS)))
    return next(filter(_is_free, candidates)), next(filter(_is_free, candidates))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as rotel's own socket
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _environment() -> dict[str, str]:
    """Return ours without settings for rotel, and with what it needs.

    The program is linked to the shared library of the Python its wheel is for, which the loader
    finds only if that Python is the system's; so its folder is named. The log is off because it
    would stand between the spans; what keeps the program from starting is told on stderr.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ROTEL_", "OTEL_"))}
    folders = sysconfig.get_config_var("LIBDIR"), kept.get("LD_LIBRARY_PATH")
    return {**kept, "RUST_LOG": "off", "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}


def _request(trace_id: bytes) -> bytes:
    """Encode an ExportTraceServiceRequest with one span that has ids only."""
    span = _field(1, trace_id) + _field(2, trace_id[:8])
    scope_spans = _field(2, span)
    resource_spans = _field(2, scope_spans)
    return _field(1, resource_spans)


def _field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited protobuf field of fewer than 128 bytes."""
    return bytes((number << 3 | 2, len(content))) + content
