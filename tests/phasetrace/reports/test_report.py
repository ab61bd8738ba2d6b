"""Test `phasetrace.report`: the page of an execution as a value, in a notebook, and in a file."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import phasetrace
from phasetrace import Report, UnknownExecution, execution, node, phase, report
from tests.golden.cases import EXECUTIONS
from tests.phasetrace.test_whole_file import no_room

ITERATIONS = str(EXECUTIONS / "iterations.jsonl")
FAN_OUT = str(EXECUTIONS / "fan_out.jsonl")


def document_in(html: str) -> Any:
    """Return the document that is in a page."""
    found = re.search(r'<script id="document" type="application/json">(.*?)</script>', html, re.S)
    assert found is not None
    return json.loads(found[1])


class Frames(HTMLParser):
    """What a notebook is given, as its elements with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Add an element."""
        self.elements.append((tag, dict(attributes)))


def test_it_is_of_what_this_process_has_recorded_so_far() -> None:
    """Also of what is not in the store yet; an execution is called as on the command line."""
    with execution("e", name="nightly"), node("n"), phase("p"):
        pass
    for reference in ("e", "nightly", "latest"):
        made = report(reference)
        assert document_in(made.html)["runs"][0]["exec_id"] == "e"
        assert (made.execution.exec_id, made.spans, made.compared_with) == ("e", 3, None)


def test_it_is_of_the_store_that_was_configured(tmp_path: Path) -> None:
    """And not of that in the environment."""
    phasetrace.configure(store=tmp_path / "another.db")
    with execution("e"), phase("p"):
        pass
    assert report("e").spans == 2


def test_another_one_can_be_beside_it() -> None:
    """Wherever both are."""
    made = report(ITERATIONS, compare=FAN_OUT, prices={"*": (1.0, 2.0)})
    first, second = document_in(made.html)["runs"]
    assert (first["exec_id"], second["exec_id"]) == ("iterations", "fan_out")
    assert first["usage"]["cost"] > 0
    assert made.compared_with is not None
    assert str(made) == "report of iterations (155ms) compared with fan_out (43.2ms): 62 spans"
    assert document_in(report("fan_out", source=FAN_OUT).html)["runs"][0]["exec_id"] == "fan_out"


def test_sub_executions_are_within_it_when_rolled_up() -> None:
    """Not otherwise, as with all the other answers; findings are about all of it either way."""
    with execution("outer"), node("n"), execution("inner", name="sub"), phase("deep"):
        sum(range(500_000))
    rolled_up, plain = (
        document_in(report("outer", rolled_up=to).html)["runs"][0] for to in (True, False)
    )
    assert "deep" in rolled_up["names"]
    assert "deep" not in plain["names"]
    assert (rolled_up["notes"], plain["notes"]) == ([], ["1 execution within it: --rolled-up"])
    assert rolled_up["findings"] == plain["findings"]
    assert any(one["phase"] == "deep" for one in plain["findings"])


def test_a_notebook_shows_the_page_in_a_frame_of_its_own() -> None:
    """Which reaches nothing around it; what comes from spans is in there, and nowhere else."""
    with execution("e", name="\"><script>alert('x')</script>"), phase("p"):
        pass
    made = report("e")
    ((tag, attributes),) = Frames(made._repr_html_()).elements
    assert (tag, attributes["sandbox"], attributes["srcdoc"]) == (
        "iframe",
        "allow-scripts",
        made.html,
    )


def test_it_can_be_saved(tmp_path: Path) -> None:
    """In place of what was there."""
    file = tmp_path / "report.html"
    file.write_text("old")
    made = report(ITERATIONS)
    assert made.save(file) == file
    assert file.read_bytes().decode("utf-8") == made.html
    with pytest.raises(OSError, match="No such file"):
        made.save(tmp_path / "nowhere" / "report.html")


def test_what_was_there_stays_until_the_page_is_complete(tmp_path: Path) -> None:
    """Also if that is never, as on a full disk."""
    file = tmp_path / "report.html"
    file.write_text("old")
    with no_room(1_000), pytest.raises(OSError, match="File too large"):
        report(ITERATIONS).save(file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_it_prints_as_a_line() -> None:
    """And not as a page of a megabyte."""
    made = report(ITERATIONS)
    assert str(made) == "report of iterations (155ms): 21 spans"
    assert "<html" not in repr(made)
    assert isinstance(made, Report)


def test_what_is_not_there_is_unknown() -> None:
    """Like a breakdown of it."""
    with execution("exec_1"), phase("p"):
        pass
    with pytest.raises(UnknownExecution, match="exec_2"):
        report("exec_2")
    with pytest.raises(UnknownExecution, match="exec_3"):
        report("exec_1", compare="exec_3")
