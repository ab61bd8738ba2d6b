"""``phasetrace status``: what was delivered, what waits, what was refused or lost."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import HOW_TO_RECORD, command, open_store
from phasetrace.cli.options import add_json
from phasetrace.cli.sheet import Line, Section, show
from phasetrace.cli.waiting import NO_WAYS, InForce, ways_to_deliver
from phasetrace.rendering import ago, human
from phasetrace.settings import redaction_rules, settings_with_sources, store_limits

if TYPE_CHECKING:
    from phasetrace.redaction_rules import Rules
    from phasetrace.store.standing import DestinationStanding, RefusedSpan, Standing

STATUS_SCHEMA: Final = "phasetrace.status/1"

_SHOWN: Final = 5
"""Refused spans in the text form; JSON has more."""
_QUIET: Final = 3
"""Destinations without anything to do that the text form tells of one by one, if they are others
than this environment names: those that were served last."""
_WELL: Final = "green"
_ODD: Final = "yellow"
_BAD: Final = "bold red"
_UNITS: Final = ((1024**3, "GB"), (1024**2, "MB"), (1024, "kB"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``status``."""
    add_json(parser, STATUS_SCHEMA)


def execute(args: argparse.Namespace) -> int:
    """Print where the store and its destinations stand.

    Raises:
        StoreError: if there is no store, or it cannot be read.
        ConfigError: if the environment's limits make no sense.
    """
    limits, rules = store_limits(), redaction_rules()
    with open_store() as store:
        standing = store.standing()
    if args.json:
        import json

        # In ASCII, escapes make JSON safe for a terminal and independent of its encoding.
        print(json.dumps(_plain_values(standing, limits, rules), indent=2, allow_nan=False))  # noqa: T201
        return 0
    from phasetrace.clock import now_ns

    show(_sections(standing, limits[1], rules, now_ns()))
    return 0


def size(number: int) -> str:
    """Return a number of bytes in the unit that people read."""
    for unit, name in _UNITS:
        if number >= unit:
            return (
                f"{number / unit:.3g} {name}"
                if number < 1000 * unit
                else f"{number // unit} {name}"
            )
    return f"{number} B"


def waiting_for(destination: DestinationStanding, now_ns: int) -> str | None:
    """Return for how long the oldest span has waited, None if none does or that is not known."""
    since_ns = destination.oldest_waiting_ns
    return human(max(0, now_ns - since_ns)) if since_ns is not None else None


def label_of(destination: DestinationStanding, others: Sequence[DestinationStanding]) -> str:
    """Return what a destination is called; its digest only where that tells it from another."""
    label = f"{destination.endpoint} ({destination.name})" if destination.endpoint else ""
    same = [
        one
        for one in others
        if (one.name, one.endpoint) == (destination.name, destination.endpoint)
    ]
    _, sign, digest = destination.key.rpartition(" #")
    return (label or destination.name) + (f" #{digest}" if sign and len(same) > 1 else "")


def is_quiet(destination: DestinationStanding) -> bool:
    """Tell whether there is nothing to say of a destination but how much it has taken."""
    one = destination
    troubles = (one.waiting, one.refused, one.dropped, one.lost, one.unaccounted, one.last_error)
    return not any(troubles) and one.remark is None


def _plain_values(
    standing: Standing, limits: tuple[int | None, int | None], rules: Rules
) -> dict[str, Any]:
    endpoints = {one.key: one for one in standing.destinations}
    most, most_bytes = limits
    return {
        "schema": STATUS_SCHEMA,
        "version": 1,
        "redaction": str(rules),
        "store": {
            "path": str(standing.path),
            "bytes": standing.bytes,
            "max_bytes": most_bytes,
            "executions": standing.executions,
            "max_executions": most,
            "spans": standing.spans,
            "lost": standing.lost,
        },
        "destinations": [
            {
                "name": one.name,
                "endpoint": one.endpoint,
                "key": one.key,
                "recorded": one.recorded,
                "stored": one.stored,
                "delivered": one.delivered,
                "elsewhere": one.elsewhere,
                "waiting": one.waiting,
                "refused": one.refused,
                "dropped": one.dropped,
                "lost": one.lost,
                "oldest_waiting_ns": one.oldest_waiting_ns,
                "last_error": one.last_error,
                "last_error_ns": one.last_error_ns,
                "last_success_ns": one.last_success_ns,
                "remark": one.remark,
                "served": one.is_served,
                "unserved_for_a_week": one.is_unserved,
                "process_gone": one.is_orphaned,
            }
            for one in standing.destinations
        ],
        "refused_spans_total": standing.refused_total,
        "refused_spans": [
            {
                "at_ns": one.at_ns,
                "name": one.name,
                "exec_id": one.exec_id,
                "trace_id": one.trace_id,
                "span_id": one.span_id,
                "reason": one.reason,
                "destination": endpoints[one.destination].name,
                "endpoint": endpoints[one.destination].endpoint,
            }
            for one in standing.refused_spans
        ],
    }


def _sections(
    standing: Standing, most_bytes: int | None, rules: Rules, now_ns: int
) -> list[Section]:
    sections = [_store(standing, most_bytes, rules)]
    everyone = standing.destinations
    quiet = [one for one in everyone if is_quiet(one)]
    is_needed = len(quiet) < len(everyone) or len(quiet) > _QUIET
    in_force = _in_force() if is_needed else InForce((), "")
    aside = _aside(quiet, in_force)
    sections += [
        _destination(one, everyone, in_force, now_ns) for one in everyone if one.key not in aside
    ]
    if aside:
        sections.append(_others([one for one in everyone if one.key in aside]))
    if not everyone:
        how = "nothing is to be delivered: no program has recorded with a destination yet"
        sections.append(Section("Destinations", [Line((how,))]))
    if standing.refused_total:
        sections.append(_refused(standing.refused_spans, standing.refused_total, now_ns))
    return sections


def _store(standing: Standing, most_bytes: int | None, rules: Rules) -> Section:
    kept = f"{_number(standing.executions, 'execution')}, {_number(standing.spans, 'span')}"
    room = f"{kept}, {size(standing.bytes)}"
    if most_bytes is not None:
        room += f" of {size(most_bytes)}"
    lines = [Line(("kept", room if standing.executions or standing.spans else "nothing yet"))]
    if standing.lost:
        lines.append(Line(("lost", _reasons(standing.lost)), _BAD))
    lines.append(Line(("redacting", str(rules))))
    advice = []
    if not standing.executions and not standing.spans:
        advice.append(HOW_TO_RECORD)
    if most_bytes is not None and standing.bytes > most_bytes:
        advice.append("it is full: deliver what waits, or set PHASETRACE_RETENTION to more")
    return Section(f"Store {standing.path}", lines, advice)


def _aside(quiet: Sequence[DestinationStanding], in_force: InForce) -> set[str]:
    """Return the keys of the destinations that are told of together, if they are several."""
    others = [one for one in quiet if one.key not in in_force.keys]
    others.sort(key=lambda one: one.last_success_ns or 0, reverse=True)
    aside = {one.key for one in others[_QUIET:]}
    return aside if len(aside) > 1 else set()


def _others(destinations: Sequence[DestinationStanding]) -> Section:
    """Return what there is to say of destinations that were served, long ago or never."""
    delivered = sum(one.delivered for one in destinations)
    lines = [Line(("delivered", f"{delivered:,}", "all that was recorded; nothing waits"))]
    heading = f"{len(destinations)} other destinations"
    return Section(heading, lines, [f"one by one: {command()} status --json"], numbers=1)


def _destination(
    destination: DestinationStanding,
    everyone: Sequence[DestinationStanding],
    in_force: InForce,
    now_ns: int,
) -> Section:
    one = destination
    last = f"the last {ago(one.last_success_ns, now_ns)}" if one.last_success_ns else ""
    is_all = one.recorded == one.delivered
    elsewhere = ""
    if one.elsewhere:
        which = "all" if one.elsewhere == one.delivered else f"{one.elsewhere:,} of them"
        elsewhere = f"{which} to another address, by ship --instead-of"
    lines = []
    if not is_all:
        lines.append(Line(("recorded", f"{one.recorded:,}", "")))
    well = _WELL if is_all and one.delivered else ""
    whole = "all that was recorded" if is_all and one.delivered else ""
    remark = "; ".join(filter(None, (whole, elsewhere, last)))
    lines.append(Line(("delivered", f"{one.delivered:,}", remark), well))
    if one.waiting:
        age = waiting_for(one, now_ns)
        lines.append(Line(("waiting", f"{one.waiting:,}", f"for {age}" if age else ""), _ODD))
    if one.refused:
        lines.append(Line(("refused", f"{one.refused:,}", "the receiver will not take them"), _BAD))
    if one.remark is not None:
        lines.append(Line(("it says", "", one.remark), _ODD))
    for label, numbers in (("dropped", one.dropped), ("lost", one.lost)):
        if numbers:
            lines.append(Line((label, f"{sum(numbers.values()):,}", _causes(numbers)), _BAD))
    if one.last_error is not None:
        when = f" ({ago(one.last_error_ns, now_ns)})" if one.last_error_ns else ""
        lines.append(Line(("error", "", f"{one.last_error}{when}"), _BAD))
    return Section(
        label_of(one, everyone), lines, _advice(one, everyone, in_force, now_ns), numbers=1
    )


def _in_force() -> InForce:
    """Return what this environment names."""
    from phasetrace.checks.reaching import configured_keys  # dear to import, and rarely needed

    settings = settings_with_sources().settings
    return InForce(configured_keys(settings), settings.protocol)


def _advice(
    destination: DestinationStanding,
    everyone: Sequence[DestinationStanding],
    in_force: InForce,
    now_ns: int,
) -> list[str]:
    """Return what to do about what waits, or did not arrive."""
    one, advice = destination, []
    ways = ways_to_deliver(one, everyone, in_force, now_ns) if one.waiting else NO_WAYS
    if one.is_orphaned:
        advice.append("the only process that could deliver here is gone")
    elif one.waiting:
        if one.is_served:
            who = "a process is delivering"
        elif one.is_unserved:
            who = "nobody has delivered for a week: what waits will make room for newer executions"
        elif one.is_served is None:
            who = "whether a process is delivering cannot be told"
        else:
            who = "nobody is delivering"
        has_command = ways.ship is not None and not one.is_served
        advice.append(f"{who}; to do so: {ways.ship}" if has_command else who)
    if one.last_error is not None:
        advice.append(f"to find out what is wrong: {command()} doctor")
    if ways.elsewhere is not None:
        advice.append(ways.elsewhere)
    return advice


def _refused(spans: Sequence[RefusedSpan], total: int, now_ns: int) -> Section:
    lines = [
        Line(
            (
                one.name or "-",
                one.exec_id or "-",
                ago(one.at_ns, now_ns),
                one.reason,
            )
        )
        for one in spans[:_SHOWN]
    ]
    more = total - len(lines)
    program = command()
    advice = [f"{more:,} more: {program} status --json"] if more > 0 else []
    advice.append(f"once the receiver takes them: {program} ship --replay EXEC_ID")
    return Section("Refused spans, the latest first", lines, advice)


def _reasons(numbers: Mapping[str, int]) -> str:
    return f"{_number(sum(numbers.values()), 'span')}: {_causes(numbers)}"


def _causes(numbers: Mapping[str, int]) -> str:
    """Return reasons, each with its number where there are several."""
    counted = Counter(numbers).most_common()
    if len(counted) == 1:
        return counted[0][0]
    return ", ".join(f"{reason} {number:,}" for reason, number in counted)


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
