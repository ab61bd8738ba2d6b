"""The command line of phasetrace; `_COMMANDS` has what there is.

Each subcommand is a module with `add_arguments(parser)` and `execute(args) -> exit code`, imported
only when it is called: the reading ones start without OpenTelemetry and without rich. Data goes to
stdout and everything else to stderr.

Exit codes: 0 fine, 1 a check failed, 2 wrong usage or setting, or stdout cannot be written, 3 no
such execution, 4 the store (or another source) cannot be read, 130 interrupted, 141 nobody reads
stdout any more. ``run`` exits with its program's.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from phasetrace.errors import (
    ConfigError,
    PhasetraceError,
    StoreMissing,
    UnknownExecution,
    UsageError,
)
from phasetrace.recordings.opening import HOW_TO_RECORD as HOW_TO_RECORD
from phasetrace.recordings.places import shown

if TYPE_CHECKING:
    from phasetrace.recordings.source import Source
    from phasetrace.store.reader import StoreReader

FAILED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
UNREADABLE: Final = 4
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


class _Command(NamedTuple):
    module: str
    help: str
    usage: str | None = None


_COMMANDS: Final = {
    "run": _Command(
        "run",
        "run a program under tracing",
        "phasetrace run [options] script.py [args ...]\n"
        "       phasetrace run [options] -m module [args ...]",
    ),
    "metrics": _Command("metrics", "show what happened in an execution and where its time went"),
    "list": _Command("listing", "list the executions in the store, newest first"),
    "tree": _Command("tree", "show an execution as a tree, with durations and shares"),
    "top": _Command("top", "show what is running now, and what takes longer than usual"),
    "check": _Command("check", "check an execution against its budgets"),
    "trend": _Command("trend", "show how long a workflow has taken over its last runs"),
    "verify": _Command("verify", "check that another place has the same numbers as the store"),
    "diff": _Command("diff", "show what takes longer in one execution than in another"),
    "report": _Command("report", "write a page to look at an execution in a browser"),
    "export": _Command("export", "write an execution into a file that other tools read"),
    "import": _Command("importing", "bring a file that was recorded elsewhere into the store"),
    "ship": _Command("ship", "deliver what waits in the store, or send an execution again"),
    "open": _Command("opening", "open an execution's trace in a browser, where it was sent to"),
    "status": _Command("status", "show what was delivered, what waits, and what was lost"),
    "doctor": _Command("doctor", "check the configuration, the store and the destinations"),
}


class NothingRecorded(UnknownExecution):
    """There is no execution at all, in the store or in the `place` that was named."""

    def __init__(self, message: str, place: str | None = None) -> None:
        super().__init__("latest")
        if place is None:
            self.args = (f"{message}; {HOW_TO_RECORD}",)
        else:
            self.args = (f"there is no execution in {shown(place)}",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's); return the exit code.

    A program under ``run`` may also leave by `SystemExit` or `KeyboardInterrupt`.
    """
    try:
        args = _parse(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as end:  # argparse has printed what there was to say
        code = end.code if isinstance(end.code, int) else USAGE
        return _read(lambda _: code, argparse.Namespace())
    except OSError as error:
        return _report_system(error)
    try:
        execute = _module(args.command).execute
        return int(execute(args) if args.command == "run" else _read(execute, args))
    except KeyboardInterrupt:
        if args.command == "run":
            raise
        return INTERRUPTED
    except PhasetraceError as error:
        return _report(error)


def open_store() -> StoreReader:
    """Open the store that the environment names, for the reading commands.

    Raises:
        StoreMissing: if there is no store yet.
        StoreError: if it is off or cannot be read.
    """
    from phasetrace.recordings import opening

    return opening.open_store()


def open_source(place: str | None) -> Source:
    """Open what ``--source`` names: Jaeger, a file of OTLP JSON, a store; None is the usual store.

    Raises:
        SourceError: if there is nothing at the place, or something else.
        StoreError: if it is a store, and cannot be read.
    """
    from phasetrace.recordings import opening

    return open_store() if place is None else opening.open_source(place)


def command() -> str:
    """Return what to type to call this command line again, as it was called.

    That is ``phasetrace`` if this is the one on the path, and else the way to the script, or
    ``python -m phasetrace``. To be asked before ``sys.argv`` becomes another program's.
    """
    import os
    import shlex

    script = sys.argv[0]
    if os.path.basename(script) == "__main__.py":  # noqa: PTH119 - pathlib is dear to import
        return f"{shlex.quote(sys.orig_argv[0])} -m phasetrace"
    for folder in os.get_exec_path():
        found = os.path.join(folder, "phasetrace")  # noqa: PTH118
        if os.access(found, os.X_OK):
            try:
                if os.path.samefile(found, script):  # noqa: PTH121
                    return "phasetrace"
            except OSError:
                pass
            break
    if os.access(script, os.X_OK):
        return shlex.quote(script)
    return f"{shlex.quote(sys.orig_argv[0])} {shlex.quote(script)}"


def split_program(
    argv: Sequence[str], with_value: Collection[str]
) -> tuple[list[str], list[str], bool]:
    """Split the arguments of ``run`` at the program, whose own are not ours to interpret.

    Returns:
        Our options; the program and its arguments; whether it is a module. `with_value` are the
        options that the next argument belongs to.
    """
    position = 0
    while position < len(argv):
        argument = argv[position]
        if argument == "--":
            return list(argv[:position]), list(argv[position + 1 :]), False
        if argument == "-" or not argument.startswith("-"):
            return list(argv[:position]), list(argv[position:]), False
        if argument.startswith("-m"):  # as Python's own: -m module or -mmodule
            module = [argument[2:]] if len(argument) > 2 else []
            return list(argv[:position]), module + list(argv[position + 1 :]), True
        position += 2 if argument in with_value else 1
    return list(argv), [], False


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all our messages are."""

    def __init__(self, **settings: Any) -> None:
        # PERF: argparse makes a formatter for every argument it is given, and one that is to find
        # out its width imports shutil, and that three compression libraries (2 ms of 50).
        formatter = partial(argparse.HelpFormatter, width=80)
        super().__init__(**settings, allow_abbrev=False, formatter_class=formatter)

    def format_help(self) -> str:
        self.formatter_class = argparse.HelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"phasetrace: {_one_line(message)}; see {self.prog} --help\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:  # argparse would hide that it cannot be written
            (file or sys.stderr).write(message)

    def options_with_value(self) -> set[str]:
        """Return the options, as they are written, that take a value."""
        valued = (action for action in self._actions if action.nargs != 0)
        return {name for action in valued for name in action.option_strings}


def _parse(argv: list[str]) -> argparse.Namespace:
    from phasetrace._version import __version__

    parser = _Parser(prog="phasetrace", description="Where did the time go in this run?")
    parser.add_argument("--version", action="version", version=f"phasetrace {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, prog=parser.prog
    )
    called = next((argument for argument in argv if not argument.startswith("-")), None)
    program: list[str] = []
    as_module = False
    asked = parser
    for name, command in _COMMANDS.items():
        description = f"{command.help[0].upper()}{command.help[1:]}."
        subparser = commands.add_parser(
            name, help=command.help, description=description, usage=command.usage
        )
        if name == called:  # the others show up in the help with their line only
            asked = subparser
            _module(name).add_arguments(subparser)
            if name == "run":
                start = argv.index(name) + 1
                own, program, as_module = split_program(
                    argv[start:], subparser.options_with_value()
                )
                argv = argv[:start] + own
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        asked.error(f"unknown arguments: {' '.join(unknown)}")
    if args.command == "run":
        args.program, args.module = program, as_module
    return args


def _module(command: str) -> Any:
    return import_module(f"phasetrace.cli.{_COMMANDS[command].module}")


def _read(execute: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Execute a command that prints, on a stdout that is ready for anything."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # its encoding may lack what spans contain
        code = execute(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except OSError as error:
        return _report_system(error)


def _unwritable() -> list[str]:
    """Return which standard streams cannot be written; from now on they are written into nothing.

    The interpreter flushes them at exit, and would complain, and exit by a code of its own.
    """
    import os

    found = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            found.append(name)
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
    return found


def _report_system(error: OSError) -> int:
    """Report what the operating system refused; return the exit code."""
    import errno

    reason, path = error.strerror or str(error), error.filename
    unwritable = _unwritable()
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    # A stream without a buffer (``python -u``) has nothing left to fail with once more.
    is_full = path is None and error.errno in (errno.ENOSPC, errno.EFBIG)
    if unwritable or is_full:
        _say(f"cannot write to {' and '.join(unwritable) or 'stdout'}: {reason}")
        return USAGE
    what = shown(str(path)) if path is not None else "cannot read or write"
    _say(f"{what}: {reason}")
    return UNREADABLE


def _say(message: str) -> None:
    """Say something in a line on stderr, if that can be written."""
    try:
        print(f"phasetrace: {_one_line(message)}", file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        _unwritable()


def _report(error: PhasetraceError) -> int:
    message, code = str(error), UNREADABLE
    if isinstance(error, (ConfigError, UsageError)):
        code = USAGE
    elif isinstance(error, StoreMissing):
        code = UNKNOWN
    elif isinstance(error, UnknownExecution):
        code = UNKNOWN
        if not isinstance(error, NothingRecorded):
            message += " See " if error.nearest else "; see "
            message += _how_to_list(error.place)
    _say(message)
    return code


def _how_to_list(place: str | None) -> str:
    if place is None:
        return "phasetrace list"
    import shlex

    return f"phasetrace list --source {shlex.quote(shown(place))}"


def _one_line(message: str) -> str:
    from phasetrace.rendering import safe

    return safe(message)
