"""Faults of our own are counted, said once, and never raised."""

from __future__ import annotations

import logging

import pytest

from phasetrace import faults


class Hostile(Exception):
    """Its message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_fault_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The first one is logged with its reason; all are counted, by place."""
    for _ in range(3):
        faults.report("writing", OSError("disk full"))
    faults.report("reading")
    assert faults.counts() == {"writing": 3, "reading": 1}
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "phasetrace: writing: OSError: disk full (further ones are only counted)",
        ),
        (logging.WARNING, "phasetrace: reading (further ones are only counted)"),
    ]


def test_a_hostile_error_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """An error without a message is told by its type."""
    faults.report("writing", Hostile())
    assert "writing: Hostile (" in caplog.text


def test_an_address_is_told_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Users and passwords in front of a host are left out."""
    faults.report("exporting", OSError("no answer from https://me:hunter2@host:4318/v1"))
    assert "https://…@host:4318/v1" in caplog.text
    assert "hunter2" not in caplog.text


def test_counts_are_a_copy() -> None:
    """Changing what counts() gave changes nothing."""
    faults.report("writing")
    faults.counts().clear()
    assert faults.counts() == {"writing": 1}


def test_what_is_wrong_with_the_settings_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """In one line, and not as a fault of ours."""
    for _ in range(2):
        faults.tell("VARIABLE: wrong")
    assert [record.getMessage() for record in caplog.records] == ["phasetrace: VARIABLE: wrong"]


def test_a_fault_is_told_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the exception says."""
    faults.report("sending", ValueError("no hunter2"), frozenset({"hunter2"}))
    assert "ValueError: no … (further" in caplog.text
