"""Which format a file has, and how it is written."""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasetrace.errors import UsageError
from phasetrace.exports import otlp
from phasetrace.exports.exported import ExportedExecution
from phasetrace.exports.formats import FORMATS, NAMES, format_of
from phasetrace.exports.writing import write_file
from tests.phasetrace.exports.some import export_of
from tests.phasetrace.recordings.made import root


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.jsonl", "otlp"),
        ("a.JSONL.GZ", "otlp"),
        ("a.trace.json", "chrome"),
        ("a.speedscope.json", "speedscope"),
        ("a.folded", "folded"),
        ("a.txt", "folded"),
        ("a.csv", "csv"),
        ("a.parquet", "parquet"),
        ("a.md", "markdown"),
        ("a.mmd", "mermaid"),
    ],
)
def test_the_ending_says_the_format(file: str, name: str) -> None:
    """However it is written."""
    assert format_of(file, None).name == name


def test_what_is_asked_for_wins() -> None:
    """Whatever the file is called."""
    assert [format_of("a.txt", name).name for name in NAMES] == list(NAMES)


@pytest.mark.parametrize("file", ["a.json", "a", None])
def test_an_unknown_ending_names_all_formats(file: str | None) -> None:
    """With what their files end in."""
    with pytest.raises(UsageError) as error:
        format_of(file, None)
    for form in FORMATS:
        assert form.name in str(error.value)
        assert form.endings[0] in str(error.value)


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """With its mode; nothing else is left in the folder."""
    file = tmp_path / "a.jsonl"
    file.write_text("before")
    file.chmod(0o640)
    write_file(FORMATS[0], export_of(root("e")), file)
    assert file.read_text().startswith('{"resourceSpans"')
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.jsonl"]  # noqa: PTH208


def test_a_new_file_has_the_mode_that_files_have(tmp_path: Path) -> None:
    """By the umask."""
    write_file(FORMATS[0], export_of(root("e")), tmp_path / "a.jsonl")
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 1


def test_half_a_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays, and nothing is left of the other."""

    def breaks(exported: ExportedExecution) -> Iterator[str]:
        yield "half"
        raise KeyboardInterrupt

    monkeypatch.setattr(otlp, "otlp_lines", breaks)
    file = tmp_path / "a.jsonl"
    file.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        write_file(FORMATS[0], export_of(root("e")), file)
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.jsonl"]  # noqa: PTH208


def test_a_link_goes_on_to_lead_to_the_file(tmp_path: Path) -> None:
    """It is not what is replaced."""
    (tmp_path / "real.jsonl").write_text("before")
    link = tmp_path / "link.jsonl"
    link.symlink_to("real.jsonl")
    write_file(FORMATS[0], export_of(root("e")), link)
    assert link.is_symlink()
    assert (tmp_path / "real.jsonl").read_text() != "before"


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """A device stays one."""
    write_file(FORMATS[0], export_of(root("e")), Path(os.devnull))
    assert not Path(os.devnull).is_file()


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    """By its ending."""
    write_file(FORMATS[0], export_of(root("e")), tmp_path / "a.jsonl.gz")
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).startswith(b'{"resourceSpans"')
