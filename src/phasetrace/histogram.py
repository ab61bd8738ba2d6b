"""Count durations in buckets of bounded relative width.

The layout is the log-linear one of Gil Tene's HdrHistogram: integers below ``2**SUB_BITS`` have
a bucket each, and every power of two above that is cut into ``2**(SUB_BITS - 1)`` equal buckets.
A bucket is thus a value with all but its ``SUB_BITS`` leading bits dropped. Only buckets that
hold something are stored, so the size follows the spread of the values and not their number.
"""

from __future__ import annotations

__all__ = ["RELATIVE_ERROR", "SUB_BITS", "Histogram"]

SUB_BITS = 7
"""Leading bits of a value that its bucket keeps."""

RELATIVE_ERROR = 1 / 2**SUB_BITS
"""Largest ``|quantile - true value| / true value``; `Histogram.quantile` has the proof."""

_HALF_BITS = SUB_BITS - 1
_HALF = 1 << _HALF_BITS

_VERSION = 1

# The largest prime below 2**16. A change within two neighbouring bytes is a difference of
# e * 256**k with 0 < |e| < 2**16; it escapes the residue only for |e| equal to the prime.
_CHECK_PRIME = 65521
_CHECK_BYTES = 2

# A quantile such as 0.07 is stored a little above seven hundredths, and taken to the letter it
# would be rank 8 of 100. Lowering the product by this many bits gives the rank that was meant.
_SLACK_BITS = 50


def _middle(bucket: int) -> int:
    """Return the value that stands for all values of a bucket."""
    if bucket < 2 * _HALF:
        return bucket
    shift = (bucket >> _HALF_BITS) - 1
    leading = (bucket & (_HALF - 1)) | _HALF
    return (leading << shift) + (1 << (shift - 1))


def _put_varint(out: bytearray, value: int) -> None:
    """Append a non-negative integer, seven bits to a byte and the lowest first (LEB128)."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _get_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read what `_put_varint` wrote at an offset; return it and the offset behind it.

    Raises IndexError where the data ends first.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


class Histogram:
    """Hold a sparse histogram of durations in integer nanoseconds.

    Not thread-safe: give each thread its own and `merge` them, or hold a lock.
    """

    __slots__ = ("_buckets", "_count")

    def __init__(self) -> None:
        """Create an empty histogram."""
        self._buckets: dict[int, int] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """Return how many values have been added."""
        return self._count

    def add(self, value_ns: int, count: int = 1) -> None:
        """Add a duration, `count` times over.

        A negative `value_ns` counts as 0 and there is no upper limit. A `count` of 0 changes
        nothing; a negative one raises ValueError.
        """
        if count != 1 and count <= 0:
            if count < 0:
                raise ValueError(f"count must not be negative, got {count}")
            return
        if value_ns < 0:
            value_ns = 0
        # From here on `value_ns` is the bucket: with s bits dropped it is s * 2**6 plus the
        # leading seven bits, whose top bit is set and so carries on where s - 1 stopped.
        shift = value_ns.bit_length() - SUB_BITS
        if shift > 0:
            value_ns = (shift << _HALF_BITS) + (value_ns >> shift)
        buckets = self._buckets
        buckets[value_ns] = buckets.get(value_ns, 0) + count
        self._count += count

    def quantile(self, q: float) -> int:
        """Return the nearest-rank quantile in nanoseconds, within `RELATIVE_ERROR`.

        The true quantile v is the smallest value with at least ``ceil(q * count)`` values at or
        below it, and the least value for ``q = 0``. `q` means the decimal that was written: a
        product above a whole number by no more than float rounding is that number. An empty
        histogram gives 0; a `q` outside [0, 1], or NaN, raises ValueError.

        The answer r obeys ``|r - v| <= v / 2**SUB_BITS``. Buckets do not overlap and rise with
        the values in them, so the bucket at which the running count reaches the rank is v's.
        Below ``2**SUB_BITS`` it holds v alone and r = v. Otherwise v lies in
        ``[m * 2**s, (m + 1) * 2**s)`` with ``s >= 1`` and ``m >= 2**(SUB_BITS - 1)``, and r is
        the middle, ``m * 2**s + 2**(s - 1)``. So ``|r - v| <= 2**(s - 1)``, while
        ``v >= m * 2**s >= 2**(SUB_BITS - 1 + s)``, and the quotient is at most
        ``2**-SUB_BITS``.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"quantile must lie in [0, 1], got {q!r}")
        rank = self._count
        if q != 1:
            numerator, denominator = q.as_integer_ratio()
            product = numerator * self._count * ((1 << _SLACK_BITS) - 1)
            rank = -(-product // (denominator << _SLACK_BITS))
        reached = 0
        for bucket in sorted(self._buckets):
            reached += self._buckets[bucket]
            if reached >= rank:
                return _middle(bucket)
        return 0

    def merge(self, other: Histogram) -> None:
        """Add everything `other` holds; `other` stays as it is.

        The result is the histogram of both sets of values: merging adds no error.
        """
        buckets = self._buckets
        for bucket, count in other._buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
        self._count += other._count

    def copy(self) -> Histogram:
        """Return an independent histogram with the same content."""
        twin = Histogram()
        twin._buckets = self._buckets.copy()
        twin._count = self._count
        return twin

    def to_bytes(self) -> bytes:
        """Return the content in a compact form for `from_bytes`; equal content, equal bytes.

        A version byte and the number of buckets; for each bucket in rising order how many
        buckets were skipped and its count; then the remainder of all that, read as one
        big-endian number, modulo 65521 in two bytes. Numbers other than the first and last are
        LEB128 varints.
        """
        out = bytearray((_VERSION,))
        _put_varint(out, len(self._buckets))
        following = 0
        for bucket, count in sorted(self._buckets.items()):
            _put_varint(out, bucket - following)
            _put_varint(out, count)
            following = bucket + 1
        check = int.from_bytes(out, "big") % _CHECK_PRIME
        return bytes(out) + check.to_bytes(_CHECK_BYTES, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Histogram:
        """Return the histogram that `to_bytes` wrote.

        Raises ValueError for another version and for damage: data cut short or run on, and any
        single byte changed. The check is against accidents and not against forgery.
        """
        if not data or data[0] != _VERSION:
            raise ValueError("not a histogram of a known version")
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if int.from_bytes(body, "big") % _CHECK_PRIME != int.from_bytes(check, "big"):
            raise ValueError("damaged histogram: checksum differs")
        result = cls()
        try:
            stored, at = _get_varint(body, 1)
            following = 0
            for _ in range(stored):
                skipped, at = _get_varint(body, at)
                count, at = _get_varint(body, at)
                if not count:
                    raise ValueError("damaged histogram: empty bucket")
                result._buckets[following + skipped] = count
                result._count += count
                following += skipped + 1
        except IndexError:
            raise ValueError("damaged histogram: cut short") from None
        if at != len(body):
            raise ValueError("damaged histogram: bytes left over")
        return result

    def __eq__(self, other: object) -> bool:
        """Tell whether both hold the same counts in the same buckets."""
        if not isinstance(other, Histogram):
            return NotImplemented
        return self._buckets == other._buckets

    # Mutable and compared by content.
    __hash__ = None  # type: ignore[assignment]
