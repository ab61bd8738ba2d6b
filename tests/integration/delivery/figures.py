"""What the tests measured, for whoever reads their output (``pytest -rP`` or ``-s``)."""

from __future__ import annotations

import sys


def figure(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
