"""What could be done about an execution, by its spans and by what its source knows beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.findings import Finding, ranked, slower_than_usual
from phasetrace.errors import SourceError, StoreError
from phasetrace.history import SLOWER, Verdict
from phasetrace.recordings.details import (
    NOTHING,
    details_in,
    failed_key,
    failure_of,
    first_failures,
)
from phasetrace.recordings.source import Source
from phasetrace.spans import PhaseKey
from phasetrace.store.stored import StoredExecution

_LONGEST_MESSAGE: Final = 2_000


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
    otherwise. What the first of failed calls said is in their evidence. That it took longer than is
    usual is one of them, if that is the `verdict`.
    """
    examined = examination if rolled_up else _with_sub_executions(source, execution, examination)
    found = _with_messages(source, execution, examined)
    if verdict is None or verdict.what != SLOWER:
        return found
    usual = verdict.usual
    return ranked([*found, slower_than_usual(verdict.duration_ns, usual.median_ns, usual.runs)])


def _with_sub_executions(
    source: Source, execution: StoredExecution, examination: Examination
) -> Examination:
    recording = source.recording(execution, rolled_up=True, with_metadata=True)
    if len(recording.spans) == len(examination.recording.spans):  # there are none
        return examination
    return Examination(recording, examination.prices)


def _with_messages(
    source: Source, execution: StoredExecution, examination: Examination
) -> tuple[Finding, ...]:
    """Return the findings, with what the first failed call said where they are about failed ones.

    Without it where the spans cannot be read a second time: it is only more than the numbers.
    """
    findings = examination.findings
    first = first_failures(findings, examination.recording.spans)
    if not first:
        return findings
    ids = {span.span_id for span in first.values()}
    try:
        said = details_in(source.traces(execution, rolled_up=True, only=ids))
    except (SourceError, StoreError):
        return findings
    messages = {
        key: failure_of(said.get((span.span_id, span.start_ns), NOTHING))
        for key, span in first.items()
    }
    return tuple(_with_message(one, messages) for one in findings)


def _with_message(finding: Finding, messages: Mapping[PhaseKey, str]) -> Finding:
    key = failed_key(finding)
    message = messages.get(key) if key is not None else None
    if not message:
        return finding
    return replace(finding, evidence={**finding.evidence, "message": message[:_LONGEST_MESSAGE]})
