"""Which versions are these?"""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from phasetrace._version import __version__
from phasetrace.checks.finding import Finding, Level

_PACKAGES = {
    "OpenTelemetry API": "opentelemetry-api",
    "OpenTelemetry SDK": "opentelemetry-sdk",
    "OTLP over HTTP": "opentelemetry-exporter-otlp-proto-http",
    "OTLP over gRPC": "opentelemetry-exporter-otlp-proto-grpc",
}


def findings() -> list[Finding]:
    """Return the version of everything that takes part."""
    found = [
        Finding(Level.OK, "phasetrace", __version__),
        Finding(Level.OK, "Python", f"{platform.python_version()}, {platform.system()}"),
        Finding(Level.OK, "SQLite", sqlite3.sqlite_version),
    ]
    for name, package in _PACKAGES.items():
        try:
            found.append(Finding(Level.OK, name, version(package)))
        except PackageNotFoundError:
            advice = f"install it: pip install {package}"
            found.append(Finding(Level.PROBLEM, name, "not installed", advice))
    return found
