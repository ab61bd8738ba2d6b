"""Gantt charts, drawn by Mermaid."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasetrace.exports.gantt import gantt_lines
from phasetrace.rendering import safe

from .conftest import Node
from .executions import ALL, exported, written


@pytest.mark.parametrize("name", ALL)
def test_every_bar_is_read_as_it_was_meant(name: str, tmp_path: Path, node: Node) -> None:
    """Its times, and whether it is on the critical path."""
    with exported(name) as execution:
        expected = []
        for line in gantt_lines(execution):
            text, colon, data = line.strip().rpartition(" :")
            if colon and not text.startswith("title "):
                *tags, start, end = data.split(", ")
                expected.append((int(start), int(end), bool(tags)))
        read = node("mermaid.mjs", written(execution, tmp_path / "a.mmd"))
    found = [(task["start"], task["end"], task["critical"]) for task in read["tasks"]]
    assert found == expected
    assert found


@pytest.mark.parametrize("name", ALL)
def test_names_are_drawn_as_they_are(name: str, tmp_path: Path, node: Node) -> None:
    """Every node is a section, whatever it is called."""
    with exported(name) as execution:
        texts = node("mermaid.mjs", written(execution, tmp_path / "a.mmd"))["texts"]
        nodes = {safe(span.node_id or "").strip() for span in execution.spans if span.node_id}
    drawn = {text.strip() for text in texts}
    assert nodes <= drawn
