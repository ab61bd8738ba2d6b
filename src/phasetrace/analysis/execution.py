"""Everything that can be said of one execution, as typed values."""

from __future__ import annotations

from dataclasses import dataclass

from phasetrace.analysis.bottlenecks import Bottleneck
from phasetrace.analysis.concurrency import Concurrency
from phasetrace.analysis.groups import Groups
from phasetrace.analysis.network import Network
from phasetrace.analysis.path import Segment, critical_path
from phasetrace.analysis.recording import Recording
from phasetrace.analysis.replay import Replay
from phasetrace.analysis.usage import NO_PRICES, Prices
from phasetrace.breakdowns import ExecutionBreakdown


@dataclass(frozen=True, slots=True)
class CriticalStep:
    """A stretch of the critical path, from `start_ns` after the execution's start.

    ``node_id`` is None for time that the execution itself owns. ``waiting`` tells that the node had
    not started, although all that it waited for was done. ``span_id`` is 0 where there is no root.
    """

    node_id: str | None
    phase: str | None
    span_id: int
    start_ns: int
    duration_ns: int
    waiting: bool


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
    """Where the time of an execution went, and what determined how long it took."""

    breakdown: ExecutionBreakdown
    groups: Groups
    concurrency: Concurrency
    critical_path: tuple[CriticalStep, ...]
    critical_waiting_ns: int
    nodes: tuple[NodeAnalysis, ...]
    bottlenecks: tuple[Bottleneck, ...]


class Examination:
    """What is worked out of a recording, each part when it is asked for, and once."""

    def __init__(self, recording: Recording, prices: Prices = NO_PRICES) -> None:
        self.recording = recording
        self.prices = prices
        self.network = Network(recording.all_spans(), recording.root_id)
        self._replay: Replay | None = None
        self._path: list[Segment] | None = None

    @property
    def path(self) -> list[Segment]:
        """The critical path."""
        if self._path is None:
            self._path = critical_path(self.network)
        return self._path

    @property
    def replay(self) -> Replay:
        """What replays the execution."""
        if self._replay is None:
            self._replay = Replay(self.network)
        return self._replay
