"""What ``phasetrace run`` says when the program has ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from phasetrace.errors import PhasetraceError
from phasetrace.rendering import human, safe

if TYPE_CHECKING:
    from phasetrace.breakdowns import ExecutionBreakdown
    from phasetrace.configuration import Tracing


def print_epilogue(tracing: Tracing, with_breakdown: bool) -> None:
    """Print the breakdown if asked for (stdout), and how to look again (stderr)."""
    executions = [exec_id for exec_id in tracing.executions.ids() if exec_id]
    if not executions:
        _say("no phases were recorded")
        return
    latest = _latest(tracing, executions)
    if latest is None:
        return
    if with_breakdown:
        from phasetrace.cli.table import print_breakdown

        print_breakdown(latest)
    header = latest.execution
    others = f" and {len(executions) - 1} more executions" if len(executions) > 1 else ""
    _say(f"{safe(header.exec_id)}{others}: {latest.spans} spans in {human(header.duration_ns)}")
    if tracing.settings.store is not None:
        _say(f"look again: phasetrace metrics {_quoted(header.exec_id)} --breakdown")
    for exporter in tracing.exporters:
        if exporter.failed:
            _say(f"{exporter.name}: {exporter.failed} spans could not be delivered")
        if exporter.delivered and tracing.settings.trace_url and exporter.name.startswith("otlp"):
            _say(f"trace: {tracing.settings.trace_url.replace('{trace_id}', header.trace_id)}")


def _latest(tracing: Tracing, executions: list[str]) -> ExecutionBreakdown | None:
    """Return the breakdown of the execution that started last, of all processes if stored."""
    exec_id = executions[-1]
    if tracing.settings.store is not None:
        from phasetrace.store.reader import StoreReader

        try:
            with StoreReader(tracing.settings.store) as store:
                return store.breakdown(store.find(exec_id))
        except PhasetraceError:
            pass  # it could not be stored, which was said then: the collector still has it
    try:
        return tracing.collector.breakdown(exec_id)
    except PhasetraceError:
        return None


def _quoted(exec_id: str) -> str:
    import shlex

    return shlex.quote(safe(exec_id))


def _say(line: str) -> None:
    print(f"phasetrace: {line}", file=sys.stderr)  # noqa: T201
