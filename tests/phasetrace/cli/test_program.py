"""A program under ``phasetrace run`` does what it does under Python: output, errors, exit code."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from phasetrace.cli.program import name_of
from tests.phasetrace.cli.programs import Ended, run, traced, write


class Program(NamedTuple):
    """What is written and how it is started; ``{self}`` is replaced by the program's text."""

    text: str | bytes = ""
    arguments: tuple[str, ...] = ("prog.py",)
    python: tuple[str, ...] = ()
    files: Mapping[str, str | bytes] = MappingProxyType({})
    stdin: str = ""
    since: tuple[int, int] = (3, 10)


INFO = '''"""The docstring."""
import os, sys, threading
print(sys.argv, sys.path, __file__, __name__, __spec__, __package__, type(__loader__), __doc__)
print(sorted(globals()), type(__builtins__), sys.modules["__main__"].__dict__ is globals())
print(threading.enumerate(), sys.flags, sys.excepthook, sys.stdout.encoding, sys.stdout.errors)
'''

SHADOWED = {
    "settings.py": "mine = 1",
    "queue.py": "mine = 2",
    "random.py": "mine = 3",
    "types.py": "mine = 4",
}

PROGRAMS = {
    # What a program sees of itself.
    "a script": Program(INFO, ("prog.py", "a", "-b", "--timing", "--", "-m", "x")),
    "a path with a dot": Program(INFO, ("./prog.py",)),
    "a path with two dots": Program(INFO, ("sub/../prog.py",), files={"sub/x": ""}),
    "a module": Program(INFO, ("-m", "prog", "a", "-b")),
    "a package": Program("", ("-m", "pkg"), files={"pkg/__init__.py": "", "pkg/__main__.py": INFO}),
    "a module of a package": Program(
        "", ("-m", "pkg.mod"), files={"pkg/__init__.py": "print('init')", "pkg/mod.py": INFO}
    ),
    "a module of the standard library": Program("", ("-m", "json.tool"), stdin='{"a": 1}'),
    "a folder": Program("", ("app",), files={"app/__main__.py": f"{INFO}1/0\n"}),
    "a zip file": Program("", ("app.bin",), files={"zip/__main__.py": f"{INFO}1/0\n"}),
    "a folder without a main module": Program("", ("app",), files={"app/other.py": ""}),
    "stdin": Program("", ("-",), stdin="import sys\nprint(sys.argv, sys.path[0])\n"),
    "isolated": Program(INFO, python=("-I",)),
    "optimised": Program(f"{INFO}assert False\n", python=("-O",)),
    "developing": Program(f"{INFO}open('x.txt', 'w')\n", python=("-X", "dev")),
    "warnings are errors": Program(f"import phasetrace\n{INFO}", python=("-W", "error")),
    "no annotations from us": Program(
        "from dataclasses import dataclass\nimport pickle, typing\n"
        "@dataclass\nclass A:\n    x: int\n"
        "print(A.__annotations__, typing.get_type_hints(A), pickle.loads(pickle.dumps(A(1))))\n"
    ),
    "its source": Program(
        "import inspect, os\nos.chdir('/')\ndef f():\n    return 1\nprint(inspect.getsource(f))\n"
    ),
    "imports itself": Program("import __main__\nprint(__name__, __main__.__name__)\nimport prog\n"),
    "reads stdin": Program("print(input())\nprint(input())\n", stdin="one\n"),
    "its modules have names of ours": Program(
        "import queue, random, settings, types\n"
        "print(settings.mine, queue.mine, random.mine, types.mine)\n",
        files=SHADOWED,
    ),
    "modules that we import last": Program(
        "from phasetrace import phase\nwith phase('p'):\n    print(1)\n",
        files=dict.fromkeys(("rich.py", "shlex.py", "difflib.py", "sqlite3.py"), "1/0\n"),
    ),
    "deep recursion": Program(
        "def f(n):\n    try:\n        return f(n + 1)\n"
        "    except RecursionError:\n        return n\n"
        "print(f(0))\ndef g():\n    g()\ng()\n"
    ),
    # How its text is read.
    "an encoding": Program("# coding: latin-1\nprint('é'.encode())\n1/0  # é\n".encode("latin-1")),
    "a byte order mark": Program(b"\xef\xbb\xbfprint('\xc3\xa9'.encode())\n1/0\n"),
    "DOS line ends": Program(b"x = '''a\r\nb'''\r\nprint(repr(x))\r\n1/0\r\n"),
    "nothing": Program(),
    "a syntax error": Program("x = 1\nif x\n    pass\n"),
    "a syntax error in a module": Program("import bad\n", files={"bad.py": "a b\n"}),
    "a syntax error with -m": Program("a b\n", ("-m", "prog")),
    "warnings of the compiler": Program("x = 1 is 1\nassert (1, 'x')\n"),
    # How it fails.
    "an exception": Program(
        "def f():\n    1/0\ntry:\n    f()\nexcept Exception as e:\n    raise KeyError('x') from e\n"
    ),
    "an exception in handling one": Program("try:\n    1/0\nexcept Exception:\n    unknown\n"),
    "an exception in a module": Program("import bad\n", files={"bad.py": "1/0\n"}),
    "an exception with -m": Program("def f():\n    1/0\nf()\n", ("-m", "prog")),
    "an exception group": Program(
        "raise ExceptionGroup('g', [ValueError(1), TypeError('x')])\n", since=(3, 11)
    ),
    "an exception of phasetrace": Program("from phasetrace import ConfigError as E\nraise E('m')"),
    "a wrong setting of its own": Program("import phasetrace\nphasetrace.configure(nope=1)\n"),
    "an exception hook": Program(
        "import sys\nsys.excepthook = lambda *a: print(a[0], a[2].tb_lineno)\n1/0\n"
    ),
    "an exception hook that fails": Program(
        "import sys\ndef hook(*a):\n    raise KeyError('h')\nsys.excepthook = hook\n1/0\n"
    ),
    "an exception hook that exits": Program(
        "import sys\nsys.excepthook = lambda *a: sys.exit(5)\n1/0\n"
    ),
    "no exception hook": Program("import sys\ndel sys.excepthook\n1/0\n"),
    "the last exception": Program(
        "import atexit, sys\natexit.register(lambda: print(sys.last_type, sys.last_value))\n1/0\n"
    ),
    "an exception in a thread": Program(
        "import threading\ndef f():\n    1/0\nt = threading.Thread(target=f, name='t')\n"
        "t.start()\nt.join()\n"
    ),
    "an exception in an exit handler": Program(
        "import atexit\n@atexit.register\ndef f():\n    1/0\n"
    ),
    "an exception at the end of asyncio": Program(
        "import asyncio\nasync def main():\n    asyncio.create_task(asyncio.sleep(9))\n"
        "    raise ValueError('x')\nasyncio.run(main())\n"
    ),
    "no such module": Program("", ("-m", "no_such_module")),
    "a package without a main module": Program("", ("-m", "pkg"), files={"pkg/__init__.py": ""}),
    "a package that fails": Program(
        "", ("-m", "pkg.mod"), files={"pkg/__init__.py": "import no_such\n", "pkg/mod.py": ""}
    ),
    # How it exits.
    "exit without a code": Program("import sys\nsys.exit()\n"),
    "exit with a number": Program("import sys\nprint('x')\nsys.exit(3)\n"),
    "exit with a large number": Program("import sys\nsys.exit(259)\n"),
    "exit with a text": Program("import sys\nsys.exit('bye')\n"),
    "exit with an object": Program("import sys\nsys.exit([1, 2])\n"),
    "exit with -m": Program("raise SystemExit(7)\n", ("-m", "prog")),
    "exit in a thread": Program(
        "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,))\n"
        "t.start()\nt.join()\n"
    ),
    "exit at once": Program("import os\nprint('a', flush=True)\nos._exit(6)\n"),
    "abort": Program("import os\nos.abort()\n"),
    "threads that go on": Program(
        "import threading\ndef f():\n    threading.main_thread().join()\n    print('after')\n"
        "threading.Thread(target=f).start()\nprint('main')\n"
    ),
    "objects at the end": Program(
        "class D:\n    def __del__(self):\n        print('del')\n"
        "def f():\n    d = D()\n    raise ValueError\n"
        "import atexit\natexit.register(print, 'atexit')\nf()\n"
    ),
    "objects after an exit": Program(
        "class D:\n    def __del__(self):\n        print('del')\n"
        "def f():\n    d = D()\n    raise SystemExit\n"
        "import atexit\natexit.register(print, 'atexit')\nf()\n"
    ),
    "stdout closed": Program("import sys\nsys.stdout.close()\n"),
    "no streams": Program("import sys\nsys.stdout = sys.stderr = None\n"),
    # How it is ended.
    "interrupted": Program("raise KeyboardInterrupt\n"),
    "interrupted with a file open": Program(
        "import os, signal, time\nf = open('out.txt', 'w')\nf.write('unflushed')\n"
        "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    ),
    "an interrupt that is caught": Program(
        "import os, signal, time\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(30)\nexcept KeyboardInterrupt:\n"
        "    print('caught')\n    raise SystemExit(4)\n"
    ),
    "asyncio interrupted": Program(
        "import asyncio, os, signal\nasync def main():\n    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n        await asyncio.sleep(30)\n"
        "    finally:\n        print('finally')\nasyncio.run(main())\n"
    ),
    "terminated": Program(
        "import os, signal\nprint('a', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\n"
        "print('went on', flush=True)\n"
    ),
    "terminated by a hang-up": Program(
        "import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nprint('went on', flush=True)\n"
    ),
    "a handler of its own": Program(
        "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(9))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)\n"
    ),
    "a signal ignored": Program(
        "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nprint('ok')\n"
    ),
    "a handler of the loop": Program(
        "import asyncio, os, signal\nasync def main():\n    event = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, event.set)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    await asyncio.wait_for(event.wait(), 30)\n"
        "    print('handled')\nasyncio.run(main())\n"
    ),
    "killed": Program("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"),
    # What its children see.
    "children that end in every way": Program(
        "import os, signal, sys\n"
        "def leave():\n    sys.exit(3)\n"
        "def fail():\n    1/0\n"
        "def interrupt():\n    raise KeyboardInterrupt\n"
        "def terminate():\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "def at_once():\n    os._exit(5)\n"
        "for way in (leave, fail, interrupt, terminate, at_once, print):\n"
        "    pid = os.fork()\n    if not pid:\n        way()\n        raise SystemExit\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)\n"
    ),
    "the signals of a started program": Program(
        "import subprocess, sys\n"
        "ask = 'import signal; print(signal.getsignal(15), signal.pthread_sigmask(0, []))'\n"
        "print(subprocess.run([sys.executable, '-c', ask], capture_output=True).stdout)\n"
    ),
}
for method in ("fork", "spawn", "forkserver"):
    PROGRAMS[f"a pool made by {method}"] = Program(
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "class Box:\n    def __init__(self, x):\n        self.x = x\n"
        "def double(box):\n    return Box(box.x * 2)\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context('{method}')\n"
        "    with ProcessPoolExecutor(1, mp_context=context) as pool:\n"
        "        print([box.x for box in pool.map(double, map(Box, range(3)))])\n"
    )


class Both(NamedTuple):
    """A program's two ends, and the files that it left behind."""

    plain: Ended
    plain_files: dict[str, bytes]
    run: Ended
    run_files: dict[str, bytes]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Both]]]:
    """Run every program both ways, several at once."""
    with ThreadPoolExecutor(3) as pool:
        yield {
            name: pool.submit(both, program, tmp_path_factory.mktemp("program", numbered=True))
            for name, program in PROGRAMS.items()
            if sys.version_info >= program.since
        }


def both(program: Program, folder: Path) -> Both:
    """Run a program by Python and by phasetrace, each time in the same, fresh folder."""
    work = folder / "work"
    ends: list[tuple[Ended, dict[str, bytes]]] = []
    for command in (
        [sys.executable, *program.python, *program.arguments],
        traced(*program.arguments, python=program.python),
    ):
        shutil.rmtree(work, ignore_errors=True)
        write(work, {"prog.py": program.text, **program.files})
        if "zip/__main__.py" in program.files:
            with zipfile.ZipFile(work / "app.bin", "w") as archive:
                archive.write(work / "zip" / "__main__.py", "__main__.py")
        ended = run(command, work, folder / "traces.db", stdin=program.stdin)
        left = {path.name: path.read_bytes() for path in work.glob("*.txt")}
        ends.append((ended._replace(out=_stable(ended.out), err=_stable(ended.err)), left))
    return Both(*ends[0], *ends[1])


def _stable(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+|started \d+", "…", text)


@pytest.mark.parametrize(
    "name", [name for name, program in PROGRAMS.items() if sys.version_info >= program.since]
)
def test_behaves_as_by_python(name: str, ends: dict[str, Future[Both]]) -> None:
    """Its output, its errors, its exit code or signal and its files are those under Python."""
    both = ends[name].result()
    assert both.run[:3] == both.plain[:3]
    assert both.run_files == both.plain_files


@pytest.mark.parametrize(
    ("program", "as_module", "name"),
    [
        ("a/prog.py", False, "prog"),
        ("pkg.module", True, "pkg.module"),
        ("-", False, "-"),
        (".", False, "folder"),
        ("./", False, "folder"),
        ("/", False, "program"),
    ],
)
def test_what_a_program_is_called(
    program: str, as_module: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never nothing: services and executions are named by it."""
    monkeypatch.chdir(write(tmp_path / "folder", {"prog.py": ""}))
    assert name_of([program], as_module) == name


def test_names_a_script_that_does_not_exist(tmp_path: Path) -> None:
    """The exit code is Python's, and nothing is said of phases."""
    ended = run(traced("nope.py"), tmp_path, tmp_path / "traces.db")
    assert ended.code == 2
    assert ended.said == [
        f"can't open file '{tmp_path}/nope.py': [Errno 2] No such file or directory"
    ]


@pytest.mark.parametrize("text", [b"print(1)\n\x00\n", b"print('\xff')\n", b"# coding: nope\n"])
def test_a_script_that_is_not_text_is_a_syntax_error(text: bytes, tmp_path: Path) -> None:
    """The wording is not quite Python's; the kind of error and the exit code are."""
    ended = run(traced("prog.py"), write(tmp_path, {"prog.py": text}), tmp_path / "traces.db")
    assert ended.code == 1
    assert re.search(r"^(SyntaxError|ValueError): ", ended.err, re.MULTILINE)


def test_compiled_code_runs(tmp_path: Path) -> None:
    """A ``.pyc`` file is a program as well."""
    import py_compile

    write(tmp_path, {"prog.py": "print(__name__)"})
    py_compile.compile(str(tmp_path / "prog.py"), cfile=str(tmp_path / "other.pyc"))
    assert run(traced("other.pyc"), tmp_path, tmp_path / "traces.db").out == "__main__\n"


def test_a_reader_that_stops_reading_is_no_fault_of_ours(tmp_path: Path) -> None:
    """With stdout closed at the other end, errors and exit code are Python's."""
    write(tmp_path, {"prog.py": "import sys\nprint('x' * 100_000)\n"})
    shell = 'set -o pipefail; "$@" | true'
    ends = [
        run(["bash", "-c", shell, "sh", *command], tmp_path, tmp_path / "traces.db")
        for command in ([sys.executable, "prog.py"], traced("prog.py"))
    ]
    assert ends[0][:3] == ends[1][:3]
