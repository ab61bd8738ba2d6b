"""Record the executions that golden files are about, once more: every number will be another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.phasetrace.recordings.otlp_files import lines

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
"""What is below it is called as from there, wherever it was recorded."""
NAMES = ("iterations", "fan_out", "processes")


def main() -> None:
    """Run each program with a store of its own, and write what is in that as OTLP JSON lines."""
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "traces.db"
            subprocess.run(
                [sys.executable, "-m", "tests.golden.executions.programs", name],
                env={
                    **os.environ,
                    "PHASETRACE_STORE": str(store),
                    "OTEL_SERVICE_NAME": "golden",
                    "OTEL_RESOURCE_ATTRIBUTES": "host.name=host",
                },
                check=True,
            )
            with (HERE / f"{name}.jsonl").open("w") as file:
                for line in lines(store):
                    text = json.dumps(line, separators=(",", ":"))
                    file.write(text.replace(f"{ROOT}{os.sep}", "") + "\n")


if __name__ == "__main__":
    main()
