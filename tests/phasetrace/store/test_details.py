"""What spans say of themselves in the store, beyond their columns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phasetrace
from phasetrace import execution, node, phase
from phasetrace.settings import store_path
from phasetrace.spans import SpanRecord, Usage
from phasetrace.store.details import NOTHING, DetailsReader
from phasetrace.store.reader import StoreReader


def recorded(with_metadata: bool = False) -> list[SpanRecord]:
    """Return the spans of the latest execution, oldest first."""
    phasetrace.shutdown()
    path = store_path()
    assert isinstance(path, Path)
    with StoreReader(path) as store:
        spans = store.recording(store.latest(), with_metadata=with_metadata).spans
    return sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))


def test_a_node_says_what_it_waited_for() -> None:
    """In the order given; what is absent is nothing."""
    with execution("e"):
        with node("a"):
            pass
        with node("b", depends_on=["a", "ü"], iteration=3):
            pass
    _, a, b = recorded()
    assert (a.depends_on, a.iteration) == ((), None)
    assert (b.depends_on, b.iteration) == (("a", "ü"), 3)


def test_a_phase_says_what_a_model_took() -> None:
    """As it is on the span when it ends."""
    with execution("e"), phase("call", **{"gen_ai.request.model": "m"}) as span:
        span.set_attribute("gen_ai.usage.input_tokens", 2**40)
        span.set_attribute("gen_ai.usage.output_tokens", 0)
        span.set_attribute("gen_ai.usage.cost", 0.5)
    assert recorded()[-1].usage == Usage(2**40, 0, "m", 0.5)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ({"url": "a"}, {"url": "a"}, True),
        ({"url": "a"}, {"url": "b"}, False),
        ({"url": "a", "n": 1}, {"url": "a", "n": 2}, False),
        ({"url": "a", "n": 1}, {"n": 1, "url": "a"}, True),
        ({"url": "a", "iteration": 1}, {"url": "a", "iteration": 2}, True),
    ],
)
def test_metadata_are_compared(one: Any, other: Any, alike: bool) -> None:
    """All of them, in whatever order; what has a meaning of its own is none."""
    with execution("e"):
        for metadata in (one, other):
            with phase("p", **metadata):
                pass
    first, second = recorded(with_metadata=True)[1:]
    assert first.metadata is not None
    assert (first.metadata == second.metadata) is alike


@pytest.mark.parametrize(
    "metadata", [{}, {"files": 8}, {"model": "m"}, {"gen_ai.request.model": "m"}, {"ok": True}]
)
def test_sizes_and_models_tell_no_calls_apart(metadata: Any) -> None:
    """Two calls on eight files each may have done anything."""
    with execution("e"), phase("p", **metadata):
        pass
    assert recorded(with_metadata=True)[-1].metadata is None


def test_metadata_are_left_alone_unless_asked_for() -> None:
    """To read every message takes its time."""
    with execution("e"), phase("p", url="a"):
        pass
    assert recorded()[-1].metadata is None


@pytest.mark.parametrize(
    "damaged", [b"depends_on", b"\x4a\xffdepends_on", b"J\x02\x0a\x05depends_on"]
)
def test_a_damaged_message_says_nothing(damaged: bytes) -> None:
    """And stops nobody."""
    assert DetailsReader(with_metadata=True).read(damaged) is NOTHING


def test_the_processes_of_an_execution_are_told_apart() -> None:
    """Each span knows which one it came from."""
    source = "from phasetrace import time_phase\nwith time_phase('e', 'n', 'p'): pass"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", source], check=True)
    spans = recorded()
    assert len({span.process for span in spans}) == 2
