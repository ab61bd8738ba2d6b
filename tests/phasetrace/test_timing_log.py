"""The TIMING log: one line a phase, if asked for, whatever else is logged."""

from __future__ import annotations

import logging
import logging.config
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasetrace import configure, execution, force_flush, node, shutdown, time_phase
from phasetrace.timing_log import TIMING, TimingLog, logger, word

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} TIMING phasetrace\.timing "
    r"exec_id=(\S+) node_id=(\S+) phase=(.+) dur_ms=(\d+\.\d{3})"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Turn the log on, without a store, and return its file."""
    path = tmp_path / "logs" / "timing.log"
    configure(store=False, timing=path)
    return path


def lines(path: Path) -> list[str]:
    """Return the lines of the log, after a flush."""
    assert force_flush()
    return path.read_text("utf-8").splitlines()


def ours() -> list[logging.Handler]:
    """Return phasetrace's handlers on the logger."""
    return [one for one in logger.handlers if type(one).__module__.startswith("phasetrace")]


def run_phase(name: str = "p") -> None:
    """Record one phase."""
    with time_phase("exec_1", "node_1", name):
        pass


def test_a_phase_is_a_line(log: Path) -> None:
    """The line has its time, level, logger, ids and duration in milliseconds."""
    run_phase()
    (line,) = lines(log)
    match = LINE.fullmatch(line)
    assert match is not None
    assert match.groups()[:3] == ("exec_1", "node_1", "p")
    assert 0 <= float(match[4]) < 1_000


def test_executions_and_nodes_have_no_line(log: Path) -> None:
    """Only phases are logged."""
    with execution("exec_1"), node("node_1"):
        run_phase()
    assert len(lines(log)) == 1


def test_it_is_off_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting there is no file, and no handler."""
    monkeypatch.chdir(tmp_path)
    configure(store=False)
    run_phase()
    assert force_flush()
    assert list(tmp_path.iterdir()) == []
    assert ours() == []


@pytest.mark.parametrize(
    ("value", "file"),
    [("on", ".logs/phasetrace.log"), ("off", None), ("my.log", "my.log")],
)
def test_the_variable_turns_it_on(
    value: str, file: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PHASETRACE_TIMING takes on, off or a path, as seen from where the program started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHASETRACE_STORE", "off")
    monkeypatch.setenv("PHASETRACE_TIMING", value)
    run_phase()
    assert force_flush()
    found = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.log")]
    assert found == ([file] if file is not None else [])


def test_a_change_of_folder_does_not_move_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines after a chdir go to the same file."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    configure(store=False, timing="my.log")
    run_phase()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run_phase()
    assert len(lines(tmp_path / "my.log")) == 2


def test_it_does_not_depend_on_other_loggers_levels(log: Path) -> None:
    """Neither the root's level nor logging.disable() silences it."""
    logging.disable(logging.CRITICAL)
    try:
        run_phase()
    finally:
        logging.disable(logging.NOTSET)
    assert len(lines(log)) == 1


@pytest.fixture
def loggers() -> Iterator[None]:
    """Bring every logger back to what it was before the test."""
    every = [one for one in logging.root.manager.loggerDict.values() if hasattr(one, "disabled")]
    before = [(one, one.disabled, one.level) for one in every if isinstance(one, logging.Logger)]
    yield
    for one, disabled, level in before:
        one.disabled = disabled
        one.setLevel(level)


@pytest.mark.parametrize("named", [{}, {"phasetrace": {"level": "ERROR"}}])
def test_a_later_configuration_of_logging_does_not_silence_it(
    log: Path, named: dict[str, dict[str, str]], loggers: None
) -> None:
    """A dictConfig that disables existing loggers, or resets ours, costs no line."""
    run_phase("before")
    logging.config.dictConfig({"version": 1, "loggers": named})
    run_phase("after")
    assert len(lines(log)) == 2


def test_other_handlers_see_nothing_of_it(log: Path) -> None:
    """The lines do not reach the root logger's handlers."""
    records: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Handler()
    logging.getLogger().addHandler(handler)
    try:
        run_phase()
    finally:
        logging.getLogger().removeHandler(handler)
    assert records == []


def test_a_handler_on_the_logger_gets_parameters(log: Path) -> None:
    """Whoever adds a handler to the logger gets records with their arguments."""
    records: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Handler()
    logger.addHandler(handler)
    try:
        run_phase()
    finally:
        logger.removeHandler(handler)
    (record,) = records
    assert (record.levelno, record.levelname, record.name) == (TIMING, "TIMING", logger.name)
    assert record.msg == "exec_id=%s node_id=%s phase=%s dur_ms=%.3f"
    assert record.args is not None
    assert tuple(record.args)[:3] == ("exec_1", "node_1", "p")


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\x85b", "a\u2028b", "\ud800"])
def test_a_name_cannot_forge_a_line(log: Path, name: str) -> None:
    """Whatever could end a line, or steer a terminal, is escaped."""
    run_phase(name)
    (line,) = lines(log)
    assert LINE.fullmatch(line)
    assert line.isprintable()


def test_a_name_cannot_forge_a_field(log: Path) -> None:
    """A name with more than a word in it stands in quotes."""
    run_phase('x dur_ms=9999.000 "')
    (line,) = lines(log)
    assert r'phase="x dur_ms=9999.000 \"" dur_ms=' in line


@given(st.text(st.characters()))
def test_a_word_is_one_printable_word(value: str) -> None:
    """A word is printable, and one that has spaces is quoted."""
    result = word(value)
    assert result.isprintable()
    assert re.fullmatch(r'[^\s"=]+|"(?:[^"\\]|\\.)*"', result)


@given(st.text(), st.text())
def test_different_names_are_different_words(one: str, other: str) -> None:
    """Escaping keeps names apart."""
    assert (word(one) == word(other)) is (one == other)


def test_ending_it_writes_everything(log: Path) -> None:
    """Shutdown writes what is queued, closes the file and leaves the logger clean."""
    for _ in range(100):
        run_phase()
    shutdown()
    assert len(log.read_text("utf-8").splitlines()) == 100
    assert ours() == []


def test_the_same_log_goes_on_in_another_configuration(log: Path) -> None:
    """A change of other settings neither loses a line nor doubles one."""
    run_phase("one")
    configure(store=False, timing=log, max_value_length=5)
    run_phase("two")
    assert [line.split("phase=")[1].split()[0] for line in lines(log)] == ["one", "two"]


def test_another_log_gets_the_later_lines(log: Path, tmp_path: Path) -> None:
    """Each line is in the log that was in force."""
    run_phase("one")
    configure(store=False, timing=tmp_path / "other.log")
    run_phase("two")
    assert ["one" in line for line in lines(log)] == [True]
    assert ["two" in line for line in lines(tmp_path / "other.log")] == [True]


def test_a_log_that_cannot_be_written_costs_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The program runs on, and is told once."""
    (tmp_path / "file").write_text("")
    configure(store=False, timing=tmp_path / "file" / "t.log")
    run_phase()
    run_phase()
    assert force_flush()
    (record,) = [record for record in caplog.records if record.name == "phasetrace"]
    assert "cannot write the TIMING log" in record.getMessage()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_costs_a_line(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Lines that cannot be written are counted, without a trace on the terminal."""
    configure(store=False, timing="/dev/full")
    run_phase()
    run_phase()
    assert force_flush()
    shutdown()
    (record,) = [record for record in caplog.records if record.name == "phasetrace"]
    assert "writing the TIMING log" in record.getMessage()
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_writes_its_own_lines(log: Path) -> None:
    """The child's lines are in the file, and the parent's are not there twice."""
    run_phase("parent")
    child = os.fork()
    if child == 0:
        run_phase("child")
        force_flush()
        os._exit(0)
    os.waitpid(child, 0)
    assert sorted(line.split("phase=")[1].split()[0] for line in lines(log)) == ["child", "parent"]


def test_two_logs_at_once_get_a_line_once(log: Path, tmp_path: Path) -> None:
    """While one configuration takes over from another, a line is in one of the files."""
    successor = TimingLog(tmp_path / "other.log")
    try:
        run_phase()
        assert successor.force_flush()
        assert len(lines(log) + lines(tmp_path / "other.log")) == 1
    finally:
        successor.shutdown()
