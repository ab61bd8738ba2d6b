"""A variable whose name is almost one that somebody reads is told, once, however one sets up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import phasetrace
from phasetrace import configuration, time_phase
from phasetrace.sources import mistyped_names
from tests.phasetrace.cli.programs import run, traced, write

OF_OTHERS = (
    "OTEL_EXPORTER_OTLP_ENPOINT is no variable of OpenTelemetry's; was OTEL_EXPORTER_OTLP_ENDPOINT"
    " meant?"
)
OURS = "PHASETRACE_STOER is no variable of phasetrace's; was PHASETRACE_STORE meant?"
MISTYPED = {"OTEL_EXPORTER_OTLP_ENPOINT": "http://hunter2", "PHASETRACE_STOER": "/hunter2"}
ONE_PHASE = "from phasetrace import time_phase\nwith time_phase('e', 'n', 'p'): pass\n"


def test_both_kinds_are_told() -> None:
    """Ours and the standard ones; not what is like none, which a service's name may bring about."""
    environ = {**MISTYPED, "PHASETRACE_SERVICE_HOST": "x", "PHASETRACE_PORT": "x", "PATH": "x"}
    assert mistyped_names(environ) == [OURS, OF_OTHERS]


def by_a_phase() -> None:
    """Record one."""
    with time_phase("e", "n", "p"):
        pass


@pytest.mark.parametrize(
    "set_up",
    [by_a_phase, phasetrace.configure, configuration.set_defaults],
    ids=["first phase", "configure", "run"],
)
def test_they_are_told_once(
    set_up: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sets phasetrace up, and however often; with no value, which may be a secret."""
    for name, value in MISTYPED.items():
        monkeypatch.setenv(name, value)
    set_up()
    phasetrace.configure(delivery="off")
    by_a_phase()
    phasetrace.shutdown()
    phasetrace.configure()
    assert [one.getMessage() for one in caplog.records if "meant?" in one.message] == [
        f"phasetrace: {OURS}",
        f"phasetrace: {OF_OTHERS}",
    ]
    assert {(one.name, one.levelname) for one in caplog.records} == {("phasetrace", "WARNING")}
    assert "hunter2" not in caplog.text


def test_a_fallback_tells_as_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where an exporter is not installed, and phases are recorded all the same."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "nobody")
    monkeypatch.setenv("PHASETRACE_STOER", "x")
    by_a_phase()
    assert caplog.text.count(OURS) == 1


FORKS = """
import os, phasetrace
from phasetrace import time_phase
with time_phase("e", "n", "p"): pass
if os.fork() == 0:
    with time_phase("e", "n", "p"): pass
    phasetrace.configure(delivery="off")
    os._exit(0)
assert os.wait()[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_repeat_it(tmp_path: Path) -> None:
    """Its parent has said so; also where it is set up anew."""
    write(tmp_path, {"prog.py": FORKS})
    ended = run([sys.executable, "prog.py"], tmp_path, tmp_path / "traces.db", **MISTYPED)
    assert ended.code == 0
    assert (ended.err, ended.said) == ("", [OURS, OF_OTHERS])


STARTS = """
import subprocess, sys
from phasetrace import phase
with phase("p"): pass
subprocess.run([sys.executable, "child.py"], check=True)
"""


def test_what_a_run_starts_does_not_repeat_it(tmp_path: Path) -> None:
    """It knows by what it is told to be a part of."""
    write(tmp_path, {"prog.py": STARTS, "child.py": ONE_PHASE})
    ended = run(traced("prog.py"), tmp_path, tmp_path / "traces.db", **MISTYPED)
    assert (ended.code, ended.err) == (0, "")
    assert [line for line in ended.said if "meant?" in line] == [OURS, OF_OTHERS]


def test_who_is_a_part_of_somebody_else_s_trace_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others who hand a trace on know nothing of our names."""
    monkeypatch.setenv("TRACEPARENT", f"00-{1:032x}-{2:016x}-01")
    monkeypatch.setenv("PHASETRACE_STOER", "x")
    by_a_phase()
    assert OURS in caplog.text
