"""Files of speedscope."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.speedscope import speedscope_parts
from tests.phasetrace.exports.some import HOSTILE, export_of, hostile
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import root


def written(exported: ExportedExecution) -> Any:
    """Return the file as JSON."""
    return json.loads("".join(speedscope_parts(exported)))


def test_a_lane_is_a_profile_of_what_happened_in_it() -> None:
    """In nanoseconds after the start; a phase is told by its node."""
    exported = export_of(
        root("e", "nightly", end=90), made.phase(1, "e", "p", start=10, end=40), exec_id="e"
    )
    document = written(exported)
    assert document["shared"]["frames"] == [{"name": "nightly"}, {"name": "p", "file": "n"}]
    (profile,) = document["profiles"]
    assert profile["unit"] == "nanoseconds"
    assert (profile["startValue"], profile["endValue"]) == (0, 90)
    assert [(one["type"], one["frame"], one["at"]) for one in profile["events"]] == [
        ("O", 0, 0),
        ("O", 1, 10),
        ("C", 1, 40),
        ("C", 0, 90),
    ]


def test_all_profiles_are_as_long_as_the_execution() -> None:
    """So that they can be compared."""
    exported = export_of(
        root("e", end=90),
        made.phase(1, "e", "a", start=0, end=10),
        made.phase(2, "e", "b", start=5, end=15),
    )
    profiles = written(exported)["profiles"]
    assert [one["name"] for one in profiles] == ["lane 1", "lane 2"]
    assert {one["endValue"] for one in profiles} == {90}


def test_many_lanes_take_as_long_as_many_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not as their square: each span is looked at a few times."""
    number = 400
    exported = export_of(
        *(made.phase(at, "e", start=at, end=10_000 + at) for at in range(1, number + 1))
    )
    asked = []
    end_ns = ExportedExecution.end_ns

    def counted(self: ExportedExecution, place: int) -> int:
        asked.append(place)
        return end_ns(self, place)

    monkeypatch.setattr(ExportedExecution, "end_ns", counted)
    assert len(written(exported)["profiles"]) == number
    assert len(asked) <= 8 * number


def test_hostile_names_are_text() -> None:
    """In JSON of nothing but ASCII."""
    assert "".join(speedscope_parts(hostile())).isascii()
    names = {frame["name"] for frame in written(hostile())["shared"]["frames"]}
    assert {name or "(unnamed)" for name in HOSTILE} <= names
