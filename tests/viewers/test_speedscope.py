"""Profiles and folded stacks, in speedscope's own code."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from phasetrace.exports.folded import folded_lines

from .conftest import HERE, Node
from .executions import ALL, exported, written


@pytest.mark.parametrize("name", ALL)
def test_a_file_is_what_its_schema_asks_for(name: str, tmp_path: Path, node: Node) -> None:
    """The one that comes with speedscope."""
    with exported(name) as execution:
        file = written(execution, tmp_path / "a.speedscope.json")
    schema = HERE / "node_modules" / "speedscope" / "dist" / "release" / "file-format-schema.json"
    jsonschema.validate(json.loads(file.read_text()), json.loads(schema.read_text()))


@pytest.mark.parametrize("name", ALL)
def test_every_lane_is_a_profile_with_its_spans(name: str, tmp_path: Path, node: Node) -> None:
    """In nanoseconds; what took no time at all it leaves out."""
    with exported(name) as execution:
        loaded = node("speedscope.cjs", written(execution, tmp_path / "a.speedscope.json"))
        assert loaded["name"] == execution.title
        assert len(loaded["profiles"]) == len(execution.tracks)
        until_ns = max(map(execution.end_ns, range(len(execution.spans))))
        for profile, track in zip(loaded["profiles"], execution.tracks, strict=True):
            assert profile["unit"] == "nanoseconds"
            assert profile["length"] == until_ns - execution.started_ns
            calls = Counter(tuple(call) for call in profile["calls"])
            expected = Counter(
                ("O" if starts else "C", execution.name(place), at - execution.started_ns)
                for starts, place, at in execution.edges(track)
            )
            assert calls <= expected
            joined = sum((expected - calls).values())  # what goes on at once in the same frame
            assert joined % 2 == 0
            total_ns = sum(
                execution.end_ns(place) - execution.spans[place].start_ns
                for place in track.places
                if not any(
                    execution.name(place) == execution.name(other) and place != other
                    for other in track.places
                )
            )
            weights = Counter(frame[0] for frame in profile["frames"])
            alone = {execution.name(place) for place in track.places}
            counted = Counter(execution.name(place) for place in track.places)
            assert set(weights) <= alone
            assert total_ns == sum(
                total for frame, _, total, _ in profile["frames"] if counted[frame] == 1
            )


@pytest.mark.parametrize("name", ALL)
def test_folded_stacks_have_their_self_times(name: str, tmp_path: Path, node: Node) -> None:
    """As many nanoseconds a frame, and nothing of a name is lost."""
    with exported(name) as execution:
        loaded = node("speedscope.cjs", written(execution, tmp_path / "a.folded"))
        expected: Counter[str] = Counter()
        for line in folded_lines(execution):
            stack, _, number = line.rstrip("\n").rpartition(" ")
            expected[stack.rpartition(";")[2]] += int(number)
    (profile,) = loaded["profiles"]
    found: Counter[str] = Counter()
    for frame, _, _, self_ns in profile["frames"]:
        found[frame] += self_ns
    assert +found == expected
