"""Where did the time go in this run?

Times the phases of the nodes of an execution, as OpenTelemetry spans, and adds them up locally.
Everything is imported on first use, so that ``import phasetrace`` costs next to nothing and the
reading commands need no OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phasetrace._version import __version__

if TYPE_CHECKING:
    from phasetrace.analysis.execution import ExecutionAnalysis
    from phasetrace.answers import analyse, breakdown, report
    from phasetrace.breakdowns import ExecutionBreakdown
    from phasetrace.collector import TimingCollector
    from phasetrace.configuration import configure, force_flush, shutdown, timing_collector
    from phasetrace.errors import ConfigError, PhasetraceError, StoreError, UnknownExecution
    from phasetrace.phases import atime_phase, atimed, execution, node, phase, time_phase, timed
    from phasetrace.processor import TimingSpanProcessor
    from phasetrace.provider import TracerProvider
    from phasetrace.reports.report import Report
    from phasetrace.span import Span
    from phasetrace.tracer import Tracer

__all__ = [
    "ConfigError",
    "ExecutionAnalysis",
    "ExecutionBreakdown",
    "PhasetraceError",
    "Report",
    "Span",
    "StoreError",
    "TimingCollector",
    "TimingSpanProcessor",
    "Tracer",
    "TracerProvider",
    "UnknownExecution",
    "__version__",
    "analyse",
    "atime_phase",
    "atimed",
    "breakdown",
    "configure",
    "execution",
    "force_flush",
    "node",
    "phase",
    "report",
    "shutdown",
    "time_phase",
    "timed",
    "timing_collector",
]

_HOME = {
    "ConfigError": "errors",
    "ExecutionAnalysis": "analysis.execution",
    "ExecutionBreakdown": "breakdowns",
    "PhasetraceError": "errors",
    "Report": "reports.report",
    "Span": "span",
    "StoreError": "errors",
    "TimingCollector": "collector",
    "TimingSpanProcessor": "processor",
    "Tracer": "tracer",
    "TracerProvider": "provider",
    "UnknownExecution": "errors",
    "analyse": "answers",
    "atime_phase": "phases",
    "atimed": "phases",
    "breakdown": "answers",
    "configure": "configuration",
    "execution": "phases",
    "force_flush": "configuration",
    "node": "phases",
    "phase": "phases",
    "report": "answers",
    "shutdown": "configuration",
    "time_phase": "phases",
    "timed": "phases",
    "timing_collector": "configuration",
}
_MODULES = ("observer", "propagate", "testing")
_NEED_THE_SDK = {*_MODULES, "configuration", "phases", "processor", "provider", "span", "tracer"}


def __getattr__(name: str) -> Any:
    home = name if name in _MODULES else _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'phasetrace' has no attribute {name!r}")
    if home in _NEED_THE_SDK:
        from phasetrace.environment import standard_variables

        with standard_variables():  # by some of their values the SDK could not be imported
            module = _module(home)
    else:
        module = _module(home)
    if name in _MODULES:
        return module
    value = getattr(module, name)
    globals()[name] = value
    return value


def _module(home: str) -> Any:
    import importlib

    if home == "phases":
        # Phases record through whatever the wiring gives them; importing it puts that in place.
        importlib.import_module("phasetrace.configuration")
    return importlib.import_module(f"phasetrace.{home}")


def load_ipython_extension(ipython: Any) -> None:
    """Add the cell magic ``%%phases``; what ``%load_ext phasetrace`` calls."""
    from phasetrace.notebook import load

    load(ipython)


def __dir__() -> list[str]:
    return sorted(__all__)
