"""The TIMING log: one line a finished phase, written by a thread of its own.

Off unless asked for; the processor below is only added then, so that it costs nothing otherwise.
Independent of every other logger's level.
"""

from __future__ import annotations

import logging
import queue
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from phasetrace import faults
from phasetrace.attributes import text
from phasetrace.context import EXEC_ID
from phasetrace.processor import record_of
from phasetrace.spans import PHASE

TIMING: Final = 15
"""The level, between DEBUG and INFO."""

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_LINE: Final = "exec_id=%s node_id=%s phase=%s dur_ms=%.3f"

logger = logging.getLogger("phasetrace.timing")


class TimingLog(SpanProcessor):
    """Writes a line for every finished phase to `path`, through a queue. Thread-safe."""

    def __init__(self, path: Path) -> None:
        logging.addLevelName(TIMING, "TIMING")
        self._path = path
        self._listener: QueueListener | None = None
        self._handler: logging.Handler | None = None
        self._start()

    def on_end(self, span: ReadableSpan) -> None:
        """Log a phase; other spans have no line."""
        try:
            record = record_of(span)
            if record is not None and record.type == PHASE:
                duration_ms = (record.end_ns - record.start_ns) / 1e6
                exec_id = text((span.attributes or {})[EXEC_ID])
                logger.log(TIMING, _LINE, exec_id, record.node_id, record.name, duration_ms)
        except Exception as error:
            faults.report("writing the TIMING log", error)

    def shutdown(self) -> None:
        """Write what is queued and close the file."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()
            for handler in listener.handlers:
                handler.close()
        if self._handler is not None:
            logger.removeHandler(self._handler)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write what is queued."""
        if self._listener is not None:
            self.shutdown()
            self._start()
        return True

    def after_fork(self) -> None:
        """Give a forked child a listener of its own; the queued lines are the parent's."""
        if self._listener is not None:
            if self._handler is not None:
                logger.removeHandler(self._handler)
            self._start()

    def _start(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = logging.FileHandler(self._path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            faults.logger.warning("phasetrace: cannot write the TIMING log: %s", error)
            return
        file.setFormatter(logging.Formatter(_FORMAT))
        lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._handler = QueueHandler(lines)
        self._listener = QueueListener(lines, file)
        self._listener.start()
        logger.addHandler(self._handler)
        logger.setLevel(TIMING)
        logger.propagate = False
