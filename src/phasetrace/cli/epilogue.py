"""What ``phasetrace run`` says when the program has ended."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TextIO

from phasetrace.errors import PhasetraceError
from phasetrace.rendering import human, local_time, safe
from phasetrace.settings import store_path
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from phasetrace.breakdowns import ExecutionBreakdown
    from phasetrace.configuration import Tracing


class Run(NamedTuple):
    """What the last lines have to know of the run; `exec_id` is the one given, if one was."""

    command: str
    exec_id: str | None
    started_ns: int
    with_breakdown: bool


class _Answer(NamedTuple):
    """The execution that started last: its breakdown, and what the store has to add."""

    breakdown: ExecutionBreakdown
    is_stored: bool = False
    began_earlier: bool = False


def print_epilogue(tracing: Tracing, run: Run) -> None:
    """Print the breakdown if asked for (stdout), and how to look again (stderr).

    Never raises, and does without a stream that the program has closed.
    """
    if tracing.settings.disabled:
        say("nothing was recorded: OTEL_SDK_DISABLED is set")
        return
    own = [exec_id for exec_id in tracing.executions.ids() if exec_id]
    executions = [one for one in _of_children(tracing, run) if one not in own] + own
    if not executions:
        say("no phases were recorded in this process")
        return
    answer = _latest(tracing, executions, run)
    if answer is None:
        say(f"{_named(executions[-1], executions)}: recorded, but in no store and no longer held")
    else:
        _tell(tracing, answer, executions, run)
    if run.exec_id is not None and _as_recorded(run.exec_id) not in executions:
        say(f"--exec-id {_quoted(run.exec_id)} was not used: all executions have ids of their own")
    for exporter in tracing.exporters:
        missing = exporter.failed + exporter.dropped + exporter.in_flight
        if missing:
            say(f"{missing} spans could not be delivered to {exporter.name}")
        if answer is not None and exporter.delivered:
            _tell_address(tracing, exporter.name, answer)
    for delivery in tracing.deliveries():
        if delivery.waiting:
            whither = safe(delivery.spec.endpoint or delivery.spec.name)
            ship = f"{_where(tracing)}{run.command} ship"
            say(f"{delivery.waiting:,} spans wait for {whither}; {ship} delivers them")
        if answer is not None and delivery.is_delivered:
            _tell_address(tracing, delivery.spec.name, answer)


def _tell_address(tracing: Tracing, exporter: str, answer: _Answer) -> None:
    url = tracing.settings.trace_url
    if url and exporter.startswith("otlp"):
        say(f"trace: {url.replace('{trace_id}', answer.breakdown.execution.trace_id)}")


def _tell(tracing: Tracing, answer: _Answer, executions: list[str], run: Run) -> None:
    latest = answer.breakdown
    if run.with_breakdown:
        with _usable_stdout():
            from phasetrace.cli.table import print_breakdown

            print_breakdown(latest)
            sys.stdout.flush()
    header = latest.execution
    named = _named(header.exec_id, executions)
    say(f"{named}: {latest.spans} spans in {human(header.duration_ns)}")
    if answer.began_earlier:
        began = local_time(header.started_ns)
        say(f"{safe(header.exec_id)} was there before ({began}): its numbers are of both runs")
    if answer.is_stored:
        again = f"{_where(tracing)}{run.command} metrics {_quoted(header.exec_id)} --breakdown"
        say(f"look again: {again}")


def _named(exec_id: str, executions: list[str]) -> str:
    others = len(executions) - 1
    more = f" and {others} more execution{'s' if others > 1 else ''}" if others else ""
    return f"{safe(exec_id)}{more}"


def say(line: str) -> None:
    """Print a line on stderr, if there is one that can be written to."""
    stream = _usable(sys.__stderr__, sys.stderr)
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            print(f"phasetrace: {line}", file=stream, flush=True)


def _of_children(tracing: Tracing, run: Run) -> list[str]:
    """Return the ids of the executions that child processes have stored, oldest first."""
    if tracing.settings.store is None:
        return []
    try:
        with StoreReader(tracing.settings.store) as store:
            found = store.of_children(os.getpid(), run.started_ns)
    except (PhasetraceError, OSError):
        return []
    return [execution.exec_id for execution in reversed(found)]


def _latest(tracing: Tracing, executions: list[str], run: Run) -> _Answer | None:
    """Return the answer for the execution that started last, None if nobody has its numbers.

    The store's is that of all processes.
    """
    for exec_id in reversed(executions):
        if tracing.settings.store is not None:
            try:
                with StoreReader(tracing.settings.store) as store:
                    found = store.find(exec_id)
                    began_earlier = store.runs_before(found, run.started_ns)
                    return _Answer(store.breakdown(found), True, began_earlier)
            except (PhasetraceError, OSError):
                pass  # it could not be stored, which was said then: the collector still has it
        try:
            return _Answer(tracing.collector.breakdown(exec_id))
        except PhasetraceError:
            continue
    return None


def _as_recorded(exec_id: str) -> str:
    return exec_id.encode("utf-8", "backslashreplace").decode("utf-8")


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
