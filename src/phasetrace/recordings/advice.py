"""What could be done about an execution, by its spans and by what its source knows beside them."""

from __future__ import annotations

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.findings import Finding, ranked, slower_than_usual
from phasetrace.history import SLOWER, Verdict
from phasetrace.recordings.source import Source
from phasetrace.store.stored import StoredExecution


def advice(
    source: Source,
    execution: StoredExecution,
    examination: Examination,
    *,
    rolled_up: bool,
    verdict: Verdict | None = None,
) -> tuple[Finding, ...]:
    """Return the findings about an execution, those that would save most first.

    Also where the examination is not `rolled_up`, they are those of the execution with its
    sub-executions: what it could do without may be in what it started, which is nobody's time
    otherwise. That it took longer than is usual is one of them, if that is the `verdict`.
    """
    found = (
        examination.findings if rolled_up else _with_sub_executions(source, execution, examination)
    )
    if verdict is None or verdict.what != SLOWER:
        return found
    usual = verdict.usual
    return ranked([*found, slower_than_usual(verdict.duration_ns, usual.median_ns, usual.runs)])


def _with_sub_executions(
    source: Source, execution: StoredExecution, examination: Examination
) -> tuple[Finding, ...]:
    recording = source.recording(execution, rolled_up=True, with_metadata=True)
    if len(recording.spans) == len(examination.recording.spans):  # there are none
        return examination.findings
    return Examination(recording, examination.prices).findings
