"""A document as one HTML file, with all that it needs in it.

The browser is told to load nothing, and to run and apply only the one script and the one style that
are in it: their hashes are in a Content Security Policy (W3C, CSP Level 3, section 6.7). The
document is data within the page: no text from spans is ever part of its markup, but for the title.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from pathlib import Path
from typing import Any, Final

from phasetrace.reports.texts import shown

_FOLDER: Final = Path(__file__).parent
_STATIC: Final = _FOLDER / "static"
_HOLE: Final = re.compile(r"\{\{(\w+)\}\}")
_IN_MARKUP: Final = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def page(document: dict[str, Any]) -> str:
    """Return the page of a document."""
    template = (_FOLDER / "template.html").read_text("utf-8")
    style = (_STATIC / "report.css").read_text("utf-8")
    script = (_STATIC / "report.js").read_text("utf-8")
    parts = {
        "policy": _policy(style, script),
        "title": escape(_title(document)),
        "licenses": escape((_FOLDER / "LICENSES.txt").read_text("utf-8").strip()),
        "style": style,
        "script": script,
        "document": in_markup(document),
    }
    return _HOLE.sub(lambda hole: parts[hole[1]], template)


def in_markup(document: Any) -> str:
    """Return JSON that can stand in a ``script`` element: nothing in it ends or opens anything."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_IN_MARKUP)


def _title(document: dict[str, Any]) -> str:
    run = document["runs"][0]
    return shown(run["name"] or run["exec_id"])


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
