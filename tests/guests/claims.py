"""What has to be true of a good guest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from phasetrace.names import name_of_execution
from tests.guests.process import Outcome, stored
from tests.guests.work import COUNTS, EXEC_ID, PLACES

Place = tuple[str, str | None, str | None]


def assert_quiet(outcome: Outcome) -> None:
    """Assert that nothing was printed, and nobody reached over a network."""
    assert outcome.errors == ""
    assert outcome.connections == ""
    assert not outcome.seen["has_grpc"]  # whose connections an audit hook does not see


def assert_right_locally(outcome: Outcome) -> None:
    """Assert that every span is counted, and is once in the store, at its place."""
    assert outcome.seen["counts"] == COUNTS
    spans = stored(outcome, EXEC_ID)
    assert_once(span_id for span_id, *_ in spans)
    assert places(spans) == PLACES


def assert_right_at_the_host(outcome: Outcome) -> None:
    """Assert that the host's exporter got every span of the execution once, with its ids."""
    assert_once(span["context"]["span_id"] for span in outcome.exported)
    spans = [span for span in outcome.exported if exec_id_of(span) == EXEC_ID]
    assert places(map(_row, spans)) == PLACES
    assert {_row(span)[0] for span in spans} == {span[0] for span in stored(outcome, EXEC_ID)}
    assert len({span["context"]["trace_id"] for span in spans}) == 1


def assert_kept(outcome: Outcome, provider: str) -> None:
    """Assert that the global provider is the very object that the host has installed."""
    assert outcome.seen["provider"] == provider
    assert outcome.seen["is_the_hosts"]


def assert_once(span_ids: Iterable[object]) -> None:
    """Assert that no span came twice."""
    assert [span_id for span_id, times in Counter(span_ids).items() if times > 1] == []


def places(spans: Iterable[tuple[int, int | None, str, str | None]]) -> list[Place]:
    """Return name, node and parent's name of each span."""
    spans = list(spans)
    names = {span_id: name for span_id, _, name, _ in spans}
    return sorted(
        (
            (name, node_id, names.get(parent_id, "missing") if parent_id is not None else None)
            for _, parent_id, name, node_id in spans
        ),
        key=str,
    )


def exec_id_of(span: dict[str, Any]) -> str | None:
    """Return the execution that an exported span says it belongs to."""
    exec_id: str | None = span["attributes"].get("exec_id")
    return exec_id


def _row(span: dict[str, Any]) -> tuple[int, int | None, str, str | None]:
    parent_id = span["parent_id"]
    return (
        int(span["context"]["span_id"], 16),
        int(parent_id, 16) if parent_id else None,
        name_of_execution(span["name"], EXEC_ID),
        span["attributes"].get("node_id"),
    )
