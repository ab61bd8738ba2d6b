"""What is running now, as lines: executions, and below each the deepest of its open calls.

A line is a list of parts, each with a style of rich's, so that one picture can be drawn in a
terminal and printed into a file. In a terminal no line is wider than it, and there are no more
lines than it has rows; elsewhere nothing is cut.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from phasetrace.analysis.wording import place_text
from phasetrace.live import FADE_NS, Activity, LiveCall, LiveExecution
from phasetrace.rendering import cells, human, safe, shortened


class Part(NamedTuple):
    """A piece of a line; `style` is rich's."""

    text: str
    style: str = ""


Line = list[Part]

MOST_CALLS: Final = 8
"""Of the open calls of one execution so many are shown, the oldest."""

_MARKS: Final = {"running": "●", "ok": "✓", "error": "✗", "cancelled": "✗", "abandoned": "✗"}
_ASCII_MARKS: Final = {"●": "*", "✓": "+", "✗": "x", "µ": "u", "…": "~"}
_INDENT: Final = "    "
_GAP: Final = "  "


def picture(
    activity: Activity, width: int = 0, height: int = 0, *, in_ascii: bool = False
) -> list[Line]:
    """Return the lines of what goes on; 0 is as wide, or as high, as it takes."""
    blocks = [_block(one, activity.at_ns, width) for one in activity.executions]
    if activity.quiet:
        blocks.append([[Part(_quiet(activity.quiet), "dim")]])
    lines: list[Line] = [[Part(title(activity), "bold")]]
    for number, block in enumerate(blocks):
        left = len(blocks) - number
        room = height - len(lines) - (1 if left > 1 else 0)
        if height and len(block) + 1 > room:
            lines.append([Part(f"and {left:,} more", "dim")])
            break
        lines += [[], *block]
    fitted = [_cut(line, width) for line in lines] if width else lines
    return [_ascii(line) for line in fitted] if in_ascii else fitted


def plain(line: Line) -> str:
    """Return the text of a line."""
    return "".join(part.text for part in line).rstrip()


def title(activity: Activity) -> str:
    """Return in a few words what goes on."""
    running = sum(one.ended_ns is None for one in activity.executions)
    words = [f"{running:,} running" if running else "nothing is running"]
    if activity.spans_per_s is not None:
        words.append(f"{_speed(activity.spans_per_s)} spans/s")
    return ", ".join(words)


def _block(one: LiveExecution, at_ns: int, width: int) -> list[Line]:
    is_over = one.ended_ns is not None
    is_bad = one.status in ("error", "cancelled", "abandoned")
    mark = _MARKS.get(one.status, "?")
    name = safe(one.name or one.exec_id)
    faded = is_over and at_ns - (one.ended_ns or 0) > FADE_NS // 2 and one.status != "abandoned"
    faint = "dim" if faded else ""
    exec_id = "" if safe(one.exec_id) == name else safe(one.exec_id)
    head = [
        Part(f"{mark} ", "bold red" if is_bad else faint or "green"),
        Part(name, faint or "bold"),
        Part(f"{_GAP}{_status(one, at_ns)}", "red" if is_bad else faint),
    ]
    facts = [
        Part(_facts(one), "red" if one.errors else "dim"),
        Part(f"{_GAP}{exec_id}" if exec_id else "", "dim"),
    ]
    calls = _calls(one, at_ns)
    whole = [*head, Part(_GAP), *facts]
    if not width or cells(plain(whole)) <= width:
        return [whole, *calls]
    return [head, [Part(_INDENT), *facts], *calls]


def _status(one: LiveExecution, at_ns: int) -> str:
    took = human(one.duration_ns)
    if one.ended_ns is None:
        usually = f", usually {human(one.usual.median_ns)}" if one.usual is not None else ""
        return f"running for {took}{usually}"
    ago = human(max(0, at_ns - one.ended_ns))
    if one.status == "abandoned":
        return f"abandoned, last heard of {ago} ago, {took} after its start"
    return f"{safe(one.status)} after {took}, {ago} ago"


def _facts(one: LiveExecution) -> str:
    words = [_number(one.spans, "span")]
    if one.spans_per_s is not None:
        words.append(f"{_speed(one.spans_per_s)}/s")
    tokens = one.input_tokens + one.output_tokens
    if tokens:
        words.append(_number(tokens, "token"))
    if one.errors:
        words.append(_number(one.errors, "error"))
    return ", ".join(words)


def _calls(one: LiveExecution, at_ns: int) -> list[Line]:
    is_dead = one.status == "abandoned"
    if not one.open:
        if one.last is None or (one.ended_ns is not None and not is_dead):
            return []
        ago = human(max(0, (one.ended_ns or at_ns) - one.last.ended_ns))
        place = place_text(one.last.node_id, one.last.phase)
        said = f"died after {place}" if is_dead else f"last was {place}, {ago} ago"
        return [[Part(f"{_INDENT}{said}", "red" if is_dead else "dim")]]
    shown = one.open[:MOST_CALLS]
    names = [place_text(call.node_id, call.phase) for call in shown]
    before = "died in " if is_dead else ""
    widest = max(map(cells, names))
    ages = [human(call.age_ns) for call in shown]
    longest = max(map(len, ages))
    lines: list[Line] = []
    for call, name, age in zip(shown, names, ages, strict=True):
        note, style = _note(call, one, is_dead)
        lines.append(
            [
                Part(f"{_INDENT}{before}", "red" if is_dead else ""),
                Part(name + " " * (widest - cells(name)), style),
                Part("" if is_dead else f"{_GAP}{age:>{longest}}"),
                Part(f"{_GAP}{note}" if note else "", style),
            ]
        )
    if len(one.open) > len(shown):
        lines.append([Part(f"{_INDENT}and {len(one.open) - len(shown):,} more", "dim")])
    return lines


def _note(call: LiveCall, one: LiveExecution, is_dead: bool) -> tuple[str, str]:
    if is_dead:
        began = human(max(0, call.started_ns - one.started_ns))
        return f"not ended, begun {began} after the start", "red"
    if not call.alive:
        return "its process is gone", "red"
    if call.is_longer_than_usual and call.known is not None:
        known = call.known
        longest = human(known.longest_ns)
        return f"longer than usual: {known.calls:,} calls took {longest} at most", "yellow"
    return "", ""


def _quiet(number: int) -> str:
    what = "execution has" if number == 1 else "executions have"
    return f"{number:,} more {what} not ended, and nothing has happened in them lately"


def _cut(line: Line, width: int) -> Line:
    """Return a line that is no wider than the terminal; a long name of a call loses its middle."""
    over = cells(plain(line)) - width
    if over <= 0:
        return line
    longest = max(range(len(line)), key=lambda at: cells(line[at].text))
    part = line[longest]
    text = shortened(part.text.rstrip(), max(cells(part.text) - over, 1))
    line = [*line[:longest], part._replace(text=text), *line[longest + 1 :]]
    room = width
    cut: Line = []
    for part in line:
        text = shortened(part.text, room) if room else ""
        cut.append(part._replace(text=text))
        room -= cells(text)
    return cut


def _ascii(line: Line) -> Line:
    table = str.maketrans(_ASCII_MARKS)
    return [part._replace(text=part.text.translate(table)) for part in line]


def _speed(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 10 or not per_s else f"{per_s:.1f}"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
