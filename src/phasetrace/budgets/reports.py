"""The result of a check for programs, for a build server, and for a pull request.

What is named in spans is untrusted: it is escaped in JSON and XML, and in Markdown it stands in
code spans, in which nothing is a link, a mention or an image.
"""

from __future__ import annotations

import re
from typing import Any, Final

from phasetrace.budgets.amounts import Unit
from phasetrace.budgets.evaluation import Judgement, Level, Match, Report
from phasetrace.budgets.wording import MARKS, against, explained, lost_text, summary
from phasetrace.markdown import code
from phasetrace.rendering import human, safe

CHECK_SCHEMA: Final = "phasetrace.check/1"

_NS_PER_S: Final = 1_000_000_000
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What the Char production of XML 1.0 leaves out, even escaped."""
_EMOJI: Final = {Level.OK: "✅", Level.WARN: "⚠️", Level.FAIL: "❌"}


def check_document(report: Report) -> dict[str, Any]:
    """Return the result as plain dicts and lists, ready for JSON.

    A figure is a number in its budget's ``unit``: integer nanoseconds, a part of the whole (0 to
    1), a whole number, or money.
    """
    execution = report.execution
    return {
        "schema": CHECK_SCHEMA,
        "exec_id": execution.exec_id,
        "name": execution.name,
        "status": execution.status,
        "trace_id": execution.trace_id,
        "started_ns": execution.started_ns,
        "duration_ns": execution.duration_ns,
        "lost_spans": report.lost,
        "baseline": None if report.baseline is None else list(report.baseline),
        "passed": report.passed,
        "levels": {level.name.lower(): report.count(level) for level in Level},
        "budgets": [_judgement(one) for one in report.judgements],
    }


def junit(report: Report) -> str:
    """Return the result as JUnit XML, as Ant, Surefire and Jenkins have it: a test case a budget.

    What is exceeded or missed is a failure; a warning passes, and is in the test case's output. The
    time of a test case is the worst figure, where that is a time.
    """
    from xml.etree import ElementTree

    execution = report.execution
    fails = str(report.count(Level.FAIL))
    total = {"tests": str(len(report.judgements)), "failures": fails, "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": "phasetrace", **total})
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "name": "phasetrace.check",
            **total,
            "skipped": "0",
            "time": _seconds(execution.duration_ns),
            "timestamp": _timestamp(execution.started_ns),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    known = {"exec_id": execution.exec_id, "name": execution.name, "status": execution.status}
    for name, value in known.items():
        if value is not None:
            ElementTree.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for one in report.judgements:
        worst = one.worst
        is_time = one.budget.unit is Unit.TIME and worst is not None and worst.is_known
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {
                "name": _xml(one.budget.key),
                "classname": "phasetrace.budgets",
                "time": _seconds(int(worst.figure or 0)) if is_time and worst else "0",
            },
        )
        text = _xml(explained(one, str))
        if one.level is Level.FAIL:
            about = {"message": text, "type": one.outcome}
            ElementTree.SubElement(case, "failure", about).text = text
        elif one.level is Level.WARN:
            ElementTree.SubElement(case, "system-out").text = f"warning: {text}"
    ElementTree.indent(root)
    # In ASCII it is what it says that it is, whatever it is printed to or written into.
    text = ElementTree.tostring(root, "us-ascii").decode("ascii")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


def markdown(report: Report) -> str:
    """Return the result as a table of GitHub's Markdown, under a line about the execution."""
    execution = report.execution
    held = against(report, code)
    about = [f"{code(execution.exec_id)}: {human(execution.duration_ns)}"]
    if execution.status != "ok":
        about.append(safe(execution.status))
    if report.lost:
        about.append(lost_text(report))
    rows = [
        (
            f"{_EMOJI[one.level]} {MARKS[one.level]}",
            code(one.budget.key),
            explained(one, code),
        )
        for one in report.judgements
    ]
    return "\n".join(
        [
            f"**phasetrace: {summary(report)}**",
            "",
            ", ".join([*about, held] if held else about),
            "",
            "| | budget | |",
            "|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    )


def _judgement(one: Judgement) -> dict[str, Any]:
    budget = one.budget
    return {
        "budget": budget.key,
        "scope": budget.scope,
        "quantity": budget.quantity,
        "unit": budget.unit.value,
        "limit": budget.limit.text,
        "severity": budget.severity,
        "required": budget.required,
        "level": one.level.name.lower(),
        "outcome": one.outcome,
        "message": explained(one, str),
        "worst": None if one.worst is None else _match(one.worst),
        "matches": [_match(match) for match in one.matches],
    }


def _match(match: Match) -> dict[str, Any]:
    return {
        "node_id": None if match.one is None else match.one.node_id,
        "phase": None if match.one is None else match.one.phase,
        "outcome": match.outcome,
        "figure": match.figure,
        "limit": match.limit,
        "over": match.over,
        "baseline": match.baseline,
        "unpriced_tokens": match.unpriced,
    }


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", safe(text))


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / _NS_PER_S:.6f}"


def _timestamp(time_ns: int) -> str:
    """Return a time (Unix ns) as an xs:dateTime in UTC, to the second; else its seconds."""
    from datetime import datetime, timezone

    try:
        time = datetime.fromtimestamp(time_ns // _NS_PER_S, timezone.utc)
    except (OverflowError, ValueError, OSError):  # no calendar has it here
        return str(time_ns // _NS_PER_S)
    return time.replace(tzinfo=None).isoformat()
