"""However a process ends, what it finished is in the store: once each, below one root."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from tests import stored_spans

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


class Program:
    """Runs Python programs that use phasetrace, and reads what they stored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = folder / "traces.db"

    def run(self, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program, warnings being errors, and return how it ended."""
        script = self._folder / "program.py"
        script.write_text(textwrap.dedent(code), "utf-8")
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("OTEL_")
        }
        return subprocess.run(
            # A fork of a program with threads is what is tested here.
            [sys.executable, "-W", "error", "-W", "ignore:This process", str(script)],
            env={**inherited, "PHASETRACE_STORE": str(self._store), **environ},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def stored(self) -> Counter[str]:
        """Return how many spans of each name are in the store."""
        return Counter(name for (name,) in self._query("SELECT name FROM spans"))

    def roots(self) -> Counter[str]:
        """Return how many root spans each execution has in the store."""
        return Counter(
            name for (name,) in self._query("SELECT name FROM spans WHERE parent_span_id IS NULL")
        )

    def _query(self, statement: str) -> list[tuple[str]]:
        with contextlib.closing(stored_spans.connect(self._store)) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return what runs programs, with a store of their own."""
    return Program(tmp_path)


def test_a_program_ends_as_it_would_without_us(program: Program) -> None:
    """Its exit code and its output are its own; its phases and their root are stored."""
    ended = program.run(
        """
        import sys
        from phasetrace import time_phase
        with time_phase("exec_1", "node_1", "p"):
            pass
        print("done")
        sys.exit(7)
        """
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "done\n", "")
    assert program.stored() == {"p": 1, "exec_1": 1}


def test_a_failing_exporter_costs_a_line(program: Program) -> None:
    """An exporter that raises changes neither the exit code nor the store."""
    ended = program.run(
        """
        import sys
        from phasetrace import configure, time_phase
        class Failing:
            def export(self, spans): raise OSError("refused by http://user:hunter2@host:4318")
            def shutdown(self): raise OSError("and again")
            def force_flush(self, timeout_millis=0): raise OSError("and again")
        configure(exporters=[Failing()])
        for index in range(3):
            with time_phase("exec_1", "node_1", "p"):
                pass
        sys.exit(7)
        """,
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1",
    )
    assert (ended.returncode, ended.stdout) == (7, "")
    lines = ended.stderr.splitlines()
    assert [line.split(":")[1] for line in lines] == [
        " exporting to Failing",
        " shutting the exporter Failing down",
    ]
    assert "hunter2" not in ended.stderr
    assert program.stored() == {"p": 3, "exec_1": 1}


def test_an_exporter_that_hangs_does_not_keep_the_program(program: Program) -> None:
    """At exit a destination that never answers is waited for within bounds."""
    ended = program.run(
        """
        import threading, phasetrace.tracing
        from phasetrace import configure, time_phase
        phasetrace.tracing.EXIT_TIMEOUT_S = 0.1
        class Hanging:
            def export(self, spans): threading.Event().wait()
            def shutdown(self): pass
            def force_flush(self, timeout_millis=0): pass
        configure(exporters=[Hanging(), Hanging()])
        with time_phase("exec_1", "node_1", "p"):
            pass
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert program.stored() == {"p": 1, "exec_1": 1}


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_root_reaches_the_applications_exporter(program: Program, order: str) -> None:
    """A provider that shuts itself down at exit still gets the root of an implicit execution."""
    ours = "with time_phase('exec_1', 'node_1', 'ours'): pass"
    ended = program.run(
        f"""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from phasetrace import time_phase
        class Printing:
            def export(self, spans): print(*(span.name for span in spans))
            def shutdown(self): pass
            def force_flush(self, timeout_millis=0): return True
        {ours if order == "after" else ""}
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Printing()))
        trace.set_tracer_provider(provider)
        with time_phase("exec_1", "node_1", "p"):
            pass
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == ["p", "execution"]
    assert program.roots() == {"exec_1": 1}


@pytest.mark.parametrize("end", ["", "phasetrace.shutdown()", "provider.shutdown()"])
@pytest.mark.parametrize("processor", ["BatchSpanProcessor", "SimpleSpanProcessor"])
def test_what_was_added_to_our_provider_is_shut_down_once(
    program: Program, processor: str, end: str
) -> None:
    """The processors of a library that found phasetrace's provider get all, and then their end."""
    ended = program.run(
        f"""
        import phasetrace
        from opentelemetry import trace
        from opentelemetry.sdk.trace.export import {processor}
        class Printing:
            def export(self, spans): print(*(span.name for span in spans))
            def shutdown(self): print("shutdown")
            def force_flush(self, timeout_millis=0): return True
        phasetrace.configure()
        provider = trace.get_tracer_provider()
        provider.add_span_processor({processor}(Printing()))
        with phasetrace.execution("exec_1"):
            pass
        {end}
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == ["execution", "shutdown"]
    assert program.stored() == {"exec_1": 1}


def test_a_phase_in_an_exit_handler_is_stored(program: Program) -> None:
    """Handlers that the program registered run before ours, so their phases count."""
    program.run(
        """
        import atexit
        from phasetrace import time_phase
        def late():
            with time_phase("exec_1", "node_1", "late"):
                pass
        atexit.register(late)
        with time_phase("exec_1", "node_1", "p"):
            pass
        """
    )
    assert program.stored() == {"p": 1, "late": 1, "exec_1": 1}


def test_a_program_without_phases_leaves_nothing(program: Program, tmp_path: Path) -> None:
    """Importing phasetrace makes no file and starts no thread."""
    ended = program.run(
        """
        import threading
        from phasetrace import time_phase
        print(threading.active_count())
        """
    )
    assert (ended.stdout, ended.stderr) == ("1\n", "")
    assert not (tmp_path / "traces.db").exists()


CHILDREN = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    from phasetrace import execution, time_phase

    def work(index):
        with time_phase("exec_1", f"node_{index}", f"child_{index}"):
            pass
        with time_phase(f"own_{index}", "node_1", "own"):
            pass
"""
EXPECTED = {"exec_1", *(f"own_{index}" for index in range(3))}


@forks
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("before", [True, False])
def test_processes(program: Program, method: str, before: bool) -> None:
    """Children started in any way lose nothing, whether or not the parent has begun to record."""
    ended = program.run(
        f"""{CHILDREN}
    if __name__ == "__main__":
        context = multiprocessing.get_context("{method}")
        if {before}:
            with time_phase("exec_1", "node_1", "parent"):
                pass
        children = [context.Process(target=work, args=(index,)) for index in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]
        if not {before}:
            with time_phase("exec_1", "node_1", "parent"):
                pass
    """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    stored = program.stored()
    assert {name: stored[name] for name in ("parent", "own")} == {"parent": 1, "own": 3}
    assert [stored[f"child_{index}"] for index in range(3)] == [1, 1, 1]
    assert program.roots() == Counter(EXPECTED)


@forks
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools(program: Program, method: str) -> None:
    """The tasks of a ProcessPoolExecutor lose nothing."""
    ended = program.run(
        f"""{CHILDREN}
    if __name__ == "__main__":
        with execution("exec_1"):
            context = multiprocessing.get_context("{method}")
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                list(pool.map(work, range(3)))
    """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    stored = program.stored()
    assert stored["own"] == 3
    assert [stored[f"child_{index}"] for index in range(3)] == [1, 1, 1]
    assert program.roots() == Counter(EXPECTED)


STOCK = """
    import multiprocessing, os, threading
    import phasetrace
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from phasetrace import time_phase

    class Printing:
        def export(self, spans):
            if threading.main_thread() is threading.current_thread():
                raise RuntimeError("not in the program's own thread")
            {export}
            os.write(1, "".join(f"{{span.name}} " for span in spans).encode())
        def shutdown(self): pass
        def force_flush(self, timeout_millis=0): return True

    def set_up():
        {provider}
        provider.add_span_processor(BatchSpanProcessor(Printing()))

    def work(index):
        if trace._TRACER_PROVIDER is None:
            set_up()
        with time_phase(f"exec_{{index}}", "node_1", f"child_{{index}}"):
            pass

    if __name__ == "__main__":
        set_up()
        context = multiprocessing.get_context("{method}")
        children = [context.Process(target=work, args=(index,)) for index in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0]
"""


PROVIDERS = {
    "application's": "provider = TracerProvider(); trace.set_tracer_provider(provider)",
    "phasetrace's": "phasetrace.configure(); provider = trace.get_tracer_provider()",
}


@forks
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_applications_exporter_gets_what_children_record(
    program: Program, method: str, provider: str
) -> None:
    """Its provider's own exit handler does not run in a child that was forked."""
    ended = program.run(STOCK.format(method=method, provider=PROVIDERS[provider], export="pass"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(ended.stdout.split()) == ["child_0", "child_1", "execution", "execution"]


@forks
def test_an_applications_exporter_that_hangs_does_not_keep_a_child(program: Program) -> None:
    """It gets a second; the store has everything."""
    provider, hang = PROVIDERS["application's"], "threading.Event().wait()"
    ended = program.run(STOCK.format(method="fork", provider=provider, export=hang))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert program.stored() == {"child_0": 1, "child_1": 1, "exec_0": 1, "exec_1": 1}


@forks
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_threads_that_outlive_the_childs_work_lose_nothing(program: Program, method: str) -> None:
    """A child waits for its threads after its finalizers; their phases are stored, too."""
    ended = program.run(
        f"""
        import multiprocessing, threading, time
        from concurrent.futures import ThreadPoolExecutor
        from phasetrace import time_phase

        def later():
            threading.main_thread().join(0.1)
            with time_phase("exec_1", "node_1", "later"):
                pass

        def work():
            with time_phase("exec_1", "node_1", "first"):
                pass
            pool = ThreadPoolExecutor(2)
            pool.submit(later)
            threading.Thread(target=later).start()

        if __name__ == "__main__":
            child = multiprocessing.get_context("{method}").Process(target=work)
            child.start()
            child.join()
            assert child.exitcode == 0
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert program.stored() == {"first": 1, "later": 2, "exec_1": 1}


@forks
def test_phases_of_a_childs_main_module_are_stored(program: Program) -> None:
    """Phases while a forkserver's child imports its main module are stored with the others."""
    ended = program.run(
        """
        import multiprocessing
        from phasetrace import time_phase
        if __name__ != "__main__":
            with time_phase("exec_1", "node_1", "import"):
                pass
        def work():
            with time_phase("exec_1", "node_1", "work"):
                pass
        if __name__ == "__main__":
            child = multiprocessing.get_context("forkserver").Process(target=work)
            child.start()
            child.join()
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert program.stored() == {"import": 1, "work": 1, "exec_1": 1}


@forks
def test_a_bare_fork(program: Program) -> None:
    """A child that ends by sys.exit writes its own spans and none of its parent's."""
    ended = program.run(
        """
        import os, sys
        from phasetrace import time_phase
        with time_phase("exec_1", "node_1", "parent"):
            pass
        if os.fork() == 0:
            with time_phase("exec_1", "node_1", "child"):
                pass
            with time_phase("exec_2", "node_1", "own"):
                pass
            sys.exit(0)
        os.wait()
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert program.stored() == {"parent": 1, "child": 1, "own": 1, "exec_1": 1, "exec_2": 1}


@forks
def test_a_forked_child_has_exporters_of_its_own(program: Program) -> None:
    """The child exports its spans, once, and nothing that its parent had waiting."""
    ended = program.run(
        """
        import os, sys
        from phasetrace import configure, time_phase
        class Printing:
            def export(self, spans):
                os.write(1, "".join(f"{span.name}\\n" for span in spans).encode())
                from opentelemetry.sdk.trace.export import SpanExportResult
                return SpanExportResult.SUCCESS
            def shutdown(self): pass
            def force_flush(self, timeout_millis=0): return True
        configure(exporters=[Printing()])
        with time_phase("exec_1", "node_1", "parent"):
            pass
        if os.fork() == 0:
            with time_phase("exec_1", "node_1", "child"):
                pass
            sys.exit(0)
        os.wait()
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(ended.stdout.split()) == ["child", "execution", "parent"]


@forks
def test_a_forked_child_makes_named_exporters_anew(program: Program) -> None:
    """The connections of the parent's exporters stay the parent's."""
    ended = program.run(
        """
        import os, sys
        import phasetrace.exporting
        class Point:
            name = "mine"
            def load(self): return Mine
        class Mine:
            def __init__(self): self.pid = os.getpid()
            def export(self, spans): os.write(1, b"%d\\n" % (self.pid == os.getpid()))
            def shutdown(self): pass
            def force_flush(self, timeout_millis=0): return True
        phasetrace.exporting.entry_points = lambda group: [Point()]
        from phasetrace import configure, time_phase
        configure(exporters=["mine"], store=False)
        with time_phase("exec_1", "node_1", "parent"):
            pass
        if os.fork() == 0:
            with time_phase("exec_1", "node_1", "child"):
                pass
            sys.exit(0)
        os.wait()
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split() == ["1", "1"]


@forks
def test_a_fork_while_another_thread_reports_a_fault(program: Program) -> None:
    """A child does not wait for a lock that a thread of its parent held."""
    ended = program.run(
        """
        import os
        from phasetrace import configuration, faults
        faults._lock.acquire()
        pid = os.fork()
        if pid == 0:
            faults.report("here")
            os._exit(faults.counts()["here"])
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert (ended.returncode, ended.stdout) == (0, "1\n")


def test_without_multiprocessing_nothing_is_imported_for_it(program: Program) -> None:
    """Recording does not bring multiprocessing in."""
    ended = program.run(
        """
        import sys
        from phasetrace import force_flush, time_phase
        with time_phase("exec_1", "node_1", "p"):
            pass
        force_flush()
        print([name for name in sys.modules if name.startswith("multiprocessing")])
        """
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n")


def test_in_the_main_process_multiprocessing_gets_no_finalizer(program: Program) -> None:
    """The main process has exit handlers, and its later ones may still record."""
    ended = program.run(
        """
        from multiprocessing import util
        from phasetrace import time_phase
        with time_phase("exec_1", "node_1", "p"):
            pass
        print(len(util._finalizer_registry), len(util._afterfork_registry))
        """
    )
    assert (ended.returncode, ended.stdout) == (0, "0 0\n")


IMPORTED_ON_USE = (
    "grpc",
    "requests",
    "google.protobuf",
    "sqlite3",
    "logging.handlers",
    "importlib.metadata",
    "platformdirs",
    "rich",
    "opentelemetry.exporter",
    "opentelemetry.sdk.trace.export",
)


def test_an_import_brings_little_with_it(program: Program) -> None:
    """What only recording or exporting needs is not imported before that."""
    ended = program.run(
        f"""
        import sys
        import opentelemetry.sdk.trace
        before = set(sys.modules)
        from phasetrace import time_phase
        print([name for name in {IMPORTED_ON_USE} if name in set(sys.modules) - before])
        """
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n")


@pytest.mark.parametrize(
    ("protocol", "ours", "others"),
    [
        ("http/protobuf", "opentelemetry.exporter.otlp.proto.http.trace_exporter", "grpc"),
        ("grpc", "grpc", "opentelemetry.exporter.otlp.proto.http"),
        (None, "sqlite3", "grpc"),
    ],
)
def test_a_transport_is_imported_when_it_is_used(
    program: Program, protocol: str | None, ours: str, others: str
) -> None:
    """HTTP does not bring gRPC in, nor gRPC HTTP, nor the store either."""
    environ = {"PHASETRACE_DELIVERY": "thread"}
    if protocol is not None:
        environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    ended = program.run(
        f"""
        import os, sys
        from phasetrace import time_phase
        with time_phase("exec_1", "node_1", "p"):
            pass
        print({ours!r} in sys.modules, {others!r} in sys.modules, flush=True)
        os._exit(0)
        """,
        **environ,
    )
    assert (ended.returncode, ended.stdout) == (0, "True False\n")
