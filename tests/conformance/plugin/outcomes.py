"""A pytest plugin that writes down how each test ended, and which classes it ran on.

The file named by ``OUTCOMES`` gets the arguments of `upstream_tests.Outcomes`, as one JSON object.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_ends: dict[str, str | None] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the end of a test or a subtest, of its setup or teardown; the first bad one counts."""
    _ends[report.nodeid] = _ends.get(report.nodeid) or (
        report.longreprtext if report.failed else None
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file."""
    from opentelemetry.sdk import trace

    classes = (trace.TracerProvider, trace.Tracer, trace._Span)
    implementation = session.config.pluginmanager.get_plugin("implementation")
    written = {
        "classes": [f"{one.__module__}.{one.__qualname__}" for one in classes],
        "ends": _ends,
        "implemented": sorted(implementation.tests) if implementation is not None else [],
    }
    Path(os.environ["OUTCOMES"]).write_text(json.dumps(written), encoding="utf-8")
