"""Every answer of every command on three recorded executions, to the letter.

What is kept is written by ``TZ=UTC python -m tests.golden.write``, and looked at before it is kept.
"""

from __future__ import annotations

import time

import pytest

from tests.golden.cases import ANSWERS, COMMANDS, NAMES, answer, kept_in


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have local times be the same everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("ending", COMMANDS)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_as_it_was(name: str, ending: str) -> None:
    """What people and programs read does not change by accident."""
    assert answer(name, ending) == kept_in(name, ending).read_text()


def test_nothing_else_is_kept() -> None:
    """An answer that nobody gives any more is gone."""
    assert {file.name for file in ANSWERS.iterdir()} == {
        kept_in(name, ending).name for name in NAMES for ending in COMMANDS
    }
