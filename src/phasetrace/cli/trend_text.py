"""A series of runs for people: a chart and the last few runs, or a line a run."""

from __future__ import annotations

import sys
from typing import Final

from phasetrace import clock, history
from phasetrace.cli.chart import Column, chart_lines, fitting
from phasetrace.cli.grid import Column as GridColumn
from phasetrace.cli.grid import grid_lines, heading
from phasetrace.cli.table import columns_of, on_terminal
from phasetrace.recordings.series import MILLION, Run, Series
from phasetrace.rendering import ago, cells, human, local_time, name_text, safe, shortened

LISTED: Final = 5
"""How many of the last runs are below the chart."""

_NARROWEST: Final = 60
_LEAST_NAME: Final = 10
_LETTERS: Final = {"error": "E", "cancelled": "C", "running": "R", "abandoned": "A"}
_NO_VALUE: Final = "?"
_GAP: Final = 2
_BY_WORTH: Final = ("value", "status", "before", "started", "median")
"""The columns beside the id, which is to be copied and never cut, by what they tell."""


def terminal() -> tuple[int, bool]:
    """Return the columns of the terminal that stdout is, and whether it takes but ASCII.

    0 columns where there is no terminal, or one in which nothing can be drawn.
    """
    if not on_terminal():
        return 0, False
    try:
        width = columns_of(sys.stdout.fileno())
    except (OSError, ValueError):
        return 0, False
    in_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    return (width if width >= _NARROWEST else 0), in_ascii


def plain_lines(series: Series) -> list[str]:
    """Return a line a run, the latest first, under titles; nothing is cut."""
    columns = [
        GridColumn("started", is_number=False),
        GridColumn(_title(series)),
        GridColumn("status", is_number=False),
        GridColumn("id", is_number=False),
    ]
    rows = [
        [
            local_time(execution.started_ns),
            _text(series, value),
            safe(execution.status),
            safe(execution.exec_id),
        ]
        for execution, value in series.runs
    ]
    return grid_lines(columns, rows, indent="")


def drawn(
    series: Series,
    width: int,
    *,
    in_ascii: bool = False,
    colour: bool = False,
    now_ns: int | None = None,
) -> list[str]:
    """Return a chart of the runs, the latest at the right, and below it the last few of them."""
    room = fitting(width, list(_labels(series).values()))
    asked = len(series.runs)
    series = series._replace(runs=series.runs[:room])
    columns = [Column(run.value, _letter(run)) for run in reversed(series.runs)]
    first, last = (_minute(series.runs[at].execution.started_ns) for at in (-1, 0))
    lines = [
        heading(_heading(series, asked, width), colour),
        "",
        *chart_lines(
            columns, _labels(series), (first, last), width, in_ascii=in_ascii, colour=colour
        ),
        *_legend(series),
        "",
        *(line for remark in remarks(series) for line in _wrapped(remark, width)),
        "",
        *_latest(series, width, clock.now_ns() if now_ns is None else now_ns, colour),
    ]
    return [line.replace("µ", "u") for line in lines] if in_ascii else lines


def remarks(series: Series) -> list[str]:
    """Return what is usual, what has changed, and what there is to say of the latest run."""
    said = []
    summary, change, verdict = series.summary(), series.change(), series.verdict()
    if summary is not None:
        low, high = _text(series, summary.min_ns), _text(series, summary.max_ns)
        those = (
            f"{summary.runs:,} runs that ended well" if summary.runs > 1 else "one run ended well"
        )
        spread = f", {low} to {high}" if low != high else ""
        said.append(f"median {_text(series, summary.median_ns)}{spread}; {those}")
    else:
        said.append("no run has ended well")
    if change is not None:
        since = _minute(series.since(change).started_ns)
        said.append(
            f"since {since} ({change.recent} runs): {_text(series, change.recent_ns)}, before that"
            f" {_text(series, change.before_ns)} ({_change(change.recent_ns, change.before_ns)},"
            f" Mann-Whitney p={change.p:.1g})"
        )
    if verdict is not None:
        said.append(f"the latest is {history.sentence(verdict)}")
    return said


def _heading(series: Series, asked: int, width: int) -> str:
    """Return what is shown, in a line, where there is room for more than the least of names."""
    number = len(series.runs)
    these = f"the last {number:,} runs" if number > 1 else "the only run"
    if number < asked:
        these = f"the last {number:,} of {asked:,} runs"
    name, what = name_text(series.name), "duration"
    if series.phase is not None:
        title = f"{series.quantity.title} of "
        room = max(width - cells(f"{name}: {title}, {these}"), _LEAST_NAME)
        what = title + shortened(name_text(series.phase), room)
    room = max(width - cells(f": {what}, {these}"), _LEAST_NAME)
    return f"{shortened(name, room)}: {what}, {these}"


def _title(series: Series) -> str:
    return "duration" if series.phase is None else series.quantity.name


def _text(series: Series, value: int | None) -> str:
    if value is None:
        return "-"
    return human(value) if series.quantity.unit == "ns" else f"{value / MILLION:.1%}"


def _labels(series: Series) -> dict[int, str]:
    """Return what to write beside the axis: the highest, and of what ended well the rest."""
    values = [run.value for run in series.runs if run.value is not None]
    summary = series.summary()
    marked = [max(values, default=0)]
    if summary is not None:
        marked += [summary.median_ns, summary.min_ns]
    return {value: _text(series, value) for value in marked}


def _letter(run: Run) -> str:
    return _LETTERS.get(run.execution.status, "") or ("" if run.value is not None else _NO_VALUE)


def _legend(series: Series) -> list[str]:
    """Return what the letters below the chart mean, those that there are."""
    letters = set(map(_letter, series.runs))
    meanings = [f"{letter} {status}" for status, letter in _LETTERS.items() if letter in letters]
    if _NO_VALUE in letters:
        meanings.append(f"{_NO_VALUE} without {name_text(series.phase or '')}")
    return ["", f"  {'   '.join(meanings)}"] if meanings else []


def _latest(series: Series, width: int, now_ns: int, colour: bool) -> list[str]:
    """Return the table of the last few runs, with as many columns as there is room for."""
    summary = series.summary()
    rows = []
    for at, (execution, value) in enumerate(series.runs[:LISTED]):
        before = next((run.value for run in series.runs[at + 1 :] if run.is_sound), None)
        rows.append(
            {
                "started": ago(execution.started_ns, now_ns),
                "value": _text(series, value),
                "before": _change(value, before),
                "median": _change(value, summary.median_ns if summary else None),
                "status": safe(execution.status),
                "id": safe(execution.exec_id),
            }
        )
    titles = {
        "started": GridColumn("started", is_number=False),
        "value": GridColumn(_title(series)),
        "before": GridColumn("change"),
        "median": GridColumn("vs median"),
        "status": GridColumn("status", is_number=False),
        "id": GridColumn("id", is_number=False),
    }
    widths = {
        key: max(cells(column.title), *(cells(row[key]) for row in rows))
        for key, column in titles.items()
    }
    shown, used = {"id"}, _GAP + widths["id"]
    for key in _BY_WORTH:
        if used + _GAP + widths[key] <= width:
            shown.add(key)
            used += _GAP + widths[key]
    keys = [key for key in titles if key in shown]
    return grid_lines(
        [titles[key] for key in keys],
        [[row[key] for key in keys] for row in rows],
        colour=colour,
    )


def _change(value: int | None, before: int | None) -> str:
    if value is None or not before:
        return "-"
    return f"{(value - before) / before:+.1%}"


def _wrapped(remark: str, width: int) -> list[str]:
    """Return a remark as a sentence of its own, in lines."""
    import textwrap

    sentence = f"{remark[:1].upper()}{remark[1:]}."
    return textwrap.wrap(
        sentence,
        width,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )


def _minute(time_ns: int) -> str:
    return local_time(time_ns)[:16].replace("T", " ")
