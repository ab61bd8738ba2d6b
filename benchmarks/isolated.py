"""Calling a function in a process of its own, for what is configured once in a process.

The process starts without any setting in its environment but those given. Arguments and the result
travel as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 3_600

Result = TypeVar("Result")


class MeasurementFailed(Exception):
    """The process that was to measure something has failed; it has said why on stderr."""


def call(
    function: Callable[..., Result],
    *arguments: Any,
    environ: Mapping[str, str] | None = None,
) -> Result:
    """Call a function of a module's top level in a new process; `environ` is added to its own.

    Raises:
        MeasurementFailed: if the process fails, or takes longer than an hour.
    """
    command = [sys.executable, "-m", __name__, function.__module__, function.__qualname__]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "PHASETRACE_"))
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and modules
            command,
            input=json.dumps(arguments),
            stdout=subprocess.PIPE,
            env={**kept, **(environ or {})},
            cwd=_ROOT,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise MeasurementFailed(str(error)) from error
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Answer a call."""
    module, name = sys.argv[1:]
    function = getattr(importlib.import_module(module), name)
    result = function(*json.load(sys.stdin))
    sys.stdout.write(f"\n{json.dumps(result)}\n")


if __name__ == "__main__":
    main()
