"""What ``phasetrace run`` says when the program has ended."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from phasetrace.errors import PhasetraceError
from phasetrace.rendering import human, safe
from phasetrace.settings import store_path
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from phasetrace.breakdowns import ExecutionBreakdown
    from phasetrace.configuration import Tracing


def print_epilogue(tracing: Tracing, with_breakdown: bool) -> None:
    """Print the breakdown if asked for (stdout), and how to look again (stderr).

    Never raises, and does without a stream that the program has closed.
    """
    executions = [exec_id for exec_id in tracing.executions.ids() if exec_id]
    latest, is_stored = _latest(tracing, executions)
    if latest is None:
        say("no phases were recorded in this process")
        return
    if with_breakdown:
        with _usable_stdout():
            from phasetrace.cli.table import print_breakdown

            print_breakdown(latest)
            sys.stdout.flush()
    header = latest.execution
    others = len(executions) - 1
    more = f" and {others} more execution{'s' if others > 1 else ''}" if others else ""
    say(f"{safe(header.exec_id)}{more}: {latest.spans} spans in {human(header.duration_ns)}")
    if is_stored:
        say(
            f"look again: {_where(tracing)}phasetrace metrics {_quoted(header.exec_id)} --breakdown"
        )
    for exporter in tracing.exporters:
        if exporter.failed:
            say(f"{exporter.name}: {exporter.failed} spans could not be delivered")
        if exporter.delivered and tracing.settings.trace_url and exporter.name.startswith("otlp"):
            say(f"trace: {tracing.settings.trace_url.replace('{trace_id}', header.trace_id)}")


def say(line: str) -> None:
    """Print a line on stderr, if there is one that can be written to."""
    stream = _usable(sys.__stderr__, sys.stderr)
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            print(f"phasetrace: {line}", file=stream, flush=True)


def _latest(tracing: Tracing, executions: list[str]) -> tuple[ExecutionBreakdown | None, bool]:
    """Return the breakdown of the execution that started last, and whether the store has it.

    The store's is that of all processes.
    """
    for exec_id in reversed(executions):
        if tracing.settings.store is not None:
            try:
                with StoreReader(tracing.settings.store) as store:
                    return store.breakdown(store.find(exec_id)), True
            except (PhasetraceError, OSError):
                pass  # it could not be stored, which was said then: the collector still has it
        try:
            return tracing.collector.breakdown(exec_id), False
        except PhasetraceError:
            continue
    return None, False


@contextlib.contextmanager
def _usable_stdout() -> Iterator[None]:
    """Let text go to the real stdout, if there is one, whatever the program has made of it."""
    stream = _usable(sys.__stdout__, sys.stdout)
    if stream is None:
        stream = io.StringIO()
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            sys.stdout.flush()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    with contextlib.suppress(OSError, ValueError), contextlib.redirect_stdout(stream):
        yield


def _usable(original: TextIO | None, current: TextIO | None) -> TextIO | None:
    """Return the process's own stream, or else the program's if that can be written to."""
    for stream in (original, current):
        try:
            if stream is not None and not stream.closed:
                stream.fileno()
                return stream
        except (AttributeError, OSError, ValueError):  # detached, or not a file at all
            continue
    return None


def _where(tracing: Tracing) -> str:
    """Return what has to stand before a command, for it to read the store that was written."""
    written = tracing.settings.store
    if written is None or written == store_path():
        return ""
    return f"PHASETRACE_STORE={_quoted(str(written.absolute()))} "


def _quoted(exec_id: str) -> str:
    return shlex.quote(safe(exec_id))
