"""An exporter at arm's length: what it gets, and that whatever it does is an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from phasetrace import destination, faults
from phasetrace.context import is_suppressed
from phasetrace.delivery.backoff import Backoff
from phasetrace.destination import Destination
from phasetrace.otlp_bytes import BytesNotTakenError
from phasetrace.verdict import DELIVERED, Outcome, Verdict
from phasetrace.wire import EncodedSpan

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


class Exporter:
    """Answers what it is told to; keeps what it got."""

    def __init__(self, answer: Callable[[], object] = lambda: SUCCESS) -> None:
        self.answer = answer
        self.exported: list[list[ReadableSpan]] = []

    def export(self, spans: Sequence[ReadableSpan]) -> object:
        """Take spans."""
        self.exported.append(list(spans))
        return self.answer()

    def force_flush(self, timeout_millis: int = 30_000) -> object:
        """Flush."""
        return self.answer()

    def shutdown(self) -> None:
        """Shut down."""
        self.answer()


class Sender:
    """Takes bytes in an exporter's place."""

    def __init__(self, answer: Callable[[], Any] = lambda: SUCCESS) -> None:
        self.answer = answer
        self.sent: list[tuple[bytes, int]] = []

    def __call__(self, payload: bytes, spans: int) -> Any:
        """Take bytes."""
        self.sent.append((payload, spans))
        return self.answer()


def raising(error: BaseException) -> Callable[[], object]:
    """Return a function that raises."""

    def answer() -> object:
        raise error

    return answer


@pytest.fixture
def take_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sender], Destination]:
    """Return a function that makes a destination whose exporter takes bytes."""

    def take_bytes(sender: Sender, exporter: object = None) -> Destination:
        monkeypatch.setattr(destination, "byte_sender", lambda exporter: sender)
        # Plain messages, to be read here: a span is its name, a request its spans.
        monkeypatch.setattr(destination, "encoded", lambda spans: list(map(as_its_name, spans)))
        monkeypatch.setattr(destination, "frame", lambda spans: b"".join(s.span for s in spans))
        return Destination("mine", exporter or Exporter())

    return take_bytes


def as_its_name(span: ReadableSpan) -> EncodedSpan | None:
    """Encode a span as its name; one that cannot be."""
    return EncodedSpan(span.name.encode(), b"", "", b"", "") if span.name != "odd" else None


def spans(*names: str) -> list[ReadableSpan]:
    """Return finished spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    made = [tracer.start_span(name) for name in names]
    for span in made:
        span.end()
    return made  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "is_delivered"),
    [(lambda: SUCCESS, True), (lambda: FAILURE, False), (lambda: None, False), (lambda: 0, False)],
)
def test_only_success_is_delivery(answer: Callable[[], object], is_delivered: bool) -> None:
    """Whatever else an exporter answers, the spans may not have arrived."""
    exporter = Exporter(answer)
    some = spans("a", "b")
    one = Destination("mine", exporter)
    assert list(one.export(some)) == [(2, is_delivered)]
    assert one.keeps_up is is_delivered
    assert exporter.exported == [some]


def test_what_an_exporter_raises_is_a_fault_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, said once, and goes no further."""
    one = Destination("mine", Exporter(raising(OSError("no"))))
    for _ in range(2):
        assert list(one.export(spans("a"))) == [(1, False)]
        assert not one.force_flush(1.0)
        one.shutdown()
    assert set(faults.counts().values()) == {2}
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "exporting to mine",
        "flushing the exporter mine",
        "shutting the exporter mine down",
    ]


@pytest.mark.parametrize(("answer", "flushed"), [(True, True), (None, True), (False, False)])
def test_an_exporter_that_cannot_flush_says_no(answer: object, flushed: bool) -> None:
    """Many answer nothing at all."""
    assert Destination("mine", Exporter(lambda: answer)).force_flush(1.0) is flushed


def test_an_exporter_need_not_flush() -> None:
    """One that keeps nothing back may have no method for it."""
    assert Destination("mine", object()).force_flush(1.0)


def test_exporting_is_not_traced() -> None:
    """Instrumentation is suppressed in the exporter, and only there."""
    seen = []

    def look() -> object:
        seen.append(is_suppressed())
        return SUCCESS

    one = Destination("mine", Exporter(look))
    list(one.export(spans("a")))
    one.force_flush(1.0)
    one.shutdown()
    assert (seen, is_suppressed()) == ([True] * 3, False)


def test_an_exporter_that_takes_long_does_not_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds are given to it; afterwards its answer counts."""
    now_s = 1000.0
    monkeypatch.setattr("phasetrace.destination.time.monotonic", lambda: now_s)
    seen = []

    def take_long() -> object:
        nonlocal now_s
        for _ in range(3):
            seen.append((one.busy_s, one.keeps_up))
            now_s += 1.5
        return SUCCESS

    one = Destination("mine", Exporter(take_long))
    list(one.export(spans("a")))
    assert seen == [(0.0, True), (1.5, True), (3.0, False)]
    assert (one.busy_s, one.keeps_up) == (0.0, True)


def test_an_exporter_that_failed_does_not_keep_up_until_it_delivers() -> None:
    """Flushing it says nothing about that."""
    answers = [FAILURE, None, SUCCESS]
    one = Destination("mine", Exporter(lambda: answers.pop(0)))
    list(one.export(spans("a")))
    one.force_flush(1.0)
    assert not one.keeps_up
    list(one.export(spans("a")))
    assert one.keeps_up


def test_bytes_go_in_place_of_spans(take_bytes: Callable[..., Destination]) -> None:
    """The exporter is not asked to encode anything."""
    sender, exporter = Sender(), Exporter()
    one = take_bytes(sender, exporter)
    assert one.takes_bytes
    assert list(one.export(spans("a", "b", "c"))) == [(3, True)]
    assert (sender.sent, exporter.exported) == ([(b"abc", 3)], [])


def test_a_span_that_cannot_be_encoded_costs_no_other(
    take_bytes: Callable[..., Destination],
) -> None:
    """It has failed; the others are sent."""
    sender = Sender()
    assert sorted(take_bytes(sender).export(spans("a", "odd", "b"))) == [(1, False), (2, True)]
    assert sender.sent == [(b"ab", 2)]


def test_requests_are_no_larger_than_receivers_take(
    take_bytes: Callable[..., Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A span that is larger goes by itself; each request has an answer of its own."""
    monkeypatch.setattr(destination, "_MAX_REQUEST", 4)
    answers = [SUCCESS, SUCCESS, FAILURE, SUCCESS, SUCCESS]
    sender = Sender(lambda: answers.pop(0))
    names = ("fffff", "aa", "bb", "c", "dddddd", "ee")
    assert list(take_bytes(sender).export(spans(*names))) == [
        (1, True),
        (2, True),
        (1, False),
        (1, True),
        (1, True),
    ]
    assert [payload for payload, _ in sender.sent] == [b"fffff", b"aabb", b"c", b"dddddd", b"ee"]


def test_nothing_to_send_is_not_sent(take_bytes: Callable[..., Destination]) -> None:
    """No request is made without spans."""
    sender = Sender()
    assert list(take_bytes(sender).export(spans("odd"))) == [(1, False)]
    assert sender.sent == []


def test_an_exporter_that_takes_no_bytes_after_all_gets_spans(
    take_bytes: Callable[..., Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those it did not take, and from then on all; that is said once."""
    monkeypatch.setattr(destination, "_MAX_REQUEST", 1)
    sender, exporter = Sender(raising(BytesNotTakenError())), Exporter()
    one = take_bytes(sender, exporter)
    some = spans("a", "b")
    assert list(one.export(some)) == [(1, True), (1, True)]
    assert list(one.export(some)) == [(2, True)]
    assert (len(sender.sent), one.takes_bytes) == (1, False)
    assert exporter.exported == [some[:1], some[1:], some]
    assert faults.counts() == {"handing bytes to mine; it is handed spans": 1}


def test_what_an_exporter_raises_over_bytes_is_not_tried_with_spans(
    take_bytes: Callable[..., Destination],
) -> None:
    """They may have arrived."""
    sender, exporter = Sender(raising(OSError("no"))), Exporter()
    assert list(take_bytes(sender, exporter).export(spans("a"))) == [(1, False)]
    assert exporter.exported == []


def told(outcome: Outcome, reason: str) -> Verdict:
    """Return a verdict of which a reason is all that is known."""
    return Verdict(outcome, reason)


SILENT = told(Outcome.UNKNOWN, "the exporter does not tell why it failed")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (lambda: SUCCESS, DELIVERED),
        (lambda: FAILURE, SILENT),
        (lambda: None, DELIVERED),
        (raising(OSError("no room")), told(Outcome.UNKNOWN, "OSError: no room")),
    ],
)
def test_any_exporter_gives_a_verdict(
    take_bytes: Callable[..., Destination], answer: Callable[[], Any], verdict: Verdict
) -> None:
    """On spans, or on bytes; what it raises is a reason, for the caller to say or not."""
    exporter, sender = Exporter(answer), Sender(answer)
    some = spans("a", "b")
    of_spans, of_bytes = Destination("mine", exporter), take_bytes(sender)
    assert of_spans.export_spans(some) == verdict
    assert of_bytes.send(b"ab", 2) == verdict
    assert (exporter.exported, sender.sent) == ([some], [(b"ab", 2)])
    assert of_spans.keeps_up is of_bytes.keeps_up is (verdict is DELIVERED)
    assert faults.counts() == {}


def test_an_attempt_is_made_where_it_can_be(
    take_bytes: Callable[..., Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows more, and takes no longer than it is given."""
    made = []

    def attempt(payload: bytes, spans: int, timeout_s: float | None) -> Verdict:
        made.append((payload, spans, timeout_s))
        return told(Outcome.REFUSED, "HTTP 400")

    monkeypatch.setattr(destination, "_attempts", lambda exporter: attempt)
    sender = Sender()
    one = take_bytes(sender)
    assert one.send(b"ab", 2, 1.5) == told(Outcome.REFUSED, "HTTP 400")
    assert (made, sender.sent, one.keeps_up) == ([(b"ab", 2, 1.5)], [], False)


def test_an_exporter_that_takes_no_bytes_after_all_says_so(
    take_bytes: Callable[..., Destination],
) -> None:
    """Then it is for the caller to export the spans, which have not been sent."""
    sender, exporter = Sender(raising(BytesNotTakenError())), Exporter()
    one = take_bytes(sender, exporter)
    assert one.takes_bytes
    for _ in range(2):
        assert one.send(b"ab", 2) == told(Outcome.UNKNOWN, "the exporter takes no bytes")
        assert not one.takes_bytes
    assert one.export_spans(spans("a", "b")) is DELIVERED
    assert len(sender.sent) == len(exporter.exported) == 1
    assert faults.counts() == {"handing bytes to mine; it is handed spans": 1}


def test_sending_is_not_traced(take_bytes: Callable[..., Destination]) -> None:
    """Nor is exporting for a verdict; and both can be seen to be under way."""
    seen = []

    def look() -> object:
        seen.append((is_suppressed(), one.busy_s > 0))
        return SUCCESS

    one = Destination("mine", Exporter(look))
    one.export_spans(spans("a"))
    one = take_bytes(Sender(look))
    one.send(b"a", 1)
    assert (seen, is_suppressed(), one.busy_s) == ([(True, True)] * 2, False, 0.0)


class Secretive(Exporter):
    """Has a header, and is set to try for a time."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        super().__init__()
        self._headers = {"key": "hunter2"}
        self._timeout = timeout_s


Attempting = Callable[..., Destination]


@pytest.fixture
def attempting(
    take_bytes: Callable[..., Destination], monkeypatch: pytest.MonkeyPatch
) -> Attempting:
    """Return a function that makes a destination whose attempts end with these verdicts."""

    def attempting(*verdicts: Verdict, timeout_s: float = 10.0) -> Destination:
        left = list(verdicts)
        monkeypatch.setattr(destination, "_attempts", lambda exporter: lambda *_: left.pop(0))
        return take_bytes(Sender(), Secretive(timeout_s))

    monkeypatch.setattr(destination, "Backoff", lambda: Backoff(lambda least, most: 0.0))
    return attempting


BUSY = told(Outcome.UNAVAILABLE, "HTTP 503")
LOGIN = told(Outcome.MISCONFIGURED, "HTTP 401: no hunter2 here")


def test_exporting_tries_again_while_that_may_help(
    attempting: Attempting, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is said when it did."""
    one = attempting(BUSY, SILENT, DELIVERED)
    assert list(one.export(spans("a", "b"))) == [(2, True)]
    assert (one.problem, one.keeps_up, caplog.records) == (None, True, [])


@pytest.mark.parametrize("verdicts", [[LOGIN, DELIVERED], [BUSY, LOGIN, DELIVERED]])
def test_exporting_gives_up_where_it_cannot_help(
    attempting: Attempting, verdicts: list[Verdict], caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is kept, and said once, without the key that the receiver repeats."""
    one = attempting(*verdicts, LOGIN)
    assert list(one.export(spans("a"))) == [(1, False)]
    assert (one.problem, one.keeps_up) == ("HTTP 401: no … here", False)
    list(one.export(spans("a")))
    list(one.export(spans("a")))
    assert one.problem == "HTTP 401: no … here"
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        "phasetrace: cannot deliver to mine: HTTP 401: no … here"
    ]


def test_exporting_gives_up_when_the_exporters_time_is_over(attempting: Attempting) -> None:
    """It is set by ``OTEL_EXPORTER_OTLP_TIMEOUT``."""
    one = attempting(BUSY, DELIVERED, timeout_s=0.0)
    assert list(one.export(spans("a"))) == [(1, False)]
    assert one.problem == "HTTP 503"


def test_exporting_gives_up_when_the_callers_time_is_over(attempting: Attempting) -> None:
    """Which may be shorter than the exporter's."""
    one = attempting(BUSY, DELIVERED)
    assert list(one.export(spans("a"), until=0.0)) == [(1, False)]
    assert one.problem == "HTTP 503"


def test_exporting_gives_up_when_it_is_shut_down(
    attempting: Attempting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for what comes then."""
    one = attempting(BUSY, DELIVERED)
    one.shutdown()
    assert list(one.export(spans("a"))) == [(1, False)]


def test_why_is_told_in_the_words_of_who_knows_the_settings(
    attempting: Attempting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come after secrets have been taken out."""
    one = attempting(LOGIN)
    monkeypatch.setattr(one, "_explain", lambda verdict: f"{verdict.reason}; set KEY")
    list(one.export(spans("a")))
    assert one.problem == "HTTP 401: no … here; set KEY"


def test_verdicts_are_without_secrets(attempting: Attempting) -> None:
    """They are stored, and shown."""
    assert attempting(LOGIN).send(b"a", 1) == LOGIN._replace(reason="HTTP 401: no … here")
    raising_one = Secretive()
    raising_one.answer = raising(ValueError("metadata was invalid: hunter2"))
    one = Destination("mine", raising_one)
    assert one.export_spans(spans("a")).reason == "ValueError: metadata was invalid: …"


def test_a_verdict_on_an_exception_is_cut_after_secrets_are_out() -> None:
    """A part of a key would not be recognized."""
    exporter = Exporter(raising(ValueError("x" * 181 + "k3y" * 100)))
    exporter._headers = {"key": "k3y" * 100}  # type: ignore[attr-defined]
    verdict = Destination("mine", exporter).export_spans(spans("a"))
    assert verdict.reason == f"ValueError: {'x' * 181}…"


def test_faults_are_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """They are logged."""
    exporter = Secretive()
    exporter.answer = raising(ValueError("metadata was invalid: hunter2"))
    list(Destination("mine", exporter).export(spans("a")))
    (record,) = caplog.records
    assert "metadata was invalid: … (further" in record.getMessage()
