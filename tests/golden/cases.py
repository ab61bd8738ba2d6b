"""Which answers are kept, of which executions: a command each, and the file that it is kept in."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Final

from phasetrace.cli import main

HERE: Final = Path(__file__).parent
EXECUTIONS: Final = HERE / "executions"
ANSWERS: Final = HERE / "answers"
NAMES: Final = ("iterations", "fan_out", "processes")

COMMANDS: Final = {
    "summary.txt": ["metrics", "{file}"],
    "breakdown.txt": ["metrics", "{file}", "--breakdown"],
    "bottlenecks.txt": ["metrics", "{file}", "--bottlenecks"],
    "critical_path.txt": ["metrics", "{file}", "--critical-path"],
    "optimizations.txt": ["metrics", "{file}", "--optimizations"],
    "by_node.txt": ["metrics", "{file}", "--by", "node", "--prices", "{prices}"],
    "by_phase.txt": ["metrics", "{file}", "--by", "phase", "--sort", "self"],
    "by_type.txt": ["metrics", "{file}", "--by", "type", "--columns", "calls,total,share,worst"],
    "by_iteration.txt": ["metrics", "{file}", "--by", "iteration"],
    "by_model.txt": ["metrics", "{file}", "--by", "model", "--prices", "{prices}"],
    "metrics.json": ["metrics", "{file}", "--json", "--prices", "{prices}"],
    "tree.txt": ["tree", "{file}"],
    "tree_short.txt": ["tree", "{file}", "--min", "5%", "--depth", "2"],
    "tree.json": ["tree", "{file}", "--json", "--min", "1%"],
    "list.txt": ["list", "--source", "{file}"],
    "list.json": ["list", "--source", "{file}", "--json"],
    "trend.txt": ["trend", "--source", "{file}"],
    "trend.json": ["trend", "--source", "{file}", "--json"],
    "diff.txt": ["diff", "{file}", "{other}"],
    "diff.json": ["diff", "{file}", "{other}", "--json"],
    "folded": ["export", "{file}", "--format", "folded"],
    "mmd": ["export", "{file}", "--format", "mermaid"],
    "spans.csv": ["export", "{file}", "--format", "csv"],
    "export.md": ["export", "{file}", "--format", "markdown"],
    "check.txt": ["check", "{file}", "--budgets", "{budgets}"],
    "check.json": ["check", "{file}", "--budgets", "{budgets}", "--format", "json"],
    "check.xml": ["check", "{file}", "--budgets", "{budgets}", "--format", "junit"],
    "check.md": ["check", "{file}", "--budgets", "{budgets}", "--format", "markdown"],
}
"""By the ending of the file that keeps the answer of each execution."""


def answer(name: str, ending: str) -> str:
    """Return what a command prints of an execution, run in the folder of the executions."""
    other = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
    places = {
        "file": f"{name}.jsonl",
        "other": f"{other}.jsonl",
        "prices": "prices.toml",
        "budgets": "budgets.toml",
    }
    command = [part.format(**places) for part in COMMANDS[ending]]
    printed = io.StringIO()
    before = Path.cwd()
    os.chdir(EXECUTIONS)
    try:
        with contextlib.redirect_stdout(printed):
            main(command)
    finally:
        os.chdir(before)
    return printed.getvalue()


def kept_in(name: str, ending: str) -> Path:
    """Return the file that an answer is kept in."""
    return ANSWERS / f"{name}.{ending}"
