"""What an execution is called by in a command that people copy: its id, wherever that can be.

An id is any text. One that begins with a dash would be taken for options; one that reads as
``latest`` means the latest execution; one with control characters is shown escaped, and is none of
an execution when it is pasted so. The latter two, and two dashes, have the id of their trace, which
`phasetrace.recordings.references` finds where no execution has it for its own.
"""

from __future__ import annotations

import shlex

from phasetrace.recordings.references import is_taken
from phasetrace.rendering import safe


def call(command: str, exec_id: str, trace_id: str, options: str = "") -> str:
    """Return a command about an execution, with options, as it can be pasted into a shell.

    `command` and `options` are for a shell already; the id is quoted here.
    """
    name = _name(exec_id, trace_id)
    options = f" {options}" if options else ""
    if name.startswith("-"):
        return f"{command}{options} -- {shlex.quote(name)}"
    return f"{command} {shlex.quote(name)}{options}"


def replay(command: str, exec_id: str, trace_id: str) -> str:
    """Return the command that sends an execution again, as it can be pasted into a shell."""
    name = _name(exec_id, trace_id)
    between = "=" if name.startswith("-") else " "
    return f"{command} ship --replay{between}{shlex.quote(name)}"


def _name(exec_id: str, trace_id: str) -> str:
    is_itself = safe(exec_id) == exec_id and not is_taken(exec_id) and exec_id != "--"
    return exec_id if is_itself else trace_id
