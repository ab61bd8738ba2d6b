"""What a place is called in messages."""

from __future__ import annotations

import pytest

from phasetrace.recordings.places import is_address, shown


@pytest.mark.parametrize(
    ("place", "as_shown"),
    [
        ("http://host:16686", "http://host:16686"),
        ("http://host:16686/trace/1?a=b#c", "http://host:16686"),
        ("HTTPS://me:pw@Host/jaeger", "https://host"),
        ("https://host:443", "https://host"),
        ("http://host:443", "http://host:443"),
        ("http://me@[::1]:16686/", "http://[::1]:16686"),
        ("http://me:p@w@host", "http://host"),
        ("http://me:pw@host:port/x", "http://host:port/x"),
        ("http://me:p w\n@", "http://"),
        ("http://me:pw@[::1", "http://[::1"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(place: str, as_shown: str) -> None:
    """Be it one or not."""
    assert is_address(place)
    assert shown(place) == as_shown


@pytest.mark.parametrize("place", ["run.jsonl", "a@b/c?d", "http:/x", "ftp://u@h", "", "https"])
def test_a_path_is_shown_as_it_is(place: str) -> None:
    """Whatever is in it."""
    assert not is_address(place)
    assert shown(place) == place
