"""Running a program with phasetrace."""

from __future__ import annotations

import inspect
import threading
import zlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import phasetrace
from phasetrace import execution, node, phase, propagate, time_phase, timed
from phasetrace.testing import forget_everything
from tests.contract.interpreter import Cell, Env, Interpreter, Result
from tests.contract.programs import Program, Scope
from tests.contract.turns import caught_thread

KINDS = ("own", "own with a processor", "stock")
"""phasetrace's provider, where phases go the short way and where they do not, and the SDK's."""


@contextmanager
def recording(kind: str) -> Iterator[InMemorySpanExporter]:
    """Record into the exporter, without a store, on one kind of provider."""
    forget_everything()
    exported = InMemorySpanExporter()
    try:
        if kind == "stock":
            trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
        if kind == "own":
            phasetrace.configure(store=False, exporters=[exported])
        else:
            phasetrace.configure(store=False)
            provider = trace.get_tracer_provider()
            assert isinstance(provider, TracerProvider)
            provider.add_span_processor(SimpleSpanProcessor(exported))
        yield exported
    finally:
        forget_everything()


class Traced(Interpreter):
    """Runs a program with phasetrace; `complaints` are what was current where it should not be."""

    nowhere = trace.INVALID_SPAN

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.complaints: list[str] = []

    def check(self, env: Env, where: str) -> None:
        """Hold the current span to that of the scope around the code."""
        current = trace.get_current_span()
        if current is not env.span:
            self.complaints.append(f"{where}: {_name(current)} for {_name(env.span)}")

    def scope(self, scope: Scope, uid: str) -> Any:
        """Return what the program makes of a scope."""
        if scope.kind == "execution":
            return execution(scope.exec_id, scope.name, uid=uid)
        if scope.kind == "node":
            return node(scope.name, uid=uid)
        if scope.kind == "phase":
            return phase(scope.name, uid=uid)
        if scope.kind == "bare":
            tracer = trace.get_tracer("a.library")
            return tracer.start_as_current_span(scope.name, attributes={"uid": uid})
        assert scope.exec_id is not None
        assert scope.node_id is not None
        return time_phase(scope.exec_id, scope.node_id, scope.name, uid=uid)

    def entries(
        self, scope: Scope, uids: Sequence[str], env: Env
    ) -> list[AbstractContextManager[Env]]:
        """Return a context manager for each entry of the scope."""
        made = self.scope(scope, uids[0])
        return [_Entry(made, env, None if uid == uids[0] else uid) for uid in uids]

    def async_entries(self, scope: Scope, uids: Sequence[str], env: Env) -> list[Any]:
        """Return the same for ``async with``."""
        return list(self.entries(scope, uids, env))

    def call(self, scope: Scope, uid: str, env: Env, function: Callable[[Env], Result]) -> Result:
        """Call a function that the scope decorates."""
        if scope.kind != "timed":
            decorated = self.scope(scope, uid)(lambda: function(_here(env)))
            return decorated()  # type: ignore[no-any-return]

        @timed(scope.name)
        def work(node_id: Any, execution_id: Any = scope.exec_id) -> Result:
            return function(_here(env, uid))

        return _called(work, scope, uid)  # type: ignore[no-any-return]

    async def call_async(
        self, scope: Scope, uid: str, env: Env, function: Callable[[Env], Coroutine[Any, Any, None]]
    ) -> None:
        """Await a coroutine function that the scope decorates."""
        if scope.kind != "timed":

            async def plain() -> None:
                await function(_here(env))

            await self.scope(scope, uid)(plain)()
            return

        @timed(scope.name)
        async def work(node_id: Any, execution_id: Any = scope.exec_id) -> None:
            await function(_here(env, uid))

        await _called(work, scope, uid)

    def generator(
        self, scope: Scope | None, uid: str, cell: Cell, function: Callable[..., Any]
    ) -> Any:
        """Return a generator of a function that the scope decorates."""
        if scope is None:
            return function()
        if scope.kind == "timed":
            cell.enter = lambda: nullcontext(_here(cell.env, uid))
            return _called(timed(scope.name)(function), scope, uid)
        cell.enter = lambda: nullcontext(_here(cell.env))
        if scope.kind == "wrap":
            return propagate.wrap(function)()
        return self.scope(scope, uid)(function)()

    def thread(self, env: Env, how: str, run: Callable[[Env], None]) -> threading.Thread:
        """Return a thread, which has a context if it is one of phasetrace's."""
        if how == "Thread":
            return caught_thread(lambda: run(env), propagate.Thread)
        return caught_thread(lambda: run(Env(self.nowhere)))

    def pool(self, env: Env, how: str, run: Callable[[Env], None]) -> None:
        """Run something in a pool, or in one of phasetrace's."""
        with ThreadPoolExecutor(1) as pool:
            if how == "executor":
                propagate.executor(pool).submit(run, env).result()
            else:
                pool.submit(run, Env(self.nowhere)).result()

    def wrapped(
        self, env: Env, run: Callable[[Env], Result], is_async: bool
    ) -> Callable[[], Result]:
        """Return a callable that runs in the context of here."""
        if not is_async:
            return propagate.wrap(lambda: run(env))

        async def work() -> None:
            await run(env)  # type: ignore[misc]

        return propagate.wrap(work)  # type: ignore[return-value]


class _Entry(AbstractContextManager[Env]):
    """A scope that is entered; `uid` names the spans of later entries."""

    def __init__(self, made: Any, env: Env, uid: str | None) -> None:
        self._made, self._env, self._uid = made, env, uid

    def __enter__(self) -> Env:
        return self._in(self._made.__enter__())

    def __exit__(self, *exception: Any) -> None:
        self._made.__exit__(*exception)

    async def __aenter__(self) -> Env:
        return self._in(await self._made.__aenter__())

    async def __aexit__(self, *exception: Any) -> None:
        await self._made.__aexit__(*exception)

    def _in(self, span: trace.Span) -> Env:
        if self._uid is not None:
            span.set_attribute("uid", self._uid)
        return self._env._replace(span=span)


def _here(env: Env, uid: str | None = None) -> Env:
    """Return what runs here; the current span gets its `uid` here if it has none."""
    span = trace.get_current_span()
    if uid is not None:
        span.set_attribute("uid", uid)
    return env._replace(span=span)


def _called(function: Callable[..., Any], scope: Scope, uid: str) -> Any:
    """Call a timed function, with its arguments in one way or another."""
    is_default = inspect.signature(function).parameters["execution_id"].default == scope.exec_id
    way = zlib.crc32(uid.encode()) % (3 if is_default else 2)
    if way == 0:
        return function(scope.node_id, scope.exec_id)
    if way == 1:
        return function(execution_id=scope.exec_id, node_id=scope.node_id)
    return function(scope.node_id)


def _name(span: Any) -> str:
    return str(getattr(span, "name", "nothing"))
