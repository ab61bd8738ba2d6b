"""Lines made of parts, of which some go where there is no room for all.

A line is a list of parts, each with a style of rich's, so that one picture can be drawn in a
terminal and printed into a file. Parts go as a whole, the one that is most easily spared first.
Only names lose their middle, and only when nothing can be spared any more.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from phasetrace.rendering import cells, shortened


class Part(NamedTuple):
    """A piece of a line; `style` is rich's.

    `spare` is how easily it can be done without: 0 if it cannot. What `shrinks` is a name.
    """

    text: str
    style: str = ""
    spare: int = 0
    shrinks: bool = False


Line = list[Part]

_LEAST_NAME: Final = 8
_ASCII: Final = str.maketrans({"●": "*", "✓": "+", "✗": "x", "µ": "u", "…": "~"})


def plain(line: Line) -> str:
    """Return the text of a line."""
    return "".join(part.text for part in line).rstrip()


def fits(line: Line, width: int) -> bool:
    """Tell whether a line is no wider than a terminal; 0 is as wide as it takes."""
    return not width or cells(plain(line)) <= width


def fitted(line: Line, width: int) -> Line:
    """Return a line without what there is no room for."""
    line = list(line)
    while not fits(line, width) and any(part.spare for part in line):
        # Of equals the last one goes first.
        del line[max(range(len(line)), key=lambda at: (line[at].spare, at))]
    if fits(line, width):
        return line
    by_length = sorted(range(len(line)), key=lambda at: -cells(line[at].text))
    for at in by_length:
        over = cells(plain(line)) - width
        if line[at].shrinks and over > 0:
            kept = max(cells(line[at].text) - over, _LEAST_NAME)
            line[at] = line[at]._replace(text=shortened(line[at].text, kept))
    return _cropped(line, width)


def in_ascii(line: Line) -> Line:
    """Return a line in characters that any terminal has; names are as they are."""
    return [part._replace(text=part.text.translate(_ASCII)) for part in line]


def _cropped(line: Line, width: int) -> Line:
    """Return what is left of a line that is too narrow for what cannot be spared."""
    kept: Line = []
    for part in line:
        text = shortened(part.text, width) if width > 0 else ""
        kept.append(part._replace(text=text))
        width -= cells(text)
    return kept
