"""What waits for a destination that the settings do not name: it was wrong, or it is another's.

Who sends, and with what rights, is a part of a destination. So whoever mends a variable has another
one, and what waits for the first is not sent to it unless somebody says so. Nothing in the store
tells that from programs that share it and send as different tenants. So a destination is taken over
by itself only, by its key or by an address that means no other.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import command, open_store
from phasetrace.errors import ConfigError
from phasetrace.otlp_variables import completed
from phasetrace.rendering import ago, safe
from phasetrace.variables import redacted

if TYPE_CHECKING:
    from phasetrace.delivery.shipper import Shipper
    from phasetrace.exporting import Outlet
    from phasetrace.store.destinations import DestinationSpec
    from phasetrace.store.standing import DestinationStanding

_OTLP: Final = "otlp"
"""How the names of its exporters begin."""
_TOLD: Final = 3
"""Destinations that are told of one by one."""
_IN_USE_NS: Final = 24 * 3600 * 1_000_000_000
"""What somebody has delivered to within this time is no mistake."""


def instead_of(store: Path, names: Iterable[str], outlets: Sequence[Outlet]) -> list[Shipper]:
    """Return what delivers to where the settings say what waits for other destinations.

    Each of them is named by its address, or by its key, of which ``#`` and what follows is enough.
    The books are those of the other destinations: their spans are delivered, each once. What is
    going to happen to them is said on stderr.

    Raises:
        ConfigError: if there is no address to deliver to, or a name means not one destination that
            something waits for.
        StoreError: if the store cannot be read.
    """
    outlet = next((one for one in outlets if one.name.startswith(_OTLP)), None)
    if outlet is None or outlet.spec is None:
        raise ConfigError("there is no address to ship to: set OTEL_EXPORTER_OTLP_ENDPOINT")
    everyone = _receivers()
    in_force = {one.spec.key for one in outlets if one.spec is not None}
    chosen = {one.key: one for one in [_chosen(name, everyone, in_force) for name in names]}
    # An exporter is ended by the one who delivers by it.
    own = (outlet, *(outlet.again() for _ in range(len(chosen) - 1)))
    return [_courier(store, *both, in_force) for both in zip(chosen.values(), own, strict=True)]


def _courier(
    store: Path, chosen: DestinationStanding, outlet: Outlet, in_force: Collection[str]
) -> Shipper:
    """Return what delivers by an outlet what waits for a destination; say that on stderr."""
    from phasetrace.delivery.shipper import Shipper
    from phasetrace.delivery.shipping import maker

    assert outlet.spec is not None  # noqa: S101 - it was chosen by it
    if chosen.key not in in_force:
        here = called(outlet.spec.key, outlet.spec.endpoint)
        there = called(chosen.key, chosen.endpoint)
        if here == there:  # the protocol is all that tells them apart
            here, there = outlet.spec.key, chosen.key
        print(  # noqa: T201
            f"phasetrace: {_spans(chosen)} recorded for {safe(there)} will be sent to"
            f" {safe(here)} and never to {safe(there)}",
            file=sys.stderr,
        )
    spec = outlet.spec._replace(key=chosen.key)
    return Shipper(
        store,
        spec,
        maker(outlet),
        outlet.limits,
        explain=outlet.explain,
        elsewhere=chosen.key not in in_force,
        by_hand=True,
    )


def tell_of_others(couriers: Sequence[Shipper], in_force: Collection[str]) -> None:
    """Say that spans wait for destinations that the settings do not name, and what to do with them.

    Those of a destination that is in use are somebody else's, and not to be had here. `in_force` is
    the keys that the settings name.
    """
    from phasetrace.clock import now_ns

    if not any(courier.spec.name.startswith(_OTLP) for courier in couriers):
        return
    served = {courier.spec.key for courier in couriers}.union(in_force)
    everyone, at_ns = _receivers(), now_ns()
    waiting = [one for one in everyone if one.waiting and one.key not in served]
    for one in waiting[:_TOLD]:
        verb = "waits" if one.waiting == 1 else "wait"
        what = f"{_spans(one)} {verb} for {safe(called(one.key, one.endpoint))}"
        them = "it" if one.waiting == 1 else "them"
        do = f"; {only_if(one, in_force)}, send {them} here: {how_to_take_over(one, everyone)}"
        if is_in_use(one, at_ns):
            do = f", which other programs send to: {command()} status"
        print(f"phasetrace: {what}{do}", file=sys.stderr)  # noqa: T201
    if len(waiting) > _TOLD:
        more = f"{len(waiting) - _TOLD} more destinations have spans waiting: {command()} status"
        print(f"phasetrace: {more}", file=sys.stderr)  # noqa: T201


def called(key: str, endpoint: str | None) -> str:
    """Return what a destination is called: its address, with its short key if it has one."""
    short = _short(key)
    return f"{endpoint or key} ({short})" if short else endpoint or key


def is_in_use(destination: DestinationStanding, now_ns: int) -> bool:
    """Tell whether somebody has delivered to a destination within the last day."""
    last_ns = destination.last_success_ns
    return last_ns is not None and now_ns - last_ns < _IN_USE_NS


def only_if(destination: DestinationStanding, in_force: Collection[str]) -> str:
    """Return the condition under which what waits may be sent to where the settings say.

    `in_force` is the keys of the destinations that the settings name.
    """
    endpoint = destination.endpoint or ""
    names = {key.partition(" ")[0] for key in in_force if _address(key) == endpoint}
    if not names:
        return "if that address was wrong"
    if destination.name not in names:
        return "if the protocol was wrong"
    hidden = ", the password or the query" if "…" in endpoint else ""
    return f"if the headers{hidden} were wrong"


def how_to_take_over(
    destination: DestinationStanding | DestinationSpec,
    everyone: Iterable[DestinationStanding],
    program: str | None = None,
) -> str:
    """Return the command that delivers what waits for one destination to another.

    `program` is what this command line is called by, from who has asked for that before.
    """
    which = shlex.quote(safe(_which(destination, everyone)))
    return f"{program or command()} ship --instead-of {which}"


def taking_over(key: str) -> str | None:
    """Return the command that delivers what waits for a key elsewhere; None if it is not OTLP."""
    everyone = _receivers()
    destination = next((one for one in everyone if one.key == key), None)
    return how_to_take_over(destination, everyone) if destination is not None else None


def _chosen(
    which: str, everyone: Sequence[DestinationStanding], in_force: Collection[str]
) -> DestinationStanding:
    from phasetrace.clock import now_ns

    waiting = [one for one in everyone if one.waiting]
    addresses = {redacted(which), redacted(completed(which))}
    keys = {which, f"#{which.removeprefix('#')}"}
    found = [
        one
        for one in waiting
        if one.endpoint in addresses or one.key in keys or _short(one.key) in keys - {""}
    ]
    if len(found) == 1:
        return found[0]
    given = f"--instead-of={redacted(which)!r}"
    if not found:
        known = sorted({called(one.key, one.endpoint) for one in waiting})
        raise ConfigError(f"{given}: spans wait for {', '.join(known) or 'no address'}")
    at_ns = now_ns()
    listed = []
    for one in found:
        last_ns = one.last_success_ns
        last = f"last served {ago(last_ns, at_ns)}" if last_ns is not None else "never served"
        own = ", what the settings name" if one.key in in_force else ""
        verb = "waits" if one.waiting == 1 else "wait"
        key = shlex.quote(_which(one, everyone))
        listed.append(f"{key} ({_spans(one)} {verb}, {last}{own})")
    raise ConfigError(
        f"{given} means {len(found)} destinations; give the key of one, or several, each behind an"
        f" --instead-of: {', '.join(listed)}"
    )


def _which(
    destination: DestinationStanding | DestinationSpec, everyone: Iterable[DestinationStanding]
) -> str:
    """Return the shortest that means one destination and no other, a key before an address."""
    one = destination
    others = [other for other in everyone if other.key != one.key]
    short = _short(one.key)
    if short and all(_short(other.key) != short for other in others):
        return short
    if not short and one.endpoint and all(other.endpoint != one.endpoint for other in others):
        return one.endpoint
    return one.key


def _short(key: str) -> str:
    """Return ``#`` and the digest of headers and passwords in a key; "" if there are none."""
    _, sign, digest = key.rpartition(" #")
    return f"#{digest}" if sign else ""


def _address(key: str) -> str:
    return key.removesuffix(f" {_short(key)}").partition(" ")[2]


def _spans(destination: DestinationStanding) -> str:
    return f"{destination.waiting:,} span{'' if destination.waiting == 1 else 's'}"


def _receivers() -> list[DestinationStanding]:
    """Return the receivers of OTLP that the store knows."""
    with open_store() as store:
        everyone = store.standing().destinations
    return [one for one in everyone if one.name.startswith(_OTLP)]
