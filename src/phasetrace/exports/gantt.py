"""A Gantt chart in Mermaid, which GitHub, GitLab and notebooks draw from text.

A section is a node, a bar a run of it or a phase. Charts are for people to take in at a glance: of
alike phases that follow each other one bar stands for all, and of more bars than fit the longest
are drawn. Source: https://mermaid.js.org/syntax/gantt.html.

Mermaid counts in milliseconds since 1970. A number is given in the unit in which the execution has
some hundreds to thousands of them; the title says which one that is, and the axis shows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from phasetrace.exports.exported import OPEN, ExportedExecution
from phasetrace.rendering import human, safe, shortened
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE

MOST_BARS: Final = 40
_NAME_WIDTH: Final = 48
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_UNITS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
_LEAST_UNITS: Final = 400
_ENDS: Final = {"error": " failed", "cancelled": " cancelled", OPEN: " open"}
_MEANT: Final = re.compile(rf"[^\w .,()\[\]/+=*!?'…{_TIMES}-]")
"""Everything but what is plain text in all of Mermaid's grammar is given as an entity."""
_KEYWORD: Final = re.compile(
    r"title|section|click|call|href|gantt|date|axis|tick|exclude|include|inclusive|today|top|week"
    r"|acc|vert|\d",
    re.IGNORECASE,
)
"""What a line does not begin with that is a bar's; of dates it would be the digits."""


class _Bar(NamedTuple):
    node_id: str
    name: str
    start_ns: int
    end_ns: int
    calls: int
    status: str
    critical: bool
    run: int | None
    """Of a phase, the run of a node that it is in."""


def gantt_lines(exported: ExportedExecution) -> Iterator[str]:
    """Give the lines of the file."""
    bars = _joined(list(_bars(exported)))
    shown = sorted(bars, key=lambda bar: bar.start_ns - bar.end_ns)[:MOST_BARS]
    kept = set(map(id, shown))
    length_ns = max(bar.end_ns - exported.started_ns for bar in bars) if bars else 0
    length_ns = max(length_ns, exported.execution.duration_ns)
    unit_ns, unit = next((one for one in _UNITS if length_ns >= _LEAST_UNITS * one[0]), _UNITS[-1])
    duration = human(exported.execution.duration_ns)
    yield "gantt\n"
    yield f"    title {_text(exported.title)}, {duration} (axis in {unit})\n"
    yield "    dateFormat x\n"
    yield "    axisFormat %Q\n"
    section: str | None = None
    for bar in sorted((one for one in bars if id(one) in kept), key=_place_of(bars)):
        if bar.node_id != section:
            section = bar.node_id
            yield f"    section {_text(section)}\n"
        tags = "crit, " if bar.critical else ""
        name = f"{bar.name} {_TIMES}{bar.calls}" if bar.calls > 1 else bar.name
        said = f"{_text(name)} {human(bar.end_ns - bar.start_ns)}{_ENDS.get(bar.status, '')}"
        start = (bar.start_ns - exported.started_ns) // unit_ns
        end = max(start + 1, -((exported.started_ns - bar.end_ns) // unit_ns))
        yield f"    {said} :{tags}{start}, {end}\n"
    left = len(bars) - len(shown)
    if left:
        yield f"    %% {left:,} shorter bars are left out\n"


def _bars(exported: ExportedExecution) -> Iterator[_Bar]:
    network = exported.examination.network
    critical = {
        span.span_id
        for segment in exported.examination.path
        if segment.waiting is None and (span := network.spans[segment.place]) is not None
    }
    runs: dict[int, int] = {}
    for at in network.order:
        span = network.spans[at]
        if span is not None:
            above = network.spans[network.parents[at]]
            run = runs.get(above.span_id, 0) if above is not None else 0
            runs[span.span_id] = span.span_id if span.type == NODE else run
    for place in exported.order:
        span = exported.spans[place]
        if span.type != EXECUTION:
            yield _Bar(
                span.node_id or SYSTEM_NODE,
                exported.name(place),
                span.start_ns,
                exported.end_ns(place),
                1,
                exported.status(place),
                span.span_id in critical,
                runs.get(span.span_id, 0) if span.type != NODE else None,
            )


def _joined(bars: list[_Bar]) -> list[_Bar]:
    """Return one bar for alike phases in one run of a node, side by side or in a row.

    In a row are those that have less in between than they take themselves.
    """
    found: list[_Bar] = []
    last: dict[tuple[str, str, str, int | None], int] = {}
    for bar in bars:
        key = (bar.node_id, bar.name, bar.status, bar.run)
        at = last.get(key) if bar.run is not None else None
        before = found[at] if at is not None else None
        if before is None or bar.start_ns - before.end_ns > before.end_ns - before.start_ns:
            last[key] = len(found)
            found.append(bar)
        else:
            assert at is not None  # noqa: S101 - or there would be none before
            found[at] = before._replace(
                end_ns=max(before.end_ns, bar.end_ns),
                calls=before.calls + 1,
                critical=before.critical or bar.critical,
            )
    return found


def _place_of(bars: list[_Bar]) -> Callable[[_Bar], tuple[int, str, int, bool, int]]:
    """Return what to sort by: nodes by their first start, runs of them before their phases."""
    first: dict[str, int] = {}
    for bar in bars:
        first[bar.node_id] = min(bar.start_ns, first.get(bar.node_id, bar.start_ns))
    return lambda bar: (
        first[bar.node_id],
        bar.node_id,
        bar.start_ns,
        bar.run is not None,
        -bar.end_ns,
    )


def _text(text: str) -> str:
    """Return a text in which nothing means anything to Mermaid."""
    short = shortened(safe(text).strip(), _NAME_WIDTH) or "(unnamed)"
    if _KEYWORD.match(short):
        return f"#{ord(short[0])};{_MEANT.sub(_entity, short[1:])}"
    return _MEANT.sub(_entity, short)


def _entity(found: re.Match[str]) -> str:
    return f"#{ord(found[0])};"
