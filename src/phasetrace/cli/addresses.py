"""Where traces can be looked at, as commands tell it: an address by ``PHASETRACE_TRACE_URL``."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from phasetrace.cli import command
from phasetrace.errors import StoreError
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from phasetrace.settings import Settings
    from phasetrace.store.destinations import DestinationSpec

TRACE_ID: Final = "{trace_id}"
"""What stands for the id of a trace in the form of all addresses."""


class Courier(Protocol):
    """What delivers to a destination."""

    spec: DestinationSpec


def address_of(trace_url: str, trace_id: str) -> str:
    """Return the address of a trace, by the form of all of them."""
    return trace_url.replace(TRACE_ID, trace_id)


def shown(address: str) -> str:
    """Return an address as it may be printed: without a user and a password."""
    return safe(re.sub(r"://[^/?#\s]*@", "://", address))


def has_page(destination: DestinationSpec) -> bool:
    """Tell whether what is sent to a destination is what the addresses lead to: it is OTLP."""
    return destination.name.startswith("otlp")


def waiting_traces(store: Path, couriers: Iterable[Courier]) -> list[str]:
    """Return the traces that wait to be sent to where they can be looked at, the latest first.

    None of a store that cannot be read: those who deliver say what is wrong with it.
    """
    from phasetrace.store import arrival
    from phasetrace.store.file import open_for_reading

    keys = [courier.spec.key for courier in couriers if has_page(courier.spec)]
    try:
        with closing(open_for_reading(store)) as connection:
            found = [trace for key in keys for trace in arrival.waiting_traces(connection, key)]
    except (StoreError, sqlite3.Error, ValueError):
        return []
    return list(dict.fromkeys(found))


def tell_addresses(settings: Settings, traces: Sequence[str], at_most: int = 1) -> None:
    """Tell on stderr where traces can be looked at, if that is known: of several, so many."""
    if settings.trace_url is None:
        return
    for trace_id in traces[:at_most]:
        address = shown(address_of(settings.trace_url, trace_id))
        print(f"phasetrace: trace: {address}", file=sys.stderr)  # noqa: T201
    more = len(traces) - at_most
    if more > 0:
        what = f"{more:,} more trace{'' if more == 1 else 's'}"
        print(f"phasetrace: and {what}: {command()} open EXEC", file=sys.stderr)  # noqa: T201
