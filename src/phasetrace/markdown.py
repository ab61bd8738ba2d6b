"""Untrusted text in Markdown, as GitHub and others have it: as code, and in a sentence."""

from __future__ import annotations

import re
from typing import Final

from phasetrace.rendering import safe

_BACKTICKS: Final = re.compile("`+")
_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
_SPECIAL: Final = re.compile(
    r"""[\\`*\[\]<>|~&$]  # code, emphasis, links, HTML, cells, strikethrough, entities, mathematics
    |(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])  # emphasis, which within a word is none
    |:(?=//|[\w+-]+:)|(?<=www)\.  # addresses, emojis
    |^[-+=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]  # lists
    |[@\#](?=\w)  # mentions and references
    """,
    re.VERBOSE,
)


def code(text: str) -> str:
    """Return a text as code in a table's cell, in which nothing is a link, a mention or an image.

    A code span is fenced by more backticks than there are in a row in it, and a space if one is at
    its edge (CommonMark 6.1). A table takes its pipes first, wherever they stand, and readers do
    not agree on how one is escaped after a backslash (GitHub Flavored Markdown 4.10): such a text
    is written as HTML, with all punctuation as entities.
    """
    text = safe(text) or " "
    if "|" in text:
        return f"<code>{_PUNCTUATION.sub(_entity, text)}</code>"
    fence = "`" * (max(map(len, _BACKTICKS.findall(text)), default=0) + 1)
    space = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{space}{text}{space}{fence}"


def prose(text: str) -> str:
    """Return a text as nothing but text, where a sentence or a title stands.

    GitHub looks for mentions and references when all else is done, so that an entity is no help
    against them, but a comment in between is.
    """
    return _SPECIAL.sub(_plain, safe(text))


def _plain(found: re.Match[str]) -> str:
    return f"{found[0]}<!-- -->" if found[0] in "@#" else _entity(found)


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
