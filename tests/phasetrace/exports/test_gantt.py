"""Gantt charts in Mermaid."""

from __future__ import annotations

import re

from phasetrace.exports.gantt import MOST_BARS, gantt_lines
from tests.phasetrace.exports.some import MS, export_of, hostile
from tests.phasetrace.recordings import made
from tests.phasetrace.recordings.made import S, root

NODE = {"phasetrace.type": "node"}


def test_a_node_is_a_section_of_its_runs_and_phases() -> None:
    """What is on the critical path is marked; times are in a unit with enough digits."""
    exported = export_of(
        root("e", "nightly", end=2 * S),
        made.phase(1, "e", "fetch", "fetch", start=0, end=S, **NODE),
        made.phase(2, "e", "download", "fetch", start=0, end=S // 2, parent=1),
        made.phase(3, "e", "aside", "aside", start=0, end=S // 4, status={"code": 2}, **NODE),
    )
    assert "".join(gantt_lines(exported)) == (
        "gantt\n"
        "    title nightly, 2.00s (axis in ms)\n"
        "    dateFormat x\n"
        "    axisFormat %Q\n"
        "    section aside\n"
        "    aside 250ms failed :0, 250\n"
        "    section fetch\n"
        "    fetch 1.00s :crit, 0, 1000\n"
        "    download 500ms :crit, 0, 500\n"
    )


def test_how_a_bar_ended_is_said() -> None:
    """Those that ended otherwise do not share one."""
    cancelled = {"phasetrace.cancelled": True}
    exported = export_of(
        root("e", end=S),
        made.phase(1, "e", "part", start=0, end=8 * MS),
        made.phase(2, "e", "part", start=10 * MS, end=18 * MS, **cancelled),
        made.phase(3, "e", "part", start=20 * MS, end=28 * MS, **cancelled),
        made.phase(4, "e", "part", start=30 * MS, end=38 * MS, status={"code": 2}),
    )
    said = [line.strip().partition(" :")[0] for line in gantt_lines(exported) if "part" in line]
    assert said == ["part 8.00ms", "part ×2 18.0ms cancelled", "part 8.00ms failed"]  # noqa: RUF001


def test_alike_phases_in_a_row_share_a_bar() -> None:
    """Those of one run of their node."""
    phases = [
        made.phase(10 + number, "e", "part", start=number * 10 * MS, end=(number * 10 + 8) * MS)
        for number in range(5)
    ]
    text = "".join(gantt_lines(export_of(root("e", end=S), *phases)))
    assert re.findall(r"part.*", text) == ["part ×5 48.0ms :crit, 0, 48"]  # noqa: RUF001


def test_no_more_bars_than_fit_are_drawn() -> None:
    """The longest; how many there are besides is said."""
    phases = [
        made.phase(10 + number, "e", f"p{number}", start=number * S, end=number * S + number * MS)
        for number in range(MOST_BARS + 7)
    ]
    text = "".join(gantt_lines(export_of(root("e", end=100 * S), *phases)))
    assert text.count("ms :") == MOST_BARS
    assert "%% 7 shorter bars are left out" in text
    assert "p6 " not in text


def test_hostile_names_are_text() -> None:
    """Nothing in them is left that Mermaid gives a meaning to."""
    for line in list(gantt_lines(hostile()))[4:]:
        assert line.count("\n") == 1
        text = line.strip().removeprefix("section ").partition(" :")[0]
        assert not re.search(r"[:;%<>`|{}\"]", re.sub(r"#\d+;", "", text))
        assert not re.match(r"title|section x|\d", text)
