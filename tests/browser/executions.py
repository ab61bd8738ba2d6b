"""Executions to look at in a browser, as files of OTLP JSON lines: large ones and hostile ones."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from phasetrace.identity import root_span_id_of
from phasetrace.names import NODE_ID, TYPE
from phasetrace.spans import NODE
from tests.phasetrace.recordings.made import attributes, line, phase, root

MS: Final = 1_000_000
HOSTILE: Final = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)',
    "'); alert(4); ('",
    "<!-- {{script}} --> &lt;b&gt;",
    "\u202egnp.exe\u2066",
    "\x1b[31mred\x1b[0m\x00\x07",
    "line one\nline two\u2028three",
    "long " + "x" * 10_000,
    "${alert(5)} `alert(6)`",
    "",
    "\U0001d4a9ode \u8282\u70b9 \u0639\u0642\u062f\u0629",
    "__proto__",
    "\ud800",
)
_STATUS: Final = {"code": 2}
_LANES: Final = 8
_STEPS: Final = ("plan", "fetch", "parse", "rank", "write", "review")
_PHASES: Final = ("prompt_building", "llm_completion", "memory_selection", "validation")
_A_LINE: Final = 5_000


def small(folder: Path) -> Path:
    """Write an execution of 12 spans: a node with phases, three times over, one after another."""
    spans = [root("small", name="small run", end=300 * MS)]
    for number in range(3):
        at = number * 100 * MS
        spans.append(
            _node("small", 10 * (number + 1), f"step_{number}", at, at + 95 * MS, f"type{number}")
        )
        spans += [
            phase(
                10 * (number + 1) + part,
                "small",
                name,
                node=f"step_{number}",
                parent=10 * (number + 1),
                start=at + (start * MS),
                end=at + (end * MS),
            )
            for part, (name, start, end) in enumerate(
                [("read", 5, 30), ("work", 30, 80), ("write", 80, 95)][: 3 if number < 2 else 2], 1
            )
        ]
    return _write(folder / "small.jsonl", [spans])


def many(folder: Path, number: int) -> Path:
    """Write an execution of so many spans: nodes in eight lanes at once, with nested phases."""
    return _write(folder / f"many_{number}.jsonl", _in_lines(_many(number)))


def hostile(folder: Path) -> Path:
    """Write an execution of which every text could do harm where it is not taken for a text."""
    exec_id = HOSTILE[0]
    spans = [root(exec_id, name="".join(HOSTILE[:8]), end=len(HOSTILE) * 10 * MS)]
    for number, text in enumerate(HOSTILE, 1):
        at = (number - 1) * 10 * MS
        spans.append(_node(exec_id, number * 10, text, at, at + 9 * MS, text))
        spans.append(
            phase(
                number * 10 + 1,
                exec_id,
                text or "p",
                node=text,
                parent=number * 10,
                start=at + MS,
                end=at + 8 * MS,
                status=_STATUS if number % 3 == 0 else None,
                **{"gen_ai.request.model": text, "gen_ai.usage.input_tokens": number},
            )
        )
    return _write(folder / "hostile.jsonl", [spans])


def ages(folder: Path) -> Path:
    """Write an execution of more nanoseconds than a browser's numbers are exact for."""
    year = 365 * 86_400 * 1_000_000_000
    spans = [
        root("ages", name="ages", end=30 * year + 7),
        phase(2, "ages", "wait", end=30 * year + 1),
        phase(3, "ages", "moment", start=29 * year, end=29 * year + 12_345),
    ]
    return _write(folder / "ages.jsonl", [spans])


def unended(folder: Path) -> Path:
    """Write an execution of which neither the root nor a node has ended, nor ever will."""
    spans = [
        phase(2, "unended", "first", start=0, end=30 * MS, parent=9),
        phase(3, "unended", "second", start=30 * MS, end=70 * MS, parent=9, status=_STATUS),
    ]
    return _write(folder / "unended.jsonl", [spans])


def failing(folder: Path) -> Path:
    """Write an execution with calls that failed, that were tried again, and that say much.

    ``worker`` and ``late`` are on its critical path, ``other`` is beside them.
    """
    exec_id = "failing"
    bad = {"code": 2, "message": "ValueError: bad row 7"}
    parse = {"node": "worker", "parent": 10}
    spans = [
        root(exec_id, name="failing run", end=100 * MS),
        _node(exec_id, 10, "worker", 0, 60 * MS),
        _raising(phase(11, exec_id, "parse", end=20 * MS, status=bad, **parse, row=7), "bad row 7"),
        _raising(
            phase(12, exec_id, "parse", start=20 * MS, end=40 * MS, status=bad, **parse, row=7),
            "bad row 8",
        ),
        phase(13, exec_id, "parse", start=40 * MS, end=60 * MS, **parse, lines=list(range(300))),
        _node(exec_id, 20, "other", MS, 30 * MS),
        phase(
            21,
            exec_id,
            "work",
            start=MS,
            end=30 * MS,
            node="other",
            parent=20,
            **{"<b>": "</script>"},
        ),
        _node(exec_id, 30, "late", 60 * MS, 100 * MS),
        phase(
            31,
            exec_id,
            "check",
            start=60 * MS,
            end=100 * MS,
            node="late",
            parent=30,
            status={"code": 2, "message": "gave up"},
            **{"gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 12},
        ),
    ]
    return _write(folder / "failing.jsonl", [spans])


def running(folder: Path) -> Path:
    """Store an execution whose program is gone, while a call of a node had gone on for long."""
    store = folder / "running.db"
    subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "PHASETRACE_STORE": str(store)},
        check=True,
        timeout=60,
    )
    return store


_PROGRAM: Final = """
import os, threading, time
import phasetrace

started = threading.Event()

def wait():
    with phasetrace.node("waiting"), phasetrace.phase("answer"):
        started.set()
        threading.Event().wait()

with phasetrace.execution("running", name="running"):
    thread = phasetrace.propagate.Thread(target=wait, daemon=True)
    thread.start()
    started.wait()
    with phasetrace.node("done"), phasetrace.phase("work"):
        time.sleep(1.1)  # only what has gone on for more than a second is in the store
    phasetrace.force_flush()
    os._exit(0)
"""


def steps(folder: Path, number: int) -> Path:
    """Write an execution of so many nodes, one after another, each with a phase."""
    exec_id = "steps"
    spans = [root(exec_id, name=exec_id, end=number * MS)]
    for n in range(number):
        at, name = n * MS, f"step {n}"
        span_id = 2 * n + 2
        spans.append(_node(exec_id, span_id, name, at, at + MS))
        spans.append(
            phase(
                span_id + 1, exec_id, "work", node=name, parent=span_id, start=at, end=at + MS // 2
            )
        )
    return _write(folder / "steps.jsonl", [spans])


def names(folder: Path, number: int) -> Path:
    """Write an execution of so many phases, each called something else."""
    spans = (
        phase(n + 2, "names", f"phase {n}", node=f"node {n % 50}", start=n * MS, end=(n + 1) * MS)
        for n in range(number)
    )
    return _write(folder / "names.jsonl", _in_lines(_with_root("names", spans, number * MS)))


def deep(folder: Path, number: int) -> Path:
    """Write an execution of so many calls, each within the one before."""
    spans = (
        phase(
            n + 2,
            "deep",
            "call",
            start=n * 1_000,
            end=2 * number * 1_000 - n * 1_000,
            **({"parent": n + 1} if n else {}),
        )
        for n in range(number)
    )
    return _write(folder / "deep.jsonl", _in_lines(_with_root("deep", spans, 2 * number * 1_000)))


def wide(folder: Path, number: int) -> Path:
    """Write an execution of so many calls, all at once."""
    spans = (
        phase(n + 2, "wide", "request", start=n * 1_000, end=(number + n) * 1_000)
        for n in range(number)
    )
    return _write(folder / "wide.jsonl", _in_lines(_with_root("wide", spans, 2 * number * 1_000)))


def _with_root(exec_id: str, spans: Iterator[Any], end: int) -> Iterator[Any]:
    yield root(exec_id, name=exec_id, end=end)
    yield from spans


def _many(number: int) -> Iterator[Any]:
    choose = random.Random(number)
    exec_id = f"many_{number}"
    clocks = [0] * _LANES
    made, span_id = 1, 1
    while made < number:
        lane = min(range(_LANES), key=clocks.__getitem__)
        start = clocks[lane] + choose.randrange(2 * MS)
        node = choose.choice(_STEPS)
        span_id += 1
        node_span, at = span_id, start + choose.randrange(MS)
        made += 1
        for _ in range(choose.randrange(2, 7)):
            if made >= number:
                break
            length = choose.randrange(MS // 10, 6 * MS)
            name = choose.choice(_PHASES)
            failed = choose.random() < 0.004
            span_id += 1
            made += 1
            tokens = {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": length // 1000}
            yield phase(
                span_id,
                exec_id,
                name,
                node=node,
                parent=node_span,
                start=at,
                end=at + length,
                status=_STATUS if failed else None,
                **(tokens if name == "llm_completion" else {}),
            )
            at += length + choose.randrange(MS // 5)
        clocks[lane] = at
        yield _node(exec_id, node_span, node, start, at)
    yield root(exec_id, name="many", end=max(clocks) + MS)


def _node(
    exec_id: str, span_id: int, node: str, start: int, end: int, node_type: str = "llm"
) -> Any:
    parent = root_span_id_of(exec_id)
    pairs = {TYPE: NODE, NODE_ID: node, "node_type": node_type}
    return phase(
        span_id, exec_id, node, parent=parent, start=start, end=end, **{**pairs, "node": node}
    )


def _raising(span: Any, message: str) -> Any:
    """Return a span with the event of an exception in it."""
    said = {
        "exception.type": "ValueError",
        "exception.message": message,
        "exception.stacktrace": f"Traceback:\n  File 'x.py', line 1\nValueError: {message}\n",
    }
    event = {
        "timeUnixNano": span["endTimeUnixNano"],
        "name": "exception",
        "attributes": attributes(said),
    }
    return {**span, "events": [event]}


def _in_lines(spans: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for one in spans:
        batch.append(one)
        if len(batch) == _A_LINE:
            yield batch
            batch = []
    yield batch


def _write(file: Path, batches: Any) -> Path:
    with file.open("wb") as out:
        for batch in batches:
            out.write(line(*batch))
    return file
