"""Files of speedscope (https://www.speedscope.app): a profile for every lane, in nanoseconds.

Source: speedscope's "file-format-spec" and its JSON schema. What starts and ends in a lane is given
as it happened (an *evented* profile), so that *Time Order* shows a timeline, *Left Heavy* and
*Sandwich* the sums. Zero is the start of the execution; all profiles are as long as it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from phasetrace._version import __version__
from phasetrace.exports.exported import ExportedExecution, Track
from phasetrace.spans import EXECUTION, NODE

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope_parts(exported: ExportedExecution) -> Iterator[str]:
    """Give the parts of the file."""
    frames: dict[tuple[str, str | None], int] = {}
    until_ns = max(map(exported.end_ns, range(len(exported.spans))), default=exported.started_ns)
    profiles = [_profile(exported, track, frames, until_ns) for track in exported.tracks]
    listed = [
        {"name": name, "file": node_id} if node_id is not None else {"name": name}
        for name, node_id in frames
    ]
    head = {
        "$schema": _SCHEMA,
        "exporter": f"phasetrace@{__version__}",
        "name": exported.title,
        "activeProfileIndex": 0,
        "shared": {"frames": listed},
    }
    yield json.dumps(head, separators=(",", ":"))[:-1] + ',"profiles":[\n'
    yield ",\n".join(profiles)
    yield "\n]}\n"


def _profile(
    exported: ExportedExecution,
    track: Track,
    frames: dict[tuple[str, str | None], int],
    until_ns: int,
) -> str:
    events = []
    for starts, place, time_ns in exported.edges(track):
        span = exported.spans[place]
        # A phase is told from others of its name by its node, where there is room for a file.
        key = (exported.name(place), None if span.type in (EXECUTION, NODE) else span.node_id)
        frame = frames.setdefault(key, len(frames))
        at = time_ns - exported.started_ns
        events.append({"type": "O" if starts else "C", "frame": frame, "at": at})
    lane = f"lane {track.lane + 1}"
    return json.dumps(
        {
            "type": "evented",
            "name": (
                f"{exported.process_name(track.process)}, {lane}"
                if len(exported.services) > 1
                else lane
            ),
            "unit": "nanoseconds",
            "startValue": 0,
            "endValue": until_ns - exported.started_ns,
            "events": events,
        },
        separators=(",", ":"),
    )
