"""An engine's events: the ones to publish, and what an event of any other make says.

Engines have events of their own, objects or mappings. `read_event` understands them by the names
of their kind and fields, and nothing that is in one makes it raise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeVar

from phasetrace.attributes import faithful, text
from phasetrace.spans import EXECUTION, NODE

Value = TypeVar("Value")
Subject = Literal["execution", "node"]
Outcome = Literal["started", "completed", "failed", "cancelled"]


@dataclass(frozen=True)
class ExecutionStarted:
    """An execution begins. Here and below `timestamp` is Unix seconds or a datetime (None: now)."""

    execution_id: str
    name: str | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class NodeStarted:
    """A run of a node begins; `dependencies` None means that they are not known."""

    execution_id: str
    node_id: str
    node_type: str | None = None
    dependencies: Collection[str] | None = None
    iteration: int | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class NodeCompleted:
    """A run of a node is done; `token_usage` is a number or a mapping, `memory_usage` a number."""

    execution_id: str
    node_id: str
    token_usage: Any = None
    memory_usage: Any = None
    iteration: int | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class NodeFailed:
    """A run of a node has failed."""

    execution_id: str
    node_id: str
    error: BaseException | str | None = None
    token_usage: Any = None
    memory_usage: Any = None
    iteration: int | None = None
    timestamp: float | datetime | None = None


@dataclass(frozen=True)
class ExecutionCompleted:
    """An execution is over; with an `error` it has failed."""

    execution_id: str
    error: BaseException | str | None = None
    timestamp: float | datetime | None = None


class Event(NamedTuple):
    """What an event says; `at_ns` (Unix) is its own time if it is `stamped`, else when it came."""

    subject: Subject
    outcome: Outcome
    at_ns: int
    stamped: bool = False
    exec_id: str = ""
    node_id: str = ""
    name: str | None = None
    node_type: str | None = None
    dependencies: tuple[str, ...] | None = None
    iteration: Any = None
    error: BaseException | str | None = None
    """An empty one is a failure without a word."""
    token_usage: Any = None
    memory_usage: Any = None


_OUTCOMES: Final[dict[str, Outcome]] = {
    "started": "started",
    "completed": "completed",
    "finished": "completed",
    "failed": "failed",
    "error": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
_SUBJECTS: Final[tuple[Subject, ...]] = (EXECUTION, NODE)
_KINDS: Final = {
    subject + word: (subject, outcome)
    for subject in _SUBJECTS
    for word, outcome in _OUTCOMES.items()
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NS_PER_S: Final = 1_000_000_000


def read_event(event: object, now_ns: int) -> Event | None:
    """Return what an event says; None if it is of no kind that is followed.

    The kind is a string or an Enum in ``type``, ``event_type`` or ``event``, otherwise the name of
    the class.
    """
    fields = _Fields(event)
    named = (*fields.all("type", "event_type", "event"), type(event).__name__)
    kinds = (_KINDS.get(word) for name in named for word in _words(name))
    kind = next((kind for kind in kinds if kind is not None), None)
    if kind is None:
        return None
    subject, outcome = kind
    at_ns = fields.get(_unix_ns, "timestamp")
    error = fields.get(_error, "error") or None
    return Event(
        subject,
        outcome,
        at_ns=now_ns if at_ns is None else at_ns,
        stamped=at_ns is not None,
        exec_id=fields.get(_name, "execution_id", "exec_id") or "",
        node_id=fields.get(_name, "node_id") or "",
        name=fields.get(_name, "workflow_name", "name"),
        node_type=fields.get(_name, "node_type"),
        dependencies=fields.get(_names, "dependencies", "depends_on"),
        iteration=fields.get(faithful, "iteration"),
        error="" if error is None and outcome == "failed" else error,
        token_usage=fields.get(_usage, "token_usage"),
        memory_usage=next(fields.all("memory_usage"), None),
    )


class _Fields:
    """The fields of an event, its own before those of its payload."""

    def __init__(self, event: object) -> None:
        nested = (_field(event, name) for name in ("data", "payload"))
        self._sources = (event, *(one for one in nested if isinstance(one, Mapping)))

    def all(self, *names: str) -> Iterator[Any]:
        values = (_field(one, name) for one in self._sources for name in names)
        return (value for value in values if value is not None)

    def get(self, convert: Callable[[Any], Value], *names: str) -> Value | None:
        """Return the first field of these names; None also if it cannot be converted."""
        value = next(self.all(*names), None)
        try:
            return convert(value) if value is not None else None
        except Exception:
            return None


def _field(source: object, name: str) -> Any:
    try:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
    except Exception:  # a property of the engine's that fails is as good as none
        return None
    return None if inspect.isroutine(value) else value


def _words(name: object) -> Iterator[str]:
    """Give what an event's kind may be called, without case and punctuation."""
    for word in (name.value, name.name) if isinstance(name, Enum) else (name,):
        if isinstance(word, str):
            yield "".join(filter(str.isalnum, word)).lower().removesuffix("event")


def _name(value: object) -> str:
    return text(value.value if isinstance(value, Enum) else value)


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, (str, Enum)) or not isinstance(value, Iterable):
        value = (value,)
    return tuple(name for one in value if one is not None and (name := _name(one)))


def _error(value: object) -> BaseException | str:
    if isinstance(value, BaseException):
        return value
    return text(value) if value else ""


def _unix_ns(timestamp: object) -> int | None:
    """Return a time that an event names; None, or any error, if no span could carry it."""
    if isinstance(timestamp, datetime):
        ns = (timestamp.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1) * 1000
    elif isinstance(timestamp, (int, float)) and not isinstance(timestamp, bool):
        ns = round(timestamp * _NS_PER_S)
    else:
        return None
    return ns if 0 <= ns < 2**63 else None


def _usage(usage: Any) -> Any:
    """Return a usage object's fields as a mapping; a mapping's copy; anything else as it is."""
    if isinstance(usage, (int, float, str)):
        return usage
    fields = usage if isinstance(usage, Mapping) else getattr(usage, "__dict__", None)
    return dict(fields) if fields is not None else usage
