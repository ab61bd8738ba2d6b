"""An exporter at arm's length: whatever it does, its caller gets an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from phasetrace import faults
from phasetrace.delivery.backoff import Backoff
from phasetrace.encoded import encoded
from phasetrace.hiding import hidden_in_logs, hide, secrets_of
from phasetrace.otlp_bytes import ByteSender, BytesNotTakenError, byte_sender
from phasetrace.redacted_spans import redacted_spans
from phasetrace.verdict import Outcome, Verdict, answered, raised
from phasetrace.wire import EncodedSpan, frame

if TYPE_CHECKING:
    from phasetrace.otlp_attempt import Attempt

_MAX_REQUEST: Final = 2 * 2**20
"""Bytes of spans in one request: half of what gRPC receivers take if nobody told them otherwise."""
_SLOW_S: Final = 2.0

_Pair = tuple[ReadableSpan, EncodedSpan]


class Destination:
    """Calls an exporter, which may raise, hang, or answer anything. Never raises.

    While it is called, instrumentation is suppressed, for exporting not to be traced and exported,
    and what is secret of its headers is taken out of what is logged and answered.

    `export` tries for as long as the exporter is set to; what it meets is reported as a fault, in
    the words of `explain`, unless the exporter logs it by itself. `send` and `export_spans` answer
    with what is to be known, for their caller to try again and to say why; `send` tries once. What
    is not to leave the process is redacted by `export`; what is stored is so already.
    """

    def __init__(
        self,
        name: str,
        exporter: Any,
        explain: Callable[[Verdict], str] = attrgetter("reason"),
    ) -> None:
        self._name = name
        self._exporter = exporter
        self._explain = explain
        self._secrets = secrets_of(exporter)
        self._is_over = threading.Event()
        self._send: ByteSender | None = byte_sender(exporter)
        self._attempt: Attempt | None = _attempts(exporter) if self._send is not None else None
        self._called_at: float | None = None
        self._failing = False
        self.problem: str | None = None
        """Why an `export` failed, the last one that did; None if none did, or none told."""

    @property
    def takes_bytes(self) -> bool:
        """Whether spans go to the exporter as the bytes that they are encoded as anyway."""
        return self._send is not None

    @property
    def busy_s(self) -> float:
        """For how many seconds the present call has been going on; 0 if there is none."""
        called_at = self._called_at
        return time.monotonic() - called_at if called_at is not None else 0.0

    @property
    def keeps_up(self) -> bool:
        """False if the last call failed, or the present one takes more than two seconds."""
        return not self._failing and self.busy_s <= _SLOW_S

    def export(
        self, spans: Sequence[ReadableSpan], until: float | None = None
    ) -> Iterator[tuple[int, bool]]:
        """Export spans, in one request or more; give of each how many and whether successfully.

        The numbers add up to the number of spans. An exporter that is known well enough is tried no
        longer than `until` (monotonic seconds).
        """
        if not self.takes_bytes:
            shown = redacted_spans(spans)
            if len(shown) < len(spans):
                yield len(spans) - len(shown), False
            yield len(shown), self._export(partial(self._exporter.export, shown))
            return
        messages = zip(spans, encoded(spans), strict=True)
        pairs = [(span, message) for span, message in messages if message is not None]
        if len(pairs) < len(spans):
            yield len(spans) - len(pairs), False
        for request in _requests(pairs):
            yield len(request), self._export(partial(self._export_encoded, request, until))

    def send(self, payload: bytes, spans: int, timeout_s: float | None = None) -> Verdict:
        """Send a serialized ``ExportTraceServiceRequest`` with so many spans in it, once.

        That takes no longer than `timeout_s` and the exporter's own timeout, whichever is shorter.
        Only for an exporter that `takes_bytes`. If it turns out that it does not, nothing was sent,
        `takes_bytes` is False from then on, and the verdict is `Outcome.UNKNOWN`: decode the spans,
        and call `export_spans`.

        An exporter that is known less far inside tries again and logs by itself.
        """
        return self._judged(lambda: self._sent(payload, spans, timeout_s))

    def export_spans(self, spans: Sequence[ReadableSpan]) -> Verdict:
        """Export spans through the exporter's public method."""
        return self._judged(lambda: answered(self._exporter.export(spans)))

    def force_flush(self, timeout_s: float) -> bool:
        """Have the exporter flush what it keeps back; return whether it did."""
        flush = getattr(self._exporter, "force_flush", None)
        if flush is None:
            return True
        call = partial(flush, max(0, int(timeout_s * 1000)))
        return self._call(f"flushing the exporter {self._name}", call, False) is not False

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._is_over.set()
        self._call(f"shutting the exporter {self._name} down", self._exporter.shutdown, None)

    def _export_encoded(self, request: list[_Pair], until: float | None) -> SpanExportResult:
        if self._send is not None:
            try:
                if self._attempt is not None:
                    payload = frame(one for _, one in request)
                    return self._persist(self._attempt, payload, len(request), until)
                return self._send(frame(one for _, one in request), len(request))
            except BytesNotTakenError as error:
                self._takes_no_bytes(error)
        shown = redacted_spans([span for span, _ in request])
        result: SpanExportResult = self._exporter.export(shown)
        return result

    def _persist(
        self, attempt: Attempt, payload: bytes, spans: int, until: float | None
    ) -> SpanExportResult:
        """Send, and send again while that may help and the exporter's time is not over.

        Raises:
            BytesNotTakenError: if the exporter takes none.
        """
        from phasetrace.otlp_attempt import configured_timeout_s

        deadline = time.monotonic() + configured_timeout_s(self._exporter)
        if until is not None:
            deadline = min(deadline, until)
        backoff = Backoff()
        while True:
            verdict = attempt(payload, spans, deadline - time.monotonic())
            if verdict.outcome is Outcome.DELIVERED:
                return SpanExportResult.SUCCESS
            wait_s = backoff.next_s(verdict.retry_after_s)
            is_passing = verdict.outcome in (Outcome.UNAVAILABLE, Outcome.UNKNOWN)
            is_late = time.monotonic() + wait_s >= deadline
            if not is_passing or is_late or self._is_over.wait(wait_s):
                self.problem = self.explained(verdict)
                faults.report(f"cannot deliver to {self._name}: {self.problem}")
                return SpanExportResult.FAILURE

    def explained(self, verdict: Verdict) -> str:
        """Return in one line why spans did not arrive, and what to change."""
        return self._explain(self._hidden(verdict))

    def _hidden(self, verdict: Verdict) -> Verdict:
        return verdict._replace(reason=hide(verdict.reason, self._secrets))

    def _export(self, export: Callable[[], object]) -> bool:
        result = self._call(f"exporting to {self._name}", export, SpanExportResult.FAILURE)
        self._failing = result is not SpanExportResult.SUCCESS
        return not self._failing

    def _sent(self, payload: bytes, spans: int, timeout_s: float | None) -> Verdict:
        send, attempt = self._send, self._attempt
        if send is not None:
            try:
                if attempt is not None:
                    return attempt(payload, spans, timeout_s)
                return answered(send(payload, spans))
            except BytesNotTakenError as error:
                self._takes_no_bytes(error)
        return Verdict(Outcome.UNKNOWN, "the exporter takes no bytes")

    def _judged(self, call: Callable[[], Verdict]) -> Verdict:
        try:
            with self._calling():
                verdict = call()
        except Exception as error:
            with hidden_in_logs(self._secrets):
                verdict = raised(error)
        self._failing = verdict.outcome is not Outcome.DELIVERED
        return self._hidden(verdict) if verdict.reason else verdict

    def _takes_no_bytes(self, error: BytesNotTakenError) -> None:
        self._send = None
        faults.report(f"handing bytes to {self._name}; it is handed spans", error.__cause__)

    def _call(self, what: str, call: Callable[[], object], otherwise: object) -> object:
        try:
            with self._calling():
                return call()
        except Exception as error:
            faults.report(what, error, self._secrets)
            return otherwise

    @contextmanager
    def _calling(self) -> Iterator[None]:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        self._called_at = time.monotonic()
        try:
            with hidden_in_logs(self._secrets):
                yield
        finally:
            self._called_at = None
            detach(token)


def _attempts(exporter: Any) -> Attempt | None:
    from phasetrace.otlp_attempt import attempts  # what it imports, such an exporter has imported

    return attempts(exporter)


def _requests(pairs: list[_Pair]) -> Iterator[list[_Pair]]:
    """Cut spans into requests of no more than `_MAX_REQUEST` bytes, or of one larger span."""
    request: list[_Pair] = []
    size = 0
    for pair in pairs:
        size += len(pair[1].span)
        if request and size > _MAX_REQUEST:
            yield request
            request, size = [], len(pair[1].span)
        request.append(pair)
    if request:
        yield request
