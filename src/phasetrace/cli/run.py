"""``phasetrace run``: run a program under tracing, and exit as it would have."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from phasetrace.cli.program import CannotStart, prepared

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from phasetrace.configuration import Tracing
    from phasetrace.recorder import Started

TIMED_OUT: Final = 124
"""The exit code after ``--timeout``, that of timeout(1)."""

_GRACE_S: Final = 5.0


class TimedOut(KeyboardInterrupt):
    """Raised in the program's main thread when its time is up; unwinds it like Ctrl-C."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``run``."""
    parser.add_argument("--exec-id", metavar="ID", help="the id of the execution (default: new)")
    parser.add_argument("--breakdown", action="store_true", help="print the breakdown at the end")
    parser.add_argument(
        "--timing", action="store_true", help="write a line a phase to .logs/phasetrace.log"
    )
    parser.add_argument(
        "--debug", action="store_true", help="log what phasetrace itself does, to stderr"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help=f"end the program after S seconds, with exit code {TIMED_OUT}",
    )


def execute(args: argparse.Namespace) -> int:
    """Run the program that ``args.program`` names; return its exit code."""
    if not args.program:
        print("phasetrace: run: which program? phasetrace run script.py", file=sys.stderr)  # noqa: T201
        return 2
    run = _Run(args)
    # Exit handlers run last in, first out: registered before the program and before phasetrace's
    # own, this one comes after all of them.
    atexit.register(run.at_exit)
    run.set_up()
    try:
        program = prepared(args.program, args.module)
    except CannotStart as error:
        run.never_started = True
        print(f"phasetrace: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return run.run(program)


class _Run:
    """One program under tracing, from its start to the last line printed."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._name = args.program[0] if args.module else Path(args.program[0]).stem
        self._pid = os.getpid()
        self._started_ns = 0
        self._opening = threading.Lock()  # guards _default
        self._default: Started | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._timed_out = False
        self._killed_by: int | None = None
        self._finishing = threading.Lock()
        self._finished = False
        self.never_started = False

    def set_up(self) -> None:
        from phasetrace import clock, configuration
        from phasetrace.settings import TIMING_LOG, service_is_named

        if self._args.debug:
            handler = logging.StreamHandler()
            handler.setFormatter(
                logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
            )
            logging.getLogger("phasetrace").addHandler(handler)
            logging.getLogger("phasetrace").setLevel(logging.DEBUG)
        configuration.set_defaults(
            timing=TIMING_LOG if self._args.timing else None,
            service_name=None if service_is_named() else self._name,
        )
        self._started_ns = clock.now_ns()
        configuration.executions.ambient_id = self._args.exec_id
        configuration.executions.ambient = self._default_context

    def run(self, program: Callable[[], None]) -> int:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._on_signal)
        if self._args.timeout is not None:
            threading.Thread(target=self._watch, name="phasetrace-timeout", daemon=True).start()
        try:
            program()
        except SystemExit as error:
            self._error = error
            raise
        except BaseException as error:
            self._error = error
            if self._timed_out and isinstance(error, TimedOut):
                return TIMED_OUT
            _report(error)
            if isinstance(error, KeyboardInterrupt):
                self._killed_by = signal.SIGINT
            return 1
        return 0

    def at_exit(self) -> None:
        """Write out, say what there is to say, and die of the signal that ended the program."""
        self._done.set()
        if os.getpid() != self._pid or self.never_started:
            return
        self._finish()
        if self._timed_out:
            _die(TIMED_OUT)
        if self._killed_by is not None:
            signal.signal(self._killed_by, signal.SIG_DFL)
            os.kill(os.getpid(), self._killed_by)

    def _finish(self) -> None:
        with self._finishing:
            if self._finished:
                return
            self._finished = True
            from phasetrace import configuration

            tracing = self._tracing()
            with self._opening:
                recorder, started = tracing.recorder(), self._default
            if started is not None and recorder is not None:
                error = self._error if not isinstance(self._error, SystemExit) else None
                recorder.end(started.span, error)
            configuration.shutdown()
            with contextlib.suppress(
                OSError, ValueError
            ):  # the program may have closed its streams
                from phasetrace.cli.epilogue import print_epilogue

                sys.stdout.flush()
                print_epilogue(tracing, self._args.breakdown)
                sys.stdout.flush()
                sys.stderr.flush()

    def _tracing(self) -> Tracing:
        from phasetrace.configuration import current_tracing

        return current_tracing()

    def _default_context(self) -> Context:
        """Open the execution of phases that are in none, when the first of them comes."""
        from phasetrace.identity import new_exec_id

        with self._opening:
            if self._default is None:
                recorder = self._tracing().recorder()
                assert recorder is not None  # noqa: S101 - a recorder is asking
                exec_id = self._args.exec_id or new_exec_id(self._name)
                self._default = recorder.start_execution(
                    exec_id, self._name, {}, start_ns=self._started_ns
                )
            return self._default.context

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid or self._finished:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self._timed_out:
            raise TimedOut
        # The signal may have come while this thread held one of phasetrace's locks: the work is
        # done in another, which sends the signal once more when it has finished.
        threading.Thread(target=self._finish_and_send, args=(number,)).start()

    def _finish_and_send(self, number: int) -> None:
        try:
            self._finish()
        finally:
            self._finished = True
            os.kill(os.getpid(), number)

    def _watch(self) -> None:
        if self._done.wait(self._args.timeout):
            return
        self._timed_out = True
        print(  # noqa: T201
            f"phasetrace: ended after --timeout {self._args.timeout:g} s",
            file=sys.stderr,
            flush=True,
        )
        os.kill(os.getpid(), signal.SIGTERM)
        if not self._done.wait(_GRACE_S):
            self._finish()
            _die(TIMED_OUT)


def _report(error: BaseException) -> None:
    """Report an uncaught exception as the interpreter would, without our own frames."""
    trace = error.__traceback__
    ours = (__file__, prepared.__code__.co_filename)
    while trace is not None and trace.tb_frame.f_code.co_filename in ours:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _die(code: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value
