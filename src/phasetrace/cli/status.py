"""``phasetrace status``: what was delivered, what waits, what was refused or lost."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import HOW_TO_RECORD, command, open_store
from phasetrace.cli.options import add_json
from phasetrace.cli.other_addresses import how_to_take_over, is_in_use, only_if
from phasetrace.cli.sheet import Line, Section, show
from phasetrace.rendering import ago, human
from phasetrace.settings import redaction_rules, settings_with_sources, store_limits

if TYPE_CHECKING:
    from phasetrace.redaction_rules import Rules
    from phasetrace.store.destinations import DestinationSpec
    from phasetrace.store.standing import DestinationStanding, RefusedSpan, Standing

STATUS_SCHEMA: Final = "phasetrace.status/1"

_SHOWN: Final = 5
"""Refused spans in the text form; JSON has more."""
_WELL: Final = "green"
_ODD: Final = "yellow"
_BAD: Final = "bold red"
_GRPC: Final = "otlp_proto_grpc"
_PROTOCOLS: Final = {"otlp_proto_http": "http/protobuf", _GRPC: "grpc"}
_PATH: Final = "/v1/traces"
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


def how_to_ship(
    destination: DestinationStanding | DestinationSpec,
    configured: Collection[str],
    protocol: str,
    program: str,
) -> str:
    """Return the command that delivers what waits for a destination.

    In an environment that names the destinations with the keys `configured`, and a protocol.
    """
    one, ship = destination, f"{program} ship"
    if one.key in configured:
        return ship
    if " #" in one.key:  # there were headers or passwords, which nobody is to see
        return f"{ship}, in the environment of the program that recorded"
    spoken = _PROTOCOLS.get(one.name)
    if spoken is None or one.endpoint is None:
        return f"OTEL_TRACES_EXPORTER={shlex.quote(one.name)} {ship}"
    variables = [f"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL={spoken}"] if spoken != protocol else []
    address = shlex.quote(one.endpoint)
    if one.name == _GRPC or one.endpoint.endswith(_PATH):
        return " ".join([*variables, ship, "--endpoint", address])
    # The option takes a base, to which a path is added.
    return " ".join([*variables, f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={address}", ship])


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
    sections += [_destination(one, everyone, now_ns) for one in everyone]
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


def _destination(
    destination: DestinationStanding, everyone: Sequence[DestinationStanding], now_ns: int
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
    return Section(label_of(one, everyone), lines, _advice(one, everyone, now_ns), numbers=1)


def _in_force() -> tuple[set[str], str]:
    """Return the keys of the destinations that this environment names, and its protocol."""
    from phasetrace.checks.reaching import configured_keys  # dear to import, and rarely needed

    settings = settings_with_sources().settings
    return configured_keys(settings), settings.protocol


def _shipping_command(destination: DestinationStanding) -> str:
    """Return the command that delivers what waits, in this environment."""
    return how_to_ship(destination, *_in_force(), command())


def _taking_over(
    destination: DestinationStanding, everyone: Sequence[DestinationStanding], now_ns: int
) -> list[str]:
    """Return how to send elsewhere what waits, where that could be meant."""
    one, (in_force, _) = destination, _in_force()
    again = how_to_take_over(one, everyone)
    if one.key in in_force:  # with another address, or other headers, it is another destination
        return [f"if a variable is wrong, mend it; then, to send them to where it says: {again}"]
    if is_in_use(one, now_ns):
        return []
    return [f"{only_if(one, in_force)}, send them to where the settings say now: {again}"]


def _advice(
    destination: DestinationStanding, everyone: Sequence[DestinationStanding], now_ns: int
) -> list[str]:
    """Return what to do about what waits, or did not arrive."""
    one, program = destination, command()
    advice = []
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
        advice.append(who if one.is_served else f"{who}; to do so: {_shipping_command(one)}")
    if one.last_error is not None:
        advice.append(f"to find out what is wrong: {program} doctor")
        if one.waiting and one.endpoint and one.name in _PROTOCOLS:
            advice += _taking_over(one, everyone, now_ns)
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
