"""A request on its way: sent whole, and cut where the receiver will not take it.

A receiver that refuses a request for good refuses all of its spans, though it may be one of them
that it cannot take. So the request is halved until that one is alone; the others go on.

A refusal is believed only beside an acceptance. A receiver that refuses every span is broken or
wrongly set up, and its spans wait for a better time. Before that is said of it, it is asked about
the other end: the spans of one execution are neighbours, and share what is wrong with them. What
was refused before the first acceptance may have been refused in an outage, and is sent once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from phasetrace.verdict import Outcome, Verdict

_TRIES: Final = 5
"""So often an exporter that never tells why may fail before its request is halved."""
_MOST_REFUSED: Final = 8
"""So many refused spans, none accepted, and the last one refused too: then it is not the spans."""
_FEW: Final = 3
_CERTAIN: Final = (Outcome.TOO_LARGE, Outcome.UNREADABLE)


class Refusal(NamedTuple):
    """A span that the receiver will not take; ``place`` is where in the request."""

    place: int
    reason: str
    is_certain: bool = False
    """The span is too large by itself, or damaged: nothing else can be the reason."""


class Parcel:
    """The spans of one request, numbered from 0, and what has become of them. Not thread-safe.

    `is_trusted` says that the receiver has taken spans before: then it is believed when it refuses
    a few and there were no others to take. No more than `most` are sent at a time.
    """

    def __init__(self, spans: int, is_trusted: bool = False, most: int | None = None) -> None:
        self.spans = spans
        self.delivered = 0
        self.rejected = 0
        """Spans of which the receiver said that it did not keep them, though not which they are."""
        self.remark: str | None = None
        """What the receiver has said last of spans that it took."""
        self.refusals: list[Refusal] = []
        self._most = most or max(1, spans)
        self.pending = self._ranges()
        """What is still to be sent, in reverse order: half-open ranges."""
        self.is_restarted = False
        """The last `advance` ended with everything still to be sent, and nothing of it taken."""
        self._is_trusted = is_trusted
        self._tries = 0
        self._refused_once: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether something has become of every span."""
        return not self.pending

    def advance(self, send: Callable[[int, int], Verdict]) -> Verdict | None:
        """Send on; return why it has to wait, or None when it is done.

        `send` takes the range of spans to send.
        """
        self.is_restarted = False
        while self.pending:
            # From the far end once the near one looks hopeless; see `_is_incredible`.
            at = 0 if self._looks_incredible() else len(self.pending) - 1
            start, stop = self.pending[at]
            verdict = send(start, stop)
            if verdict.outcome is Outcome.DELIVERED:
                self._tries = 0
                self.pending.pop(at)
                self.remark = verdict.reason or self.remark
                self._take(stop - start, min(verdict.rejected, stop - start))
            elif not self._is_for_good(verdict):
                return verdict
            elif stop - start > 1:
                middle = (start + stop) // 2
                self.pending[at : at + 1] = [(middle, stop), (start, middle)]
            elif not self._is_repeated(start):
                continue  # it may have been the receiver's bad moment
            else:
                self.pending.pop(at)
                is_certain = verdict.outcome in _CERTAIN
                self.refusals.append(Refusal(start, verdict.reason, is_certain))
            if self._is_incredible():
                self._start_again()
                return verdict
        return None

    def _take(self, spans: int, rejected: int) -> None:
        """Note that so many spans arrived; the first time, ask again about those before them."""
        if not self.delivered and spans > rejected:
            doubtful = self._doubtful()
            self.refusals = [refusal for refusal in self.refusals if refusal.is_certain]
            self.pending += [(one.place, one.place + 1) for one in reversed(doubtful)]
            self._refused_once = None
        self.delivered += spans - rejected
        self.rejected += rejected

    def _is_for_good(self, verdict: Verdict) -> bool:
        if verdict.outcome is Outcome.UNKNOWN:
            self._tries = _TRIES if verdict.is_final else self._tries + 1
            return self._tries >= _TRIES
        return verdict.outcome is Outcome.REFUSED or verdict.outcome in _CERTAIN

    def _is_repeated(self, place: int) -> bool:
        """Tell whether the span was refused by itself before."""
        before, self._refused_once = self._refused_once, place
        return before == place

    def _is_incredible(self) -> bool:
        """Tell whether too much is refused, or all, for it to be the spans' fault.

        Too much is one more than makes it look so: that one is from the far end.
        """
        if self.delivered:
            return False
        doubtful = len(self._doubtful())
        if not doubtful:
            return False
        if doubtful > _MOST_REFUSED:
            return True
        is_little = self._is_trusted and self._tries == 0 and doubtful <= _FEW
        return self.is_done and not is_little

    def _looks_incredible(self) -> bool:
        """Tell whether nothing but an acceptance can show now that it is the spans' fault."""
        return not self.delivered and len(self._doubtful()) >= _MOST_REFUSED

    def _doubtful(self) -> list[Refusal]:
        return [refusal for refusal in self.refusals if not refusal.is_certain]

    def _start_again(self) -> None:
        self.is_restarted = True
        self.refusals.clear()
        self.rejected = 0
        self._refused_once = None
        self.pending = self._ranges()
        self._tries = 0

    def _ranges(self) -> list[tuple[int, int]]:
        starts = range(0, self.spans, self._most)
        return [(start, min(start + self._most, self.spans)) for start in reversed(starts)]
