"""Stretches of an execution in which nothing but the execution itself went on."""

from __future__ import annotations

from typing import NamedTuple

from phasetrace.analysis.network import WHOLE, Network
from phasetrace.analysis.replay import Replay
from phasetrace.spans import EXECUTION


class Gap(NamedTuple):
    """A stretch without a node or phase; times as the spans', `saving_ns` without it.

    ``before`` and ``after`` are the indices of what ended and began at its ends; None at an end of
    the execution.
    """

    start_ns: int
    end_ns: int
    before: int | None
    after: int | None
    saving_ns: int


def gaps(network: Network, replay: Replay, least_ns: int, most: int) -> list[Gap]:
    """Return the longest gaps of at least so much, so many of them at most."""
    starts, ends = network.starts, network.ends
    places = [place for place in network.order if _counts(network, place)]
    places.sort(key=starts.__getitem__)  # of what starts together, the outermost first
    found: list[tuple[int, int, int | None, int | None]] = []
    clock, before = starts[WHOLE], None
    for place in places:
        if starts[place] - clock >= max(1, least_ns):
            found.append((clock, starts[place], before, place))
        if ends[place] > clock:
            clock, before = ends[place], place
    if ends[WHOLE] - clock >= max(1, least_ns):
        found.append((clock, ends[WHOLE], before, None))
    found.sort(key=lambda gap: (gap[0] - gap[1], gap[0]))
    wall_ns = ends[WHOLE] - starts[WHOLE]
    result = []
    for start_ns, end_ns, ended, began in found[:most]:
        saving_ns = end_ns - start_ns  # at the end, where it is the execution's own time
        if began is not None:
            # Others may have waited through it as well, and begun at once or somewhat later.
            lags = {
                place: replay.turn_lag(place) - (end_ns - start_ns)
                for place in places
                if starts[place] >= end_ns and starts[place] - replay.turn_lag(place) <= start_ns
            }
            saving_ns = wall_ns - replay.duration(start_lags=lags)
        result.append(Gap(start_ns, end_ns, ended, began, saving_ns))
    return result


def _counts(network: Network, place: int) -> bool:
    span = network.spans[place]
    return place != WHOLE and span is not None and span.type != EXECUTION
