"""What is running now, as lines: executions, and below each the deepest of its open calls.

In a terminal no line is wider than it, and there are no more lines than it has rows: what runs
comes before what was abandoned, and that before what has ended. Elsewhere nothing is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from phasetrace.analysis.wording import place_text
from phasetrace.cli.parts import Line, Part, fits, fitted, in_ascii
from phasetrace.live import (
    BUSY_NS,
    FADE_NS,
    Activity,
    LiveCall,
    LiveExecution,
    nested,
    rank,
)
from phasetrace.rendering import cells, human, name_text, safe

MOST_CALLS: Final = 8
"""Of the open calls of one execution so many are shown, the oldest."""
MOST_LINES: Final = 4
"""So many lines has an execution that was abandoned."""

_MARKS: Final = {"running": "●", "ok": "✓", "error": "✗", "cancelled": "✗", "abandoned": "✗"}
_RANKS: Final = ("running", "abandoned", "ended")
_INDENT: Final = "    "
_DEEPEST: Final = 4
_GAP: Final = "  "


def picture(
    activity: Activity,
    width: int = 0,
    height: int = 0,
    *,
    ascii_only: bool = False,
    command: str = "phasetrace",
) -> list[Line]:
    """Return the lines of what goes on; 0 is as wide, or as high, as it takes.

    `command` is what this command line is called by.
    """
    last = _last(activity, command)
    if height and len(last) > height // 3:
        last = []
    lines = [[Part(title(activity), "bold")], *_blocks(activity, width, height - len(last) - 1)]
    lines += last
    drawn = [fitted(line, width) for line in lines]
    return [in_ascii(line) for line in drawn] if ascii_only else drawn


def title(activity: Activity) -> str:
    """Return in a few words what goes on."""
    running = sum(one.ended_ns is None for one in activity.executions)
    words = [f"{running:,} running" if running else "nothing is running"]
    if activity.spans_per_s is not None:
        words.append(f"{_speed(activity.spans_per_s)} spans/s")
    return ", ".join(words)


def _blocks(activity: Activity, width: int, room: int) -> list[Line]:
    """Return the lines of all executions, in at most `room` lines; any number if that is below 0.

    To have all that runs there, fewer of its calls are shown; what is left over is for the others.
    """
    placed = nested(activity.executions)
    ranks = [rank(one) for one, _ in placed]
    depths = [depth for _, depth in placed]
    blocks: list[list[Line]] = []
    for most in range(MOST_CALLS, 0, -1):
        blocks = [
            [*_apart(depth, most), *_block(one, activity.at_ns, width, depth, most)]
            for one, depth in placed
        ]
        running = [block for block, rank in zip(blocks, ranks, strict=True) if rank == 0]
        if room < 0 or sum(map(len, running)) + (len(running) < len(blocks)) <= room:
            break
    hidden = _hidden(blocks, list(zip(ranks, depths, strict=True)), room)
    lines = [line for at, block in enumerate(blocks) if at not in hidden for line in block]
    counted = Counter(ranks[at] for at in hidden)
    more = [f"{counted[at]:,} more {what}" for at, what in enumerate(_RANKS) if counted[at]]
    return [*lines, [Part(f"and {', '.join(more)}", "dim")]] if hidden else lines


def _apart(depth: int, most: int) -> list[Line]:
    """Return what is between executions, unless there is hardly room for what they are doing."""
    return [[]] if depth == 0 and most > 1 else []


def _hidden(blocks: Sequence[list[Line]], ranks: Sequence[tuple[int, int]], room: int) -> set[int]:
    """Return which blocks there is no room for: those of the highest ranks, the last ones first."""
    total = sum(map(len, blocks))
    hidden: set[int] = set()
    if room < 0 or total <= room:
        return hidden
    for at in sorted(range(len(blocks)), key=lambda at: (ranks[at], at), reverse=True):
        if total + 1 <= room:
            break
        hidden.add(at)
        total -= len(blocks[at])
    return hidden


def _block(one: LiveExecution, at_ns: int, width: int, depth: int, most: int) -> list[Line]:
    """Return the lines of an execution, `depth` deep within others, with at most so many calls."""
    indent = _INDENT * min(depth, _DEEPEST)
    is_dead = one.status == "abandoned"
    head, facts = [Part(indent), *_head(one, at_ns)], _facts(one)
    lines = [[*head, Part(_GAP), *facts]]
    is_short = most < MOST_CALLS or depth or (one.ended_ns is not None and not is_dead)
    if not (is_short or fits(lines[0], width)):
        lines = [head, [Part(indent + _INDENT), *facts]]
    below = indent + _INDENT
    if is_dead:
        return [*lines, *_last_words(one, below, MOST_LINES - len(lines))]
    return [*lines, *_calls(one, at_ns, width, below, most)]


def _head(one: LiveExecution, at_ns: int) -> Line:
    is_bad = one.status in ("error", "cancelled", "abandoned")
    is_fading = one.ended_ns is not None and at_ns - one.ended_ns > FADE_NS // 2 and not is_bad
    faint = "dim" if is_fading else ""
    style = "red" if is_bad else faint
    return [
        Part(f"{_MARKS.get(one.status, '?')} ", "bold red" if is_bad else faint or "green"),
        Part(name_text(one.name or one.exec_id), faint or "bold", shrinks=True),
        *(part._replace(style=style) for part in _status(one, at_ns)),
    ]


def _status(one: LiveExecution, at_ns: int) -> Line:
    took = human(one.duration_ns)
    if one.ended_ns is None:
        parts = [Part(f"{_GAP}running for {took}")]
        if one.usual is not None:
            parts.append(Part(f", usually {human(one.usual.median_ns)}", spare=1))
        return parts
    ago = human(max(0, at_ns - one.ended_ns))
    if one.status == "abandoned":
        return [
            Part(f"{_GAP}abandoned"),
            Part(f", last heard of {ago} ago", spare=1),
            Part(f", {took} after its start", spare=2),
        ]
    return [Part(f"{_GAP}{safe(one.status)} after {took}"), Part(f", {ago} ago", spare=1)]


def _facts(one: LiveExecution) -> Line:
    parts = [Part(_number(one.spans, "span"), "dim")]
    if one.spans_per_s is not None:
        parts.append(Part(f", {_speed(one.spans_per_s)}/s", "dim", spare=3))
    tokens = one.input_tokens + one.output_tokens
    if tokens:
        parts.append(Part(f", {_number(tokens, 'token')}", "dim", spare=4))
    if one.errors:
        parts.append(Part(f", {_number(one.errors, 'error')}", "red"))
    if one.exec_id != (one.name or one.exec_id):
        parts.append(Part(f"{_GAP}{safe(one.exec_id)}", "dim", spare=5))
    return parts


def _calls(one: LiveExecution, at_ns: int, width: int, indent: str, most: int) -> list[Line]:
    """Return the open calls of an execution, the oldest first; without any, what it is at."""
    if not one.open:
        return [[Part(indent), *_between(one, at_ns)]] if one.ended_ns is None and one.last else []
    shown = one.open[:most]
    names = [place_text(call.node_id, call.phase) for call in shown]
    # A very long name is not to move the rest of all lines out of sight.
    widest = max(
        [cells(name) for name in names if not width or 2 * cells(name) <= width], default=0
    )
    ages = [human(call.age_ns) for call in shown]
    longest = max(map(len, ages))
    lines: list[Line] = [
        [
            Part(indent),
            Part(name, _style(call), shrinks=True),
            Part(" " * (widest - cells(name)), spare=9),
            Part(f"{_GAP}{age:>{longest}}"),
            *_note(call, at_ns),
        ]
        for call, name, age in zip(shown, names, ages, strict=True)
    ]
    return lines + _others(len(one.open) - len(shown), indent)


def _between(one: LiveExecution, at_ns: int) -> Line:
    """Return what is said of an execution in which no call has gone on for long."""
    last = one.last
    assert last is not None  # noqa: S101 - the caller has looked
    ago_ns = max(0, at_ns - last.ended_ns)
    name = Part(place_text(last.node_id, last.phase), "dim", shrinks=True)
    ago = Part(f", {human(ago_ns)} ago", "dim", spare=1)
    if ago_ns > BUSY_NS:
        return [Part("last was ", "dim"), name, ago]
    if not one.spans_per_s:
        return [Part("busy, last ", "dim"), name, ago]
    return [
        Part("busy", "dim"),
        Part(f": {_speed(one.spans_per_s)} spans/s", "dim", spare=1),
        Part(", last ", "dim"),
        name,
    ]


def _last_words(one: LiveExecution, indent: str, most: int) -> list[Line]:
    """Return which calls an execution died in, the one that began last first."""
    if not one.open:
        if one.last is None:
            return []
        name = Part(place_text(one.last.node_id, one.last.phase), "red", shrinks=True)
        return [[Part(indent), Part("died after ", "red"), name]]
    latest = sorted(one.open, key=lambda call: -call.started_ns)
    shown = latest if len(latest) <= most else latest[: most - 1]
    lines: list[Line] = []
    for call in shown:
        began = human(max(0, call.started_ns - one.started_ns))
        lines.append(
            [
                Part(indent),
                Part("died in ", "red"),
                Part(place_text(call.node_id, call.phase), "red", shrinks=True),
                Part(f"{_GAP}begun {began} after the start", "dim", spare=1),
            ]
        )
    return lines + _others(len(latest) - len(shown), indent)


def _others(number: int, indent: str) -> list[Line]:
    return [[Part(f"{indent}and {number:,} more open", "dim")]] if number else []


def _style(call: LiveCall) -> str:
    if not call.alive:
        return "red"
    return "yellow" if call.is_longer_than_usual else ""


def _note(call: LiveCall, at_ns: int) -> Line:
    style = _style(call)
    if not call.alive:
        return [Part(f"{_GAP}its process is gone", style)]
    if call.is_longer_than_usual and call.known is not None:
        known = f": {call.known.calls:,} calls took {human(call.known.longest_ns)} at most"
        return [
            Part(f"{_GAP}longer than usual", style, spare=1),
            Part(known, style, spare=2),
        ]
    if call.last is not None:
        ago = human(max(0, at_ns - call.last.ended_ns))
        return [
            Part(f"{_GAP}last {name_text(call.last.phase or call.last.node_id)}", "dim", spare=1),
            Part(f", {ago} ago", "dim", spare=2),
        ]
    return []


def _last(activity: Activity, command: str) -> list[Line]:
    """Return what there is to say of executions that are not shown."""
    lines: list[Line] = []
    if activity.abandoned:
        lines.append(
            [
                Part(f"{activity.abandoned:,} abandoned earlier", "dim"),
                Part(f": {command} list --status abandoned", "dim", spare=1),
            ]
        )
    if activity.quiet:
        what = "execution has" if activity.quiet == 1 else "executions have"
        lines.append(
            [
                Part(f"{activity.quiet:,} more {what} not ended", "dim"),
                Part(", and nothing has happened in them lately", "dim", spare=1),
            ]
        )
    return [[], *lines] if lines else []


def _speed(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 10 or not per_s else f"{per_s:.1f}"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
