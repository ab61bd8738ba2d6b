"""What there is to do about how long an execution took: findings, each with its evidence.

Every saving is worked out by a replay of the execution (`phasetrace.analysis.replay`), each finding
by itself: savings do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

Evidence = Mapping[str, "int | float | str | list[str] | None"]

BOTTLENECK: Final = "bottleneck"
SEQUENTIAL: Final = "sequential"
REPEATED: Final = "repeated"
RETRIES: Final = "retries"
GAP: Final = "gap"
WAITING: Final = "waiting"
FAILED: Final = "failed"
SLOWER: Final = "slower_than_usual"
KINDS: Final = (BOTTLENECK, SEQUENTIAL, REPEATED, RETRIES, GAP, WAITING, FAILED, SLOWER)

WORTH: Final = 0.01
"""The part of an execution that a saving has to be to be worth a word."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an execution could do without, or that went wrong in it.

    ``kind`` is one of `KINDS`; ``node_id`` and ``phase`` say where, None for the execution as a
    whole. ``saving_ns`` is by how much the execution would have been shorter, and ``saving`` that
    as a part of it. ``evidence`` are the numbers that it is concluded from; the names say the unit.
    """

    kind: str
    node_id: str | None
    phase: str | None
    saving_ns: int
    saving: float
    evidence: Evidence = field(default_factory=dict)


def slower_than_usual(duration_ns: int, median_ns: int, runs: int) -> Finding:
    """Return that an execution took longer than the last runs of its name."""
    saving_ns = duration_ns - median_ns
    evidence = {"duration_ns": duration_ns, "median_ns": median_ns, "runs": runs}
    return Finding(SLOWER, None, None, saving_ns, saving_ns / duration_ns, evidence)


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by what they save, most first; what only went wrong comes last."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (
                -one.saving_ns,
                KINDS.index(one.kind),
                one.node_id or "",
                one.phase or "",
            ),
        )
    )
