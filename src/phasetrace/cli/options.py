"""Options that several commands have, in the same words for all of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final

COLOURS: Final[Mapping[str, bool | None]] = {"auto": None, "always": True, "never": False}
"""What ``--color`` takes, and what is forced by that, if anything is."""


def add_execution(parser: argparse._ActionsContainer) -> None:
    """Declare which execution is meant."""
    parser.add_argument(
        "exec_id",
        nargs="?",
        metavar="EXEC",
        help="the execution: its id, its name, latest~1, or a file (default: the latest)",
    )


def add_source(parser: argparse._ActionsContainer) -> None:
    """Declare where executions are read from, if not from the store."""
    parser.add_argument(
        "--source",
        metavar="PLACE",
        help="read from a file of OTLP JSON lines, another store, or Jaeger (http://host:16686)",
    )


def add_json(parser: argparse._ActionsContainer, schema: str, what: str = "JSON") -> None:
    """Declare ``--json``, and which schema its output has."""
    parser.add_argument(
        "--json",
        action="store_true",
        help=f"print {what} ({schema}), times in integer nanoseconds",
    )


def add_color(parser: argparse._ActionsContainer) -> None:
    """Declare ``--color``, whose values are those of `COLOURS`."""
    parser.add_argument(
        "--color",
        choices=COLOURS,
        default="auto",
        help="when to colour (default: auto, on a terminal unless NO_COLOR is set)",
    )
