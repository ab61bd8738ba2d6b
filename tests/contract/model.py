"""What the spans of a program must be, worked out without phasetrace.

A span's parent is the current span of its execution; without one, the open span of the node that it
names (the latest, where there are several), or else the execution's root. See the design, "Words"
and "Public API".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tests.contract.interpreter import (
    Cell,
    Env,
    Interpreter,
    Result,
)
from tests.contract.programs import Program, Scope
from tests.contract.turns import caught_thread

SYSTEM = "system"


@dataclass(eq=False)
class Expected:
    """A span that there must be."""

    uid: str
    type: str
    name: str
    parent: Expected | None
    exec_id: str | None = None
    node_id: str | None = None
    status: str = "open"
    ended: int = 0

    @property
    def trace(self) -> Expected:
        """The root of its trace."""
        return self if self.parent is None else self.parent.trace


@dataclass
class Execution:
    """What is known of an execution."""

    root: Expected
    is_rooted: bool = False
    """Its root was opened by the program."""
    open_nodes: dict[str, list[Expected]] = field(default_factory=dict)


class Model(Interpreter):
    """Runs a program without recording anything, and writes down what should be."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.spans: list[Expected] = []
        self.executions: dict[str, Execution] = {}

    def run(self) -> None:
        """Run the program; executions that it did not open get their roots at last."""
        super().run()
        for execution in self.executions.values():
            if not execution.is_rooted:
                execution.root.status, execution.root.ended = "ok", 1
                self.spans.append(execution.root)

    def start(self, scope: Scope, uid: str, current: Expected | None) -> Expected:
        """Return the span that a scope starts where `current` is the current one."""
        started: Callable[..., Expected] = getattr(self, f"_start_{scope.kind}", self._start_phase)
        span = started(scope, uid, current)
        self.spans.append(span)
        return span

    def end(self, span: Expected, kind: type[BaseException] | None) -> None:
        """End a span because of an exception of a `kind`, or of nothing."""
        span.ended += 1
        if kind is None or issubclass(kind, GeneratorExit):
            span.status = "ok"
        elif issubclass(kind, Exception):
            span.status = "error"
        else:
            # A bare tracer knows nothing of cancellation.
            span.status = "ok" if span.type == "bare" else "cancelled"
        if span.type == "node" and span.exec_id is not None and span.node_id is not None:
            self.executions[span.exec_id].open_nodes[span.node_id].remove(span)

    def _execution(self, exec_id: str) -> Execution:
        known = self.executions.get(exec_id)
        if known is None:
            root = Expected(f"root of {exec_id}", "execution", "execution", None, exec_id)
            known = self.executions[exec_id] = Execution(root)
        return known

    def _start_execution(self, scope: Scope, uid: str, current: Expected | None) -> Expected:
        assert scope.exec_id is not None
        is_new = scope.exec_id not in self.executions
        known = self._execution(scope.exec_id)
        first, known.is_rooted = not known.is_rooted, True
        around = current.exec_id if current is not None else None
        is_within = current is not None and around is not None and around != scope.exec_id
        if is_within and is_new:  # one that has a trace already stays there
            known.root = Expected(uid, "execution", scope.name, current, scope.exec_id)
            return known.root
        if not first:
            return Expected(uid, "execution", scope.name, known.root, scope.exec_id)
        known.root.uid, known.root.name = uid, scope.name  # what is below it already stays there
        return known.root

    def _start_node(self, scope: Scope, uid: str, current: Expected | None) -> Expected:
        exec_id = current.exec_id if current is not None else None
        span = Expected(uid, "node", scope.name, current, exec_id, scope.node_id)
        if exec_id is not None and scope.node_id is not None:
            self._execution(exec_id).open_nodes.setdefault(scope.node_id, []).append(span)
        return span

    def _start_bare(self, scope: Scope, uid: str, current: Expected | None) -> Expected:
        span = self._start_phase(scope, uid, current)
        span.type = "bare"
        return span

    def _start_phase(self, scope: Scope, uid: str, current: Expected | None) -> Expected:
        exec_id, node_id, parent = scope.exec_id, scope.node_id, current
        around = current.exec_id if current is not None else None
        if exec_id is None and around is None:
            return Expected(uid, "phase", scope.name, parent)
        if exec_id is None:
            exec_id = around
        assert exec_id is not None
        known = self._execution(exec_id)
        around_node = None
        if exec_id == around and current is not None:
            around_node = current.node_id
        else:
            parent = known.root
        if node_id is None:
            node_id = around_node or SYSTEM
        elif around_node is None and known.open_nodes.get(node_id):
            parent = known.open_nodes[node_id][-1]
        return Expected(uid, "phase", scope.name, parent, exec_id, node_id)

    # What the interpreter asks for.

    def entries(
        self, scope: Scope, uids: Sequence[str], env: Env
    ) -> list[AbstractContextManager[Env]]:
        """Return a context manager for each span."""
        place = _Place()
        return [_Entry(self, scope, uid, env, place) for uid in uids]

    def async_entries(self, scope: Scope, uids: Sequence[str], env: Env) -> list[Any]:
        """Return the same for ``async with``."""
        return list(self.entries(scope, uids, env))

    def call(self, scope: Scope, uid: str, env: Env, function: Callable[[Env], Result]) -> Result:
        """Call a function within the scope."""
        with self.entries(scope, [uid], env)[0] as inner:
            return function(inner)

    async def call_async(
        self, scope: Scope, uid: str, env: Env, function: Callable[[Env], Coroutine[Any, Any, None]]
    ) -> None:
        """Await a coroutine within the scope."""
        with self.entries(scope, [uid], env)[0] as inner:
            await function(inner)

    def generator(
        self, scope: Scope | None, uid: str, cell: Cell, function: Callable[..., Any]
    ) -> Any:
        """Return a generator whose body runs in the scope, below what first asks for an item."""
        if scope is not None and scope.kind == "wrap":
            made_in = cell.env.span
            cell.enter = lambda: nullcontext(cell.env._replace(span=made_in))
        elif scope is not None:
            cell.enter = lambda: self.entries(scope, [uid], cell.env)[0]
        return function()

    def thread(self, env: Env, how: str, run: Callable[[Env], None]) -> threading.Thread:
        """Return a thread, which has a context if it is one of phasetrace's."""
        inner = env if how == "Thread" else Env(None)
        return caught_thread(lambda: run(inner))

    def pool(self, env: Env, how: str, run: Callable[[Env], None]) -> None:
        """Run something in a thread, which has a context if the pool is one of phasetrace's."""
        inner = env if how == "executor" else Env(None)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(run, inner).result()

    def wrapped(
        self, env: Env, run: Callable[[Env], Result], is_async: bool
    ) -> Callable[[], Result]:
        """Return a callable that runs with the current span of here."""
        return lambda: run(env)


class _Place:
    """Where the entries of one scope are: the current span within the latest one."""

    env: Env | None = None


class _Entry(AbstractContextManager[Env]):
    """A scope that the model enters."""

    def __init__(self, model: Model, scope: Scope, uid: str, env: Env, place: _Place) -> None:
        self._model, self._scope, self._uid, self._env = model, scope, uid, env
        self._place = place

    def __enter__(self) -> Env:
        env = self._place.env or self._env
        self._span = self._model.start(self._scope, self._uid, env.span)
        self._place.env = env._replace(span=self._span)
        return self._place.env

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._model.end(self._span, kind)

    async def __aenter__(self) -> Env:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.__exit__(kind)
