"""``phasetrace run``: run a program under tracing, and exit as it would have."""

from __future__ import annotations

import argparse
import atexit
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

from phasetrace.cli import command, epilogue, uncaught
from phasetrace.cli.endings import PAUSE_S, TIMED_OUT, Ending, TimedOut, leave
from phasetrace.cli.program import CannotStart, name_of, prepared, said_by_runpy
from phasetrace.errors import PhasetraceError
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from phasetrace.cli.progress import ProgressThread
    from phasetrace.recorder import Recorder

_USAGE: Final = 2
_INTERRUPTED: Final = 130
_INNER_FRAMES: Final = 2 if sys.version_info < (3, 12) else 1
"""What lies between `_Run.run` and the program: the function that runs it, and ``exec``, which
counts as long as functions written in C do."""
_TELLING_S: Final = PAUSE_S + 1.0
"""How long a dying process waits for who reads its output, and for a main thread that the signal
met while it held the lock of stdout."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``run``."""
    parser.add_argument(
        "--exec-id",
        type=_exec_id,
        metavar="ID",
        help="the id of the execution (default: new)",
    )
    parser.add_argument("--breakdown", action="store_true", help="print the breakdown at the end")
    parser.add_argument(
        "--timing", action="store_true", help="write a line a phase to .logs/phasetrace.log"
    )
    parser.add_argument(
        "--debug", action="store_true", help="log what phasetrace itself does, to stderr"
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="show no line of progress on the terminal while the program runs",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help=f"end the program after S seconds, with exit code {TIMED_OUT}",
    )


def execute(args: argparse.Namespace) -> int:
    """Run the program that ``args.program`` names; return its exit code.

    A program that exits, or is interrupted, leaves by its exception, for the interpreter to end as
    it would have.
    """
    if not args.program:
        epilogue.say("run: which program? phasetrace run script.py")
        return _USAGE
    run = _Run(args)
    # Exit handlers run last in, first out: registered before the program's and before phasetrace's
    # own, this one comes after all of them.
    atexit.register(run.at_exit)
    try:
        run.set_up()
        program = prepared(args.program, args.module)
    except CannotStart as error:
        epilogue.say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    return run.run(program)


class _Run:
    """One program under tracing, from its start to the last line printed."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._name = name_of(args.program, args.module)
        self._command = command()
        self._pid = os.getpid()
        self._started = False
        self._was_opened = False
        self._started_ns = 0
        self._exec_id = ""
        self._opening = threading.Lock()  # guards _default
        self._default: tuple[Recorder, Span] | None = None
        self._context: Context | None = None
        self._error: BaseException | None = None
        self._code: int | None = None
        self._progress: ProgressThread | None = None
        self._ending = Ending(self._write_out_and_tell)

    def set_up(self) -> None:
        from phasetrace.environment import service_is_named, standard_variables
        from phasetrace.settings import TIMING_LOG

        with standard_variables():  # by some of their values the SDK could not be imported
            from phasetrace import clock, configuration, faults
        from phasetrace.identity import new_exec_id
        from phasetrace.redaction import in_force

        if not self._args.quiet and sys.stderr is not None and sys.stderr.isatty():
            self._show_progress()
        if self._args.debug:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            logging.getLogger("phasetrace").addHandler(handler)
            logging.getLogger("phasetrace").setLevel(logging.DEBUG)
        configuration.set_defaults(
            timing=TIMING_LOG if self._args.timing else None,
            service_name=None if service_is_named() else self._name,
        )
        self._started_ns = clock.now_ns()
        # An id is never redacted, and nobody has chosen this one.
        self._exec_id = self._args.exec_id or new_exec_id(in_force().name(self._name))
        configuration.executions.ambient_id = self._args.exec_id
        configuration.executions.ambient = self._ambient
        configuration.executions.end_ambient = self._end_default
        configuration.before_first_span.append(self._ending.before_first_span)
        self._ending.is_writing_out = configuration.is_writing_out
        os.register_at_fork(after_in_child=self._after_fork)
        try:
            self._hand_to_children()
        except Exception as error:  # of a sampler, say: the program runs all the same
            faults.report("handing the execution to children", error)
        if self._args.breakdown:  # now: the program may change where modules are found
            importlib.import_module("phasetrace.cli.table")

    def _show_progress(self) -> None:
        """Show how far the program is; before anybody else holds the standard streams."""
        from phasetrace.cli.progress import progress_thread
        from phasetrace.configuration import timing_collector

        self._progress = progress_thread(timing_collector)
        if self._progress is not None:
            self._progress.start()

    def _end_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _hand_to_children(self) -> None:
        """Have the programs that this one starts take part in its execution.

        Where that is a part of another one, it is opened now: nobody could tell its place later.
        """
        from phasetrace import configuration, scopes

        recorder = scopes.source.recorder()
        if recorder is None:
            return
        from phasetrace.carrier import in_environment, inject, of_root
        from phasetrace.context import given_ids
        from phasetrace.environment import hand_to_children

        inherited = configuration.executions.inherited
        if inherited is not None and given_ids(inherited) is not None:
            carrier: dict[str, str] = {}
            inject(carrier, self._ambient(recorder))  # type: ignore[arg-type]  # the context
        else:
            carrier = of_root(self._exec_id, recorder.state_of(self._exec_id).root)
        hand_to_children(in_environment(carrier))

    def run(self, program: Callable[[], None]) -> int:
        self._started = True
        sys.setrecursionlimit(sys.getrecursionlimit() + _depth() + _INNER_FRAMES)
        self._ending.install()
        if self._args.timeout is not None:
            self._ending.watch(self._args.timeout)
        self._ending.program_runs = True
        try:
            program()
        except SystemExit as exit_:
            if not self._ending.timed_out:
                self._started = not said_by_runpy(exit_)
                raise
        except BaseException as error:
            self._error = error
        finally:
            self._ending.program_runs = False
            self._end_progress()
        self._code = self._exit_code()
        return self._code

    def _exit_code(self) -> int:
        error = self._error
        if self._ending.timed_out:
            if error is not None and not isinstance(error, KeyboardInterrupt):
                uncaught.report(error)
            return TIMED_OUT
        if error is None:
            return 0
        uncaught.report(error)
        if isinstance(error, KeyboardInterrupt):
            uncaught.silence()
            raise error  # the interpreter ends by SIGINT, after everything else
        return 1

    def at_exit(self) -> None:
        """Write out and say what there is to say, at the very end of the process."""
        if os.getpid() == self._pid and self._started:
            self._ending.at_exit(self._finish)
            if self._ending.timed_out and self._code != TIMED_OUT:
                leave(TIMED_OUT)
        error, self._error = self._error, None  # it holds the program's objects
        if type(error) is KeyboardInterrupt:
            uncaught.interrupt_again()

    def _finish(self) -> None:
        from phasetrace import configuration

        configuration.shutdown()
        self._tell()

    def _write_out_and_tell(self) -> None:
        """Do what `at_exit` does in a process that is about to die."""
        from phasetrace import configuration

        self._end_progress()
        self._cancel_what_is_open()
        configuration.shutdown()
        if os.getpid() == self._pid:
            # Whoever reads our output may have stopped; that must not keep the process alive.
            telling = threading.Thread(target=self._tell, daemon=True)
            try:
                telling.start()
            except RuntimeError:  # the interpreter is shutting down
                self._tell()
            else:
                telling.join(_TELLING_S)

    def _cancel_what_is_open(self) -> None:
        from opentelemetry.trace import Span

        from phasetrace import configuration, scopes

        tracing = configuration.latest_tracing()
        recorder = tracing.recorder() if tracing is not None else None
        if tracing is None or recorder is None:
            return
        scopes.source.process = object()  # the program's threads leave their spans to us
        # Executions without `execution()` get their root when they end, which is now.
        recorder.executions.cancelled = True
        # A thread that is ending its span just now comes too late; the SDK would complain.
        logging.getLogger("opentelemetry.sdk.trace").disabled = True
        with self._opening:
            default, self._default = self._default, None
        root = default[1] if default is not None else None
        for span in tracing.writer.open_spans() if tracing.writer is not None else ():
            if isinstance(span, Span) and span is not root:
                recorder.end(span, TimedOut())
        if root is not None:
            recorder.end(root, TimedOut())

    def _tell(self) -> None:
        from phasetrace import configuration

        if self._ending.timed_out:
            epilogue.say(f"ended after --timeout {self._args.timeout:g} s")
        tracing = configuration.latest_tracing()
        if tracing is not None:
            args = self._args
            run = epilogue.Run(
                self._command, args.exec_id, self._started_ns, args.breakdown, self._exec_id
            )
            epilogue.print_epilogue(tracing, run)

    def _ambient(self, recorder: Recorder) -> Context | str:
        """Open the execution of phases that are in none, when the first of them comes."""
        if self._context is not None:
            return self._context
        if os.getpid() != self._pid:
            return self._exec_id  # a forked child takes part; the root is the parent's to open
        with self._opening:
            if self._context is None:
                span, context = recorder.start_execution(
                    self._exec_id, self._name, {}, start_ns=self._started_ns
                )
                self._default, self._context = (recorder, span), context
                self._was_opened = True
            return self._context

    def _end_default(self) -> None:
        from phasetrace import configuration

        if os.getpid() != self._pid:
            configuration.executions.rooted_elsewhere(self._exec_id)
            return
        if self._ending.timed_out and not self._ending.program_runs:
            self._cancel_what_is_open()
            return
        if not self._was_opened:
            self._open_for_children()
        with self._opening:
            default, self._default, self._context = self._default, None, None
        if default is not None:
            recorder, span = default
            recorder.end(span, self._error)

    def _open_for_children(self) -> None:
        """Open the execution if children have recorded phases of it; the store knows."""
        from phasetrace import configuration

        tracing = configuration.latest_tracing()
        if tracing is None or tracing.settings.store is None:
            return
        try:
            with StoreReader(tracing.settings.store) as store:
                if not store.knows(self._exec_id):
                    return
        except (PhasetraceError, OSError):
            return
        recorder = tracing.recorder()  # not before: it takes to a provider that nothing came from
        if recorder is not None:
            self._ambient(recorder)

    def _after_fork(self) -> None:
        self._opening = threading.Lock()
        self._default = None  # the parent's to end; its context stays


def _depth() -> int:
    """Return how deep in the stack the caller is."""
    frame: FrameType | None = sys._getframe(1)
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def _exec_id(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("an id must not be empty")
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value
