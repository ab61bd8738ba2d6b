"""The errors that phasetrace raises.

    PhasetraceError
    ├── ConfigError          a setting has a value that cannot be used
    ├── StoreError           the local store cannot be read
    │   └── StoreMissing     there is no store yet
    ├── SourceError          what executions were to be read from cannot be read
    ├── UsageError           a command was asked for what it does not have
    └── UnknownExecution     no execution has this id

Configuration and the reading commands raise; recording never does.
"""

from __future__ import annotations


class PhasetraceError(Exception):
    """Root of every error that phasetrace raises."""


class ConfigError(PhasetraceError, ValueError):
    """A setting has a value that cannot be used.

    The message names the setting, the value, and what was expected.
    """


class UsageError(PhasetraceError, ValueError):
    """A command was asked for something that it does not have; the message says what it has."""


class StoreError(PhasetraceError):
    """The local store cannot be read: unreadable, damaged, or written by a newer version."""


class StoreMissing(StoreError):
    """There is no store at the configured place yet."""


class SourceError(PhasetraceError):
    """What executions were to be read from cannot be: no such file, not what it is taken for, away.

    The message names the file and the line, or the address, and what was expected.
    """


class UnknownExecution(PhasetraceError, LookupError):
    """No execution has the id that was asked for.

    ``nearest`` holds ids that look like it, best first; ``place`` is what it was looked for in, if
    that is not the store.
    """

    place: str | None = None

    def __init__(self, exec_id: str, nearest: tuple[str, ...] = ()) -> None:
        self.exec_id = exec_id
        self.nearest = nearest
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        super().__init__(f"no execution {exec_id!r} has been recorded{hint}")
