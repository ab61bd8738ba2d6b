"""Chrome's trace events: for Perfetto (https://ui.perfetto.dev) and ``chrome://tracing``.

Source: "Trace Event Format" (the document of the Catapult project). A span is a complete event
(``X``) in a thread, of which there are as many a process as it takes for slices to nest: in a real
thread tasks overlap, and viewers draw only what nests. Times are microseconds after the start, in
decimals that keep the nanoseconds; the start itself is in ``otherData``.

Perfetto (52) shows the strings of JSON as they are written, with their escapes, unless there is a
quote in them. So text is UTF-8, and for control characters there are signs that stand for them;
only backslashes are seen twice there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from phasetrace._version import __version__
from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.values import plain
from phasetrace.names import RESERVED
from phasetrace.rendering import safe
from phasetrace.spans import EXECUTION, SYSTEM_NODE

_FAILED: Final = "terrible"
"""The colour, by its name, of a slice that failed."""
_OURS: Final = "phasetrace."
"""What arguments begin with that are no attributes; Perfetto shows them below one heading."""
_SPACE: Final = 0x20
_CONTROL_PICTURES: Final = 0x2400
"""The block of Unicode that has a sign for each control character, in their order."""


def chrome_parts(exported: ExportedExecution) -> Iterator[str]:
    """Give the parts of the file: an event a line."""
    execution = exported.execution
    about = {
        "exec_id": execution.exec_id,
        "name": execution.name,
        "trace_id": execution.trace_id,
        "status": execution.status,
        "started_ns": str(exported.started_ns),
        "exporter": f"phasetrace {__version__}",
    }
    yield f'{{"displayTimeUnit":"ns","otherData":{_json(about)},"traceEvents":[\n'
    separator = ""
    for event in _events(exported):
        yield f"{separator}{event}"
        separator = ",\n"
    yield "\n]}\n"


def _events(exported: ExportedExecution) -> Iterator[str]:
    pids = {process: number for number, process in enumerate(exported.services, 1)}
    thread_of: dict[int, tuple[int, int]] = {}
    for process, pid in pids.items():
        yield _metadata("process_name", pid, 0, {"name": exported.process_name(process)})
        yield _metadata("process_sort_index", pid, 0, {"sort_index": pid})
    for number, track in enumerate(exported.tracks, 1):
        # No thread has the number of a process: one like that is the main thread of that process.
        pid, tid = pids[track.process], len(pids) + number
        yield _metadata("thread_name", pid, tid, {"name": f"lane {track.lane + 1}"})
        yield _metadata("thread_sort_index", pid, tid, {"sort_index": track.lane})
        for place in track.places:
            thread_of[place] = (pid, tid)
            yield _slice(exported, place, pid, tid)
            yield from _instants(exported, place, pid, tid)
    yield from _arrows(exported, thread_of)


def _slice(exported: ExportedExecution, place: int, pid: int, tid: int) -> str:
    span = exported.spans[place]
    details = exported.details(place)
    status = exported.status(place)
    own = {
        "span_id": f"{span.span_id:016x}",
        "status": f"{status}: {details.message}" if details.message else status,
        "node_id": None if span.type == EXECUTION else span.node_id or SYSTEM_NODE,
        "node_type": span.node_type,
        "iteration": str(span.iteration) if span.iteration is not None else None,
        "depends_on": list(span.depends_on) or None,
    }
    rest: dict[str, Any] = {
        "name": exported.name(place),
        "cat": span.type,
        "args": {
            **{
                name: plain(value)
                for name, value in details.attributes.items()
                if name not in RESERVED
            },
            **{f"{_OURS}{name}": value for name, value in own.items() if value is not None},
        },
    }
    if status == "error":
        rest["cname"] = _FAILED
    duration = _microseconds(exported.end_ns(place) - span.start_ns)
    return _event("X", exported, span.start_ns, pid, tid, rest, f',"dur":{duration}')


def _instants(exported: ExportedExecution, place: int, pid: int, tid: int) -> Iterator[str]:
    """Give what happened within a span, for as long as it is within it."""
    span = exported.spans[place]
    for event in exported.details(place).events:
        if span.start_ns <= event.time_ns <= exported.end_ns(place):
            rest = {
                "name": event.name or "(unnamed)",
                "cat": "event",
                "s": "t",
                "args": plain(event.attributes),
            }
            yield _event("i", exported, event.time_ns, pid, tid, rest)


def _arrows(exported: ExportedExecution, thread_of: dict[int, tuple[int, int]]) -> Iterator[str]:
    """Give an arrow from each run of a node to each one that waited for it."""
    network = exported.examination.network
    if not network.waited_for:
        return
    place_of: dict[int, int] = {}
    for place, span in enumerate(exported.spans):
        place_of.setdefault(span.span_id, place)
    number = 0
    for waiting, runs in network.waited_for.items():
        for run in runs:
            ends = [network.spans[run], network.spans[waiting]]
            places = [place_of[span.span_id] for span in ends if span is not None]
            if len(places) < 2 or any(exported.spans[p].type == EXECUTION for p in places):
                continue
            number += 1
            rest = {"name": "depends_on", "cat": "dependency", "id": number}
            source, target = places
            # An arrow begins in the slice that is there just then, so before the end.
            began_ns = exported.spans[source].start_ns
            left_ns = max(began_ns, exported.end_ns(source) - 1)
            arrived_ns = exported.spans[target].start_ns
            yield _event("s", exported, left_ns, *thread_of[source], rest)
            yield _event("f", exported, arrived_ns, *thread_of[target], {**rest, "bp": "e"})


def _json(value: Any) -> str:
    return json.dumps(_shown(value), separators=(",", ":"), ensure_ascii=False)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(name): _shown(item) for name, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def _event(
    phase: str,
    exported: ExportedExecution,
    time_ns: int,
    pid: int,
    tid: int,
    rest: dict[str, Any],
    more: str = "",
) -> str:
    # Numbers are written out: a float of JSON's may have more decimals than there are nanoseconds.
    time = _microseconds(time_ns - exported.started_ns)
    members = _json(rest)[1:-1]
    return f'{{"ph":"{phase}","ts":{time}{more},"pid":{pid},"tid":{tid},{members}}}'


def _text(text: str) -> str:
    return text if safe(text) == text else "".join(map(_sign, text))


def _sign(character: str) -> str:
    """Return what stands for a character that would do something, and others as they are."""
    if safe(character) == character:
        return character
    if ord(character) < _SPACE:
        return chr(_CONTROL_PICTURES + ord(character))
    return f"<U+{ord(character):04X}>"


def _metadata(name: str, pid: int, tid: int, args: dict[str, Any]) -> str:
    return _json({"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args})


def _microseconds(duration_ns: int) -> str:
    whole, rest = divmod(duration_ns, 1_000)
    return f"{whole}.{rest:03}" if rest else str(whole)
