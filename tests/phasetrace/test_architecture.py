"""Imports point downwards, in no circle, and some modules must not be imported at all."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import phasetrace

ROOT = Path(phasetrace.__file__).parent
EXPORTERS = Path(__file__).parents[2] / "exporters" / "phasetrace_exporters"

LAYERS = {
    "ground": {
        "_version",
        "analysis",
        "analysis.bottlenecks",
        "analysis.comparison",
        "analysis.concurrency",
        "analysis.execution",
        "analysis.folding",
        "analysis.groups",
        "analysis.findings",
        "analysis.gaps",
        "analysis.optimizations",
        "analysis.plain",
        "analysis.repetitions",
        "analysis.successions",
        "analysis.wording",
        "analysis.mann_whitney",
        "analysis.lanes",
        "analysis.network",
        "analysis.path",
        "analysis.recording",
        "analysis.replay",
        "analysis.usage",
        "analysis.waiting",
        "attributes",
        "backtracking",
        "bounded",
        "breakdowns",
        "budgets",
        "budgets.amounts",
        "budgets.baseline",
        "budgets.budget",
        "budgets.evaluation",
        "budgets.figures",
        "budgets.reports",
        "budgets.text",
        "budgets.wording",
        "child_processes",
        "clock",
        "course",
        "credential_provider",
        "critical_path",
        "environment",
        "errors",
        "faults",
        "frames",
        "histogram",
        "jsonable",
        "known_secrets",
        "live",
        "grpc_unreachable",
        "header_list",
        "hiding",
        "html",
        "history",
        "identity",
        "markdown",
        "measurement",
        "missed_signals",
        "names",
        "otlp_variables",
        "project_file",
        "protobuf",
        "protobuf.reading",
        "protobuf.writing",
        "receiver",
        "redaction",
        "redaction_rules",
        "recordings.otlp_messages",
        "remedies",
        "rendering",
        "rollup",
        "schemas",
        "secret_shapes",
        "sending",
        "settings",
        "shares",
        "sources",
        "spans",
        "standard_names",
        "standard_values",
        "stats",
        "store.blocks",
        "store.process",
        "sweep",
        "threads",
        "timeline",
        "tls_files",
        "unreachable",
        "variables",
        "vendor_keys",
        "verdict",
        "views",
        "way",
        "whole_file",
        "windows",
        "wire",
        "wire.decoding",
        "wire.encoding",
        "wire.framing",
        "wire.stored",
        "wire.values",
        "worker",
    },
    "recording": {
        "carrier",
        "collector",
        "context",
        "current",
        "delivery",
        "delivery.backoff",
        "delivery.fleet",
        "delivery.lock",
        "delivery.notices",
        "delivery.parcel",
        "delivery.remote",
        "delivery.request",
        "delivery.service",
        "delivery.shipper",
        "delivery.shipping",
        "delivery.turns",
        "destination",
        "encoded",
        "executions",
        "exporting",
        "fallback",
        "feed",
        "instrument",
        "leaving",
        "otlp_attempt",
        "otlp_bytes",
        "otlp_clients",
        "pace",
        "phase_span",
        "phases",
        "pipeline",
        "planned_ids",
        "propagate",
        "processor",
        "provider",
        "recorder",
        "redacted_spans",
        "scopes",
        "sinks",
        "span",
        "store",
        "store.batch",
        "store.conversion",
        "store.destinations",
        "store.entry",
        "store.exact_count",
        "store.file",
        "store.forks",
        "store.ledger",
        "store.open_spans",
        "store.placement",
        "store.processor",
        "store.retention",
        "store.retries",
        "store.rows",
        "store.schema",
        "store.session",
        "store.totals",
        "store.writer",
        "switch",
        "tally",
        "timing_log",
        "tracer",
    },
    "wiring": {
        "configuration",
        "delivery.__main__",
        "distro",
        "global_provider",
        "signals",
        "tracing",
    },
    "answers": {
        "answers",
        "observer",
        "observer.events",
        "observer.executions",
        "observer.metrics",
        "observer.metrics_observer",
        "observer.nodes",
        "observer.spans",
        "recordings",
        "recordings.advice",
        "recordings.assembled",
        "recordings.comparison",
        "recordings.details",
        "recordings.http_get",
        "recordings.jaeger",
        "recordings.jaeger_json",
        "recordings.json_values",
        "recordings.opening",
        "recordings.originals",
        "recordings.otlp_file",
        "recordings.otlp_json",
        "recordings.otlp_writing",
        "recordings.places",
        "recordings.query_api",
        "recordings.references",
        "recordings.series",
        "recordings.source",
        "recordings.uncollected",
        "recordings.usual",
        "testing",
        "store.activity",
        "store.arrival",
        "store.coverage",
        "store.details",
        "store.importing",
        "store.reader",
        "store.selection",
        "store.standing",
        "store.stored",
        "store.strays",
        "store.tokens",
        "store.traces",
        "exports",
        "exports.chrome",
        "exports.csv_file",
        "exports.exported",
        "exports.folded",
        "exports.formats",
        "exports.gantt",
        "exports.markdown",
        "exports.otlp",
        "exports.parquet",
        "exports.rows",
        "exports.speedscope",
        "exports.values",
        "exports.writing",
        "notebook",
        "reports",
        "reports.call_tree",
        "reports.columns",
        "reports.details",
        "reports.document",
        "reports.packing",
        "reports.page",
        "reports.report",
        "reports.texts",
    },
    "command line": {
        "__main__",
        "cli",
        "cli.addresses",
        "checks",
        "checks.configured",
        "checks.finding",
        "checks.keeping",
        "checks.ownership",
        "checks.reaching",
        "checks.timing",
        "checks.versions",
        "checks.writing",
        "cli.check",
        "cli.check_baseline",
        "cli.calling",
        "cli.chart",
        "cli.column",
        "cli.diff",
        "cli.diff_sides",
        "cli.diff_text",
        "cli.answers_text",
        "cli.grid",
        "cli.group_columns",
        "cli.doctor",
        "cli.endings",
        "cli.epilogue",
        "cli.export",
        "cli.importing",
        "cli.filters",
        "cli.keys",
        "cli.leaving",
        "cli.listing",
        "cli.main_execution",
        "cli.metrics",
        "cli.opening",
        "cli.options",
        "cli.other_addresses",
        "cli.outside",
        "cli.parts",
        "cli.program",
        "cli.progress",
        "cli.progress_text",
        "cli.recorded",
        "cli.report",
        "cli.run",
        "cli.shadowing",
        "cli.sharers",
        "cli.sheet",
        "cli.ship",
        "cli.status",
        "cli.status_line",
        "cli.suspension",
        "cli.table",
        "cli.times",
        "cli.top",
        "cli.top_text",
        "cli.tree",
        "cli.tree_text",
        "cli.trend",
        "cli.trend_text",
        "cli.uncaught",
        "cli.verify",
        "cli.waiting",
    },
}
LEVEL = {module: level for level, modules in enumerate(LAYERS.values()) for module in modules}

READING = {
    "budgets.reports",
    "budgets.text",
    "cli",
    "cli.check",
    "cli.diff",
    "cli.diff_sides",
    "cli.diff_text",
    "cli.export",
    "cli.listing",
    "cli.metrics",
    "cli.opening",
    "cli.options",
    "cli.parts",
    "cli.report",
    "cli.status",
    "cli.top",
    "cli.top_text",
    "cli.tree",
    "cli.tree_text",
    "cli.trend",
    "cli.trend_text",
    "reports.document",
    "reports.page",
    "reports.report",
    "exports.chrome",
    "exports.csv_file",
    "exports.folded",
    "exports.gantt",
    "exports.markdown",
    "exports.otlp",
    "exports.parquet",
    "exports.speedscope",
    "exports.writing",
    "store.reader",
    "store.traces",
    "settings",
}
"""What a reading command imports, directly; all of it must come without OpenTelemetry."""


@cache  # here and below: the sources stay the same while they are looked at
def modules() -> dict[str, Path]:
    """Return the modules of the package by their dotted name below it."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            found[name] = path
    return found


@cache
def imports(path: Path, lazy: bool = True) -> frozenset[str]:
    """Return the modules that a file imports at run time; `lazy` includes those in functions."""
    return frozenset(_imports(ast.parse(path.read_text()), lazy))


def _imports(tree: ast.Module, lazy: bool) -> Iterator[str]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            continue
        if not lazy and isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        waiting.extend(ast.iter_child_nodes(statement))


def imported_modules(path: Path, lazy: bool = True) -> set[str]:
    """Return which of the package's own modules a file imports."""
    known = modules()
    names = {name.removeprefix("phasetrace.") for name in imports(path, lazy)}
    return {name for name in names if name in known}


def test_every_module_has_a_layer() -> None:
    """A new module is put somewhere on purpose."""
    assert set(modules()) == set(LEVEL)


@pytest.mark.parametrize("module", sorted(LEVEL))
def test_imports_point_downwards(module: str) -> None:
    """No module imports from a layer above its own."""
    path = modules().get(module)
    assert path is not None
    above = {name for name in imported_modules(path) if LEVEL[name] > LEVEL[module]}
    assert above == set()


def test_there_is_no_circle_of_imports() -> None:
    """Not even one that is hidden in functions."""
    graph = {name: imported_modules(path) - {name} for name, path in modules().items()}
    assert list(TopologicalSorter(graph).static_order())


def test_the_core_does_not_know_the_exporters() -> None:
    """Exporters are found by entry point, ours like anyone's."""
    for path in modules().values():
        assert not any(name.startswith("phasetrace_exporters") for name in imports(path))


def test_exporters_do_not_need_the_wiring() -> None:
    """They work with the plain OpenTelemetry SDK as well."""
    for path in EXPORTERS.rglob("*.py"):
        names = {name.removeprefix("phasetrace.") for name in imports(path)}
        assert {LEVEL[name] for name in names if name in LEVEL} <= {0, 1}


@pytest.mark.parametrize("module", sorted(READING))
def test_reading_needs_no_opentelemetry(module: str) -> None:
    """Nothing that a reading command imports leads to OpenTelemetry or rich at import time."""
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        path = modules()[name]
        outside = {other.partition(".")[0] for other in imports(path, lazy=False)}
        assert not outside & {"opentelemetry", "rich", "google"}, name
        waiting |= imported_modules(path, lazy=False) - seen


def test_everything_public_is_there_and_is_declared() -> None:
    """`__all__` holds what can be imported, no more and no less."""
    for name in phasetrace.__all__:
        assert getattr(phasetrace, name) is not None
    assert set(phasetrace._HOME) | {"__version__"} == set(phasetrace.__all__)
    assert dir(phasetrace) == sorted(phasetrace.__all__)


def test_what_is_not_there_is_an_attribute_error() -> None:
    """A typing mistake reads as one."""
    with pytest.raises(AttributeError, match="no attribute 'time_fase'"):
        phasetrace.time_fase  # noqa: B018
