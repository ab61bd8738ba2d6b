"""Test the log-linear histogram against sorted lists of the same values."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace.histogram import RELATIVE_ERROR, Histogram

VALUES = st.one_of(
    st.integers(0, 300), st.integers(0, 10**12), st.integers(0, 70).map(lambda bits: 1 << bits)
)
SAMPLES = st.lists(VALUES, min_size=1, max_size=60)
PER_MILLE = st.integers(0, 1000)


def filled(values: list[int]) -> Histogram:
    """Return a histogram of the values."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def nearest_rank(values: list[int], per_mille: int) -> int:
    """Return the exact quantile by its definition."""
    rank = max(1, ceil(Fraction(per_mille, 1000) * len(values)))
    return sorted(values)[rank - 1]


@given(SAMPLES, PER_MILLE)
def test_quantile_is_nearest_rank_within_the_error(values: list[int], per_mille: int) -> None:
    """A quantile differs from the exact nearest rank by no more than the stated error."""
    exact = nearest_rank(values, per_mille)
    found = filled(values).quantile(per_mille / 1000)
    assert abs(Fraction(found) - exact) <= Fraction(RELATIVE_ERROR) * exact


@pytest.mark.parametrize("value", range(128))
def test_short_durations_are_exact(value: int) -> None:
    """Below 128 ns nothing is rounded."""
    assert filled([value]).quantile(0.5) == value


@pytest.mark.parametrize("bits", [7, 8, 20, 40, 62, 63, 64, 200])
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_error_holds_beside_powers_of_two(bits: int, offset: int) -> None:
    """The error bound holds on both sides of each change of resolution, with no upper limit."""
    value = (1 << bits) + offset
    assert abs(filled([value]).quantile(1) - value) * 128 <= value


def test_error_is_at_most_one_percent() -> None:
    """The stated error is the promised one percent or better."""
    assert RELATIVE_ERROR <= 0.01


def test_error_bound_is_reached() -> None:
    """The stated error is not an overstatement: 128 ns has it in full."""
    assert filled([128]).quantile(0) == 129


@given(SAMPLES, PER_MILLE, PER_MILLE)
def test_quantiles_do_not_fall(values: list[int], one: int, other: int) -> None:
    """A higher rank never gives a lower quantile."""
    histogram = filled(values)
    low, high = sorted((one, other))
    assert histogram.quantile(low / 1000) <= histogram.quantile(high / 1000)


@pytest.mark.parametrize("hundredth", range(1, 101))
def test_decimal_quantiles_mean_the_decimal(hundredth: int) -> None:
    """A q of k hundredths is rank k of 100 although floats hold many of them a little high."""
    assert filled(list(range(1, 101))).quantile(hundredth / 100) == hundredth


def test_quantile_zero_is_the_least_value() -> None:
    """Rank 0 is taken as the first."""
    assert filled([9, 5, 7]).quantile(0) == 5


def test_quantile_one_is_the_greatest_value_of_very_many() -> None:
    """The highest rank is not lowered by the allowance for float rounding."""
    histogram = Histogram()
    histogram.add(1, 2**70)
    histogram.add(2)
    assert histogram.quantile(1.0) == 2


@pytest.mark.parametrize("q", [0, 0.5, 1])
def test_empty_quantile_is_zero(q: float) -> None:
    """An empty histogram has quantile 0."""
    assert Histogram().quantile(q) == 0


@pytest.mark.parametrize("q", [-0.001, 1.001, float("nan"), float("inf")])
def test_quantile_outside_the_unit_interval_is_refused(q: float) -> None:
    """A q that is no fraction is an error, also without values."""
    with pytest.raises(ValueError, match="quantile"):
        Histogram().quantile(q)


def test_negative_duration_counts_as_zero() -> None:
    """A clock that went back gives a duration of 0."""
    assert filled([-5]) == filled([0])


@given(SAMPLES)
def test_count_is_the_number_of_values(values: list[int]) -> None:
    """Every value is counted once."""
    assert filled(values).count == len(values)


@given(VALUES, st.integers(0, 20))
def test_count_argument_repeats_a_value(value: int, count: int) -> None:
    """Adding n times at once is adding n times, and 0 times is nothing."""
    histogram = Histogram()
    histogram.add(value, count)
    assert histogram == filled([value] * count)


def test_negative_count_is_refused() -> None:
    """Values cannot be taken out."""
    with pytest.raises(ValueError, match="count"):
        Histogram().add(1, -1)


@given(SAMPLES, SAMPLES)
def test_merge_is_the_histogram_of_both(one: list[int], other: list[int]) -> None:
    """Merging gives what adding all values to one histogram gives."""
    histogram = filled(one)
    histogram.merge(filled(other))
    assert histogram == filled(one + other)


@given(SAMPLES, SAMPLES)
def test_merge_adds_the_counts(one: list[int], other: list[int]) -> None:
    """The count after a merge is the sum of both."""
    histogram = filled(one)
    histogram.merge(filled(other))
    assert histogram.count == len(one) + len(other)


@given(SAMPLES)
def test_merge_leaves_the_other_alone(values: list[int]) -> None:
    """Merging out of a histogram does not change it."""
    other = filled(values)
    Histogram().merge(other)
    assert other == filled(values)


@given(SAMPLES)
def test_merge_with_itself_doubles(values: list[int]) -> None:
    """A histogram can be merged into itself."""
    histogram = filled(values)
    histogram.merge(histogram)
    assert histogram == filled(values * 2)


@given(SAMPLES)
def test_copy_is_independent(values: list[int]) -> None:
    """Adding to a copy leaves the original as it was."""
    histogram = filled(values)
    histogram.copy().add(1)
    assert histogram == filled(values)


@given(SAMPLES)
def test_copy_is_complete(values: list[int]) -> None:
    """A copy is equal and counts the same."""
    twin = filled(values).copy()
    assert (twin, twin.count) == (filled(values), len(values))


@pytest.mark.parametrize("other", [filled([1, 1]), filled([2]), Histogram(), 1, None])
def test_other_content_is_unequal(other: object) -> None:
    """Other counts, other values and other types are unequal."""
    assert filled([1]) != other


@given(st.lists(VALUES, max_size=60))
def test_bytes_round_trip(values: list[int]) -> None:
    """Reading what was written gives an equal histogram."""
    assert Histogram.from_bytes(filled(values).to_bytes()) == filled(values)


@given(st.lists(VALUES, max_size=60))
def test_bytes_keep_the_count(values: list[int]) -> None:
    """The count comes back as well."""
    assert Histogram.from_bytes(filled(values).to_bytes()).count == len(values)


def test_large_counts_round_trip() -> None:
    """A count of several varint bytes survives."""
    histogram = Histogram()
    histogram.add(2**63, 2**40 + 1)
    assert Histogram.from_bytes(histogram.to_bytes()) == histogram


@given(SAMPLES)
def test_bytes_do_not_depend_on_order(values: list[int]) -> None:
    """Equal histograms have equal bytes."""
    assert filled(values).to_bytes() == filled(values[::-1]).to_bytes()


def test_format_is_pinned() -> None:
    """Version 1 stays readable: two buckets, 3 once and 400 three hundred times."""
    histogram = filled([3])
    # Two bits of 400 are dropped: bucket 2 * 64 + 100 = 228, and 224 are skipped after 3.
    histogram.add(400, 300)
    assert histogram.to_bytes() == bytes((1, 2, 3, 1, 0xE0, 0x01, 0xAC, 0x02, 0xBB, 0x03))


@given(SAMPLES)
def test_bytes_are_compact(values: list[int]) -> None:
    """A bucket takes four bytes at the most when counts are small."""
    assert len(filled(values).to_bytes()) <= 4 + 4 * len(set(values))


@given(SAMPLES, st.data())
def test_truncated_bytes_are_refused(values: list[int], data: st.DataObject) -> None:
    """No proper beginning of the bytes is taken for a histogram."""
    whole = filled(values).to_bytes()
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_bytes(whole[:end])


@given(SAMPLES, st.binary(min_size=1, max_size=4))
def test_extended_bytes_are_refused(values: list[int], more: bytes) -> None:
    """Nothing may follow the histogram."""
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_bytes(filled(values).to_bytes() + more)


@given(SAMPLES, st.integers(1, 255), st.data())
def test_any_changed_byte_is_refused(values: list[int], change: int, data: st.DataObject) -> None:
    """One changed byte, wherever it is, is noticed."""
    damaged = bytearray(filled(values).to_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= change
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_bytes(bytes(damaged))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param((1, 1, 5, 0), id="empty bucket"),
        pytest.param((1, 2, 5, 1), id="fewer buckets than stated"),
        pytest.param((1, 1, 5, 1, 0, 1), id="more buckets than stated"),
        pytest.param((1, 1, 5, 0x80), id="number not ended"),
        pytest.param((2, 0), id="unknown version"),
    ],
)
def test_damage_behind_a_right_checksum_is_refused(body: tuple[int, ...]) -> None:
    """The structure is checked too, not the checksum alone."""
    data = bytes(body)
    check = int.from_bytes(data, "big") % 65521
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_bytes(data + check.to_bytes(2, "big"))
