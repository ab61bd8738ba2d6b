"""Attributes, events and links in the SDK's own containers, as they are, with what was dropped.

The SDK's way of making them would clean the values again, to what its release allows, and forget
how many a limit has taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.util import BoundedList


def bounded_attributes(
    attributes: Mapping[str, Any], dropped: int, *, immutable: bool = True
) -> BoundedAttributes:
    """Return attributes of which `dropped` more were taken by a limit."""
    bounded = BoundedAttributes(immutable=False)
    bounded._dict = dict(attributes)
    bounded.dropped = dropped
    bounded._immutable = immutable
    return bounded


def bounded_list(items: Sequence[Any], dropped: int) -> BoundedList[Any]:
    """Return a list of which `dropped` more were taken by a limit."""
    bounded: BoundedList[Any] = BoundedList(None)
    bounded.extend(items)
    bounded.dropped = dropped
    return bounded
