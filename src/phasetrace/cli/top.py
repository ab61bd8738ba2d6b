"""``phasetrace top``: what is running now, seen from another terminal."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from phasetrace.cli import command, open_store
from phasetrace.cli.options import COLOURS, add_color, add_json
from phasetrace.errors import StoreError, StoreMissing
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from phasetrace.live import Activity, LiveCall, LiveExecution
    from phasetrace.store.activity import Memory

TOP_SCHEMA: Final = "phasetrace.top/1"

_SHORTEST_S: Final = 0.1
_LEAVES: Final = frozenset("qQ\x03\x04")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``top``."""
    parser.add_argument(
        "--once",
        action="store_true",
        help="print one picture and end, as in a pipe",
    )
    add_json(parser, TOP_SCHEMA, "one picture as JSON")
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="look again every S seconds (default: 1); q leaves",
    )
    add_color(parser)


def execute(args: argparse.Namespace) -> int:
    """Show what is running, until somebody leaves."""
    from phasetrace.cli.table import on_terminal
    from phasetrace.environment import can_draw, colour_wanted

    if args.json:
        import json

        print(json.dumps(activity_dict(_activity_once()), indent=2, allow_nan=False))  # noqa: T201
    elif args.once or not on_terminal() or not can_draw():
        _print(_activity_once(), colour_wanted(on_terminal(), COLOURS[args.color]))
    else:
        _draw(args.interval, colour_wanted(True, COLOURS[args.color]))
    return 0


def activity_dict(activity: Activity) -> dict[str, Any]:
    """Return what goes on as plain values, ready for JSON; versioned by ``schema``."""
    return {
        "schema": TOP_SCHEMA,
        "at_ns": activity.at_ns,
        "executions": [_execution_dict(one) for one in activity.executions],
        "quiet": activity.quiet,
        "abandoned": activity.abandoned,
    }


def _execution_dict(one: LiveExecution) -> dict[str, Any]:
    return {
        "exec_id": one.exec_id,
        "name": one.name,
        "status": one.status,
        "trace_id": one.trace_id,
        "parent_exec_id": one.parent_exec_id,
        "started_ns": one.started_ns,
        "duration_ns": one.duration_ns,
        "ended_ns": one.ended_ns,
        "spans": one.spans,
        "errors": one.errors,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "usual": one.usual._asdict() if one.usual is not None else None,
        "open": [_call_dict(call) for call in one.open],
        "last": one.last._asdict() if one.last is not None else None,
    }


def _call_dict(call: LiveCall) -> dict[str, Any]:
    return {
        "node_id": call.node_id,
        "phase": call.phase,
        "started_ns": call.started_ns,
        "age_ns": call.age_ns,
        "alive": call.alive,
        "known": call.known._asdict() if call.known is not None else None,
        "longer_than_usual": call.is_longer_than_usual,
        "last": call.last._asdict() if call.last is not None else None,
    }


def _look(memory: Memory) -> Activity:
    with open_store() as store:
        return store.activity(memory)


def _activity_once() -> Activity:
    """Return what goes on; nothing where nothing has been recorded yet."""
    from phasetrace.store.activity import Memory

    try:
        return _look(Memory())
    except StoreMissing:
        from phasetrace.clock import now_ns
        from phasetrace.live import Activity

        return Activity(now_ns())


def _print(activity: Activity, colour: bool) -> None:
    from phasetrace.cli.parts import plain
    from phasetrace.cli.top_text import picture
    from phasetrace.cli.trend_text import terminal

    if not (activity.executions or activity.quiet or activity.abandoned):
        print("phasetrace: nothing is running", file=sys.stderr)  # noqa: T201
        return
    width, in_ascii = terminal()
    lines = picture(activity, width, ascii_only=in_ascii, command=command())
    if colour:
        from phasetrace.cli.table import console

        widest = max(len(plain(line)) for line in lines) * 2
        drawing = console(width or widest, True)
        for line in lines:
            drawing.print(_styled([line]), soft_wrap=True)
    else:
        print("\n".join(map(plain, lines)))  # noqa: T201


def _draw(interval_s: float, colour: bool) -> None:
    """Draw over and over what goes on, in a screen of its own, until a key leaves."""
    from rich.console import Console
    from rich.live import Live

    from phasetrace.cli.keys import Keys
    from phasetrace.cli.parts import Part
    from phasetrace.cli.top_text import picture
    from phasetrace.store.activity import Memory

    in_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    console = Console(
        force_terminal=True,
        color_system="standard" if colour else None,
        no_color=not colour,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
    memory = Memory()
    try:
        with (
            Keys() as keys,
            Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live,
        ):
            keys.pause, keys.resume = live.stop, live.start
            while True:
                width, height = console.size
                try:
                    lines = picture(
                        _look(memory), width, height - 1, ascii_only=in_ascii, command=command()
                    )
                except StoreError as error:
                    lines, memory = [[Part(safe(str(error))[:width])]], Memory()
                live.update(_styled([*lines, *_footer(height - len(lines))]), refresh=True)
                if not _LEAVES.isdisjoint(keys.wait(interval_s)):
                    return
    except KeyboardInterrupt:
        return


def _footer(rows: int) -> list[Any]:
    from phasetrace.cli.parts import Part

    return [*([] for _ in range(rows - 1)), [Part("q leaves", "dim")]]


def _styled(lines: list[Any]) -> Any:
    """Return lines as one text of rich's."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for part in line:
            text.append(part.text, style=part.style or None)
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _SHORTEST_S <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {_SHORTEST_S}")
    return value
