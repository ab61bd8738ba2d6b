"""Exporters fed from memory with what was to come from the store, which does not take it."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan

from phasetrace import faults
from phasetrace.exporting import Outlet
from phasetrace.feed import MAX_QUEUE, Feed


class Fallback:
    """Feeds the exporters of some outlets, which it makes at the first need. Never raises.

    To be called by one thread at a time; `feeds` may be read by any.
    """

    def __init__(self, outlets: Sequence[Outlet]) -> None:
        self._outlets = tuple(outlets)
        self.after_fork()

    def __bool__(self) -> bool:
        return bool(self._outlets)

    def after_fork(self) -> None:
        """Make exporters of its own in a forked child: the connections are the parent's."""
        self.feeds: tuple[Feed, ...] = ()
        """Those that are there by now."""
        self._is_made = False

    def take(self, spans: Sequence[ReadableSpan]) -> bool:
        """Have spans exported, if they are sampled; return False if there is no exporter."""
        if not self._is_made:
            self._is_made = True
            self.feeds = tuple(self._made())
        for feed in self.feeds:
            feed.take(spans)
        return bool(self.feeds)

    def _made(self) -> list[Feed]:
        feeds = []
        for outlet in self._outlets:
            try:
                feeds.append(_roomy(outlet.again()).feed())
            except Exception as error:
                faults.report(f"making the exporter {outlet.name}", error)
        return feeds


def _roomy(outlet: Outlet) -> Outlet:
    """Return the same with room for all that may have waited for the store, unless a limit is set.

    It comes in one piece where a full disk is given up at the end.
    """
    limits = outlet.limits
    if limits.max_queue_size is not None:
        return outlet
    return outlet._replace(limits=limits._replace(max_queue_size=2 * MAX_QUEUE))
