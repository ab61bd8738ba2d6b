"""Findings and analyses in words. Names come from the measured program and go through `safe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phasetrace.analysis import findings as kinds
from phasetrace.rendering import human, name_text, safe, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phasetrace.analysis.execution import ExecutionAnalysis
    from phasetrace.analysis.findings import Finding

_MOST_NAMES = 4
_MOST_OF_MESSAGE = 300
"""Messages of failures that are longer lose their middle."""


def findings_title(findings: Sequence[Finding]) -> str:
    """Return what findings are about: what could be saved, if anything could."""
    if findings and not any(finding.saving_ns for finding in findings):
        return "What went wrong"
    return "What would make it faster"


def finding_text(finding: Finding) -> str:
    """Return what a finding says, in one sentence without an end mark."""
    words = _WORDS.get(finding.kind)
    return words(finding) if words is not None else finding.kind


def place_text(node_id: str | None, phase: str | None) -> str:
    """Return what a node or phase is called: ``writer / llm_completion``."""
    if node_id is None:
        return "unattributed"
    return name_text(node_id) if phase is None else f"{name_text(node_id)} / {name_text(phase)}"


def analysis_text(analysis: ExecutionAnalysis) -> str:
    """Return the findings of an execution, a line each."""
    execution = analysis.execution
    at_once = analysis.concurrency
    lines = [
        f"{safe(execution.exec_id)}: {human(execution.duration_ns)}, {at_once.average:.3g} at once"
        f" on average and {at_once.maximum} at most"
    ]
    lines += [f"- {finding_text(one)}" for one in analysis.findings]
    if not analysis.findings:
        lines.append("- nothing stands out")
    return "\n".join(lines)


def _bottleneck(finding: Finding) -> str:
    evidence: Any = finding.evidence
    calls = evidence["calls"]
    what = f"{_place(finding)} has {evidence['critical']:.1%} of the critical path"
    if not evidence["critical_ns"]:
        what = f"{_place(finding)} was waited for by what does not depend on it"
    if calls > 1:
        what += f", in {calls:,} calls"
    return f"{what}; if it took no time, {_saved(finding)}"


def _sequential(finding: Finding) -> str:
    evidence: Any = finding.evidence
    nodes, after = evidence["nodes"], evidence["after"]
    together = list(dict.fromkeys([*nodes, *after]))
    if evidence["at_once"] > 1:
        return (
            f"{len(together)} nodes that do not depend on each other ({_listed(together)}) ran"
            f" {evidence['at_once']} at a time; all at once, {_saved(finding)}"
        )
    if len(nodes) > 1:
        return (
            f"{len(together)} nodes that do not depend on each other ({_listed(together)}) ran"
            f" one after another; side by side, {_saved(finding)}"
        )
    return (
        f"{name_text(nodes[0])} began only after {_listed(after)}, on which it does not depend;"
        f" side by side, {_saved(finding)}"
    )


def _repeated(finding: Finding) -> str:
    evidence: Any = finding.evidence
    return (
        f"{_place(finding)} was called {_times(evidence['again'])} again with the very metadata of"
        f" an earlier call ({human(evidence['again_ns'])}); if that did the same, without it"
        f" {_saved(finding)}"
    )


def _retries(finding: Finding) -> str:
    evidence: Any = finding.evidence
    return (
        f"{_place(finding)} failed {_times(evidence['again'])} and was tried again"
        f" ({human(evidence['again_ns'])} in failed calls{_said(finding, '; ')}); without that,"
        f" {_saved(finding)}"
    )


def _gap(finding: Finding) -> str:
    evidence: Any = finding.evidence
    before, after = evidence["before"], evidence["after"]
    length = human(evidence["duration_ns"])
    if before and after:
        at = human(evidence["start_ns"])
        what = f"{length} between {name_text(before)} and {name_text(after)}, {at} after the start,"
    elif after:
        what = f"the first {length}, before {name_text(after)},"
    elif before:
        what = f"the last {length}, after {name_text(before)},"
    else:
        what = f"all {length}"
    return f"{what} are in no node or phase; without that, {_saved(finding)}"


def _waiting(finding: Finding) -> str:
    evidence: Any = finding.evidence
    runs = f" in {evidence['runs']:,} runs" if evidence["runs"] > 1 else ""
    return (
        f"{_place(finding)} did not begin for {human(evidence['waited_ns'])}{runs} although all it"
        f" depends on was done; without that, {_saved(finding)}"
    )


def _failed(finding: Finding) -> str:
    evidence: Any = finding.evidence
    return f"{_place(finding)} failed {_times(evidence['errors'])}{_said(finding, ': ')}"


def _slower(finding: Finding) -> str:
    evidence: Any = finding.evidence
    return (
        f"the run took {human(evidence['duration_ns'])}, the last {evidence['runs']} of its name"
        f" {human(evidence['median_ns'])} in the middle; as usual, {_saved(finding)}"
    )


_WORDS = {
    kinds.BOTTLENECK: _bottleneck,
    kinds.SEQUENTIAL: _sequential,
    kinds.REPEATED: _repeated,
    kinds.RETRIES: _retries,
    kinds.GAP: _gap,
    kinds.WAITING: _waiting,
    kinds.FAILED: _failed,
    kinds.SLOWER: _slower,
}


def _said(finding: Finding, lead: str) -> str:
    """Return what the first failed call said behind some lead, if that is known."""
    message = finding.evidence.get("message")
    return lead + shortened(safe(str(message)), _MOST_OF_MESSAGE) if message else ""


def _place(finding: Finding) -> str:
    return place_text(finding.node_id, finding.phase)


def _saved(finding: Finding) -> str:
    return f"the run would take {human(finding.saving_ns)} less ({finding.saving:.1%})"


def _listed(nodes: Sequence[str]) -> str:
    shown = [name_text(node) for node in nodes[:_MOST_NAMES]]
    if len(nodes) > _MOST_NAMES:
        return f"{', '.join(shown)} and {len(nodes) - _MOST_NAMES} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
