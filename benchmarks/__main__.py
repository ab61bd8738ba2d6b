"""Run the benchmarks: print the table, and write it as JSON where that is asked for."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import table
from benchmarks.effort import FULL, QUICK, Effort
from benchmarks.isolated import MeasurementFailed
from benchmarks.lines import Line
from benchmarks.rows import ROWS

_FORMAT = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    options = _options(arguments)
    out, progress = table.console(), Console(stderr=True, highlight=False)
    if options.list:
        for key, row in ROWS.items():
            out.print(f"{key:>6}  {row.title}")
        return 0
    effort = QUICK if options.quick else FULL
    lines: list[Line] = []
    for key in options.only or ROWS:
        progress.print(f"measuring {key}: {ROWS[key].title}")
        lines += _measured(key, effort)
    shapes = [line for line in lines if line.row == "shapes" and not line.failed]
    others = [line for line in lines if line not in shapes]
    if others:
        table.print_lines(out, others)
    if shapes:
        table.print_shapes(out, shapes)
    table.print_footer(out, effort)
    if options.json is not None:
        options.json.write_text(json.dumps(_document(lines, effort), indent=1) + "\n")
    return int(options.check and any(line.ok is False for line in lines))


def _measured(key: str, effort: Effort) -> list[Line]:
    """Measure a row; one that fails does not keep the others from being measured."""
    lines: list[Line] = []
    try:
        lines.extend(ROWS[key].measure(effort))
    except MeasurementFailed as error:
        lines.append(Line(key, ROWS[key].title, note=f"failed: {error}", failed=True))
    return lines


def _document(lines: Sequence[Line], effort: Effort) -> dict[str, Any]:
    packages = ("phasetrace", "opentelemetry-sdk")
    return {
        "version": _FORMAT,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "packages": {name: version(name) for name in packages},
        "effort": effort._asdict(),
        "lines": [line.to_dict() for line in lines],
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description="Measure phasetrace side by side with the alternatives."
    )
    parser.add_argument("-o", "--json", type=Path, metavar="FILE", help="write the numbers as JSON")
    parser.add_argument("--quick", action="store_true", help="a shorter run, without the bursts")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=ROWS, help="only these rows")
    parser.add_argument("--list", action="store_true", help="list the rows, and measure nothing")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a row is over its bar")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
