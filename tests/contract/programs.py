"""Random programs: trees of steps, and the Hypothesis strategies that draw them.

A program says what is opened, run, raised, abandoned and cancelled, and nothing about how that is
recorded. `tests.contract.interpreter` runs one, for the model and with phasetrace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

HAS_GROUPS: Final = sys.version_info >= (3, 11)  # TaskGroup and timeout

EXECUTIONS: Final = ("e", "f")
NODES: Final = ("m", "n")
PHASES: Final = ("p", "q")


class Boom(Exception):
    """What programs raise."""


class Crash(Exception):
    """What programs raise and hardly ever catch."""


@dataclass(frozen=True)
class Scope:
    """Something that makes a span: ``execution``, ``node``, ``phase``, ``time_phase``, … ."""

    kind: str
    name: str
    exec_id: str | None = None
    node_id: str | None = None


@dataclass(frozen=True)
class Step:
    """One step of a program; `id` is its place in it."""

    id: str


@dataclass(frozen=True)
class Open(Step):
    """Run `body` in a scope; `times` enters the same object again, within itself."""

    scope: Scope
    how: str
    times: int
    body: Body


@dataclass(frozen=True)
class Raise(Step):
    """Raise a `Boom` or a `Crash`."""

    error: str


@dataclass(frozen=True)
class Try(Step):
    """Run `body`, catch what it raises, if `caught` says so, and run `final` in any case."""

    caught: str
    body: Body
    handler: Body
    final: Body


@dataclass(frozen=True)
class Turn(Step):
    """Let another task go on."""


@dataclass(frozen=True)
class Hang(Step):
    """Wait until the nearest `Cancel` around it cancels."""


@dataclass(frozen=True)
class Cancel(Step):
    """Run `body` and cancel it as soon as it hangs: a ``task``, or the body of a ``timeout``."""

    how: str
    body: Body


@dataclass(frozen=True)
class Tasks(Step):
    """Run branches at the same time, by ``gather`` or in a ``group``."""

    how: str
    branches: tuple[Body, ...]


@dataclass(frozen=True)
class Elsewhere(Step):
    """Run `body` in a thread, or by a callable that was wrapped outside of `within`."""

    how: str
    within: Scope
    body: Body


@dataclass(frozen=True)
class Together(Step):
    """Run bodies in threads that really run at the same time."""

    bodies: tuple[Body, ...]


@dataclass(frozen=True)
class Generate(Step):
    """Make a generator, decorated with `scope`, and consume it within `within`.

    Its body runs `sections`, each followed by a ``yield``, all within `around`, and at last
    `cleanup`; with `catches` it survives a `Boom` that is thrown into it. The consumer runs
    `consumer` after each item, and ends it after `taken` items as `ending` says, within `finale`.
    `scope` None leaves it undecorated; ``wrap`` is `phasetrace.propagate.wrap`.
    """

    is_async: bool
    scope: Scope | None
    within: Scope | None
    around: Scope | None
    sections: tuple[Body, ...]
    cleanup: Body
    catches: bool
    taken: int
    ending: str
    finale: Scope | None
    consumer: Body


Body = tuple[Step, ...]


class Program(NamedTuple):
    """A whole program, and whose turn it is whenever tasks take turns."""

    body: Body
    schedule: tuple[int, ...]


class Place(NamedTuple):
    """What may be drawn at a place of a program."""

    depth: int
    is_async: bool = True
    is_simple: bool = False
    """Only spans whose ids and parents come from the context: here, order is nobody's to say."""
    may_hang: bool = False
    may_raise: bool = True


Draw = Callable[[st.SearchStrategy[Any]], Any]

_sizes = st.sampled_from((2, 1, 2, 3))
_flags = st.booleans()
_names = st.sampled_from(PHASES)
_some_ids = st.sampled_from((*EXECUTIONS, "e"))
_maybe_ids = st.sampled_from((None, *EXECUTIONS))
_nodes = st.sampled_from(NODES)
_maybe_nodes = st.sampled_from((None, *NODES))

_phases = st.builds(Scope, st.just("phase"), _names)
_bare = st.builds(Scope, st.just("bare"), st.just("GET"))
_executions = st.builds(Scope, st.just("execution"), st.sampled_from(("run", "job")), _some_ids)
_node_scopes = _nodes.map(lambda node_id: Scope("node", node_id, None, node_id))
_time_phases = st.builds(Scope, st.just("time_phase"), _names, _some_ids, _nodes)
_timed = st.builds(Scope, st.just("timed"), _names, _maybe_ids, _maybe_nodes)
_timed_here = st.builds(Scope, st.just("timed"), _names)

_simple_scopes = st.one_of(_phases, _bare, _timed_here)
_scopes = st.one_of(_phases, _node_scopes, _time_phases, _executions, _bare, _timed)
_with_scopes = st.one_of(_phases, _node_scopes, _time_phases, _executions)
_call_scopes = st.one_of(_timed, _phases, _node_scopes, _time_phases, _executions)
_decorations = st.one_of(_call_scopes, st.just(Scope("wrap", "")), st.none())
_maybe_scopes = st.one_of(st.none(), _with_scopes)

_sync_kinds = ("open",) * 6 + ("try", "generate", "elsewhere", "elsewhere", "together", "raise")
_async_kinds = (
    *_sync_kinds,
    *("turn", "turn", "tasks", "tasks", "generate", "cancel", "hang", "hang"),
)
_simple_step_kinds = st.sampled_from(("open",))
_leaf_kinds = st.sampled_from(("open", "turn", "hang", "open", "turn", "raise"))
_sync_step_kinds = st.sampled_from(_sync_kinds)
_async_step_kinds = st.sampled_from(_async_kinds)

_sync_hows = st.sampled_from(("with", "with", "function"))
_async_hows = st.sampled_from(("with", "async with", "function", "coroutine"))
_thread_hows = st.sampled_from(("thread", "Thread", "pool", "executor", "wrap", "wrap in thread"))
_async_thread_hows = st.sampled_from(
    ("thread", "Thread", "pool", "executor", "to_thread", "wrap", "wrap coroutine", "thread")
)
_task_hows = st.sampled_from(("gather", "group") if HAS_GROUPS else ("gather",))
_cancel_hows = st.sampled_from(("task", "timeout") if HAS_GROUPS else ("task",))
_errors = st.sampled_from(("Boom", "Boom", "Crash"))
_catches = st.sampled_from(("Boom", "Exception", "nothing"))
_endings = st.sampled_from(
    ("consumed", "closed", "dropped", "dropped elsewhere", "thrown", "moved")
)


def _body(draw: Draw, at: str, place: Place) -> Body:
    number = draw(_sizes) if place.depth > 0 else draw(_flags) + 0
    return tuple(_step(draw, f"{at}.{index}", place) for index in range(number))


def _step(draw: Draw, at: str, place: Place) -> Step:
    if place.is_simple:
        kind = "open"
    elif place.depth <= 0:
        kind = draw(_leaf_kinds)
    else:
        kind = draw(_async_step_kinds if place.is_async else _sync_step_kinds)
    if kind == "raise" and place.may_raise:
        return Raise(at, draw(_errors))
    if kind == "turn" and place.is_async:
        return Turn(at)
    if kind == "hang" and place.is_async:
        return (
            Hang(at) if place.may_hang else _cancel(draw, at, place._replace(depth=place.depth - 1))
        )
    made = _COMPOSED.get(kind, _open)
    return made(draw, at, place._replace(depth=place.depth - 1))


def _open(draw: Draw, at: str, place: Place) -> Step:
    scope = draw(_simple_scopes if place.is_simple else _scopes)
    how = draw(_async_hows if place.is_async else _sync_hows)
    if scope.kind == "bare":
        how = "with"
    elif scope.kind == "timed" and "with" in how:
        how = "coroutine" if place.is_async else "function"
    times = 2 if "with" in how and scope.kind != "bare" and draw(st.integers(0, 5)) == 5 else 1
    if how == "function":
        place = place._replace(is_async=False, may_hang=False)
    return Open(at, scope, how, times, _body(draw, at, place))


def _try(draw: Draw, at: str, place: Place) -> Step:
    return Try(
        at,
        draw(_catches),
        _body(draw, f"{at}.body", place),
        _body(draw, f"{at}.handler", place._replace(depth=place.depth - 1)),
        _body(draw, f"{at}.final", _at_the_end(place)),
    )


def _generate(draw: Draw, at: str, place: Place) -> Step:
    is_async = place.is_async and draw(_flags)
    scope = draw(_decorations)
    ending = draw(_endings)
    inside = place if is_async else place._replace(is_async=False, may_hang=False)
    inside = inside._replace(depth=place.depth - 1)
    is_bare = scope is None or scope.kind == "wrap"
    sections = tuple(
        _body(draw, f"{at}.section{index}", inside) for index in range(draw(st.integers(1, 3)))
    )
    return Generate(
        at,
        is_async,
        scope,
        draw(_maybe_scopes),
        draw(_maybe_scopes) if not is_bare else draw(_with_scopes),
        sections,
        _body(draw, f"{at}.cleanup", _at_the_end(place)) if not is_bare else (),
        draw(_flags),
        draw(st.integers(0, len(sections))),
        ending,
        draw(_maybe_scopes),
        _body(draw, f"{at}.consumer", place._replace(depth=place.depth - 1)),
    )


def _elsewhere(draw: Draw, at: str, place: Place) -> Step:
    how = draw(_async_thread_hows if place.is_async else _thread_hows)
    if how != "wrap coroutine":
        place = place._replace(is_async=False, may_hang=False)
    body = _body(draw, at, place)
    if how in ("thread", "pool"):  # no context: what names its ids finds what is open by them
        by_ids = draw(_time_phases)
        body = (Open(f"{at}.by_ids", by_ids, "with", 1, ()), *body)
    return Elsewhere(at, how, draw(_with_scopes), body)


def _together(draw: Draw, at: str, place: Place) -> Step:
    inside = _at_the_end(place)
    return Together(at, tuple(_body(draw, f"{at}.{name}", inside) for name in "ab"))


def _tasks(draw: Draw, at: str, place: Place) -> Step:
    number = draw(st.integers(1, 3))
    branches = tuple(_body(draw, f"{at}.task{index}", place) for index in range(number))
    return Tasks(at, draw(_task_hows), branches)


def _cancel(draw: Draw, at: str, place: Place) -> Step:
    return Cancel(at, draw(_cancel_hows), _body(draw, at, place._replace(may_hang=True)))


def _at_the_end(place: Place) -> Place:
    """Return the place of what also runs when the tasks around are being cancelled."""
    return Place(min(place.depth, 0), is_async=False, is_simple=True, may_raise=False)


_COMPOSED: Final[dict[str, Callable[[Draw, str, Place], Step]]] = {
    "try": _try,
    "generate": _generate,
    "elsewhere": _elsewhere,
    "together": _together,
    "tasks": _tasks,
    "cancel": _cancel,
}


@st.composite
def programs(draw: Draw, depth: int = 4) -> Program:
    """Draw a program, which may raise, but not out of its top."""
    place = Place(draw(st.sampled_from((depth, depth, depth - 1, depth - 2))))
    body = _body(draw, "", place)
    if draw(st.integers(0, 2)):  # most have an execution around all they do, and a node
        if draw(_flags):
            body = (Open("node", draw(_node_scopes), "with", draw(st.integers(1, 2)), body),)
        body = (Open("execution", Scope("execution", "run", "e"), "with", 1, body),)
    schedule = tuple(draw(st.lists(st.integers(0, 5), max_size=8)))
    return Program((Try("top", "Exception", body, (), ()),), schedule)
