"""The sweep over start and end events that `phasetrace.timeline` is made of."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    Entry = tuple[int, int | None, int, int, Hashable]
    """Id, parent's id, start and end (ns), and key of a span."""

START: Final = 2
END: Final = 3

# Later than any clock reads; an int, so that times stay ints.
NEVER: Final = 1 << 200


class ActiveSpan:
    """Hold one active span.

    `self_ns` and `share_ns` are sums over its stretches as a leaf. A stretch subtracts the
    clock when it begins and adds it when it ends, so in the middle of one they are offsets.
    """

    __slots__ = ("key", "parent_id", "self_ns", "share_ns")

    def __init__(self, parent_id: int | None, key: Hashable) -> None:
        self.parent_id = parent_id
        self.key = key
        self.self_ns = 0
        self.share_ns = 0.0


class KeyTotal:
    """Hold the sums over the finished spans of one key, the root left out."""

    __slots__ = ("self_ns", "share_ns")

    def __init__(self, self_ns: int, share_ns: float) -> None:
        self.self_ns = self_ns
        self.share_ns = share_ns


class Sweep:
    """Hold the sweep between two runs: everything about the events before `clock`."""

    __slots__ = (
        "active",
        "busy_ns",
        "children",
        "clock",
        "counting",
        "first_ns",
        "last_ns",
        "leaves",
        "root",
        "root_end",
        "root_key",
        "root_self_ns",
        "root_start",
        "totals",
        "unclipped",
        "virtual",
    )

    def __init__(self) -> None:
        self.active: dict[int, ActiveSpan] = {}
        # Active spans per parent id. Kept whether or not the parent is active or ever seen,
        # as children may start before it and outlive it, and remote parents are never seen.
        self.children: dict[int, int] = {}
        self.totals: dict[Hashable, KeyTotal] = {}
        self.leaves = 0
        self.clock = -NEVER
        self.virtual = 0.0
        # Whether time passing is wall time: until the root ends. What passes before it starts
        # is taken back then, as a root that never comes up does not confine the wall time.
        self.counting = True
        self.busy_ns = 0
        self.first_ns = NEVER
        self.last_ns = -NEVER
        self.root: ActiveSpan | None = None
        # Known before the root's start event only for a root reported late.
        self.root_start = NEVER
        self.root_end: int | None = None
        self.root_key: Hashable = None
        self.root_self_ns = 0
        # What a fold took for wall time without the root.
        self.unclipped: tuple[int, int] | None = None

    def copy(self) -> Sweep:
        """Return an independent copy."""
        twin = Sweep()
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.children = self.children.copy()
        twin.active = {}
        for span_id, span in self.active.items():
            twin.active[span_id] = copied = ActiveSpan(span.parent_id, span.key)
            copied.self_ns = span.self_ns
            copied.share_ns = span.share_ns
            if span is self.root:
                twin.root = copied
        twin.totals = {
            key: KeyTotal(total.self_ns, total.share_ns) for key, total in self.totals.items()
        }
        return twin

    def add_self(self, key: Hashable, self_ns: int) -> None:
        """Add to the self time of a key."""
        self.totals.setdefault(key, KeyTotal(0, 0.0)).self_ns += self_ns

    def advance(self, to_ns: int) -> None:
        """Let time pass without an event."""
        elapsed = to_ns - self.clock
        if elapsed > 0:
            if self.counting and self.leaves:
                self.virtual += elapsed / self.leaves
                self.busy_ns += elapsed
            self.clock = to_ns

    def enter_root(self, start_ns: int) -> None:
        """Begin to count: the root starts, and what came before was not wall time.

        For a root reported late that cannot be told apart any more, so there it stays.
        """
        if self.root_start == NEVER:
            self.root_start = start_ns
            self.unclipped = None
            self.busy_ns = 0
            self.virtual = 0.0
            for total in self.totals.values():
                total.share_ns = 0.0
            for span in self.active.values():
                span.share_ns = 0.0

    def sweep(self, starts: list[Entry], ends: list[Entry], root_id: int | None) -> None:
        """Process the start events of some spans and the end events of some.

        A span in `ends` is active already or also in `starts`. Both lists are used up.
        """
        # This loop is what a result costs: the state it works on is in local names, and the
        # two kinds of event are written out rather than called.
        starts.sort(key=itemgetter(START))
        ends.sort(key=itemgetter(END))
        if starts:
            self.first_ns = min(self.first_ns, starts[0][START])
            self.last_ns = max(self.last_ns, starts[-1][START])
        if ends:
            self.last_ns = max(self.last_ns, ends[-1][END])
        never: Entry = (0, None, NEVER, NEVER, None)
        starts.append(never)
        ends.append(never)
        upcoming: Iterator[Entry] = iter(ends)
        ending_id, _, _, end_ns, end_key = next(upcoming)

        active, children, totals = self.active, self.children, self.totals
        leaves, clock, virtual, busy_ns = self.leaves, self.clock, self.virtual, self.busy_ns
        root = self.root
        counting = self.counting

        for span_id, parent_id, start_ns, _, key in starts:
            # Starts go before ends of the same instant. A span of no length then needs no case
            # of its own, and a parent does not become a leaf between back-to-back children.
            while end_ns < start_ns:
                if end_ns > clock:
                    if leaves and counting:
                        virtual += (end_ns - clock) / leaves
                        busy_ns += end_ns - clock
                    clock = end_ns
                span = active.pop(ending_id)
                if ending_id not in children:
                    span.self_ns += end_ns
                    if span is not root:
                        span.share_ns += virtual
                        leaves -= 1
                parent_of = span.parent_id
                if parent_of is not None:
                    others = children[parent_of] - 1
                    if others:
                        children[parent_of] = others
                    else:
                        del children[parent_of]
                        parent = active.get(parent_of)
                        if parent is not None:
                            parent.self_ns -= end_ns
                            if parent is not root:
                                parent.share_ns -= virtual
                                leaves += 1
                if span is root:
                    root = None
                    counting = False
                    self.root_end = end_ns
                    self.root_key = end_key
                    self.root_self_ns += span.self_ns
                else:
                    total = totals.get(end_key)
                    if total is None:
                        totals[end_key] = KeyTotal(span.self_ns, span.share_ns)
                    else:
                        total.self_ns += span.self_ns
                        total.share_ns += span.share_ns
                ending_id, _, _, end_ns, end_key = next(upcoming)

            if start_ns == NEVER:
                break
            if start_ns > clock:
                if not leaves:
                    # Nobody holds an offset to it, and small numbers keep their precision.
                    virtual = 0.0
                elif counting:
                    virtual += (start_ns - clock) / leaves
                    busy_ns += start_ns - clock
                clock = start_ns
            if parent_id is not None:
                others = children.get(parent_id, 0)
                children[parent_id] = others + 1
                if not others:
                    parent = active.get(parent_id)
                    if parent is not None:
                        parent.self_ns += start_ns
                        if parent is not root:
                            parent.share_ns += virtual
                            leaves -= 1
            span = active[span_id] = ActiveSpan(parent_id, key)
            if span_id == root_id and self.root_end is None:
                root = span
                counting = True
                self.busy_ns, self.virtual = busy_ns, virtual
                self.enter_root(start_ns)
                busy_ns, virtual = self.busy_ns, self.virtual
                if span_id not in children:
                    span.self_ns = -start_ns
            elif span_id not in children:
                span.self_ns = -start_ns
                span.share_ns = -virtual
                leaves += 1

        self.leaves, self.clock, self.virtual, self.busy_ns = leaves, clock, virtual, busy_ns
        self.root = root
        self.counting = counting
