"""The process that delivers for all programs of a store: ``python -m phasetrace.delivery STORE``.

Programs start it; see `phasetrace.delivery.remote`. Its environment says where to.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

from phasetrace import exporting
from phasetrace.delivery.service import Service
from phasetrace.delivery.shipping import shippers
from phasetrace.settings import settings_or_defaults

_DELAY_MS = 500
"""Nobody is disturbed by its requests, so they need not be few."""


def main(store: str) -> int:
    """Deliver until nobody needs it any more."""
    signal.signal(signal.SIGTERM, _interrupt)
    path = Path(store)
    settings = settings_or_defaults()._replace(store=path)
    outlets = [
        outlet._replace(
            limits=outlet.limits._replace(
                schedule_delay_ms=outlet.limits.schedule_delay_ms or _DELAY_MS
            )
        )
        for outlet in exporting.make_outlets(settings, makes=False)
    ]
    service = Service(path, shippers(path, outlets))
    try:
        service.run()
    except KeyboardInterrupt:
        pass
    finally:
        service.close()
    return 0


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
