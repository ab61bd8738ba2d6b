"""Running the application in a clean process, by this environment's Python or another's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from phasetrace.store.reader import StoreReader

_ROOT = Path(__file__).parents[2]
_INSTRUMENT = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"


class Outcome(NamedTuple):
    """What came of a run."""

    errors: str
    """All of its standard error."""
    seen: dict[str, Any]
    """What the application wrote down."""
    connections: str
    """Whom it tried to reach over a network."""
    exported: list[dict[str, Any]]
    """What the host's exporter got: the SDK's JSON form of each span."""
    store: Path


def run(
    folder: Path,
    *steps: str,
    command: Sequence[str] = (),
    python: Path | None = None,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Have the application take some steps, in `folder`, started by `command`."""
    executable = str(python or sys.executable)
    store = folder / "traces.db"
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.lstrip("_").startswith(("DD_", "LOGFIRE_", "OTEL_", "PHASETRACE_", "PYTHON"))
    }
    path = os.pathsep.join([*filter(None, [env.get("PYTHONPATH")]), str(_ROOT)])
    done = subprocess.run(
        [*command, executable, "-m", "tests.guests.application", str(folder), *steps],
        env={**inherited, "PHASETRACE_STORE": str(store), **env, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return Outcome(
        done.stderr,
        json.loads((folder / "seen.json").read_text(encoding="utf-8")),
        (folder / "connections").read_text(encoding="utf-8"),
        json_objects(done.stdout),
        store,
    )


def instrument(python: Path | None = None) -> list[str]:
    """Return the command ``opentelemetry-instrument`` of an environment."""
    return [str(python or sys.executable), "-c", _INSTRUMENT]


def stored(outcome: Outcome, exec_id: str) -> list[tuple[int, int | None, str, str | None]]:
    """Return what the store has of an execution: span id, parent's, name and node of each span."""
    with StoreReader(outcome.store) as reader:
        return [
            (span.span_id, span.parent_id, span.name, span.node_id)
            for span in reader.spans(reader.find(exec_id))
        ]


def json_objects(shown: str) -> list[dict[str, Any]]:
    """Return the JSON objects that follow each other in a text of nothing else."""
    decoder = json.JSONDecoder()
    objects = []
    while shown := shown.lstrip():
        found, end = decoder.raw_decode(shown)
        objects.append(found)
        shown = shown[end:]
    return objects
