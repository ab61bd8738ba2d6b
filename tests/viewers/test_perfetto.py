"""Chrome's trace events, in Perfetto: every span is a slice of its times, in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasetrace.spans import NODE, SpanRecord
from tests.phasetrace.exports.test_chrome import signs

from .executions import ALL, exported, written
from .perfetto import Perfetto

SLICES = """
    SELECT slice.name, slice.category, slice.ts, slice.dur, slice.depth, thread.name AS thread,
        process.name AS process, parent.name AS above,
        extract_arg(slice.arg_set_id, 'args.phasetrace.span_id') AS span_id,
        extract_arg(slice.arg_set_id, 'args.phasetrace.status') AS status
    FROM slice JOIN thread_track ON slice.track_id = thread_track.id
    JOIN thread USING (utid) LEFT JOIN process USING (upid)
    LEFT JOIN slice parent ON slice.parent_id = parent.id
    WHERE slice.category <> 'event'
"""


def shown(text: str) -> str:
    """Return a name as it is seen there: unless it has a quote in it, a backslash is seen twice."""
    text = signs(text)
    return text if '"' in text else text.replace("\\", "\\\\")


@pytest.mark.parametrize("name", ALL)
def test_every_span_is_a_slice_of_its_times(name: str, tmp_path: Path, perfetto: Perfetto) -> None:
    """To the nanosecond, in its process, with what it says."""
    with exported(name) as execution:
        perfetto.load(written(execution, tmp_path / "a.trace.json"))
        expected = sorted(
            (
                f"{span.span_id:016x}",
                shown(execution.name(place)),
                span.type,
                span.start_ns - execution.started_ns,
                span.end_ns - span.start_ns,
                shown(execution.process_name(span.process)),
            )
            for place, span in enumerate(execution.spans)
        )
    columns = ("span_id", "name", "category", "ts", "dur", "process")
    rows = perfetto.query(SLICES)
    first_ns = min(row["ts"] for row in rows)
    found = sorted(
        tuple(row[column] - first_ns if column == "ts" else row[column] for column in columns)
        for row in rows
    )
    assert found == expected


@pytest.mark.parametrize("name", ALL)
def test_slices_nest_as_the_spans_of_a_lane_do(
    name: str, tmp_path: Path, perfetto: Perfetto
) -> None:
    """Perfetto has the same above each."""
    with exported(name) as execution:
        perfetto.load(written(execution, tmp_path / "a.trace.json"))
        expected = []
        for track in execution.tracks:
            inside: list[str] = []
            for starts, place, _ in execution.edges(track):
                if starts:
                    name = shown(execution.name(place))
                    expected.append((name, inside[-1] if inside else None))
                    inside.append(name)
                else:
                    inside.pop()
    found = [(row["name"], row["above"]) for row in perfetto.query(SLICES)]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_arrows_lead_from_what_was_waited_for(tmp_path: Path, perfetto: Perfetto) -> None:
    """From node to node, or what it ends with."""
    with exported("iterations") as execution:
        perfetto.load(written(execution, tmp_path / "a.trace.json"))
        network = execution.examination.network
        expected = {
            (source.node_id, _name(target))
            for waiting, runs in network.waited_for.items()
            for run in runs
            if (source := network.spans[run]) is not None
            and (target := network.spans[waiting]) is not None
        }
        assert all(span.type == NODE for span in network.spans if span and span.depends_on)
    rows = perfetto.query(
        "SELECT extract_arg(source.arg_set_id, 'args.phasetrace.node_id') AS node_id, target.name"
        " FROM flow"
        " JOIN slice source ON flow.slice_out = source.id"
        " JOIN slice target ON flow.slice_in = target.id"
    )
    assert expected
    assert {(row["node_id"], row["name"]) for row in rows} == expected


def _name(span: SpanRecord) -> str:
    return span.name if span.iteration is None else f"{span.name} [{span.iteration}]"


def test_what_happened_in_a_span_is_an_instant(tmp_path: Path, perfetto: Perfetto) -> None:
    """In its thread, without a duration."""
    with exported("processes") as execution:
        perfetto.load(written(execution, tmp_path / "a.trace.json"))
    (row,) = perfetto.query(
        "SELECT name, dur, extract_arg(arg_set_id, 'args.exception.type') AS type"
        " FROM slice WHERE category = 'event'"
    )
    assert (row["name"], row["dur"], row["type"]) == ("exception", 0, "ValueError")
