"""The tests of opentelemetry-sdk that are about the inside of the SDK, each with its reason.

Nothing that a user, an instrumentation or an exporter can tell apart belongs here.
"""

from __future__ import annotations

from typing import Final

PRIVATE_STRUCTURE: Final[dict[str, str]] = {}
"""Test, as in `sdk_tests.Outcomes.ends`, to what it looks at. The conformance suite fails if one of
these does not exist in the installed version or passes."""
