"""What to do about spans that wait for a destination: the commands that deliver them.

A receiver that is away takes them when it is back, and whoever ships to the same destination
delivers them. Where the address, the protocol or the headers were wrong, nobody ever will: once
that is mended, it is another destination that the settings name (`phasetrace.cli.other_addresses`).
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.cli import command
from phasetrace.cli.other_addresses import how_to_take_over, is_in_use, only_if

if TYPE_CHECKING:
    from phasetrace.store.destinations import DestinationSpec
    from phasetrace.store.standing import DestinationStanding

_GRPC: Final = "otlp_proto_grpc"
_PROTOCOLS: Final = {"otlp_proto_http": "http/protobuf", _GRPC: "grpc"}
_PATH: Final = "/v1/traces"


class InForce(NamedTuple):
    """What an environment names: the keys of its destinations, and its protocol."""

    keys: Collection[str]
    protocol: str


class Ways(NamedTuple):
    """How what waits for a destination can be delivered."""

    ship: str | None
    """The command that delivers it there; None where it would be refused for ever."""
    elsewhere: str | None
    """What delivers it to another address, with the condition; None where that is not meant."""


NO_WAYS: Final = Ways(None, None)


def ways_to_deliver(
    destination: DestinationStanding,
    everyone: Sequence[DestinationStanding],
    in_force: InForce,
    now_ns: int,
) -> Ways:
    """Return how to deliver what waits for one of the destinations of a store."""
    from phasetrace.remedies import is_sent_wrongly  # dear to import, and rarely needed

    one = destination
    ship = how_to_ship(one, in_force.keys, in_force.protocol, command())
    elsewhere = None
    if one.last_error is not None and is_otlp(one):
        elsewhere = _elsewhere(one, everyone, in_force, now_ns)
        if elsewhere is not None and is_sent_wrongly(one.last_error):
            return Ways(None, elsewhere)
    return Ways(ship, elsewhere)


def is_otlp(destination: DestinationStanding | DestinationSpec) -> bool:
    """Tell whether a destination is a receiver of OTLP, so that another can have its spans."""
    return destination.endpoint is not None and destination.name in _PROTOCOLS


def how_to_ship(
    destination: DestinationStanding | DestinationSpec,
    configured: Collection[str],
    protocol: str,
    program: str,
) -> str:
    """Return the command that delivers what waits for a destination.

    In an environment that names the destinations with the keys `configured`, and a protocol.
    """
    one, ship = destination, f"{program} ship"
    if one.key in configured:
        return ship
    if " #" in one.key:  # there were headers or passwords, which nobody is to see
        return f"{ship}, in the environment of the program that recorded"
    spoken = _PROTOCOLS.get(one.name)
    if spoken is None or one.endpoint is None:
        return f"OTEL_TRACES_EXPORTER={shlex.quote(one.name)} {ship}"
    variables = [f"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL={spoken}"] if spoken != protocol else []
    address = shlex.quote(one.endpoint)
    if one.name == _GRPC or one.endpoint.endswith(_PATH):
        return " ".join([*variables, ship, "--endpoint", address])
    # The option takes a base, to which a path is added.
    return " ".join([*variables, f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={address}", ship])


def _elsewhere(
    destination: DestinationStanding,
    everyone: Sequence[DestinationStanding],
    in_force: InForce,
    now_ns: int,
) -> str | None:
    """Return how to send elsewhere what waits, where that could be meant."""
    one, again = destination, how_to_take_over(destination, everyone)
    is_named = one.key in in_force.keys
    if not is_named and is_in_use(one, now_ns):
        return None
    if is_named or not any(key.partition(" ")[0] in _PROTOCOLS for key in in_force.keys):
        # With another address, or other headers, it is another destination.
        return f"if a variable is wrong, mend it; then, to send them to where it says: {again}"
    return f"{only_if(one, in_force.keys)}, send them to where the settings say now: {again}"
