"""A program that is run by ``opentelemetry-instrument``; writes down what it saw of that."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests
from opentelemetry import trace

from phasetrace import breakdown, execution, node, phase


def main(url: str, seen_by_me: str) -> None:
    """Make one request inside a phase; `seen_by_me` is the path of a file."""
    with execution("exec_1"), node("node_1"), phase("fetch"):
        requests.get(url, timeout=10).raise_for_status()
    provider = type(trace.get_tracer_provider())
    (counted,) = breakdown("exec_1").nodes
    seen = {
        "provider": f"{provider.__module__}.{provider.__qualname__}",
        "phases": {phase.phase: phase.count for phase in counted.phases},
    }
    Path(seen_by_me).write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
