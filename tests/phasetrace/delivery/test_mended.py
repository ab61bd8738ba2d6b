"""What was wrong and is put right is delivered, whoever is still there with what was wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.phasetrace.delivery.conftest import names_in, query, wait_until
from tests.phasetrace.receivers import SELF_SIGNED, Receiver, http_receiver, respond
from tests.phasetrace.store.conftest import run_program, start_program

BAD = """
import sys, phasetrace
with phasetrace.execution("bad", name="bad"): pass
phasetrace.force_flush(0.1)
print("recorded", flush=True)
sys.stdin.read()
"""
GOOD = """
import phasetrace
with phasetrace.execution("good", name="good"): pass
print(phasetrace.force_flush(20.0))
"""


def names(receiver: Receiver) -> list[str]:
    """Return the names of all spans that have arrived, in order."""
    return [name for body in receiver.bodies for name in names_in(body)]


@contextmanager
def failing(path: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that has recorded, and fails to deliver, until the end of the block."""
    with start_program(BAD, path, **environment) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "recorded\n"
        wait_until(lambda: query(path, "SELECT error FROM destinations") not in ([], [None]))
        yield program
        program.communicate(timeout=60)


@pytest.mark.parametrize("delivery", ["thread", "process"])
def test_a_certificate_is_named_at_last(path: Path, delivery: str) -> None:
    """The program that does not trust the receiver goes on, and so does the process it started."""
    with http_receiver(tls=True) as receiver:
        wrong = {
            "PHASETRACE_DELIVERY": delivery,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{receiver.port}",
        }
        right = {**wrong, "OTEL_EXPORTER_OTLP_CERTIFICATE": str(SELF_SIGNED)}
        with failing(path, **wrong):
            assert run_program(GOOD, path, 60.0, **right) == "True\n"
            assert names(receiver) == ["bad", "good"]
        assert names(receiver) == ["bad", "good"]
    assert query(path, "SELECT error FROM destinations") == [None]


def test_a_proxy_is_put_right(path: Path) -> None:
    """And what waits is delivered by hand meanwhile."""
    with http_receiver() as receiver:
        right = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}"}
        wrong = {**right, "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""}
        with failing(path, **wrong):
            assert ship(path, **right) == 0
            assert names(receiver) == ["bad"]


def test_a_receiver_is_left_alone_for_as_long_as_it_asks(path: Path) -> None:
    """By every program, at its end and in each flush; a person may ask it all the same."""
    with http_receiver() as receiver:
        receiver.answer = respond(429, Retry_After="120")
        there = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}"}
        with failing(path, **there) as program:
            for _ in range(2):
                with start_program(GOOD.replace("20.0", "0.5"), path, **there) as another:
                    assert another.communicate(timeout=60)[0] == "False\n"
            program.communicate(timeout=60)
        assert len(receiver.bodies) == 1
        receiver.answer = respond(200)
        assert ship(path, **there) == 0
        assert names(receiver) == ["bad", "bad", "good", "good"]


def ship(path: Path, **environment: str) -> int:
    """Run ``phasetrace ship``; return its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "phasetrace", "ship", "--timeout", "20"],
        env={**os.environ, "PHASETRACE_STORE": str(path), **environment},
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode
