"""Whoever knows an ``exec_id`` knows its trace."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import INVALID_SPAN_ID, INVALID_TRACE_ID

from phasetrace.identity import new_exec_id, root_span_id_of, trace_id_of

any_text = st.text(st.characters())  # with lone surrogates


def test_ids_are_fixed_for_all_time() -> None:
    """Other processes, versions and machines derive the same ids."""
    assert f"{trace_id_of('exec_1'):032x}" == "3aa7d313f031a1ae52060505692f5151"
    assert f"{root_span_id_of('exec_1'):016x}" == "ff4ee5eab842408c"


@given(any_text)
def test_ids_are_valid(exec_id: str) -> None:
    """Any string gives ids that OpenTelemetry accepts."""
    assert INVALID_TRACE_ID < trace_id_of(exec_id) < 2**128
    assert INVALID_SPAN_ID < root_span_id_of(exec_id) < 2**64


@given(any_text, any_text)
def test_different_executions_have_different_ids(one: str, other: str) -> None:
    """Two ids are equal only for one ``exec_id``."""
    assert (trace_id_of(one) == trace_id_of(other)) is (one == other)
    assert (root_span_id_of(one) == root_span_id_of(other)) is (one == other)


def test_a_new_id_tells_name_and_time() -> None:
    """A made-up id is readable, and sorts by the second."""
    assert re.fullmatch(r"run_\d{8}_\d{6}_[0-9a-f]{6}", new_exec_id("run"))


@pytest.mark.parametrize("name", ["agent loop", " agent \t\n loop\u00a0"])
def test_a_new_id_has_no_white_space(name: str) -> None:
    """So that it can be written on a command line as it is."""
    assert re.fullmatch(r"agent_loop_\d{8}_\d{6}_[0-9a-f]{6}", new_exec_id(name))


@pytest.mark.parametrize("name", ["", " \n"])
def test_a_new_id_of_no_name(name: str) -> None:
    """It says what it is an id of."""
    assert new_exec_id(name).startswith("exec_2")


def test_new_ids_differ() -> None:
    """Ids made in the same second are told apart."""
    assert len({new_exec_id() for _ in range(100)}) == 100
