"""What is done with the store's file when the process forks.

SQLite keeps its locks by process and file. A child that inherits its parent's connection takes the
parent's locks for its own, locks nothing itself, and loses what it writes as soon as others take
the file to be unused (SQLite, "How To Corrupt", section 2.6). So the file is let go of before the
fork, while no thread is inside SQLite, and opened again when there is something to write.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that has the store open."""

    def before_fork(self) -> None:
        """Let go of the file, and keep others from opening it."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork(self) -> None:
        """Start afresh in the child."""


_forkable: WeakSet[Forkable] = WeakSet()


def watch(one: Forkable) -> None:
    """Tell `one` of every fork from now on, for as long as it lives."""
    _forkable.add(one)


def _before() -> None:
    for one in list(_forkable):
        one.before_fork()


def _in_parent() -> None:
    for one in list(_forkable):
        one.after_fork_in_parent()


def _in_child() -> None:
    for one in list(_forkable):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
