"""What the environment says to the exporter ``phasetrace_jsonl``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phasetrace.errors import ConfigError
from phasetrace.exporting import make_outlets
from phasetrace.sending import shipping_environment
from phasetrace.settings import json_lines_file, settings_from, settings_with_sources
from phasetrace.sources import unknown_variables
from phasetrace.variables import EXPORTER_VARIABLES

KB, MB, GB = 1024, 1024**2, 1024**3
NAMED = {"OTEL_TRACES_EXPORTER": "phasetrace_jsonl"}


def test_the_file_is_below_the_working_directory_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Beside the TIMING log; as large and as many as will not fill a disk."""
    monkeypatch.chdir(tmp_path)
    assert json_lines_file({}) == (tmp_path / ".logs" / "traces.jsonl", 100 * MB, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1GB, 2 files", (GB, 2)),
        ("20 kb", (20 * KB, 5)),
        ("1 file", (100 * MB, 1)),
        ("3 files,010MB", (10 * MB, 3)),
        ("off", (None, 1)),
        (" ", (100 * MB, 5)),
    ],
)
def test_rotation_is_read(text: str, expected: tuple[int | None, int]) -> None:
    """Either part, in any order; off lets the file grow."""
    assert json_lines_file({"PHASETRACE_JSONL_ROTATION": text})[1:] == expected


@pytest.mark.parametrize("text", ["often", "0MB", "0 files", "5", "1TB", "1MB 5 files", "on"])
def test_a_rotation_that_makes_no_sense_is_refused(text: str) -> None:
    """With what was expected."""
    expected = re.escape(f"PHASETRACE_JSONL_ROTATION='{text}': expected like '100MB, 5 files'")
    with pytest.raises(ConfigError, match=expected):
        json_lines_file({"PHASETRACE_JSONL_ROTATION": text})


def test_a_home_folder_may_be_meant() -> None:
    """As for every path."""
    assert json_lines_file({"PHASETRACE_JSONL": "~/x.jsonl"}).path == Path.home() / "x.jsonl"


def test_both_are_known_variables() -> None:
    """The doctor does not take them for typing mistakes."""
    assert not unknown_variables({variable.name: "" for variable in EXPORTER_VARIABLES})
    (unknown,) = unknown_variables({"PHASETRACE_JSONLS": ""})
    assert unknown == ("PHASETRACE_JSONLS", "PHASETRACE_JSONL")


def test_the_doctor_is_told_what_is_wrong() -> None:
    """Where the exporter is in use."""
    bad = {"PHASETRACE_JSONL_ROTATION": "often"}
    assert settings_with_sources(bad).bad == []
    (told,) = settings_with_sources({**NAMED, **bad}).bad
    assert told.is_ours
    assert "PHASETRACE_JSONL_ROTATION" in told.message


def test_what_is_set_is_shown() -> None:
    """With the variable that it is from."""
    shown = settings_with_sources({"PHASETRACE_JSONL": "/a/b.jsonl"}).values
    assert ("JSON lines", "/a/b.jsonl", "PHASETRACE_JSONL") in shown


def test_another_process_writes_the_same_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever folder it is in."""
    monkeypatch.chdir(tmp_path)
    environment = shipping_environment(settings_from(NAMED))
    assert environment["PHASETRACE_JSONL"] == str(tmp_path / ".logs" / "traces.jsonl")
    monkeypatch.setenv("PHASETRACE_JSONL", "own.jsonl")
    environment = shipping_environment(settings_from(NAMED))
    assert environment["PHASETRACE_JSONL"] == str(tmp_path / "own.jsonl")


def test_each_file_is_a_destination(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that nothing that was to go into one goes into another, and people see which."""
    specs = []
    for name in ("a.jsonl", "b.jsonl"):
        monkeypatch.setenv("PHASETRACE_JSONL", str(tmp_path / name))
        (outlet,) = make_outlets(settings_from(NAMED))
        assert outlet.spec is not None
        specs.append(outlet.spec)
    assert [one.endpoint for one in specs] == [
        str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")
    ]
    assert specs[0].key != specs[1].key
