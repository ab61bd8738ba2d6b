"""Test the file that a document is put into."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

from phasetrace.reports.page import in_markup, page

HOSTILE = "</script><script>alert(1)</script><!--\u2028\u2029&amp;]]>{{script}}{{title}}"


def document(name: str = "run") -> dict[str, Any]:
    """Return as much of a document as the page itself looks at."""
    return {"runs": [{"name": name, "exec_id": "exec_1"}]}


class Elements(HTMLParser):
    """What a parser finds in a page: the content of each element that has a text, by its tag."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self._open = (tag, dict(attrs))
        self.found.append((*self._open, ""))

    def handle_data(self, data: str) -> None:
        """Note the text of an element."""
        if self._open is not None:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)

    def handle_endtag(self, tag: str) -> None:
        """Note that an element has no more text."""
        self._open = None

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        """Return the attributes and texts of all elements of a kind."""
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


def test_the_document_is_in_the_page_as_data() -> None:
    """What is parsed from it is what went in, whatever that looks like."""
    scripts = Elements(page(document(HOSTILE))).of("script")
    assert [attributes for attributes, _ in scripts] == [
        {"id": "document", "type": "application/json"},
        {},
    ]
    assert json.loads(scripts[0][1]) == document(HOSTILE)


def test_no_text_can_end_the_data_or_begin_anything() -> None:
    """None of the characters is there that markup is made of, nor what ends a line of a script."""
    assert not re.search("[<>&\u2028\u2029]", in_markup(HOSTILE))


def test_the_title_is_a_text() -> None:
    """The only text from spans that is part of the markup."""
    [(_, title)] = Elements(page(document("<b>\x1b</title>"))).of("title")
    assert title == "<b>\\x1b</title> \u2013 phasetrace"


def test_the_title_is_the_id_where_there_is_no_name() -> None:
    """As in the page itself."""
    of = {"runs": [{"name": None, "exec_id": "exec_1"}]}
    assert Elements(page(of)).of("title")[0][1] == "exec_1 \u2013 phasetrace"


def test_the_policy_lets_nothing_be_loaded_and_nothing_else_be_run() -> None:
    """The hashes in it are those of the script and of the style, as a browser works them out."""
    elements = Elements(page(document()))
    meta = {
        attributes.get("http-equiv") or attributes.get("name"): attributes.get("content")
        for attributes, _ in elements.of("meta")
    }

    def hash_of(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert meta["Content-Security-Policy"] == (
        f"default-src 'none'; script-src {hash_of(elements.of('script')[1][1])};"
        f" style-src {hash_of(elements.of('style')[0][1])}; base-uri 'none'; form-action 'none'"
    )


def test_nothing_in_the_page_refers_to_anything() -> None:
    """No element has an address, and the style none either."""
    elements = Elements(page(document()))
    for _, attributes, _ in elements.found:
        assert not {"src", "href", "srcset", "action", "style"} & set(attributes)
    style = elements.of("style")[0][1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_script_evaluates_no_text() -> None:
    """Which the policy would not let it."""
    script = Elements(page(document())).of("script")[1][1]
    assert len(script) > 100_000
    assert not re.search(r"\beval\(|\bnew Function\b|<!--", script)


def test_the_licences_of_what_is_bundled_are_in_every_page() -> None:
    """A page is a copy of the libraries in it."""
    html = page(document())
    for said in ("Apache License", "zrender", "Redistribution and use in source and binary forms"):
        assert said in html
