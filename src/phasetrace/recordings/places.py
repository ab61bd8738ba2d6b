"""What executions are read from, as people name it: an address, or the path of a file.

What an address has in front of its host may be a password, and what comes behind it a token: it is
shown without either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_SCHEMES: Final = ("http://", "https://")
_PORTS: Final = {"http": 80, "https": 443}
_WITHOUT_SCHEME: Final = re.compile(
    r"(?://)?(?:.*@)?((?:[a-z0-9_.-]+|\[[0-9a-f:.]+\]):\d{1,5})(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)


def is_address(place: str) -> bool:
    """Tell whether a place is an address and no file, in whatever case its scheme is."""
    return place[: len(_SCHEMES[1])].lower().startswith(_SCHEMES)


def shown(place: str) -> str:
    """Return a place as messages have it: of an address no more than ``scheme://host:port``."""
    if not is_address(place):
        return place
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(place)
        if parts.hostname:
            return origin_of(parts)
    except ValueError:
        pass
    return re.sub(r"//.*@", "//", place, flags=re.DOTALL)


def address_meant(place: str) -> str | None:
    """Return ``host:port`` of what would be an address if it had a scheme."""
    found = _WITHOUT_SCHEME.fullmatch(place)
    return found[1] if found is not None else None


def origin_of(parts: SplitResult) -> str:
    """Return ``scheme://host:port`` of an address; no port where that goes without saying.

    Raises:
        ValueError: if its port is none.
    """
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    return f"{parts.scheme}://{host}" + (
        "" if port is None or port == _PORTS.get(parts.scheme) else f":{port}"
    )
