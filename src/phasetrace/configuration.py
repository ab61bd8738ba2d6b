"""Wiring: which configuration is in force, and what the process does at its turns.

One `Tracing` is in force in a process. It is made by `configure`, or by the first phase if nobody
configured anything; until then nothing that it needs is imported.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from phasetrace import faults, redaction, scopes
from phasetrace.collector import TimingCollector
from phasetrace.environment import (
    inherited_carrier,
    own_environ,
    standard_variables,
    was_handed_on,
)
from phasetrace.errors import ConfigError
from phasetrace.executions import Executions
from phasetrace.settings import Settings, settings_from, settings_or_defaults
from phasetrace.sources import mistyped_names

if TYPE_CHECKING:
    from phasetrace.provider import TracerProvider
    from phasetrace.recorder import Recorder
    from phasetrace.signals import SignalHandling
    from phasetrace.tally import Metadata
    from phasetrace.tracing import Tracing as Tracing

timing_collector: Final = TimingCollector()
"""The collector that every phase of this process is added up in."""

executions: Final = Executions()
"""The executions that this process has taken part in."""

before_first_span: Final[list[Callable[[], None]]] = []
"""What else a process is to do before its first span, a forked one too."""

_lock = threading.RLock()  # guards _tracing, _defaults and _told
_tracing: Tracing | None = None
_latest: Tracing | None = None
_signals: SignalHandling | None = None
_defaults: dict[str, Any] = {}
_origin_known = False
_told: set[str] = set()  # of names; a forked child says none of it again
_writing_out = threading.RLock()  # nobody leaves while another thread writes out


def configure(**settings: Any) -> None:
    """Set phasetrace up; what is not given comes from the environment, then from the defaults.

    Optional: the first phase does it if nobody did. Idempotent: the same settings again change
    nothing, others replace the earlier ones after everything has been flushed. Thread-safe.

    With a tracer provider of the application's, exporters that only the environment names are left
    to the application; ``exporters`` and ``endpoint`` given here are fed beside its own.

    Args:
        **settings: ``store`` (path, or False), ``retention``, ``delivery``, ``timing``,
            ``redact``, ``exporters`` (names, `SpanExporter` objects, or both), ``protocol``,
            ``endpoint``, ``trace_url``, ``service_name``, ``disabled``, ``max_value_length``;
            ``handle_signals=True`` (in the main thread) has SIGTERM and SIGHUP write everything
            out, and then lets happen what would have happened without it.

    Raises:
        ConfigError: naming the setting, its value and what is expected; nothing has changed then.
    """
    with _lock:
        given = {name: value for name, value in settings.items() if value is not None}
        _configure(settings_from(**{**_defaults, **given}))


def set_defaults(**settings: Any) -> None:
    """Give settings that win over the environment, and that a call of `configure` wins over.

    For whoever runs somebody's program (``phasetrace run``).
    """
    with _lock:
        _defaults.update(settings)
        _configure(settings_from(**_defaults))


def current_tracing() -> Tracing:
    """Return what records in this process, set up from the environment if need be."""
    with _lock:
        if _tracing is None:
            settings = settings_or_defaults()
            try:
                _configure(settings)
            except ConfigError as error:
                faults.logger.error("phasetrace: %s; nothing is exported", error)
                _configure(settings._replace(exporters=()))
        assert _tracing is not None  # noqa: S101 - _configure has set it
        return _tracing


def selected_provider() -> TracerProvider:
    """Return the provider for ``OTEL_PYTHON_TRACER_PROVIDER=phasetrace``.

    It is set up from the environment as soon as somebody wants a tracer of it.
    """
    from phasetrace.provider import TracerProvider

    def set_up() -> None:
        try:
            current_tracing()
        except Exception as error:
            faults.report("setting the selected provider up", error)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.first_tracer = set_up
    return provider


def latest_tracing() -> Tracing | None:
    """Return what records in this process, or what did last before it was shut down."""
    return _latest


def force_flush(timeout_s: float = 30.0) -> bool:
    """Bring all finished phases into the store and to the exporters.

    Returns:
        Whether everything got there in time.
    """
    tracing = _tracing
    return tracing.force_flush(timeout_s) if tracing is not None else True


def shutdown() -> None:
    """End what is open, write everything out and stop recording; `configure` starts it again.

    What is finished is also written out at exit, without this call.
    """
    global _tracing
    with _writing_out:
        with _lock:
            tracing, _tracing = _tracing, None
            scopes.source.recorder = _no_recorder
            timing_collector.emit = None
        if tracing is not None:
            tracing.close_executions()
            tracing.disconnect()
            tracing.write_out()


def forget() -> None:
    """Bring the wiring to where it is after an import (for tests); to be shut down first."""
    global _origin_known, _tracing, _latest
    redaction.forget()
    executions.__init__()  # type: ignore[misc]
    _defaults.clear()
    _told.clear()
    _origin_known = False
    _tracing = _latest = None
    scopes.source.recorder = _first_recorder
    timing_collector.emit = _first_emit


def _configure(settings: Settings) -> None:
    global _tracing, _latest
    previous = _tracing
    if previous is not None and previous.settings == settings:
        return
    with standard_variables():
        from phasetrace.tracing import Hooks, Tracing

    _handle_signals(settings.handle_signals)
    _look_at_origin()
    hooks = Hooks(partial(_at_first_use, settings), _before_the_provider_ends)
    tracing = Tracing(settings, timing_collector, executions, hooks)  # may raise
    tracing.start(previous)
    _tracing = _latest = tracing
    timing_collector.emit = tracing.emit
    timing_collector.on_leaving = tracing.close_execution
    timing_collector.on_removed = tracing.removed
    scopes.source.recorder = tracing.recorder
    if previous is not None:
        previous.disconnect()
        previous.write_out()
    _tell_of_names()


def _tell_of_names() -> None:
    """Say, once, which variables nobody reads that look like ones that somebody does."""
    if was_handed_on():  # who has started this process has said so
        return
    for line in mistyped_names(own_environ()):
        if line not in _told:
            _told.add(line)
            faults.tell(line)


def ignore_origin() -> None:
    """Have the process be a part of nothing, whatever its environment says (for tests)."""
    global _origin_known
    _origin_known = True


def _look_at_origin() -> None:
    """Find out, once, what this process is a part of."""
    global _origin_known
    if not _origin_known:
        _origin_known = True
        carrier = inherited_carrier()
        if carrier:
            try:
                from phasetrace.carrier import inherited

                executions.inherited = inherited(carrier)
            except Exception as error:
                faults.report("looking at what started the process", error)


def _handle_signals(wanted: bool | None) -> None:
    if wanted:
        try:
            _signal_handling().install()
        except ValueError as error:
            raise ConfigError(f"handle_signals=True: {error}") from None
    elif _signals is not None and threading.current_thread() is threading.main_thread():
        _signals.remove()


def _handle_signals_of_child() -> None:
    try:
        _signal_handling().install_in_child()
    except Exception as error:
        faults.report("handling the signals of a child process", error)


def _signal_handling() -> SignalHandling:
    global _signals
    if _signals is None:
        from phasetrace.signals import SignalHandling

        _signals = SignalHandling(_at_signal, is_writing_out)
        before_first_span.append(_signals.before_first_span)
    return _signals


def is_writing_out() -> bool:
    """Tell whether this very thread is writing everything out; takes no lock."""
    return _writing_out._is_owned()  # type: ignore[attr-defined, no-any-return]


def _at_signal(is_the_end: bool) -> None:
    if is_the_end:
        _at_exit()
    elif (tracing := _tracing) is not None:
        tracing.save()


def _no_recorder() -> None:
    return None


def _first_recorder() -> Recorder | None:
    try:
        return current_tracing().recorder()
    except Exception as error:
        _record_nothing(error)
        return None


def _first_emit(
    exec_id: str, node_id: str, phase: str, duration_ns: int, metadata: Metadata
) -> None:
    try:
        tracing = current_tracing()
    except Exception as error:
        _record_nothing(error)
    else:
        tracing.emit(exec_id, node_id, phase, duration_ns, metadata)


def _record_nothing(error: Exception) -> None:
    faults.report("recording cannot start", error)
    scopes.source.recorder = _no_recorder
    timing_collector.emit = None


def _at_first_use(settings: Settings) -> None:
    from phasetrace.child_processes import at_end_of_child, in_child

    at_end_of_child(_at_end_of_child)
    for call in before_first_span:
        call()
    # What looks out for signals that are missed is the thread that writes the store.
    if settings.handle_signals is None and settings.store is not None:
        in_child(_handle_signals_of_child)


def _before_the_provider_ends() -> None:
    # Exit handlers run in the reverse order, and an SDK provider registers its shutdown when it is
    # made: the root spans of implicit executions have to come before that, to be exported.
    atexit.unregister(_close_executions)
    atexit.register(_close_executions)


def _close_executions() -> None:
    tracing = _tracing
    if tracing is not None:
        tracing.close_executions()


def _at_exit() -> None:
    with _writing_out:
        if _tracing is not None:
            _tracing.close_executions()
            _tracing.write_out()


def _at_end() -> None:
    _at_exit()
    if _latest is not None:
        _latest.shut_down_providers()


def _at_end_of_child() -> None:
    _at_exit()
    if _tracing is not None:
        _tracing.flush_provider_at_end()


def _before_fork() -> None:
    timing_collector.before_fork()
    if _tracing is not None:
        _tracing.before_fork()


def _after_fork_in_child() -> None:
    global _lock, _writing_out
    _lock = threading.RLock()
    _writing_out = threading.RLock()
    faults.after_fork()
    scopes.source.process = object()
    timing_collector.after_fork()
    executions.after_fork()
    if _tracing is not None:
        _tracing.after_fork()


scopes.source.recorder = _first_recorder
timing_collector.emit = _first_emit
atexit.register(_at_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
