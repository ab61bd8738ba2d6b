"""The agent's program, recorded into a store and delivered to a receiver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from phasetrace.store.reader import StoreReader
from tests.integration.otlp_spans import OtlpSpan, otlp_spans, plain

from .agent_program import SPANS

PROGRAM: Final = Path(__file__).with_name("agent_program.py")


def record(folder: Path, exec_id: str, **variables: str) -> list[OtlpSpan]:
    """Run the program, which has to say nothing, and have all delivered; return its spans."""
    done = python(folder, "-W", "error", str(PROGRAM), exec_id, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shipped = python(folder, "-m", "phasetrace", "ship", **variables)
    assert shipped.returncode == 0, shipped.stderr
    with StoreReader(folder / "traces.db") as reader:
        (destination,) = reader.standing().destinations
        assert (destination.waiting, destination.delivered) == (0, SPANS)
        spans = otlp_spans(reader.traces(reader.find(exec_id)))
    assert len(spans) == SPANS
    return spans


def replay(folder: Path, exec_id: str, **variables: str) -> None:
    """Send an execution again."""
    done = python(folder, "-m", "phasetrace", "ship", "--replay", exec_id, **variables)
    assert f"{exec_id}: {SPANS} spans sent" in done.stdout + done.stderr


def python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end, with the store in the folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(folder: Path) -> dict[str, str]:
    """Return that of a program which records into the folder."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PHASETRACE_STORE": str(folder / "traces.db"),
        "OTEL_SERVICE_NAME": "agent",
    }


def values(span: OtlpSpan) -> dict[str, Any]:
    """Return a span's attributes, without their types."""
    return {name: plain(value) for name, value in span.attributes.items()}


def calls(spans: Iterable[OtlpSpan], operation: str) -> set[str]:
    """Return the ids of the spans that are such a call, by what the program says of them."""
    return {one.span_id for one in spans if values(one).get("gen_ai.operation.name") == operation}
