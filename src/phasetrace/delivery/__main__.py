"""The process that delivers for all programs of a store: ``python -m phasetrace.delivery STORE``.

Programs start it; see `phasetrace.delivery.remote`. Its environment says where to.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from phasetrace import exporting
from phasetrace.delivery.lock import ServingLock, presence_path
from phasetrace.delivery.service import Service
from phasetrace.delivery.shipping import shippers
from phasetrace.settings import settings_or_defaults

_DELAY_MS = 500
"""Nobody is disturbed by its requests, so they need not be few."""


def main(store: str) -> int:
    """Deliver until nobody needs it any more."""
    signal.signal(signal.SIGTERM, _interrupt)
    said = _be_silent()
    try:
        service = _service(Path(store))
    except Exception as error:
        os.write(said, f"{type(error).__name__}: {error}\n".encode("utf-8", "backslashreplace"))
        return 1
    finally:
        os.close(said)
    try:
        service.run()
    except KeyboardInterrupt:
        pass
    finally:
        service.close()
    return 0


def _service(path: Path) -> Service:
    settings = settings_or_defaults()._replace(store=path)
    outlets = [
        outlet._replace(
            limits=outlet.limits._replace(
                schedule_delay_ms=outlet.limits.schedule_delay_ms or _DELAY_MS
            )
        )
        for outlet in exporting.make_outlets(settings, makes=False)
    ]
    couriers = shippers(path, outlets)
    specs = [courier.spec for courier in couriers]
    presences = [ServingLock(presence_path(path, spec.key, spec.way)) for spec in specs]
    return Service(path, couriers, presences=presences)


def _be_silent() -> int:
    """Have nothing said on stderr any more; return what to say on why it cannot begin.

    Who has started it takes what is said there for that, and a warning is not.
    """
    said = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return said


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
