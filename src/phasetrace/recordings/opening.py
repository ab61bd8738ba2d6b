"""Opening what executions are read from, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from phasetrace.errors import SourceError, StoreError, StoreMissing
from phasetrace.recordings.places import address_meant, is_address

if TYPE_CHECKING:
    from phasetrace.recordings.source import Source
    from phasetrace.store.reader import StoreReader

HOW_TO_RECORD: Final = "record with: phasetrace run script.py"

_SQLITE: Final = b"SQLite format 3\0"
_PLACES: Final = "a store, a file of OTLP JSON lines, or Jaeger (http://host:16686)"


def open_source(place: str | None) -> Source:
    """Open a place that executions are recorded in; None is the store that the environment names.

    An address is a Jaeger, and is asked when something is asked of it. A file is what its content
    says: a store, or OTLP JSON lines.

    Raises:
        ConfigError: if it is a Jaeger, and what to send with requests makes no sense.
        SourceError: if there is nothing at the place, or something else.
        StoreError: if it is a store that cannot be read, or the store and it is off.
        StoreMissing: if it is the store, and there is none yet.
    """
    if place is None:
        return open_store()
    if is_address(place):
        from phasetrace.recordings.jaeger import JaegerSource
        from phasetrace.settings import source_headers

        return JaegerSource(place, headers=source_headers())
    return _open_file(place)


def open_store() -> StoreReader:
    """Open the store that the environment names.

    Raises:
        StoreMissing: if there is no store yet.
        StoreError: if it is off or cannot be read.
    """
    from phasetrace.settings import store_path
    from phasetrace.store.reader import StoreReader

    path = store_path()
    if path is None:
        raise StoreError("the store is off (PHASETRACE_STORE), so there is nothing to read")
    try:
        return StoreReader(path)
    except StoreMissing:
        raise StoreMissing(
            f"nothing has been recorded yet, there is no store {path}; {HOW_TO_RECORD}"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot read the store {path}: {error.strerror or error}") from error


def _open_file(place: str) -> Source:
    from pathlib import Path  # which `phasetrace run` does without until its program needs it

    path = Path(place)
    try:
        with path.open("rb") as file:
            content = file.read(len(_SQLITE))
            if content != _SQLITE:
                content += file.read()
    except FileNotFoundError:
        address = address_meant(place)
        meant = f"did you mean http://{address}?" if address else f"expected {_PLACES}"
        raise SourceError(f"there is no file {address or place}; {meant}") from None
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {place}: {reason}; expected {_PLACES}") from None
    if content == _SQLITE:
        from phasetrace.store.file import UnusableStore
        from phasetrace.store.reader import StoreReader

        try:
            return StoreReader(path)
        except UnusableStore as error:  # what to do about the usual store is said of that only
            raise SourceError(error.found) from error
        except StoreMissing:
            raise SourceError(f"{place} is an empty database") from None
        except OSError as error:
            raise StoreError(f"cannot read the store {place}: {error.strerror or error}") from error
    from phasetrace.recordings.otlp_file import file_source

    return file_source(place, content)
