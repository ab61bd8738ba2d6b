"""What a notebook shows of a breakdown and an analysis."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from phasetrace import analyse, breakdown, execution, node, phase
from phasetrace.breakdowns import ExecutionBreakdown
from phasetrace.rendering import human

HOSTILE = "<script>alert('x')</script>\"&\u202e\x1b[31m"


class Page(HTMLParser):
    """The elements and the text of some HTML; every element that is opened has to be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Note an element."""
        self.tags.append(tag)
        self.open.append(tag)
        if tag in ("td", "th", "li", "caption", "p"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Add to the cell."""
        self.cells[-1] += data


@pytest.fixture
def answer() -> ExecutionBreakdown:
    """Record what could do harm, and a failure."""
    with execution("e"), pytest.raises(ValueError, match="x"), node(HOSTILE), phase(HOSTILE):
        raise ValueError("x")
    return breakdown("e")


def test_a_breakdown_is_one_table(answer: ExecutionBreakdown) -> None:
    """With the numbers of the breakdown, and a row for what is unattributed."""
    page = Page(answer._repr_html_())
    assert page.tags.count("table") == 1
    assert page.tags.count("tr") == 2 + sum(1 + len(node.phases) for node in answer.nodes) + any(
        node.of_node >= 0.001 for node in answer.nodes
    )
    assert human(answer.nodes[0].total_ns) in page.cells
    assert "unattributed" in page.cells


def test_what_comes_from_spans_is_text(answer: ExecutionBreakdown) -> None:
    """No element, no attribute, and nothing that turns the direction of what follows."""
    html = answer._repr_html_()
    page = Page(html)
    assert "script" not in page.tags
    assert not {"\u202e", "\x1b"} & set(html)
    assert page.cells.count("<script>alert('x')</script>\"&\\u202e\\x1b[31m") == 1


def test_an_analysis_is_its_findings(answer: ExecutionBreakdown) -> None:
    """A heading, and an item each."""
    page = Page(analyse("e")._repr_html_())
    assert page.tags.count("li") >= 1
    assert "script" not in page.tags


def test_shares_are_written_beside_their_bars(answer: ExecutionBreakdown) -> None:
    """A bar alone says nothing to who does not see it."""
    assert f"{answer.nodes[0].share:.1%}" in Page(answer._repr_html_()).cells
