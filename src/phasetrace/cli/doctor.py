"""``phasetrace doctor``: what is configured, by whom, and does it work?"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from phasetrace.checks.finding import Finding, Level
from phasetrace.cli import FAILED
from phasetrace.cli.sheet import Line, Section, show
from phasetrace.cli.waiting import InForce

if TYPE_CHECKING:
    from phasetrace.settings import Sources

DOCTOR_SCHEMA: Final = "phasetrace.doctor/1"

_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``doctor``."""
    parser.add_argument("--json", action="store_true", help=f"print JSON ({DOCTOR_SCHEMA})")
    parser.add_argument(
        "--send",
        action="store_true",
        help="send a span, not an empty request; also to exporters that are not OTLP's",
    )


def execute(args: argparse.Namespace) -> int:
    """Check everything, and print what was found; 1 if there is a problem."""
    from phasetrace.environment import quieten_grpc, standard_variables
    from phasetrace.settings import settings_with_sources

    sources = settings_with_sources()
    quieten_grpc()
    with _silence(), standard_variables():
        findings = _findings(sources, args.send)
    levels = Counter(finding.level for found in findings.values() for finding in found)
    if args.json:
        import json

        # In ASCII, escapes make JSON safe for a terminal and independent of its encoding.
        print(json.dumps(_plain_values(sources, findings, levels), indent=2, allow_nan=False))  # noqa: T201
    else:
        show([*_sections(sources, findings), _summary(levels)])
    return FAILED if levels[Level.PROBLEM] else 0


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the logs of libraries away: what they say is found here, and some show headers."""
    import logging

    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)


def _findings(sources: Sources, sends_spans: bool) -> dict[str, list[Finding]]:
    """Return what the checks found, by their subject."""
    from phasetrace.checks import configured, keeping, ownership, reaching, timing, versions

    settings = sources.settings
    reached = reaching.findings(settings, sends_spans and not settings.disabled)
    log = timing.findings(settings.timing)
    return {
        "configuration": configured.findings(sources),
        "tracer provider": ownership.findings(),
        "destinations": reached,
        "store": keeping.findings(
            settings.store,
            settings.retention[1],
            InForce(reaching.configured_keys(settings), settings.protocol),
        ),
        **({"TIMING log": log} if log else {}),
        "versions": versions.findings(),
    }


def _plain_values(
    sources: Sources, findings: dict[str, list[Finding]], levels: Counter[Level]
) -> dict[str, Any]:
    return {
        "schema": DOCTOR_SCHEMA,
        "version": 1,
        "problems": levels[Level.PROBLEM],
        "warnings": levels[Level.WARNING],
        "settings": [
            {"setting": one.setting, "value": one.shown, "source": one.source}
            for one in sources.values
        ],
        "checks": [
            {
                "subject": subject,
                "level": one.level.value,
                "check": one.what,
                "found": one.found,
                "advice": one.advice or None,
            }
            for subject, found in findings.items()
            for one in found
        ],
    }


def _sections(sources: Sources, findings: dict[str, list[Finding]]) -> list[Section]:
    settings = [
        Line((one.setting, f"{one.shown} ({one.source or 'default'})")) for one in sources.values
    ]
    sections = [Section("Settings", settings)]
    for subject, found in findings.items():
        lines = [
            Line((one.level.value, one.what, one.found), _STYLES[one.level], one.advice)
            for one in _told(found)
        ]
        sections.append(Section(f"{subject[0].upper()}{subject[1:]}", lines))
    return sections


def _told(found: Sequence[Finding]) -> list[Finding]:
    """Return findings with a line for those of no interest by themselves, if they are several."""
    aside = [one for one in found if one.is_aside]
    if len(aside) < 2:
        return list(found)
    others = aside[0]._replace(found=f"{len(aside)} other destinations: nothing waits")
    return [*(one for one in found if not one.is_aside), others]


def _summary(levels: Counter[Level]) -> Section:
    numbers = [
        f"{levels[level]} {level.value}{'' if levels[level] == 1 else 's'}"
        for level in (Level.PROBLEM, Level.WARNING)
        if levels[level]
    ]
    return Section(", ".join(numbers) or "All is well.", [])
