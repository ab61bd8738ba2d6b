"""The report in Markdown."""

from __future__ import annotations

import pytest

from phasetrace.exports.markdown import markdown_lines
from phasetrace.markdown import code, prose
from tests.phasetrace.exports.some import HOSTILE, MS, export_of, hostile
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import root


def test_an_execution_is_a_table_and_what_to_do() -> None:
    """With what people ask about first."""
    exported = export_of(
        root("e", "nightly", end=100 * MS),
        made.phase(1, "e", "p", start=10 * MS, end=60 * MS, status={"code": 2}),
    )
    assert "".join(markdown_lines(exported)) == (
        "## nightly\n\n"
        "`e`: 100ms, ok, 2 spans, 1 error\n\n"
        "| node / phase | calls | total | self | share | p95 | errors |\n"
        "|---|---:|---:|---:|---:|---:|---:|\n"
        "| `n` |  | 50.0ms |  | 50.0% |  | 1 |\n"
        "| &emsp;`p` | 1 | 50.0ms | 50.0ms | 50.0% | 50.0ms | 1 |\n"
        "| unattributed |  | 50.0ms |  | 50.0% |  |  |\n"
        "\n### What would make it faster\n\n"
        "1. n / p has 50.0% of the critical path; if it took no time, the run would take 50.0ms"
        " less (50.0%).\n"
        "2. the last 40.0ms, after n / p, are in no node or phase; without that, the run would take"
        " 40.0ms less (40.0%).\n"
        "3. the first 10.0ms, before n / p, are in no node or phase; without that, the run would"
        " take 10.0ms less (10.0%).\n"
        "4. n / p failed once.\n"
    )


def test_hostile_names_stay_in_their_cells() -> None:
    """A row is a line, with as many cells as any."""
    lines = "".join(markdown_lines(hostile())).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {row.count("|") for row in rows} == {8}
    assert len(rows) == 2 + 2 * len(HOSTILE) + 1
    assert "<script>" not in "".join(row.replace("`<script>", "") for row in rows)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("llm_completion took 5.0ms (3%)", "llm_completion took 5.0ms (3%)"),
        ("_a_ *b* `c`", "&#95;a&#95; &#42;b&#42; &#96;c&#96;"),
        ("<b>", "&#60;b&#62;"),
        ("[a](b)", "&#91;a&#93;(b)"),
        ("https://x www.x :smile: a: b", "https&#58;//x www&#46;x &#58;smile: a: b"),
        ("@someone #12 # @", "@<!-- -->someone #<!-- -->12 # @"),
        ("1. one", "1&#46; one"),
        ("- a", "&#45; a"),
        ("a\nb", "a&#92;nb"),
    ],
)
def test_a_sentence_is_nothing_but_text(text: str, written: str) -> None:
    """And reads as it did, in most cases also in the source."""
    assert prose(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a", "`a`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("", "`   `"),
        ("a|b", "<code>a&#124;b</code>"),
    ],
)
def test_a_name_is_code(text: str, written: str) -> None:
    """Whatever is in it."""
    assert code(text) == written
