"""Work that was done more than once: calls with the same metadata, and calls that were retried."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from phasetrace.analysis.network import Network
from phasetrace.analysis.replay import Replay
from phasetrace.spans import EXECUTION, PHASE, PhaseKey, SpanRecord, key_of


class Repetition(NamedTuple):
    """Calls of one phase or node that were done again.

    ``calls`` are all that are alike, ``again`` those that would not have been needed, ``again_ns``
    is their time added up, and `saving_ns` by how much the execution would have been shorter.
    """

    key: PhaseKey
    calls: int
    again: int
    again_ns: int
    saving_ns: int


def repeated(network: Network, replay: Replay, least_ns: int, most: int) -> list[Repetition]:
    """Return phases that were called several times with the same metadata, and went well.

    All calls but the first would not have been needed, if they did the same. Nothing says so of
    phases without telling metadata (`phasetrace.spans.SpanRecord`), nor of those of which all calls
    have the same: what does not vary does not say what a call did.
    """
    alike: dict[tuple[PhaseKey, int], list[int]] = {}
    for place, span in enumerate(network.spans):
        if span is None or span.type != PHASE or span.metadata is None or span.status != "ok":
            continue
        key = key_of(span)
        if key is not None:
            alike.setdefault((key, span.metadata), []).append(place)
    again: dict[PhaseKey, tuple[int, list[int]]] = {}
    varieties = Counter(key for key, _ in alike)
    for (key, _), places in alike.items():
        if len(places) > 1 and varieties[key] > 1:
            places.sort(key=network.starts.__getitem__)
            calls, known = again.get(key, (0, []))
            again[key] = calls + len(places), known + places[1:]
    return _worth(network, replay, again, least_ns, most)


def retried(network: Network, replay: Replay, least_ns: int, most: int) -> list[Repetition]:
    """Return what failed and was called again right after that, in the same place and way.

    That is by the next call of the same name below the same parent, with the same metadata, if it
    has any. The calls that failed would not have been needed.
    """
    together: dict[tuple[int, PhaseKey], list[int]] = {}
    for place, span in enumerate(network.spans):
        if place and span is not None and span.type != EXECUTION:
            key = key_of(span)
            if key is not None:
                together.setdefault((network.parents[place], key), []).append(place)
    again: dict[PhaseKey, tuple[int, list[int]]] = {}
    for (_, key), places in together.items():
        places.sort(key=network.starts.__getitem__)
        failed = [
            place
            for place, following in pairwise(places)
            if _span(network, place).status == "error"
            and network.ends[place] <= network.starts[following]
            and _span(network, place).metadata == _span(network, following).metadata
        ]
        if failed:
            calls, known = again.get(key, (0, []))
            again[key] = calls + len(places), known + failed
    return _worth(network, replay, again, least_ns, most)


def _worth(
    network: Network,
    replay: Replay,
    again: dict[PhaseKey, tuple[int, list[int]]],
    least_ns: int,
    most: int,
) -> list[Repetition]:
    lengths = {
        key: sum(network.ends[place] - network.starts[place] for place in places)
        for key, (_, places) in again.items()
    }
    wall_ns = network.ends[0] - network.starts[0]
    found = []
    for key in sorted(lengths, key=lambda key: (-lengths[key], key.node_id, key.phase or ""))[
        :most
    ]:
        if lengths[key] < max(1, least_ns):
            break
        calls, places = again[key]
        saving_ns = wall_ns - replay.duration(without=places)
        found.append(Repetition(key, calls, len(places), lengths[key], saving_ns))
    return found


def _span(network: Network, place: int) -> SpanRecord:
    span = network.spans[place]
    assert span is not None  # noqa: S101 - only the whole has none
    return span
