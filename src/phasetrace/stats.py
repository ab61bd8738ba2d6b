"""Running totals of the calls of one phase (or node)."""

from __future__ import annotations

from phasetrace.histogram import Histogram
from phasetrace.spans import Status


class PhaseStats:
    """Counts and durations of one phase; integer nanoseconds.

    ``self_ns`` and ``share_ns`` need the whole timeline, so whoever sweeps it fills them in.
    Not thread-safe: the owner holds its lock.
    """

    __slots__ = (
        "cancelled",
        "count",
        "errors",
        "first_ns",
        "histogram",
        "max_ns",
        "min_ns",
        "node_type",
        "self_ns",
        "share_ns",
        "total_ns",
    )

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.self_ns = 0
        self.share_ns = 0.0
        self.min_ns = 0
        self.max_ns = 0
        self.errors = 0
        self.cancelled = 0
        self.first_ns = 0
        self.node_type: str | None = None
        self.histogram = Histogram()

    def add(self, start_ns: int, duration_ns: int, status: Status) -> None:
        """Count one call."""
        if self.count == 0:
            self.first_ns = start_ns
            self.min_ns = self.max_ns = duration_ns
        else:
            if start_ns < self.first_ns:
                self.first_ns = start_ns
            if duration_ns < self.min_ns:
                self.min_ns = duration_ns
            elif duration_ns > self.max_ns:
                self.max_ns = duration_ns
        self.count += 1
        self.total_ns += duration_ns
        self.histogram.add(duration_ns)
        if status != "ok":
            if status == "error":
                self.errors += 1
            else:
                self.cancelled += 1

    def quantile(self, q: float) -> int:
        """Return a quantile of the durations, from the histogram; 0 without a call."""
        # A bucket's middle may lie beyond the longest or shortest call that was really seen.
        return min(max(self.histogram.quantile(q), self.min_ns), self.max_ns)

    def merge(self, other: PhaseStats) -> None:
        """Add the calls that another process counted."""
        self.self_ns += other.self_ns
        self.share_ns += other.share_ns
        self.node_type = self.node_type or other.node_type
        if other.count == 0:  # one that is open has a share already
            return
        if self.count == 0:
            self.first_ns, self.min_ns, self.max_ns = other.first_ns, other.min_ns, other.max_ns
        self.first_ns = min(self.first_ns, other.first_ns)
        self.min_ns = min(self.min_ns, other.min_ns)
        self.max_ns = max(self.max_ns, other.max_ns)
        self.count += other.count
        self.total_ns += other.total_ns
        self.errors += other.errors
        self.cancelled += other.cancelled
        self.histogram.merge(other.histogram)

    def copy(self) -> PhaseStats:
        """Return an independent copy."""
        clone = PhaseStats()
        clone.merge(self)
        return clone
