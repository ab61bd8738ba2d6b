"""Everything that can be said of one execution, as typed values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from phasetrace.analysis.bottlenecks import Bottleneck, Critical, bottlenecks
from phasetrace.analysis.concurrency import Concurrency, concurrency, concurrency_of
from phasetrace.analysis.findings import Finding, ranked
from phasetrace.analysis.groups import BY, By, Groups, groups
from phasetrace.analysis.network import Network
from phasetrace.analysis.optimizations import as_findings, failures, optimizations
from phasetrace.analysis.path import Segment, critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.replay import Replay
from phasetrace.analysis.usage import NO_PRICES, Prices
from phasetrace.analysis.waiting import waiting as waits_of
from phasetrace.breakdowns import ExecutionHeader
from phasetrace.spans import EXECUTION, NODE, SYSTEM_NODE


class CriticalStep(NamedTuple):
    """A stretch of the critical path, from `start_ns` after the execution's start.

    ``node_id`` is None for time that the execution itself owns. ``waiting`` tells that the node had
    not started, although all that it waited for was done. ``span_id`` is the first of the spans,
    0 where there is no root; ``calls`` tells of how many stretches the step is.
    """

    node_id: str | None
    phase: str | None
    span_id: int
    start_ns: int
    duration_ns: int
    waiting: bool
    calls: int


@dataclass(frozen=True, slots=True)
class NodeAnalysis:
    """How a node went: what it owns of the critical path with its phases, and how pressing it was.

    ``slack_ns`` is by how much the most pressing of its calls could have come later without the
    execution ending later. ``waiting_ns`` is for how long its runs had not started although all
    that they depend on was done, added up; None where no dependencies are known. ``at_once`` is how
    many of its runs (of its phases, if it has no runs) went on at the same time.
    """

    node_id: str
    critical_ns: int
    slack_ns: int
    waiting_ns: int | None
    at_once: Concurrency


@dataclass(frozen=True, slots=True)
class ExecutionAnalysis:
    """Where the time of an execution went, what determined how long it took, and what to do.

    ``groups`` are its phases by node, with what they own of the critical path, what their calls of
    models took, and the longest call of each. ``findings`` are ranked by what they would save. Of
    ``lost_spans``, which could not be stored, only a breakdown knows.
    """

    execution: ExecutionHeader
    groups: Groups
    concurrency: Concurrency
    critical_path: tuple[CriticalStep, ...]
    nodes: tuple[NodeAnalysis, ...]
    bottlenecks: tuple[Bottleneck, ...]
    findings: tuple[Finding, ...]
    lost_spans: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists, ready for JSON; versioned by ``schema``."""
        from phasetrace.analysis.plain import analysis_dict

        return analysis_dict(self)

    def to_dataframe(self) -> Any:
        """Return a pandas or polars data frame with a row for each of the groups.

        Raises:
            ImportError: if neither is installed.
        """
        from phasetrace.analysis.plain import groups_dict
        from phasetrace.frames import flat_dataframe

        return flat_dataframe(groups_dict(self.groups)["rows"])

    def _repr_html_(self) -> str:
        from phasetrace.html import findings_html

        return findings_html(str(self))

    def __str__(self) -> str:
        from phasetrace.analysis.wording import analysis_text

        return analysis_text(self)


class Examination:
    """What is worked out of a recording, each part when it is asked for, and once.

    Of a recording without metadata, repeated calls are not found. Not thread-safe.
    """

    def __init__(self, recording: Recording, prices: Prices = NO_PRICES) -> None:
        self.recording = recording
        self.prices = prices
        self.network = Network(recording.all_spans(), recording.root_id)

    @cached_property
    def path(self) -> list[Segment]:
        """The critical path."""
        return critical_path(self.network)

    @cached_property
    def replay(self) -> Replay:
        """What replays the execution."""
        return Replay(self.network)

    @cached_property
    def slacks(self) -> list[int]:
        """By how much each span could have come later (ns)."""
        return self.replay.slacks()

    @cached_property
    def critical(self) -> Critical:
        """The critical path by what owns it."""
        return Critical(self.network, self.path)

    @cached_property
    def bottlenecks(self) -> list[Bottleneck]:
        """What owns most of the critical path."""
        return bottlenecks(self.network, self.critical, self.replay, self.slacks)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What there is to do, ranked."""
        found = optimizations(self.network, self.replay)
        return ranked([*as_findings(self.bottlenecks), *found, *failures(self.network, found)])

    def groups(self, by: By) -> Groups:
        """Return the spans added up by what is asked for."""
        return groups(self.recording, self.network, self.path, by, self.prices)

    def steps(self) -> tuple[CriticalStep, ...]:
        """Return the critical path in the order of time; what follows itself is one step."""
        spans, whole_start = self.network.spans, self.network.starts[0]
        steps: list[CriticalStep] = []
        last: tuple[str | None, str | None, bool] | None = None
        first = calls = length_ns = began_ns = 0

        def close() -> None:
            if last is not None:
                owner = spans[first]
                span_id = owner.span_id if owner is not None else 0
                steps.append(
                    CriticalStep(
                        last[0],
                        last[1],
                        span_id,
                        began_ns - whole_start,
                        length_ns,
                        last[2],
                        calls,
                    )
                )

        for place, start_ns, end_ns, waiting in self.path:
            owner = spans[place if waiting is None else waiting]
            node_id = phase = None
            if owner is not None and owner.type != EXECUTION:
                node_id = owner.node_id or SYSTEM_NODE
                phase = None if owner.type == NODE else owner.name
            what = (node_id, phase, waiting is not None)
            if what != last:
                close()
                last, began_ns, length_ns, calls = what, start_ns, 0, 0
                first = place if waiting is None else waiting
            length_ns += end_ns - start_ns
            calls += 1
        close()
        return tuple(steps)

    def nodes(self) -> tuple[NodeAnalysis, ...]:
        """Return how the nodes went, those that own most of the critical path first."""
        runs: dict[str, list[int]] = {}
        phases: dict[str, list[int]] = {}
        critical: dict[str, int] = {}
        for place, span in enumerate(self.network.spans):
            if place and span is not None and span.type != EXECUTION:
                of = runs if span.type == NODE else phases
                of.setdefault(span.node_id or SYSTEM_NODE, []).append(place)
        for key, length_ns in self.critical.by_key.items():
            critical[key.node_id] = critical.get(key.node_id, 0) + length_ns
        waits: dict[str, int] = {}
        for place, wait_ns in waits_of(self.network).items():
            waited = self.network.spans[place]
            if waited is not None:
                node_id = waited.node_id or SYSTEM_NODE
                waits[node_id] = waits.get(node_id, 0) + wait_ns
        found = [
            NodeAnalysis(
                node_id=node_id,
                critical_ns=critical.get(node_id, 0),
                slack_ns=min(self.slacks[place] for place in runs.get(node_id) or phases[node_id]),
                waiting_ns=waits.get(node_id),
                at_once=concurrency_of(self.network, runs.get(node_id) or phases[node_id]),
            )
            for node_id in {**runs, **phases}
        ]
        return tuple(sorted(found, key=lambda node: (-node.critical_ns, node.node_id)))


def analysis_of(examination: Examination) -> ExecutionAnalysis:
    """Work out everything that can be said of an execution."""
    return ExecutionAnalysis(
        execution=examination.recording.execution,
        groups=examination.groups(BY["phase of node"]),
        concurrency=concurrency(examination.network),
        critical_path=examination.steps(),
        nodes=examination.nodes(),
        bottlenecks=tuple(examination.bottlenecks),
        findings=examination.findings,
        lost_spans=examination.recording.lost,
    )
