"""Making couriers for the exporters that the settings name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from phasetrace.delivery.fleet import Courier, Fleet
from phasetrace.delivery.remote import Remote, Starter
from phasetrace.delivery.shipper import Shipper
from phasetrace.destination import Destination
from phasetrace.exporting import Outlet
from phasetrace.sending import shipping_environment
from phasetrace.settings import Settings


def make_fleet(settings: Settings, store: Path, outlets: Sequence[Outlet]) -> Fleet:
    """Return what delivers from the store to those outlets that are served from there."""
    stored = [outlet for outlet in outlets if outlet.spec is not None]
    couriers: list[Courier] = []
    if settings.delivery == "thread":
        couriers += shippers(store, stored)
    elif settings.delivery == "process" and stored:
        keys = [outlet.spec.key for outlet in stored if outlet.spec is not None]
        starter = Starter(store, keys, shipping_environment(settings))
        couriers += [Remote(outlet.spec, starter) for outlet in stored if outlet.spec is not None]
    specs = [outlet.spec for outlet in stored if outlet.spec is not None]
    return Fleet(store, couriers, specs)


def shippers(store: Path, outlets: Sequence[Outlet]) -> list[Shipper]:
    """Return couriers that deliver in threads of this process."""
    return [
        Shipper(store, outlet.spec, maker(outlet), outlet.limits, explain=outlet.explain)
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
