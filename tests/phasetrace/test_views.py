"""A view exchanges parts of an object, for those who use the view and for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from phasetrace.views import View, run_on, runs_anywhere

STEP = 1


class Counter:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0
        self.by = 10

    def add(self, times: int = 1, *, more: int = 0) -> int:
        """Add some steps."""
        self.count += self.by * times * STEP + more
        return self.count

    def add_twice(self) -> int:
        """Add, in other methods' ways."""
        self.add()
        return self.add()

    def parent(self) -> str:
        """Use what surrounds the class."""
        return super().__repr__()


def test_a_view_is_the_object_but_for_what_is_exchanged() -> None:
    """What is set goes to the object, where others find it."""
    counter = Counter()
    view: Any = View(counter, by=5)
    assert (view.by, view.count) == (5, 0)
    view.count = 7
    assert (counter.by, counter.count) == (10, 7)
    assert view.add() == 17  # of the object itself


def test_a_method_runs_on_a_view() -> None:
    """With the parts and the names that are exchanged; its defaults are its own."""
    counter = Counter()
    view = View(counter, by=5)
    add = run_on(view, "add", STEP=2)
    assert [add(), add(2), add(more=1)] == [10, 30, 41]
    assert run_on(view, "add_twice")() == 61
    assert counter.add() == 71


@pytest.mark.parametrize(
    ("method", "names", "answer"),
    [
        ("add", ("count", "STEP"), True),
        ("add", ("total",), False),
        ("parent", (), False),
        ("none", (), False),
    ],
)
def test_only_a_plain_method_can_run_elsewhere(
    method: str, names: tuple[str, ...], answer: bool
) -> None:
    """One that uses what it is expected to, and nothing from around it."""
    assert runs_anywhere(Counter(), method, *names) is answer


def test_what_somebody_else_has_exchanged_is_left_alone() -> None:
    """On the object, or on its class."""

    def wrapped(function: Callable[..., int]) -> Callable[..., int]:
        return lambda *args: function(*args)

    counter: Any = Counter()
    counter.add = lambda: 0
    patched = type("Patched", (Counter,), {"add": wrapped(Counter.add)})
    assert [runs_anywhere(one, "add") for one in (counter, patched())] == [False, False]
