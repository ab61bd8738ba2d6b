"""Opening what executions are read from, by what it is and not by what it is called."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import phasetrace
from phasetrace.errors import SourceError, StoreError, StoreMissing
from phasetrace.recordings.opening import open_source
from tests.phasetrace.recordings.made import line, phase, root
from tests.phasetrace.recordings.query_service import QueryService


def record(exec_id: str) -> Path:
    """Record an execution; return the store it is in."""
    with phasetrace.execution(exec_id), phasetrace.phase("p"):
        pass
    phasetrace.shutdown()
    return Path(os.environ["PHASETRACE_STORE"])


def test_the_usual_place_is_the_store_of_the_environment() -> None:
    """Whatever that is."""
    record("e")
    with open_source(None) as source:
        assert source.latest().exec_id == "e"
        assert source.notes == ()


@pytest.mark.parametrize("name", ["other.db", "looks like.jsonl"])
def test_a_store_is_one_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At any path, also a relative one."""
    record("e").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_source(name) as source:
        assert source.latest().exec_id == "e"


@pytest.mark.parametrize("name", ["traces.jsonl", "looks like.db"])
def test_anything_else_is_otlp_json(tmp_path: Path, name: str) -> None:
    """At any path."""
    file = tmp_path / name
    file.write_bytes(line(root("e"), phase(7, "e")))
    with open_source(str(file)) as source:
        assert source.latest().spans == 2


def test_a_pipe_is_read_once() -> None:
    """As a shell hands over what a command prints."""
    reading, writing = os.pipe()
    os.write(writing, line(root("e")))
    os.close(writing)
    with open_source(f"/dev/fd/{reading}") as source:
        assert source.latest().exec_id == "e"
    os.close(reading)


@pytest.mark.parametrize("scheme", ["http", "HTTP", "Http"])
def test_an_address_is_jaeger(service: QueryService, scheme: str) -> None:
    """Which is asked when something is asked of it."""
    service.add(root("e"))
    with open_source(service.url.replace("http", scheme)) as source:
        assert service.asked == []
        assert source.latest().exec_id == "e"


PLACES = "expected a store, a file of OTLP JSON lines, or Jaeger (http://host:16686)"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere.jsonl", f"there is no file nowhere.jsonl; {PLACES}"),
        ("nowhere:1/x/y", "there is no file nowhere:1; did you mean http://nowhere:1?"),
        ("localhost:16686", "no file localhost:16686; did you mean http://localhost:16686?"),
        ("//u:p@h:1", "there is no file h:1; did you mean http://h:1?"),
        ("u:p@[::1]:1/x", "there is no file [::1]:1; did you mean http://[::1]:1?"),
        ("a:b.jsonl", f"there is no file a:b.jsonl; {PLACES}"),
        ("/", f"cannot read /: Is a directory; {PLACES}"),
        ("a\0b", f"cannot read a\0b: embedded null byte; {PLACES}"),
        ("x" * 300, f"cannot read {'x' * 300}: File name too long; {PLACES}"),
    ],
)
def test_where_there_is_nothing_that_is_said(place: str, message: str) -> None:
    """With what could have been there."""
    with pytest.raises(SourceError, match=re.escape(message)):
        open_source(place)


def test_no_store_yet_and_none_wanted_are_errors_of_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what to do about it."""
    with pytest.raises(StoreMissing, match=r"nothing has been recorded yet.*phasetrace run"):
        open_source(None)
    monkeypatch.setenv("PHASETRACE_STORE", "off")
    with pytest.raises(StoreError, match="the store is off"):
        open_source(None)


def test_a_database_of_something_else_is_no_store(tmp_path: Path) -> None:
    """It is a database all the same."""
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(SourceError, match=r"is a database of something else$"):
        open_source(str(tmp_path / "x.db"))


def test_what_to_do_about_the_usual_store_is_not_said_of_another(tmp_path: Path) -> None:
    """It is no setting that is wrong, and nothing is going to be set aside."""
    place = tmp_path / "x.db"
    place.write_bytes(b"SQLite format 3\0" + b"x" * 5_000)
    with pytest.raises(SourceError, match=r"the store .*x\.db is damaged \(.*\)$"):
        open_source(str(place))
    record("e").rename(place)
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SourceError, match=r"has version 99, .*: upgrade phasetrace$"):
        open_source(str(place))
    with closing(sqlite3.connect(tmp_path / "y.db")) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(SourceError, match=r"y\.db is an empty database$"):
        open_source(str(tmp_path / "y.db"))


@pytest.mark.parametrize("place", ["file", "http://127.0.0.1:9"])
def test_no_source_needs_opentelemetry(tmp_path: Path, place: str) -> None:
    """Commands that read start in a fraction of the time."""
    (tmp_path / "file").write_bytes(line(root("e")))
    source = (
        "import sys\nfrom phasetrace.recordings.opening import open_source\n"
        "from phasetrace.errors import SourceError\n"
        f"try: open_source({place!r}).latest()\nexcept SourceError: pass\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "[]\n"
