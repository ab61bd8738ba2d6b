"""A readable tree of every execution on the console, printed when its root span has ended.

    exec_abc123  simple_iter  4.05s  ok
    ├─ discover  21.3ms
    │  ├─ list_files  12.0ms
    │  └─ read_sources  9.10ms  files=120
    └─ compare [0]  310ms  ✗ ValueError: no pairs

A line is a span: its name (``[0]`` is the iteration of a node, ``(node)`` the node of a phase that
is not below that node's span), its duration, how it failed, its metadata as far as the line goes.
Alike leaves of one parent share a line with their number and the sum of their durations. Spans of
no execution are printed by trace, in the same form.

Children end before their parents, so spans wait here until their tree is whole.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TextIO

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from phasetrace import faults
from phasetrace.attributes import text
from phasetrace.identity import root_span_id_of
from phasetrace.names import EXEC_ID, ITERATION, NODE_ID, RESERVED, TYPE
from phasetrace.processor import record_of, status_of
from phasetrace.redacted_spans import redact_by_environment, redacted_spans
from phasetrace.rendering import cells, human, safe
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE

MAX_WAITING: Final = 10_000
"""Spans that wait for their root; past it the execution that came first is printed as it is."""

_MAX_REMEMBERED: Final = 1_000
_MAX_UNFOLDED: Final = 3
_MAX_INDENT: Final = 120
_MAX_ITEMS: Final = 16
_NAME_WIDTH: Final = 80  # these in columns
_VALUE_WIDTH: Final = 40
_PROBLEM_WIDTH: Final = 200
_LINE_WIDTH: Final = 100
_LEAST_METADATA_WIDTH: Final = 8

_LATE: Final = "spans that ended after their root"
_NO_ROOT: Final = "without its root span: that has not ended, or is an earlier run's or process's"
_TOO_MANY: Final = f"incomplete: more than {MAX_WAITING:,} spans were waiting for their root"

_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_SYMBOLS: Final = f"├─└│✗…{_TIMES}"
_PLAIN: Final = str.maketrans(
    {"├": "|", "─": "-", "└": "`", "│": "|", "✗": "x", "…": "...", _TIMES: "x", "µ": "u"}
)

TreeKey = str | int
"""The exec_id, or the trace id of spans that belong to no execution."""
SpanKey = tuple[int, int]
"""Trace id and span id."""


class _Entry(NamedTuple):
    """What is kept of a span: cut to size, and safe to print."""

    tree: TreeKey
    key: SpanKey
    parent: SpanKey | None
    name: str
    iteration: str
    node_id: str
    start_ns: int
    duration_ns: int
    problem: str
    metadata: str
    is_root: bool
    ends_tree: bool
    """Nothing is to be expected after it."""


_Entries = dict[SpanKey, _Entry]
_Children = Mapping[SpanKey | None, list[_Entry]]
_Branch = tuple[str, _Entry, str]  # a line, the span it shows, the prefix of the lines below it


class ConsoleTreeExporter(SpanExporter):
    """Prints every execution as a tree to `stream` (default: what ``sys.stdout`` is by then).

    Works in any processor of any SDK provider. A failure to print is counted and reported, never
    raised. Thread-safe; a forked child leaves the spans that waited to its parent.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        redact_by_environment()
        self._stream = stream
        self._shut_down = False
        self._forget()
        _exporters.add(self)

    def _forget(self) -> None:
        # Guards all fields, and keeps trees apart on the stream. Re-entrant, because writing to the
        # stream may end a span that comes back here.
        self._lock = threading.RLock()
        self._waiting = 0
        self._trees: dict[TreeKey, _Entries] = {}
        self._late: dict[TreeKey, None] = {}  # of _trees, those whose root was printed before
        self._printed: dict[TreeKey, None] = {}  # the latest trees printed with their root

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take the spans, and print the trees that they complete."""
        try:
            with self._lock:
                if self._shut_down:
                    faults.report("printing spans after the exporter was shut down")
                    return SpanExportResult.FAILURE
                shown = redacted_spans(spans)
                entries = [entry for entry in map(_read, shown) if entry is not None]
                complete = self._add(entries)
                added_to = {entry.tree for entry in entries}
                quiet = [key for key in self._late if key not in added_to]
                lines = [*self._take(quiet, _LATE), *self._take(complete)]
                while self._waiting > MAX_WAITING:
                    lines += self._take([next(iter(self._trees))], _TOO_MANY)
                self._write(lines)
        except Exception as error:
            faults.report("printing spans", error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if len(entries) == len(spans) else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Print the spans that came after their root; the others still wait for it."""
        try:
            with self._lock:
                self._write(self._take(list(self._late), _LATE))
        except Exception as error:
            faults.report("printing spans", error)
            return False
        return True

    def shutdown(self) -> None:
        """Print what is left. The stream stays open."""
        try:
            with self._lock:
                self._shut_down = True
                late = self._take(list(self._late), _LATE)
                self._write([*late, *self._take(list(self._trees), _NO_ROOT)])
        except Exception as error:
            faults.report("printing spans", error)

    def _add(self, entries: Iterable[_Entry]) -> list[TreeKey]:
        """Add spans to their trees; return the trees that are complete."""
        complete: dict[TreeKey, None] = {}
        for entry in entries:
            tree = self._trees.setdefault(entry.tree, {})
            self._waiting += entry.key not in tree
            tree[entry.key] = entry
            again = entry.tree in self._printed
            if entry.ends_tree or (again and entry.is_root):
                complete[entry.tree] = None
            elif again:
                self._late[entry.tree] = None
        return list(complete)

    def _take(self, keys: Iterable[TreeKey], note: str = "") -> Iterator[str]:
        """Remove trees and give their lines; `note` says why one without a root is printed."""
        for key in sorted(keys, key=lambda key: isinstance(key, int)):  # executions adopt, first
            self._late.pop(key, None)
            tree = self._trees.pop(key, None)
            if tree is None:
                continue  # adopted as a whole
            if isinstance(key, str):
                for trace_id in {trace_id for trace_id, _ in tree}:
                    self._adopt(tree, trace_id)
            self._waiting -= len(tree)
            if not note:
                self._printed.pop(key, None)
                self._printed[key] = None
                if len(self._printed) > _MAX_REMEMBERED:
                    del self._printed[next(iter(self._printed))]
            yield from _lines_of(key, tree, note)

    def _adopt(self, tree: _Entries, trace_id: int) -> None:
        # Where no TimingSpanProcessor hands the exec_id down, what ran inside an execution comes
        # without it, and its parent alone tells where it belongs.
        strangers = self._trees.get(trace_id, {})
        below: dict[SpanKey | None, list[_Entry]] = defaultdict(list)
        for stranger in strangers.values():
            below[stranger.parent].append(stranger)
        for key in _reachable(below, tree):
            if key in strangers:
                tree[key] = strangers.pop(key)
        if not strangers:
            self._trees.pop(trace_id, None)

    def _write(self, lines: Iterable[str]) -> None:
        shown = "".join(f"{line}\n" for line in lines)
        stream = self._stream if self._stream is not None else sys.stdout
        if not shown:
            return
        if stream is None:
            raise OSError("there is no standard output")
        try:
            stream.write(shown)
        except UnicodeEncodeError:
            stream.write(_encodable(shown, getattr(stream, "encoding", None) or "ascii"))
        stream.flush()


_exporters: Final[weakref.WeakSet[ConsoleTreeExporter]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for exporter in _exporters:
        exporter._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _read(span: ReadableSpan) -> _Entry | None:
    try:
        return _entry_of(span)
    except Exception as error:
        faults.report("reading a span to print", error)
        return None


def _entry_of(span: ReadableSpan) -> _Entry:
    attributes = span.attributes or {}
    context = span.get_span_context()
    if context is None:
        raise ValueError(f"the span {span.name!r} has no context")
    parent = (context.trace_id, span.parent.span_id) if span.parent is not None else None
    is_entry = span.parent is None or span.parent.is_remote
    record = record_of(span)
    if record is None:
        tree: TreeKey = context.trace_id
        is_root = ends_tree = is_entry
    else:
        tree = text(attributes[EXEC_ID])
        # With an exec_id alone it is the root, in a provider without our processor.
        is_bare = TYPE not in attributes and NODE_ID not in attributes
        is_root = record.type == EXECUTION or (is_entry and is_bare)
        # An execution that is opened again goes on below the root it has.
        ends_tree = is_root and (parent is None or parent[1] != root_span_id_of(tree))
    is_node = record is not None and record.type == NODE
    start_ns = span.start_time or 0
    return _Entry(
        tree=tree,
        key=(context.trace_id, context.span_id),
        parent=parent,
        name=_short(record.name if record is not None else span.name, _NAME_WIDTH),
        iteration=_short(attributes.get(ITERATION, ""), _VALUE_WIDTH) if is_node else "",
        node_id=_short((record and record.node_id) or "", _NAME_WIDTH),
        start_ns=start_ns,
        duration_ns=max(0, (span.end_time or start_ns) - start_ns),
        problem=_problem_of(span),
        metadata=_metadata_of(attributes, RESERVED if record is not None else frozenset()),
        is_root=is_root,
        ends_tree=ends_tree,
    )


def _problem_of(span: ReadableSpan) -> str:
    """Return how a span's work went wrong; empty if it did not."""
    status = status_of(span)
    if status != "error":
        return "" if status == "ok" else status
    reason = span.status.description or ""
    for event in () if reason else span.events:
        if event.name == "exception":
            details = event.attributes or {}
            kind = text(details.get("exception.type", "")).rpartition(".")[2]
            reason = ": ".join(filter(None, (kind, text(details.get("exception.message", "")))))
    return f"✗ {_short(reason or 'error', _PROBLEM_WIDTH)}"


def _metadata_of(attributes: Mapping[str, Any], hidden: frozenset[str]) -> str:
    shown = [item for item in attributes.items() if item[0] not in hidden][:_MAX_ITEMS]
    pairs = (f"{_short(key, _VALUE_WIDTH)}={_short(value, _VALUE_WIDTH)}" for key, value in shown)
    return _cut(" ".join(pairs), _LINE_WIDTH)


def _short(value: object, width: int) -> str:
    """Return a value as text that is safe in a terminal, in at most `width` columns."""
    return _cut(safe(text(value)[: width + 1]), width)


def _cut(shown: str, width: int) -> str:
    if cells(shown) <= width:
        return shown
    shown = shown[: width - 1]
    while cells(shown) >= width:
        shown = shown[:-1]
    return f"{shown}…"


def _reachable(below: _Children, tops: Iterable[SpanKey | None]) -> set[SpanKey | None]:
    """Return `tops` and everything below them; ends on circles, too."""
    pending = list(tops)
    reached = set(pending)
    while pending:
        for child in below.get(pending.pop(), ()):
            if child.key not in reached:
                reached.add(child.key)
                pending.append(child.key)
    return reached


def _children(tree: _Entries, root: _Entry | None) -> _Children:
    """Return what is below each span, in the order of starting.

    What has no parent here is below the root, or below None if there is no root.
    """
    top = root.key if root is not None else None
    below: dict[SpanKey | None, list[_Entry]] = defaultdict(list)
    ordered = sorted(tree.values(), key=lambda entry: (entry.start_ns, -entry.duration_ns))
    for entry in ordered:
        if entry is not root:
            below[entry.parent if entry.parent in tree else top].append(entry)
    reached = _reachable(below, [top])
    for entry in ordered:
        if entry.key not in reached:  # its parents go round in a circle: cut where it began
            below[entry.parent].remove(entry)
            below[top].append(entry)
            reached |= _reachable(below, [entry.key])
    return {key: children for key, children in below.items() if children}


def _lines_of(key: TreeKey, tree: _Entries, note: str) -> Iterator[str]:
    title = f"{key:032x}" if isinstance(key, int) else _short(key, _NAME_WIDTH)
    roots = [entry for entry in tree.values() if entry.is_root and entry.parent not in tree]
    root = roots[0] if len(roots) == 1 else None
    below = _children(tree, root)
    if root is None:
        yield "  ".join(filter(None, (title, note)))
    else:
        name = root.name if root.name != title else ""
        parts = (title, name, human(root.duration_ns), root.problem or "ok")
        yield _with_metadata("  ".join(filter(None, parts)), root.metadata)
    pending = _branches(below, root, "")
    while pending:
        line, entry, prefix = pending.pop()
        yield line
        if entry.key in below and len(prefix) < _MAX_INDENT:
            pending += _branches(below, entry, prefix)
        elif entry.key in below:
            yield f"{prefix}└─ … {len(_reachable(below, [entry.key])) - 1:,} more further down"


def _branches(below: _Children, parent: _Entry | None, prefix: str) -> list[_Branch]:
    """Return the lines right below a span, last one first, with many alike leaves on one."""
    children = below.get(parent.key if parent is not None else None, [])
    leaves: dict[tuple[str, str, str], list[_Entry]] = defaultdict(list)
    for child in children:
        if child.key not in below:
            leaves[child.name, child.node_id, child.problem].append(child)
    groups: list[list[_Entry]] = []
    for child in children:
        alike = leaves[child.name, child.node_id, child.problem]
        if child.key in below or len(alike) <= _MAX_UNFOLDED:
            groups.append([child])
        elif child is alike[0]:
            groups.append(alike)
    node_id = parent.node_id if parent is not None else ""
    branches: list[_Branch] = []
    for group in reversed(groups):
        start, inner = ("├─ ", "│  ") if branches else ("└─ ", "   ")
        branches.append((_line_of(group, node_id, prefix + start), group[0], prefix + inner))
    return branches


def _line_of(alike: list[_Entry], around: str, start: str) -> str:
    """Return the line of a leaf, or of more alike ones, below a span of the node `around`."""
    entry, count = alike[0], len(alike)
    outside = entry.node_id not in ("", SYSTEM_NODE, around, entry.name)
    label = f"{entry.name} ({entry.node_id})" if outside else entry.name
    if count > 1:
        label += f" {_TIMES}{count}"
    elif entry.iteration:
        label += f" [{entry.iteration}]"
    parts = (label, human(sum(each.duration_ns for each in alike)), entry.problem)
    line = start + "  ".join(filter(None, parts))
    return line if count > 1 else _with_metadata(line, entry.metadata)


def _with_metadata(line: str, metadata: str) -> str:
    room = _LINE_WIDTH - cells(line) - 2
    return f"{line}  {_cut(metadata, room)}" if metadata and room >= _LEAST_METADATA_WIDTH else line


def _encodable(shown: str, encoding: str) -> str:
    try:
        _SYMBOLS.encode(encoding)
    except UnicodeEncodeError:
        shown = shown.translate(_PLAIN)
    return shown.encode(encoding, "backslashreplace").decode(encoding)
