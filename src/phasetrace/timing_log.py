"""The TIMING log: one line a finished phase, written by a thread of its own.

Off unless asked for; the processor below is only added then, so that it costs nothing otherwise.
Once asked for, a line is written whatever the levels of the loggers are: ``logging.disable`` and a
later ``dictConfig`` do not silence it.
"""

from __future__ import annotations

import logging
import queue
import re
import sys
import threading
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from phasetrace import faults, redaction
from phasetrace.attributes import text
from phasetrace.names import EXEC_ID
from phasetrace.processor import record_of
from phasetrace.spans import PHASE

TIMING: Final = 15
"""The level, between DEBUG and INFO."""

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_LINE: Final = "exec_id=%s node_id=%s phase=%s dur_ms=%.3f"
_PLAIN: Final = re.compile(r"[^\s\"=\\]+")

logger = logging.getLogger("phasetrace.timing")


class TimingLog(SpanProcessor):
    """Writes a line for every finished phase to `path`, through a queue. Thread-safe.

    The records go to the logger's other handlers, too. Of several logs the last one made gets them.
    """

    def __init__(self, path: Path) -> None:
        logging.addLevelName(TIMING, "TIMING")
        self._path = path
        self._starting = threading.Lock()  # guards the two below
        self._listener: _Listener | None = None
        self._handler: _Handler | None = None
        self._start()

    def on_end(self, span: ReadableSpan) -> None:
        """Log a phase; other spans have no line."""
        try:
            record = record_of(span)
            if record is None or record.type != PHASE:
                return
            duration_ms = (record.end_ns - record.start_ns) / 1e6
            exec_id = (span.attributes or {})[EXEC_ID]
            name = redaction.in_force().name(record.name)
            values = (word(exec_id), word(record.node_id), word(name), duration_ms)
            if self._handler is not None and self._handler not in logger.handlers:
                self._attach()
            logger.disabled = False
            logger.handle(
                logger.makeRecord(logger.name, TIMING, __file__, 0, _LINE, values, None, "on_end")
            )
        except Exception as error:
            faults.report("writing the TIMING log", error)

    def shutdown(self) -> None:
        """Write what is queued and close the file."""
        with self._starting:
            listener, self._listener = self._listener, None
            handler, self._handler = self._handler, None
        if handler is not None:
            logger.removeHandler(handler)
        if listener is not None:
            listener.stop()
            for target in listener.handlers:
                target.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write what is queued; return whether it is written."""
        listener = self._listener
        if listener is None:
            return True
        passed = threading.Event()
        listener.lines.put(passed)
        return passed.wait(timeout_millis / 1000)

    def after_fork(self) -> None:
        """Give a forked child a listener of its own; the queued lines are the parent's."""
        self._starting = threading.Lock()
        if self._listener is not None:
            self._listener = None
            self._start()

    def _start(self) -> None:
        with self._starting:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                file = _File(self._path, encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                faults.logger.warning("phasetrace: cannot write the TIMING log: %s", error)
                return
            file.setFormatter(logging.Formatter(_FORMAT))
            lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
            self._handler = _Handler(lines)
            self._listener = _Listener(lines, file)
            self._listener.start()
        self._attach()

    def _attach(self) -> None:
        # One assignment, so that no record meets both handlers, or none.
        others = [one for one in logger.handlers if not isinstance(one, _Handler)]
        logger.handlers = others if self._handler is None else [*others, self._handler]
        logger.setLevel(TIMING)
        logger.propagate = False


class _Handler(QueueHandler):
    """Tells a log's own handler from others on the logger."""


class _Listener(QueueListener):
    """A listener that also takes events, and sets them when it gets there."""

    def __init__(self, lines: queue.SimpleQueue[Any], file: logging.Handler) -> None:
        super().__init__(lines, file)
        self.lines = lines

    def handle(self, record: Any) -> None:
        if isinstance(record, threading.Event):
            record.set()
        else:
            super().handle(record)


class _File(logging.FileHandler):
    """A file whose faults are counted, not printed with a trace for every line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        faults.report("writing the TIMING log", sys.exc_info()[1])

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            faults.report("writing the TIMING log", error)


def word(value: object) -> str:
    """Return `value` as one word of a line: what could end it, or look like more, is escaped."""
    plain = text(value)
    if plain.isprintable() and _PLAIN.fullmatch(plain):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else _escape(one) for one in escaped) + '"'


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
