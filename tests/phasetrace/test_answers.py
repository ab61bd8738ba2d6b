"""Test what executions are called where Python asks for them."""

from __future__ import annotations

import pytest

import phasetrace
from phasetrace import UnknownExecution, analyse, breakdown, execution, phase


@pytest.fixture
def two_runs() -> None:
    """Record two runs of a name, and something else after them."""
    for exec_id, name in (("exec_1", "nightly"), ("exec_2", "nightly"), ("exec_3", None)):
        with execution(exec_id, name=name), phase("p"):
            pass


@pytest.mark.usefixtures("two_runs")
@pytest.mark.parametrize(
    ("reference", "exec_id"),
    [
        ("exec_1", "exec_1"),
        ("nightly", "exec_2"),
        ("nightly~1", "exec_1"),
        ("latest", "exec_3"),
        ("latest~2", "exec_1"),
    ],
)
def test_they_are_called_as_on_the_command_line(reference: str, exec_id: str) -> None:
    """By id, by name, and by how long ago."""
    assert breakdown(reference).execution.exec_id == exec_id
    assert analyse(reference).execution.exec_id == exec_id


@pytest.mark.usefixtures("two_runs")
def test_what_nobody_knows_comes_with_what_is_like_it() -> None:
    """Ids and names."""
    with pytest.raises(UnknownExecution, match=r"no execution 'nightly2' .* nightly"):
        breakdown("nightly2")


def test_an_id_comes_first() -> None:
    """Whatever has it for a name."""
    with execution("one", name="two"), phase("p"):
        pass
    with execution("two", name="one"), phase("p"):
        pass
    assert breakdown("one").execution.exec_id == "one"
    assert phasetrace.report("two").execution.exec_id == "two"
