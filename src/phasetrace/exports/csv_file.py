"""Comma-separated values (RFC 4180): a row for each span.

Text that a spreadsheet would take for a formula gets an apostrophe in front, which spreadsheets
take for "this is text" (OWASP, "CSV Injection"). They begin a cell at a semicolon as well where the
decimal sign is a comma, and heed no quotes then that do not begin one; so it is done behind each of
them. All texts are in quotes. Control characters are escaped, so that a row is a line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.rows import COLUMNS, NUMBERS, rows
from phasetrace.rendering import safe

_FORMULA: Final = re.compile(
    "(^|;)(?=[=+@-]|[\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH COMMERCIAL AT}\N{FULLWIDTH HYPHEN-MINUS}])"
)


def csv_lines(exported: ExportedExecution) -> Iterator[str]:
    """Give the lines of the file, the first of which has the names of the columns."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for row in rows(exported):
        writer.writerow(
            [
                value if column in NUMBERS else _text(value)
                for column, value in zip(COLUMNS, row, strict=True)
            ]
        )
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    if line.getvalue():
        yield line.getvalue()


def _text(value: object) -> str:
    return _FORMULA.sub(r"\1'", safe(str(value))) if value is not None else ""
