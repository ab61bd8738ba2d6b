"""What a check has found, and what to do about it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but perhaps not as it is meant to."""
    PROBLEM = "problem"
    """It does not work."""


class Finding(NamedTuple):
    """The result of one check. Its text holds no secrets, and may be untrusted."""

    level: Level
    what: str
    found: str
    advice: str = ""
    """One line on what to do; empty where nothing is to be done."""
    is_aside: bool = False
    """It is of no interest by itself: several such are told of together."""
