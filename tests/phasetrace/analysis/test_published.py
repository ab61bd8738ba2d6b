"""Test critical paths and self times against algorithms that others have published."""

from __future__ import annotations

from hypothesis import given

from phasetrace.analysis.groups import By, groups
from phasetrace.analysis.path import critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.spans import SpanRecord
from tests.phasetrace.analysis.published import (
    Section,
    crisps_times,
    jaegers_path,
    jaegers_self_time,
)
from tests.phasetrace.analysis.timelines import (
    ROOT,
    at_distinct_times,
    nested,
    network,
    recording,
    span,
)

ROOTED = nested().filter(lambda of: any(one.span_id == of.root_id for one in of.spans))
WITHOUT_DEPENDENCIES = ROOTED.map(
    lambda of: of._replace(spans=[one._replace(depends_on=()) for one in of.spans])
)
APART = WITHOUT_DEPENDENCIES.map(at_distinct_times)


def root_of(of: Recording) -> SpanRecord:
    """Return the root of an execution."""
    return next(one for one in of.spans if one.span_id == ROOT)


def sections(of: Recording) -> list[Section]:
    """Return the critical path as we find it."""
    found = network(of)
    return [
        Section(owner.span_id, segment.start_ns, segment.end_ns)
        for segment in critical_path(found)
        if (owner := found.spans[segment.place]) is not None
    ]


def self_times(of: Recording) -> dict[str | int | float | None, int]:
    """Return the self time of each span but the root, as we find it."""
    found = network(of)
    by_span = By(lambda one: (one.span_id,), ("span_id",))
    return {
        row.key[0]: row.self_ns for row in groups(of, found, critical_path(found), by_span).rows
    }


@given(APART)
def test_the_path_is_jaegers_where_nothing_is_back_to_back(of: Recording) -> None:
    """The same stretches of the same spans."""
    assert sections(of) == jaegers_path(of.spans, root_of(of))


@given(APART)
def test_times_on_the_path_are_crisps_where_nothing_is_back_to_back(of: Recording) -> None:
    """What each span has of the path is its exclusive time."""
    owned: dict[int, int] = {}
    for section in sections(of):
        length_ns = section.end_ns - section.start_ns
        owned[section.span_id] = owned.get(section.span_id, 0) + length_ns
    published = crisps_times(of.spans, root_of(of))
    assert owned == {span_id: time_ns for span_id, time_ns in published.items() if time_ns}


@given(WITHOUT_DEPENDENCIES)
def test_self_times_are_jaegers(of: Recording) -> None:
    """Wherever spans lie within their parents, back to back or not."""
    of = of._replace(spans=[one._replace(type="phase") for one in of.spans if one.span_id != ROOT])
    of = of._replace(spans=[*of.spans, span(ROOT, None, 0, 30)])
    expected = {
        one.span_id: jaegers_self_time(of.spans, one) for one in of.spans if one.span_id != ROOT
    }
    assert self_times(of) == expected


BACK_TO_BACK = recording(
    span(1, None, 100, 300), span(2, 1, 100, 200, "a"), span(3, 1, 200, 300, "b")
)


def test_the_published_paths_lose_calls_back_to_back() -> None:
    """To have finished before the next one's start, A would have had to end at 199 or earlier.

    So the time of A is said to be the parent's own.
    """
    root = root_of(BACK_TO_BACK)
    assert jaegers_path(BACK_TO_BACK.spans, root) == [Section(1, 100, 200), Section(3, 200, 300)]
    assert crisps_times(BACK_TO_BACK.spans, root) == {1: 100, 3: 100}


def test_our_path_has_calls_back_to_back() -> None:
    """The parent had nothing to do with it: it has no self time either."""
    assert sections(BACK_TO_BACK) == [Section(2, 100, 200), Section(3, 200, 300)]
    assert self_times(BACK_TO_BACK) == {2: 100, 3: 100}
    assert jaegers_self_time(BACK_TO_BACK.spans, root_of(BACK_TO_BACK)) == 0
