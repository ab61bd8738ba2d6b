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


@given(
    st.integers(10, 300).flatmap(
        lambda spans: st.tuples(st.just(spans), st.sets(st.integers(0, spans - 2)))
    ),
    st.one_of(st.none(), st.integers(1, 100)),
    st.booleans(),
)
def test_the_far_end_speaks_for_the_receiver(
    case: tuple[int, set[int]], most: int | None, is_trusted: bool
) -> None:
    """Any number of spans is given up, beside the last one: nothing is behind them for ever."""
    spans, poisoned = case
    receiver, parcel = Receiver(poisoned), Parcel(spans, is_trusted, most)
    assert parcel.advance(receiver) is None
    assert sorted(receiver.taken) == [span for span in range(spans) if span not in poisoned]
    assert sorted(refusal.place for refusal in parcel.refusals) == sorted(poisoned)
    assert parcel.delivered == spans - len(poisoned)


def test_what_is_wrong_at_both_ends_is_wrong_with_the_receiver() -> None:
    """It has had its chance; then the spans wait."""
    receiver, parcel = Receiver({*range(8), 2_047}), Parcel(2_048, is_trusted=True)
    assert parcel.advance(receiver) == REFUSED
    assert receiver.requests < 50
    assert parcel.is_restarted
    assert parcel.pending == [(0, 2_048)]


def test_the_far_end_is_asked_again_after_an_outage() -> None:
    """A wait in between does not make it forget what it was about to ask."""
    receiver, parcel = Receiver(set(range(8))), Parcel(64)
    sent: list[tuple[int, int]] = []

    def send(start: int, stop: int) -> Verdict:
        sent.append((start, stop))
        is_first = sent.count((32, 64)) == 1
        return AWAY if (start, stop) == (32, 64) and is_first else receiver(start, stop)

    assert parcel.advance(send) == AWAY
    assert not parcel.is_restarted
    assert parcel.advance(send) is None
    assert receiver.taken[0] == 32
    assert [refusal.place for refusal in parcel.refusals] == list(range(8))


@given(
    st.integers(4, 300),
    st.integers(0, 150),
    st.sampled_from([Outcome.UNKNOWN, Outcome.REFUSED]),
    st.booleans(),
)
def test_the_end_of_an_outage_gives_no_good_span_up(
    spans: int, outage: int, outcome: Outcome, is_trusted: bool
) -> None:
    """What was refused before the first acceptance is sent once more, however the outage looked."""
    receiver, parcel = Receiver(set()), Parcel(spans, is_trusted)
    requests = 0

    def send(start: int, stop: int) -> Verdict:
        nonlocal requests
        requests += 1
        return receiver(start, stop) if requests > outage else Verdict(outcome, "an outage")

    while parcel.advance(send) is not None:
        pass
    assert (parcel.delivered, parcel.refusals) == (spans, [])
    assert sorted(receiver.taken) == list(range(spans))


def test_a_doubtful_span_that_is_bad_is_given_up_all_the_same() -> None:
    """After two more tries, beside the acceptance; it is refused once in the account."""
    receiver, parcel = Receiver({0}), Parcel(2)
    sent: list[tuple[int, int]] = []

    def send(start: int, stop: int) -> Verdict:
        sent.append((start, stop))
        return receiver(start, stop)

    assert parcel.advance(send) is None
    assert sent == [(0, 2), (0, 1), (0, 1), (1, 2), (0, 1), (0, 1)]
    assert [refusal.place for refusal in parcel.refusals] == [0]
    assert receiver.taken == [1]


def test_what_is_certain_stays_so() -> None:
    """A span that is too large is not sent again because another one was taken."""
    sent: list[tuple[int, int]] = []

    def send(start: int, stop: int) -> Verdict:
        sent.append((start, stop))
        return Verdict(Outcome.TOO_LARGE) if start == 0 else DELIVERED

    parcel = Parcel(2)
    assert parcel.advance(send) is None
    assert sent == [(0, 2), (0, 1), (0, 1), (1, 2)]
    assert [refusal.place for refusal in parcel.refusals] == [0]


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
    assert receiver.requests < 50
    assert not parcel.refusals
    assert parcel.is_restarted
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


def test_spans_that_were_thrown_away_before_a_restart_are_counted_once() -> None:
    """They are sent again with the others."""
    parcel = Parcel(2)
    refusals = iter([REFUSED] * 4)

    def send(start: int, stop: int) -> Verdict:
        if (start, stop) == (0, 1):
            return DELIVERED._replace(rejected=1)
        return next(refusals, DELIVERED)

    assert parcel.advance(send) == REFUSED
    assert (parcel.is_restarted, parcel.rejected) == (True, 0)
    while parcel.advance(send) is not None:
        pass
    assert not parcel.is_restarted
    assert parcel.delivered + parcel.rejected + len(parcel.refusals) == parcel.spans


def test_an_error_that_is_said_to_be_permanent_saves_the_tries() -> None:
    """The bad span is found at once; alone, it is believed no more than any other unknown error."""
    final = Verdict(Outcome.UNKNOWN, "Permanent error: too large", is_final=True)
    requests: list[tuple[int, int]] = []

    def answer(start: int, stop: int) -> Verdict:
        requests.append((start, stop))
        return final if start <= 5 < stop else DELIVERED

    parcel = Parcel(8)
    assert parcel.advance(answer) is None
    assert [one.place for one in parcel.refusals] == [5]
    assert parcel.delivered == 7
    alone = Parcel(1, is_trusted=True)
    assert alone.advance(lambda *_: final) is final
    assert alone.is_restarted
