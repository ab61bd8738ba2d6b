"""Typed values become what JSON has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

from phasetrace.jsonable import jsonable


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """A dataclass around it."""

    name: str | None
    points: tuple[Point, ...]


def test_fields_are_keys_and_tuples_are_lists() -> None:
    """At every level."""
    shape = Shape(None, (Point(1, (2, 3)),))
    expected = {"name": None, "points": [{"x": 1, "y": [2, 3]}]}
    assert jsonable(shape) == expected
    assert json.loads(json.dumps(jsonable(shape))) == expected


def test_what_is_plain_stays_as_it_is() -> None:
    """Numbers, texts, dicts of those."""
    plain = {"a": [1, 2.5, "x", None, True], "b": {"c": 1}}
    assert jsonable(plain) == plain
