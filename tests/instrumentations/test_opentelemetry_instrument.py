"""Zero-code instrumentation: ``opentelemetry-instrument python program.py``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from .http_server import HTTPServer

_PROGRAM = Path(__file__).parent / "traced_program.py"


def test_the_environment_selects_our_provider(http_server: HTTPServer, tmp_path: Path) -> None:
    """The request's span is on phasetrace's provider, below the phase, and is exported."""
    # Where opentelemetry-distro is installed, its configurator installs the SDK's provider and
    # heeds no OTEL_PYTHON_TRACER_PROVIDER; a name that no configurator has keeps it out.
    shown, seen = run(http_server, tmp_path / "seen", OTEL_PYTHON_CONFIGURATOR="none")
    assert seen == {
        "provider": "phasetrace.provider.TracerProvider",
        "phases": {"fetch": 1, "GET": 1},
    }
    lines = [re.match(r"[ └─├│]*", line) for line in shown.splitlines()]
    depths = {line.string[line.end() :].split()[0]: line.end() for line in lines if line}
    assert list(depths) == ["exec_1", "node_1", "fetch", "GET"]
    assert list(depths.values()) == sorted(set(depths.values())), shown


def test_a_distribution_may_bring_its_provider(http_server: HTTPServer, tmp_path: Path) -> None:
    """With opentelemetry-distro's configuration the same program has the same numbers."""
    shown, seen = run(http_server, tmp_path / "seen")
    assert seen == {
        "provider": "opentelemetry.sdk.trace.TracerProvider",
        "phases": {"fetch": 1, "GET": 1},
    }
    spans = {span["name"]: span for span in json_objects(shown)}
    assert spans.keys() == {"execution", "node_1", "fetch", "GET"}
    assert spans["GET"]["parent_id"] == spans["fetch"]["context"]["span_id"]
    assert spans["GET"]["attributes"].items() >= {"exec_id": "exec_1", "node_id": "node_1"}.items()


def run(server: HTTPServer, seen: Path, **variables: str) -> tuple[str, dict[str, Any]]:
    """Run the program; return what the console exporter showed, and what the program saw."""
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run(
        [str(instrument), sys.executable, str(_PROGRAM), server.url, str(seen)],
        env={
            **os.environ,
            "OTEL_PYTHON_TRACER_PROVIDER": "phasetrace",
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            **variables,
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(seen.read_text(encoding="utf-8"))


def json_objects(shown: str) -> list[dict[str, Any]]:
    """Return the JSON objects that follow each other in a text."""
    decoder = json.JSONDecoder()
    objects = []
    while shown := shown.lstrip():
        found, end = decoder.raw_decode(shown)
        objects.append(found)
        shown = shown[end:]
    return objects
