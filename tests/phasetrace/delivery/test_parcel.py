"""A request is cut until what the receiver refuses is alone; what is refused is believed late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasetrace.delivery.parcel import Parcel
from phasetrace.verdict import DELIVERED, Outcome, Verdict

REFUSED = Verdict(Outcome.REFUSED, "HTTP 400")
AWAY = Verdict(Outcome.UNAVAILABLE, "away")


class Receiver:
    """Takes each span but the poisoned ones, and no request of more than so many spans."""

    def __init__(self, poisoned: set[int], most: int = 10**9) -> None:
        self.poisoned = poisoned
        self.most = most
        self.taken: list[int] = []
        self.requests = 0

    def __call__(self, start: int, stop: int) -> Verdict:
        """Take a range of spans, or not."""
        self.requests += 1
        if stop - start > self.most:
            return Verdict(Outcome.TOO_LARGE, "HTTP 413")
        if self.poisoned & set(range(start, stop)):
            return REFUSED
        self.taken += range(start, stop)
        return DELIVERED


@given(
    st.integers(1, 300).flatmap(
        lambda spans: st.tuples(
            st.just(spans), st.sets(st.integers(0, spans - 1), max_size=min(7, spans - 1))
        )
    ),
    st.integers(1, 400),
)
def test_all_others_go_on(case: tuple[int, set[int]], most: int) -> None:
    """Beside an accepted span, exactly the poisoned ones are refused, the rest taken once."""
    spans, poisoned = case
    receiver, parcel = Receiver(poisoned, most), Parcel(spans)
    assert parcel.advance(receiver) is None
    assert receiver.taken == [span for span in range(spans) if span not in poisoned]
    assert [refusal.place for refusal in parcel.refusals] == sorted(poisoned)
    assert parcel.delivered == spans - len(poisoned)
    assert parcel.is_done


def test_one_among_many_is_found_in_few_requests() -> None:
    """Two for each time that the request is halved, one before, and one to make sure."""
    receiver, parcel = Receiver({1_234}), Parcel(2_048)
    assert parcel.advance(receiver) is None
    assert receiver.requests <= 2 * 11 + 2


def test_what_was_taken_before_an_outage_is_not_sent_again() -> None:
    """A parcel goes on where it was."""
    receiver, parcel = Receiver({3}), Parcel(8)
    answers = iter([None, None, None, None, None, AWAY])
    sent: list[tuple[int, int]] = []

    def send(start: int, stop: int) -> Verdict:
        sent.append((start, stop))
        return next(answers, None) or receiver(start, stop)

    assert parcel.advance(send) == AWAY
    assert parcel.advance(send) is None
    assert receiver.taken == [0, 1, 2, 4, 5, 6, 7]


def test_a_receiver_that_refuses_everything_is_not_believed() -> None:
    """Its spans wait, and it is not asked about each of them."""
    receiver, parcel = Receiver(set(range(1_000))), Parcel(1_000, is_trusted=True)
    assert parcel.advance(receiver) == REFUSED
    assert receiver.requests < 40
    assert not parcel.refusals
    assert parcel.pending == [(0, 1_000)]


def test_a_refused_span_that_is_alone_is_believed_after_a_success() -> None:
    """There is nothing beside it that the receiver could take."""
    assert Parcel(1, is_trusted=False).advance(Receiver({0})) == REFUSED
    parcel = Parcel(1, is_trusted=True)
    assert parcel.advance(Receiver({0})) is None
    assert [refusal.reason for refusal in parcel.refusals] == ["HTTP 400"]


def test_a_span_that_is_too_large_by_itself_is_refused_for_certain() -> None:
    """No success is needed to believe it."""
    parcel = Parcel(2)
    verdict = Verdict(Outcome.TOO_LARGE, "HTTP 413")
    assert parcel.advance(lambda start, stop: verdict) is None
    assert [refusal.is_certain for refusal in parcel.refusals] == [True, True]


def test_an_exporter_that_never_tells_why_is_tried_again_before_it_is_asked_about_parts() -> None:
    """An outage looks the same as a refusal then."""
    unknown = Verdict(Outcome.UNKNOWN, "it failed")
    sent: list[tuple[int, int]] = []
    parcel = Parcel(4)

    def send(start: int, stop: int) -> Verdict:
        sent.append((start, stop))
        return unknown if 2 in range(start, stop) else DELIVERED

    for _ in range(4):
        assert parcel.advance(send) == unknown
    assert sent == [(0, 4)] * 4
    while not parcel.is_done:
        parcel.advance(send)
    assert [refusal.place for refusal in parcel.refusals] == [2]
    assert parcel.delivered == 3


def test_spans_that_the_receiver_threw_away_are_not_counted_as_delivered() -> None:
    """It says how many, though not which."""
    parcel = Parcel(5)
    assert parcel.advance(lambda start, stop: DELIVERED._replace(rejected=2)) is None
    assert (parcel.delivered, parcel.rejected) == (3, 2)
