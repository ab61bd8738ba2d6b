"""Making couriers for the exporters that the settings name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from phasetrace import faults
from phasetrace.delivery.fleet import Courier, Fleet
from phasetrace.delivery.remote import Remote, Starter, can_start
from phasetrace.delivery.shipper import Shipper
from phasetrace.destination import Destination
from phasetrace.exporting import Outlet
from phasetrace.sending import shipping_environment
from phasetrace.settings import Settings


def make_fleet(settings: Settings, store: Path, outlets: Sequence[Outlet]) -> Fleet:
    """Return what delivers from the store to those outlets that are served from there."""
    stored = [outlet for outlet in outlets if outlet.spec is not None]
    specs = [outlet.spec for outlet in stored if outlet.spec is not None]
    couriers: list[Courier] = []
    delivery = settings.delivery
    if delivery == "process" and not can_start():
        faults.tell(
            "PHASETRACE_DELIVERY=process: there is no interpreter to start another process with;"
            " a thread delivers"
        )
        delivery = "thread"
    if delivery == "thread":
        couriers += shippers(store, stored)
    elif delivery == "process" and stored:
        starter = Starter(store, specs, shipping_environment(settings))
        couriers += [Remote(spec, starter) for spec in specs]
    return Fleet(store, couriers, specs)


def shippers(store: Path, outlets: Sequence[Outlet], by_hand: bool = False) -> list[Shipper]:
    """Return couriers that deliver in threads of this process; `by_hand`: a person has said so."""
    return [
        Shipper(
            store,
            outlet.spec,
            maker(outlet),
            outlet.limits,
            explain=outlet.explain,
            by_hand=by_hand,
        )
        for outlet in outlets
        if outlet.spec is not None
    ]


def maker(outlet: Outlet) -> Callable[[], Destination]:
    """Return what gives the outlet's exporter, and then, or in a child, another one each time."""
    process = os.getpid()
    made = [outlet.exporter]

    def make() -> Destination:
        exporter = made.pop() if made else None
        if exporter is None or (os.getpid() != process and outlet.make is not None):
            assert outlet.make is not None  # noqa: S101 - one that was given is not None
            exporter = outlet.make()
        return Destination(outlet.name, exporter)

    return make
