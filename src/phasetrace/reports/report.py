"""The report of an execution: found, worked out, and put on its page."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import Final

from phasetrace.analysis.execution import Examination
from phasetrace.analysis.usage import NO_PRICES, Prices
from phasetrace.breakdowns import ExecutionHeader
from phasetrace.recordings.advice import advice
from phasetrace.recordings.references import open_reference
from phasetrace.recordings.uncollected import uncollected
from phasetrace.recordings.usual import verdict_of
from phasetrace.rendering import human, safe
from phasetrace.reports.details import read_details
from phasetrace.reports.document import Shown, document
from phasetrace.reports.page import page
from phasetrace.rollup import within_text
from phasetrace.whole_file import whole_file

_HEIGHT_PX: Final = 720
"""Of a report within a notebook, until somebody drags its corner."""
_FRAME: Final = (
    f"width:100%;height:{_HEIGHT_PX}px;min-height:200px;resize:vertical;overflow:auto;"
    "border:1px solid #8884;box-sizing:border-box"
)


@dataclass(frozen=True, slots=True)
class Report:
    """A page about an execution, or about how it differs from another one.

    ``html`` is the whole page, which needs nothing else. A notebook shows it in place.
    """

    html: str = field(repr=False)
    execution: ExecutionHeader
    compared_with: ExecutionHeader | None
    spans: int

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page to a file, in place of what is there, and return its path.

        What is there stays until the page is complete; see `phasetrace.whole_file`.

        Raises:
            OSError: if that cannot be.
            UsageError: if a database is there.
        """
        file = Path(fspath(path))
        with whole_file(file) as page_file:
            page_file.write(self.html.encode("utf-8"))
        return file

    def _repr_html_(self) -> str:
        """Return the page in a frame: its script and style can reach nothing around them."""
        title = escape(safe(self.execution.name or self.execution.exec_id))
        return (
            f'<iframe title="{title}" sandbox="allow-scripts" style="{_FRAME}"'
            f' srcdoc="{escape(self.html)}"></iframe>'
        )

    def __str__(self) -> str:
        execution, other = self.execution, self.compared_with
        what = f"report of {safe(execution.exec_id)} ({human(execution.duration_ns)})"
        if other is not None:
            what += f" compared with {safe(other.exec_id)} ({human(other.duration_ns)})"
        return f"{what}: {self.spans:,} spans"


def make_report(
    reference: str | None,
    compare: str | None = None,
    place: str | None = None,
    *,
    rolled_up: bool = False,
    prices: Prices = NO_PRICES,
) -> Report:
    """Return the report of the execution that a reference means; None is the latest.

    Read from a `place`, or from the store; `compare` means another one there.

    Raises:
        UnknownExecution: if a reference means none.
        UsageError: if a file has several executions, and the reference names none of them.
        SourceError: if a file or the place is not what executions can be read from.
        StoreError: if the store cannot be read.
    """
    with uncollected():
        shown = [_shown(reference, place, rolled_up, prices)]
        if compare is not None:
            shown.append(_shown(compare, place, rolled_up, prices))
        html = page(document(*shown))
    headers = [one.breakdown.execution for one in shown]
    spans = sum(one.breakdown.spans for one in shown)
    return Report(html, headers[0], headers[1] if compare is not None else None, spans)


def _shown(reference: str | None, place: str | None, rolled_up: bool, prices: Prices) -> Shown:
    with ExitStack() as open_sources:
        source, execution = open_reference(reference, place)
        open_sources.enter_context(source)
        recording = source.recording(execution, rolled_up, with_metadata=True)
        examination = Examination(recording, prices)
        verdict = verdict_of(source, execution)
        found = advice(source, execution, examination, rolled_up=rolled_up, verdict=verdict)
        notes = list(source.notes)
        within = 0 if rolled_up else source.within(execution)
        if within:
            notes.append(f"{within_text(within)}: --rolled-up")
        return Shown(
            examination,
            source.breakdown(execution, rolled_up, recording),
            found,
            verdict,
            notes,
            read_details(source, execution, rolled_up, examination, found),
        )
