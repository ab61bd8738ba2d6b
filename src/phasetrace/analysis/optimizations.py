"""What an execution could do without: everything that is looked for, as findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from phasetrace.analysis.bottlenecks import Bottleneck
from phasetrace.analysis.findings import (
    BOTTLENECK,
    FAILED,
    GAP,
    REPEATED,
    RETRIES,
    SEQUENTIAL,
    WAITING,
    WORTH,
    Finding,
)
from phasetrace.analysis.gaps import gaps
from phasetrace.analysis.network import Network
from phasetrace.analysis.repetitions import Repetition, repeated, retried
from phasetrace.analysis.replay import Replay
from phasetrace.analysis.successions import successions
from phasetrace.analysis.waiting import waiting
from phasetrace.critical_path import BOTTLENECK_SHARE
from phasetrace.spans import EXECUTION, PhaseKey, key_of

_MOST_OF_A_KIND: Final = 5
"""Each takes a replay, and nobody reads more."""


def optimizations(network: Network, replay: Replay) -> list[Finding]:
    """Return what the execution could do without, in no particular order."""
    wall_ns = network.ends[0] - network.starts[0]
    least_ns = max(1, round(wall_ns * WORTH))
    found: list[Finding] = []

    def add(kind: str, key: PhaseKey | None, saving_ns: int, **evidence: object) -> None:
        if saving_ns >= least_ns:
            node_id, phase = key if key is not None else (None, None)
            saving = saving_ns / wall_ns
            found.append(Finding(kind, node_id, phase, saving_ns, saving, evidence))  # type: ignore[arg-type]

    held: set[str] = set()
    for one in successions(network, replay, least_ns)[:_MOST_OF_A_KIND]:
        held.update(one.nodes)
        first = PhaseKey(one.nodes[0], None)
        add(
            SEQUENTIAL,
            first,
            one.saving_ns,
            nodes=list(one.nodes),
            after=list(one.after),
            at_once=one.at_once,
            waited_ns=one.in_vain_ns,
        )
    for kind, look in ((REPEATED, repeated), (RETRIES, retried)):
        again: Repetition
        for again in look(network, replay, least_ns, _MOST_OF_A_KIND):
            add(
                kind,
                again.key,
                again.saving_ns,
                calls=again.calls,
                again=again.again,
                again_ns=again.again_ns,
            )
    for gap in gaps(network, replay, least_ns, _MOST_OF_A_KIND):
        add(
            GAP,
            None,
            gap.saving_ns,
            start_ns=gap.start_ns - network.starts[0],
            duration_ns=gap.end_ns - gap.start_ns,
            before=_name(network, gap.before),
            after=_name(network, gap.after),
        )
        began = network.spans[gap.after] if gap.after is not None else None
        held.add((began.node_id or "") if began is not None else "")
    by_node = _waits_by_node(network)
    longest = sorted(by_node, key=lambda node_id: (-sum(by_node[node_id].values()), node_id))
    for node_id in [one for one in longest if one not in held][:_MOST_OF_A_KIND]:
        waits = by_node[node_id]
        if sum(waits.values()) < least_ns:
            break
        lags = {place: max(0, replay.start_lag(place) - wait) for place, wait in waits.items()}
        held_up = {place: network.waited_for[place] for place in waits}
        add(
            WAITING,
            PhaseKey(node_id, None),
            wall_ns - replay.duration(start_lags=lags, waited_for=held_up),
            runs=len(waits),
            waited_ns=sum(waits.values()),
        )
    return found


def as_findings(bottlenecks: Sequence[Bottleneck]) -> list[Finding]:
    """Return the bottlenecks that take a good part of the execution, and would save one.

    A node counts if none of its phases makes half of it.
    """
    found = []
    for one in bottlenecks:
        inner = [other for other in bottlenecks if other.node_id == one.node_id and other.phase]
        is_covered = one.phase is None and any(
            2 * other.critical_ns >= one.critical_ns for other in inner
        )
        wall_ns = one.duration_ns + one.saving_ns
        part_ns = one.critical_ns or one.saving_ns  # off the path it is what others waited for
        is_worth = part_ns >= wall_ns * BOTTLENECK_SHARE and one.saving_ns > wall_ns * WORTH
        if is_covered or not is_worth:
            continue
        found.append(
            Finding(
                BOTTLENECK,
                one.node_id,
                one.phase,
                one.saving_ns,
                one.saving_ns / wall_ns,
                {
                    "calls": one.calls,
                    "critical_ns": one.critical_ns,
                    "critical": one.critical,
                    "duration_ns": one.duration_ns,
                },
            )
        )
    return found


def failures(network: Network, told: Iterable[Finding]) -> list[Finding]:
    """Return what failed, by phase and node, most often first; the execution itself left out.

    What is `told` of already, as tried again, is left out, too.
    """
    known = {(one.node_id, one.phase) for one in told if one.kind == RETRIES}
    failed: dict[PhaseKey, int] = {}
    for span in network.spans:
        if span is not None and span.type != EXECUTION and span.status == "error":
            key = key_of(span)
            if key is not None and key not in known:
                failed[key] = failed.get(key, 0) + 1
    ordered = sorted(
        failed.items(), key=lambda item: (-item[1], item[0].node_id, item[0].phase or "")
    )
    return [
        Finding(FAILED, key.node_id, key.phase, 0, 0.0, {"errors": errors})
        for key, errors in ordered[:_MOST_OF_A_KIND]
    ]


def _waits_by_node(network: Network) -> dict[str, dict[int, int]]:
    by_node: dict[str, dict[int, int]] = {}
    for place, wait_ns in waiting(network).items():
        span = network.spans[place]
        if span is not None and wait_ns:
            by_node.setdefault(span.node_id or span.name, {})[place] = wait_ns
    return by_node


def _name(network: Network, place: int | None) -> str | None:
    """Return what a span is called: its node and phase."""
    span = network.spans[place] if place is not None else None
    key = key_of(span) if span is not None else None
    if key is None:
        return None
    return key.node_id if key.phase is None else f"{key.node_id} / {key.phase}"
