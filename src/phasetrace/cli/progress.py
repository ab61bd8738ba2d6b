"""The line that ``phasetrace run`` shows on a terminal: what the program is doing, and how long.

A thread looks five times a second at what is open and how much has been counted, takes no lock for
it, and asks the store once for what the workflow usually takes, and now and then for how many
tokens models have taken. It ends with the program, and when that forks: a child would have the lock
of a thread that it does not have.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from phasetrace import clock, faults
from phasetrace.cli.progress_text import Doing, Progress, progress_text
from phasetrace.cli.status_line import StatusLine
from phasetrace.cli.table import columns_of
from phasetrace.environment import can_draw, colour_wanted
from phasetrace.pipeline import pipeline
from phasetrace.spans import EXECUTION, PhaseKey
from phasetrace.threads import join_for_good

if TYPE_CHECKING:
    from phasetrace.collector import TimingCollector
    from phasetrace.history import Usual
    from phasetrace.store.reader import StoreReader
    from phasetrace.store.tokens import TokenCount
    from phasetrace.tally import ExecutionTally

Answer = TypeVar("Answer")

PERIOD_S: Final = 0.2
START_S: Final = 1.0
"""A program that takes no longer than that is done before anybody has read a line."""

_MOST_OPEN: Final = 128
_TOKENS_S: Final = 2.0
"""So often they are counted."""
_WITHOUT_TOKENS: Final = 50_000
"""Who has ended so many spans and no use of a model among them is not looked through any more."""
_JOIN_S: Final = 1.0
_FAINT: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class ProgressThread:
    """Shows how far the program is. Never raises into it."""

    def __init__(self, collector: TimingCollector, line: StatusLine) -> None:
        self._collector = collector
        self._line = line
        self._usual: dict[str, Usual | None] = {}
        self._tokens = 0
        self._token_count: TokenCount | None = None
        self._counted_at = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="phasetrace-progress", daemon=True
        )
        self._is_coloured = colour_wanted(True)
        self._in_ascii = "utf" not in (getattr(sys.stderr, "encoding", None) or "").lower()

    def start(self) -> None:
        """Begin to look."""
        try:
            self._line.take_streams()
            os.register_at_fork(before=self.stop)
            if self._thread is not None:
                self._thread.start()
        except Exception as error:
            faults.report("showing the progress", error)

    def stop(self) -> None:
        """Take the line away for good. Idempotent; may be called from any thread."""
        self._line.end()
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            join_for_good(thread, _JOIN_S)

    def _run(self) -> None:
        try:
            wait_s = START_S
            while not self._over.wait(wait_s) and not self._line.is_over:
                wait_s = PERIOD_S
                progress = look(self._collector, clock.now_ns())
                if progress is None:
                    self._line.clear()
                    continue
                progress = progress._replace(
                    usual=self._usual_of(progress), tokens=self._tokens_of(progress)
                )
                text = progress_text(progress, self._width(), self._in_ascii)
                self._line.show(self._styled(text))
        except Exception as error:
            self._line.end()
            faults.report("showing the progress", error)

    def _usual_of(self, progress: Progress) -> Usual | None:
        name = progress.name
        if name is None or name == progress.exec_id:
            return None
        if name not in self._usual:
            started_ns = progress.started_ns
            self._usual[name] = _asked(lambda store: store.usual_before(name, started_ns))
        return self._usual[name]

    def _tokens_of(self, progress: Progress) -> int:
        from phasetrace.store.tokens import TokenCount

        if progress.spans > _WITHOUT_TOKENS and not self._tokens:
            return 0
        if time.monotonic() - self._counted_at >= _TOKENS_S:
            if self._token_count is None:
                self._token_count = TokenCount()
            count = self._token_count
            found = _asked(lambda store: count.read(store, progress.open_ids, progress.started_ns))
            self._tokens = self._tokens if found is None else found
            self._counted_at = time.monotonic()
        return self._tokens

    def _width(self) -> int:
        try:
            return columns_of(2) - 1
        except OSError:
            return 79

    def _styled(self, text: str) -> str:
        return f"{_FAINT}{text}{_RESET}" if self._is_coloured else text


def progress_thread(collector: TimingCollector) -> ProgressThread | None:
    """Return what shows the progress on the terminal that stderr is, None where it is none."""
    try:
        if sys.stderr is None or not sys.stderr.isatty() or not can_draw():
            return None
        return ProgressThread(collector, StatusLine(sys.stderr.fileno()))
    except (OSError, ValueError, AttributeError):
        return None


def look(collector: TimingCollector, now_ns: int) -> Progress | None:
    """Return what goes on in this process: the open execution that began first, all open calls.

    None where nothing is open. Of many open calls the first and the last few are looked at. Takes
    no lock: what is read is copied in one step each, and may be a moment apart.
    """
    open_spans: dict[str, list[tuple[int, int | None, int, Any]]] = {}
    ours = pipeline.open.copy()
    some: Any = ours.values()
    unseen = max(0, len(ours) - 2 * _MOST_OPEN)
    if unseen:  # PERF: to look at 16,000 would be felt
        some = chain(islice(some, _MOST_OPEN), islice(reversed(ours.values()), _MOST_OPEN))
    for span in some:
        if span._start_time is not None and span._exec_id is not None:
            found = (span._span_id, span._parent_id, span._start_time, span.key() or EXECUTION)
            open_spans.setdefault(span._exec_id, []).append(found)
    tallies = collector._executions.copy()
    for exec_id, tally in tallies.items():
        if tally.open:  # spans of another provider
            theirs = list(tally.open.copy().values())[:_MOST_OPEN]
            open_spans.setdefault(exec_id, []).extend(theirs)
    if not open_spans:
        return None
    exec_id, spans = min(open_spans.items(), key=lambda item: min(one[2] for one in item[1]))
    known = tallies.get(exec_id)
    everywhere = [one for those in open_spans.values() for one in those]
    above = {span._parent_id for span in ours.values()}
    above |= {parent_id for _, parent_id, _, _ in everywhere}
    doing = [
        Doing(key.node_id, key.phase, max(0, now_ns - start_ns))
        for span_id, _, start_ns, key in sorted(everywhere, key=lambda one: one[2])
        if isinstance(key, PhaseKey) and span_id not in above
    ]
    started_ns = min(one[2] for one in spans)
    if known is not None and known.spans and all(key != EXECUTION for *_, key in spans):
        started_ns = min(started_ns, known.extent()[0])
    return Progress(
        exec_id=exec_id,
        name=known.name if known is not None else None,
        started_ns=started_ns,
        elapsed_ns=max(0, now_ns - started_ns),
        spans=sum(tallies[one].spans for one in open_spans if one in tallies),
        others=len(open_spans) - 1,
        open_ids=tuple(open_spans),
        doing=tuple(doing),
        unseen=unseen,
        errors=sum(_errors(tallies[one]) for one in open_spans if one in tallies),
    )


def _errors(tally: ExecutionTally) -> int:
    return sum(stat.errors for stat in tally.stats.copy().values())


def _asked(question: Callable[[StoreReader], Answer]) -> Answer | None:
    """Ask the store; None where there is none, or it cannot be read now."""
    from phasetrace import configuration
    from phasetrace.errors import PhasetraceError
    from phasetrace.store.reader import StoreReader

    tracing = configuration.latest_tracing()
    if tracing is None or tracing.settings.store is None:
        return None
    try:
        with StoreReader(tracing.settings.store) as store:
            return question(store)
    except (PhasetraceError, OSError):
        return None
