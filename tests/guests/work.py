"""What the application does: phases, and a library's spans among them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

EXEC_ID: Final = "exec_1"
EARLY: Final = "exec_0"

COUNTS: Final = {
    "fetch": {"download": 1, "query": 1, "parse": 1, "check": 3},
    "save": {"write": 1, "flush": 1},
}
"""The calls of each phase of each node, as the breakdown has to count them."""

PLACES: Final = sorted(
    [
        # name, node, and the name of the parent
        (EXEC_ID, None, None),
        ("fetch", "fetch", EXEC_ID),
        ("download", "fetch", "fetch"),
        ("query", "fetch", "download"),
        ("parse", "fetch", "query"),
        ("check", "fetch", "fetch"),
        ("check", "fetch", "fetch"),
        ("check", "fetch", "fetch"),
        ("write", "save", EXEC_ID),
        ("flush", "save", "write"),
    ],
    key=str,
)
"""Where each span of `work` has to be."""

FLAT_COUNTS: Final = {"fetch": {"download": 1, "check": 3}}
"""The calls that the breakdown has to count of `flat`."""

OpenSpan = Callable[[str], AbstractContextManager[object]]


def work(open_span: OpenSpan) -> None:
    """Do it; `open_span` is how a library that knows nothing of phasetrace makes its spans."""
    from phasetrace import execution, node, phase, time_phase

    with execution(EXEC_ID):
        with node("fetch"):
            with phase("download"), open_span("query"), phase("parse"):
                pass
            for _ in range(3):
                with phase("check"):
                    pass
        with time_phase(EXEC_ID, "save", "write"), time_phase(EXEC_ID, "save", "flush"):
            pass


def flat(open_span: OpenSpan) -> None:
    """Do it by the form that names everything, with nothing below a phase but a library's span."""
    from phasetrace import time_phase

    with open_span("request"):
        with time_phase(EXEC_ID, "fetch", "download"), open_span("query"):
            pass
        for _ in range(3):
            with time_phase(EXEC_ID, "fetch", "check"):
                pass
        with open_span("answer"):
            pass


def early() -> None:
    """Do something before anybody has set anything up; the root span comes at the end of it all."""
    from phasetrace import time_phase

    with time_phase(EARLY, "early", "warm up"):
        pass


def early_execution() -> None:
    """Do the same in an execution that ends at once."""
    from phasetrace import execution

    with execution(EARLY):
        early()
