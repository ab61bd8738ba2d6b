"""What an execution would gain if something in it took no time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from phasetrace.analysis.network import Network
from phasetrace.analysis.path import Segment
from phasetrace.analysis.replay import Replay
from phasetrace.spans import PhaseKey, in_order, key_of

MOST: Final = 10
"""How many bottlenecks are looked for: each takes a replay."""
_ALL: Final = 0.95
_MOST_HELD_UP: Final = 5


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A node as a whole (``phase`` is None) or a phase, and what is won without it.

    ``critical_ns`` is what its spans own of the critical path, for a node that of its phases, too;
    ``critical`` that as a part of the execution. ``duration_ns`` is how long the execution would
    have taken had all its calls, and all that went on in them, taken no time; ``saving_ns`` is by
    how much that is less (see `phasetrace.analysis.replay`). ``slack_ns`` is by how much the most
    pressing of its calls could have come later without the execution ending later.
    """

    node_id: str
    phase: str | None
    calls: int
    critical_ns: int
    critical: float
    duration_ns: int
    saving_ns: int
    slack_ns: int


class Critical:
    """The parts of a critical path by what owns them (ns); waiting apart.

    The times by key, ``unattributed_ns`` (what the execution itself owns) and ``waiting_ns`` add up
    to the length of the path.
    """

    def __init__(self, network: Network, path: Iterable[Segment]) -> None:
        self.by_key: dict[PhaseKey, int] = {}
        self.waiting: dict[PhaseKey, int] = {}
        self.unattributed_ns = 0
        self.waiting_ns = 0
        for segment in path:
            length_ns = segment.end_ns - segment.start_ns
            if segment.waiting is not None:
                key = _key(network, segment.waiting)
                self.waiting_ns += length_ns
                if key is not None:
                    self.waiting[key] = self.waiting.get(key, 0) + length_ns
                continue
            key = _key(network, segment.place)
            if key is None:
                self.unattributed_ns += length_ns
            else:
                self.by_key[key] = self.by_key.get(key, 0) + length_ns


def bottlenecks(
    network: Network,
    critical: Critical,
    replay: Replay,
    slacks: Sequence[int],
    most: int = MOST,
) -> list[Bottleneck]:
    """Return what owns most of the critical path, nodes and phases in one list, most first.

    A node is left out where one of its phases has nearly all of its time there. Phases that are not
    on the path come last, if the execution would have been shorter without them all the same: nodes
    waited for them that do not depend on them.
    """
    places: dict[PhaseKey, list[int]] = {}
    of_node: dict[str, list[int]] = {}
    for place in range(len(network.spans)):
        key = _key(network, place)
        if key is not None:
            places.setdefault(key, []).append(place)
            of_node.setdefault(key.node_id, []).append(place)
    by_node: dict[PhaseKey, int] = {}
    for key, length_ns in critical.by_key.items():
        node = PhaseKey(key.node_id, None)
        by_node[node] = by_node.get(node, 0) + length_ns
    phases = {key: length_ns for key, length_ns in critical.by_key.items() if key.phase is not None}
    for key, length_ns in phases.items():
        node = PhaseKey(key.node_id, None)
        if length_ns >= _ALL * by_node.get(node, 0):  # the phase is all there is to say
            by_node.pop(node, None)
    ranked = sorted(
        (by_node | phases).items(),
        key=lambda item: (-item[1], in_order(item[0])),
    )
    chosen = dict(ranked[:most])
    chosen.update(dict.fromkeys(_held_up(network, critical, places), 0))
    found = []
    for key, critical_ns in chosen.items():
        calls = of_node[key.node_id] if key.phase is None else places[key]
        one = _bottleneck(network, replay, slacks, key, calls, critical_ns)
        if one.critical_ns or one.saving_ns:
            found.append(one)
    return sorted(found, key=lambda one: (-one.critical_ns, -one.saving_ns))


def _held_up(
    network: Network, critical: Critical, places: Mapping[PhaseKey, Sequence[int]]
) -> list[PhaseKey]:
    """Return phases off the critical path that may have held others up, by their time.

    Where a node that did not depend on them waited for them all the same, the path only has the
    waiting.
    """
    if not critical.waiting_ns:
        return []
    times = {
        key: sum(network.ends[place] - network.starts[place] for place in calls)
        for key, calls in places.items()
        if key.phase is not None and key not in critical.by_key
    }
    return sorted(times, key=lambda key: (-times[key], in_order(key)))[:_MOST_HELD_UP]


def _bottleneck(
    network: Network,
    replay: Replay,
    slacks: Sequence[int],
    key: PhaseKey,
    calls: Collection[int],
    critical_ns: int,
) -> Bottleneck:
    wall_ns = network.ends[0] - network.starts[0]
    duration_ns = replay.duration(without=calls)
    own = [place for place in calls if _key(network, place) == key]
    return Bottleneck(
        node_id=key.node_id,
        phase=key.phase,
        calls=len(own),
        critical_ns=critical_ns,
        critical=critical_ns / wall_ns if wall_ns else 0.0,
        duration_ns=duration_ns,
        saving_ns=wall_ns - duration_ns,
        slack_ns=min(slacks[place] for place in (own or calls)),
    )


def _key(network: Network, place: int) -> PhaseKey | None:
    span = network.spans[place]
    return key_of(span) if span is not None else None
