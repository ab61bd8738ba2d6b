"""What waits for an address that the settings do not name any more: it was wrong, or the key was.

Who sends, and with what rights, is a part of a destination. So whoever mends a variable has another
one, and what waits for the first is not sent to it unless somebody says so.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import command, open_store
from phasetrace.errors import ConfigError
from phasetrace.otlp_variables import completed
from phasetrace.rendering import safe
from phasetrace.variables import redacted

if TYPE_CHECKING:
    from phasetrace.delivery.shipper import Shipper
    from phasetrace.exporting import Outlet
    from phasetrace.store.standing import DestinationStanding

_OTLP: Final = "otlp"
"""How the names of its exporters begin."""


def instead_of(store: Path, address: str, outlets: Sequence[Outlet]) -> list[Shipper]:
    """Return what delivers to where the settings say what waits for another address.

    The books are those of the other destination: its spans are delivered, each once.

    Raises:
        ConfigError: if there is no address, or nothing waits for that one.
        StoreError: if the store cannot be read.
    """
    from phasetrace.delivery.shipper import Shipper
    from phasetrace.delivery.shipping import maker

    outlet = next((one for one in outlets if one.name.startswith(_OTLP)), None)
    if outlet is None or outlet.spec is None:
        raise ConfigError("there is no address to ship to: set OTEL_EXPORTER_OTLP_ENDPOINT")
    waiting = _waiting()
    addresses = {redacted(address), redacted(completed(address))}
    chosen = [one for one in waiting if one.endpoint in addresses]
    if not chosen:
        known = ", ".join(sorted({str(one.endpoint) for one in waiting})) or "no address"
        raise ConfigError(f"--instead-of={redacted(address)!r}: spans wait for {known}")
    couriers = []
    for number, one in enumerate(chosen):
        make = maker(outlet if not number else outlet._replace(exporter=None))
        spec = outlet.spec._replace(key=one.key)
        couriers.append(Shipper(store, spec, make, outlet.limits, explain=outlet.explain))
    return couriers


def tell_of_others(couriers: Sequence[Shipper]) -> None:
    """Say how to deliver what waits for addresses that the settings do not name."""
    if not any(courier.spec.name.startswith(_OTLP) for courier in couriers):
        return
    served = {courier.spec.key for courier in couriers}
    others = Counter[str]()
    for one in _waiting():
        if one.key not in served:
            others[str(one.endpoint)] += one.waiting
    for address, spans in others.items():
        print(  # noqa: T201
            f"phasetrace: {spans:,} spans wait for {safe(address)}, as it was set before; to"
            f" deliver them here: {command()} ship --instead-of {shlex.quote(safe(address))}",
            file=sys.stderr,
        )


def _waiting() -> list[DestinationStanding]:
    """Return the receivers of OTLP that spans wait for."""
    with open_store() as store:
        everyone = store.standing().destinations
    return [one for one in everyone if one.waiting and one.name.startswith(_OTLP)]
