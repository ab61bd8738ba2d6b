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
        "| `n` |  | 50.0ms |  | 50.0% |  |  |\n"
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


def test_a_finding_about_a_failure_says_what_failed() -> None:
    """In the words of the first call that did, which are no markup; also of what was retried."""
    no, never = ({"code": 2, "message": text} for text in ("no `x` @you", "never"))
    exported = export_of(
        root("e", end=100 * MS),
        made.phase(1, "e", "p", start=50 * MS, end=60 * MS, status=never),
        made.phase(2, "e", "p", start=10 * MS, end=20 * MS, status=no),
        made.phase(3, "e", "q", start=60 * MS, end=70 * MS, node="m", status=never),
        made.phase(4, "e", "q", start=70 * MS, end=80 * MS, node="m"),
    )
    text = "".join(markdown_lines(exported))
    assert "n / p failed once and was tried again" in text
    assert "(10.0ms in failed calls; no &#96;x&#96; @<!-- -->you)" in text
    assert "m / q failed once and was tried again (10.0ms in failed calls; never)" in text
    exported = export_of(
        root("e", end=100 * MS), made.phase(2, "e", "p", end=100 * MS, status=never)
    )
    assert "n / p failed once: never.\n" in "".join(markdown_lines(exported))


def test_what_was_cancelled_is_told_from_what_failed() -> None:
    """Of each node and phase, and of all."""
    cancelled = {"phasetrace.cancelled": True}
    exported = export_of(
        root("e"),
        made.phase(1, "e", "a", status={"code": 2}),
        made.phase(2, "e", "a", end=9 * MS, **cancelled),
        made.phase(3, "e", "b", end=MS, **cancelled),
    )
    lines = "".join(markdown_lines(exported)).splitlines()
    assert lines[2].endswith(", 1 error, 2 cancelled")
    ends = [line.split("|")[-2].strip() for line in lines if line.startswith("| ")]
    assert ends == ["errors", "", "1, 1 cancelled", "1 cancelled", ""]


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
