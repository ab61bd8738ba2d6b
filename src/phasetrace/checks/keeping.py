"""Can the store be read and written, is it sound, is there room, and does anything wait in it?"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Final

from phasetrace import clock
from phasetrace.checks.finding import Finding, Level
from phasetrace.checks.writing import folder_findings
from phasetrace.cli.status import is_quiet, label_of, size, waiting_for
from phasetrace.cli.waiting import NO_WAYS, InForce, Ways, ways_to_deliver
from phasetrace.errors import StoreError
from phasetrace.store.file import DamagedStore, open_for_reading
from phasetrace.store.reader import StoreReader
from phasetrace.store.schema import VERSION
from phasetrace.store.standing import DestinationStanding, Standing

_VARIABLE: Final = "PHASETRACE_STORE"
_LITTLE: Final = 100 * 1024**2
_NOTHING: Final = 5 * 1024**2
_LONG_NS: Final = 60 * 1_000_000_000
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def findings(path: Path | None, most_bytes: int | None, in_force: InForce) -> list[Finding]:
    """Return what there is to say of the store.

    Destinations that nothing waits for are told aside, unless they are `in_force`.
    """
    if path is None:
        return [Finding(Level.OK, "store", "off: exporters are fed from memory")]
    found = _places(path)
    if not path.is_file():
        return found
    try:
        with StoreReader(path) as store:
            standing = store.standing()
        damage = _damage(path)
    except (StoreError, OSError) as error:
        advice = "" if isinstance(error, DamagedStore) else f"{_VARIABLE} names the file"
        return [*found, Finding(Level.PROBLEM, "content", str(error), advice)]
    if damage:
        advice = "move the file away; the next program that records starts a new one"
        found.append(Finding(Level.PROBLEM, "content", f"damaged: {damage}", advice))
    else:
        found.append(Finding(Level.OK, "content", f"sound, version {VERSION}"))
    found.append(_room(standing, most_bytes))
    if standing.lost:
        text = ", ".join(f"{reason} {number:,}" for reason, number in standing.lost.items())
        advice = "these spans are gone; the totals of their executions are right all the same"
        found.append(Finding(Level.WARNING, "lost spans", text, advice))
    now_ns = clock.now_ns()
    for one in standing.destinations:
        label = label_of(one, standing.destinations)
        everyone = standing.destinations
        ways = ways_to_deliver(one, everyone, in_force, now_ns) if one.waiting else NO_WAYS
        troubles = _troubles(one, label, ways, now_ns)
        is_aside = is_quiet(one) and one.key not in in_force.keys
        well = Finding(Level.OK, "delivery", f"{label}: nothing waits", is_aside=is_aside)
        found += troubles or [well]
    return found


def _places(path: Path) -> list[Finding]:
    """Look at the file and its folder from outside."""
    found = folder_findings(path, _VARIABLE)
    if not path.exists():
        if not found:
            text = f"{path}: not there yet; the first program that records makes it"
            found.append(Finding(Level.OK, "file", text))
        return found
    if not path.is_file():
        text = f"{path}: {'it is a folder' if path.is_dir() else 'it is not a regular file'}"
        found.append(Finding(Level.PROBLEM, "file", text, f"{_VARIABLE} is the path of a file"))
        return found
    mode = stat.S_IMODE(path.stat().st_mode)
    if not os.access(path, os.R_OK | os.W_OK):
        advice = f"may you read and write it? it has mode {mode:04o}"
        found.append(Finding(Level.PROBLEM, "file", f"{path}: permission denied", advice))
    elif mode & _OTHERS:
        text = f"{path}: mode {mode:04o}, so others may read or write it"
        found.append(Finding(Level.WARNING, "file", text, "take that away with chmod 600"))
    else:
        text = f"{path}: can be read and written, mode {mode:04o}"
        found.append(Finding(Level.OK, "file", text))
    found.append(_disk(path.parent))
    return found


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{size(free)} free"
    if free < _LITTLE:
        level = Level.PROBLEM if free < _NOTHING else Level.WARNING
        return Finding(level, "disk", text, "make room; without it spans cannot be stored")
    return Finding(Level.OK, "disk", text)


def _damage(path: Path) -> str:
    """Return what SQLite finds wrong with the file, empty if nothing."""
    try:
        with closing(open_for_reading(path)) as connection:
            rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.Error as error:
        return str(error)
    lines = [str(line) for (line,) in rows]
    return "" if lines == ["ok"] else "; ".join(lines)


def _room(standing: Standing, most_bytes: int | None) -> Finding:
    text = f"{standing.spans:,} spans, {size(standing.bytes)}"
    if most_bytes is None:
        return Finding(Level.OK, "size", f"{text}, without a limit")
    text += f" of {size(most_bytes)}"
    if standing.bytes > most_bytes:
        advice = "deliver what waits, or set PHASETRACE_RETENTION to more"
        return Finding(Level.WARNING, "size", text, advice)
    return Finding(Level.OK, "size", text)


def _troubles(
    destination: DestinationStanding, label: str, ways: Ways, now_ns: int
) -> list[Finding]:
    one, found = destination, []
    if one.unaccounted:
        text = f"{label}: {one.unaccounted:,} stored spans are in no other number"
        advice = "this is a fault of phasetrace's; please report it"
        found.append(Finding(Level.PROBLEM, "account", text, advice))
    if one.waiting:
        found.append(_waiting(one, label, ways, now_ns))
    if one.refused:
        text = f"{label}: it will not take {one.refused:,} spans"
        found.append(Finding(Level.WARNING, "refused", text, "see why: phasetrace status"))
    if one.dropped:
        text = f"{label}: {sum(one.dropped.values()):,} spans, after a week without delivery"
        advice = "these are gone; deliver more often: phasetrace ship"
        found.append(Finding(Level.WARNING, "dropped", text, advice))
    return found


def _waiting(one: DestinationStanding, label: str, ways: Ways, now_ns: int) -> Finding:
    age = waiting_for(one, now_ns)
    text = f"{label}: {one.waiting:,} spans{f', for {age}' if age else ''}"
    if one.is_orphaned:
        text += "; the only process that could deliver them is gone"
        return Finding(Level.WARNING, "waiting", text, "they go when room is needed")
    if one.is_served:
        since_ns = one.oldest_waiting_ns
        is_long = since_ns is not None and now_ns - since_ns > _LONG_NS
        if not is_long and one.last_error is None:
            return Finding(Level.OK, "waiting", f"{text}; a process is delivering")
        trying = f"a process is trying; {one.last_error or 'it is slow'}"
        advice = "; ".join(filter(None, (trying, ways.elsewhere)))
        return Finding(Level.WARNING, "waiting", text, advice)
    if one.is_unserved:
        text += "; nobody has delivered for a week"
    ship = f"deliver them: {ways.ship}" if ways.ship is not None else None
    advice = "; ".join(filter(None, (ship, ways.elsewhere)))
    return Finding(Level.WARNING, "waiting", text, advice)
