"""What is redacted is a matter of other tests: here a message is all that was recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phasetrace import redaction
from phasetrace.redaction_rules import Rules


@pytest.fixture(autouse=True)
def _nothing_is_redacted() -> Iterator[None]:
    before = redaction.in_force()
    redaction.put_in_force(redaction.Redaction(Rules(secrets=False)))
    yield
    redaction.put_in_force(before)
