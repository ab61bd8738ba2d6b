"""What ``phasetrace run`` says when the program has ended."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

from phasetrace.cli.addresses import address_of, shown
from phasetrace.cli.calling import call
from phasetrace.cli.listing import LISTED
from phasetrace.cli.main_execution import Recorded, most_telling_first
from phasetrace.cli.other_addresses import how_to_take_over
from phasetrace.cli.outside import about_provider, about_strays, why_nothing
from phasetrace.cli.recorded import recorded
from phasetrace.cli.waiting import how_to_ship, is_otlp
from phasetrace.errors import PhasetraceError
from phasetrace.rendering import human, local_time, safe
from phasetrace.rollup import within_text
from phasetrace.settings import settings_with_sources, store_path
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from phasetrace.breakdowns import ExecutionBreakdown
    from phasetrace.configuration import Tracing
    from phasetrace.delivery.fleet import Delivery
    from phasetrace.settings import Settings
    from phasetrace.store.standing import DestinationStanding


class Run(NamedTuple):
    """What the last lines have to know of the run; `exec_id` is the one given, if one was."""

    command: str
    exec_id: str | None
    started_ns: int
    with_breakdown: bool
    own_id: str | None = None
    """The id of the run's own execution, where none was given."""


class _Answer(NamedTuple):
    """One execution of the run: its breakdown, and what the store has to add."""

    breakdown: ExecutionBreakdown
    is_stored: bool = False
    began_earlier: bool = False
    within: int = 0
    """How many executions were started within it."""
    destinations: frozenset[str] | None = None
    """The keys of those that it has gone to or waits for; None where no store tells."""
    is_sampled: bool = True

    def is_for(self, key: str) -> bool:
        """Tell whether it was to go to a destination."""
        return self.destinations is None or key in self.destinations


def print_epilogue(tracing: Tracing, run: Run) -> None:
    """Print the breakdown if asked for (stdout), and how to look again (stderr).

    Never raises, and does without a stream that the program has closed.
    """
    if tracing.settings.disabled:
        say("nothing was recorded: OTEL_SDK_DISABLED is set")
        return
    known = [exec_id for exec_id in tracing.executions.ids() if exec_id]
    known = [one for one in _of_children(tracing, run) if one not in known] + known
    own = _as_recorded(run.exec_id or run.own_id or "")
    found = recorded(tracing, known, own)
    held = {one.exec_id for one in found}
    executions = [one for one in known if one in held or _had_phases(tracing, one)]
    if not executions:
        say(why_nothing(tracing))
        return
    answer = _answer(tracing, most_telling_first(found, own, run.exec_id is not None), run)
    if answer is None:
        others = f" and {_more(executions)}" if len(executions) > 1 else ""
        last = f"{safe(executions[-1])}{others}"
        say(f"{last}: recorded, but in no store and no longer held")
    else:
        _tell(tracing, answer, executions, run)
    if own in held and len(executions) > 1:
        line = about_strays(tracing.settings.store, own, executions)
        if line is not None:
            say(line)
    line = about_provider()
    if line is not None:
        say(line)
    if run.exec_id is not None and own not in executions:
        say(f"--exec-id {_quoted(run.exec_id)} was not used: all executions have ids of their own")
    for exporter in tracing.exporters:
        missing = exporter.failed + exporter.dropped + exporter.in_flight
        if missing:
            why = f": {safe(exporter.problem)}" if exporter.problem else ""
            say(f"{_spans(missing)} could not be delivered to {exporter.name}{why}")
        if exporter.delivered and exporter in tracing.fallbacks:
            them = "it" if exporter.delivered == 1 else "them"
            without = f"from memory, for the store did not take {them}"
            say(f"{_spans(exporter.delivered)} delivered to {exporter.name} {without}")
        if answer is not None and exporter.delivered:
            _tell_address(tracing, exporter.name, answer)
    unsent = tracing.lost_before_delivery()
    if unsent:
        say(f"{_spans(sum(unsent.values()))} not delivered: not stored ({', '.join(unsent)})")
    deliveries = tracing.deliveries()
    for delivery in deliveries:
        if delivery.refused:
            whither = safe(delivery.spec.endpoint or delivery.spec.name)
            again = f"{_where(tracing.settings)}{run.command} status"
            say(f"{_spans(delivery.refused)} refused by {whither}; see {again}")
        if delivery.waiting:
            say(about_waiting(delivery, tracing.settings, run))
        is_on_its_way = delivery.is_elsewhere and delivery.problem is None
        if not (delivery.is_delivered or is_on_its_way):
            continue
        if answer is not None and answer.is_for(delivery.spec.key):
            _tell_address(tracing, delivery.spec.name, answer)
    if answer is not None and deliveries and not answer.is_sampled:
        say(f"{safe(answer.breakdown.execution.exec_id)}: not sent, the sampler has left it out")


def _tell_address(tracing: Tracing, exporter: str, answer: _Answer) -> None:
    url = tracing.settings.trace_url
    if url and exporter.startswith("otlp"):
        say(f"trace: {shown(address_of(url, answer.breakdown.execution.trace_id))}")


def _tell(tracing: Tracing, answer: _Answer, executions: list[str], run: Run) -> None:
    latest = answer.breakdown
    if run.with_breakdown:
        with _usable_stdout():
            from phasetrace.cli.table import print_breakdown

            print_breakdown(latest)
            sys.stdout.flush()
    header = latest.execution
    say(f"{safe(header.exec_id)}: {_spans(latest.spans)} in {human(header.duration_ns)}")
    if answer.began_earlier:
        began = local_time(header.started_ns)
        say(f"{safe(header.exec_id)} was there before ({began}): its numbers are of both runs")
    if answer.is_stored:
        metrics = f"{_where(tracing.settings)}{run.command} metrics"
        named = header.exec_id, header.trace_id
        say(f"look again: {call(metrics, *named, '--breakdown')}")
        if answer.within and run.with_breakdown:
            again = call(metrics, *named, "--breakdown --rolled-up")
            say(f"{within_text(answer.within)}: {again}")
    if len(executions) > 1:
        limit = f" -n {len(executions)}" if len(executions) > LISTED else ""
        how = f": {_where(tracing.settings)}{run.command} list{limit}" if answer.is_stored else ""
        say(f"and {_more(executions)}{how}")


def about_waiting(delivery: Delivery, settings: Settings, run: Run) -> str:
    """Return what there is to say of spans that wait: who delivers them, or how to."""
    whither = safe(delivery.spec.endpoint or delivery.spec.name)
    where, spans = _where(settings), _spans(delivery.waiting)
    why = f": {safe(delivery.problem)}" if delivery.problem is not None else ""
    one = delivery.waiting == 1
    if settings.delivery == "process" or delivery.is_elsewhere:
        being = "is being delivered" if one else "are being delivered"
        return f"{spans} {being} to {whither} by a process{why}; see {where}{run.command} status"
    # Where the program has named the destination, the environment may not.
    configured = [] if settings.exporters_given else [delivery.spec.key]
    protocol = settings_with_sources().settings.protocol
    ship = safe(how_to_ship(delivery.spec, configured, protocol, run.command))
    wait, them = ("waits", "it") if one else ("wait", "them")
    if is_otlp(delivery.spec) and delivery.problem is not None and _is_wrong(delivery.problem):
        again = how_to_take_over(delivery.spec, _destinations(settings), run.command)
        once = f"once that is mended, to deliver {them}"
        return f"{spans} {wait} for {whither}{why}; {once}: {where}{again}"
    return f"{spans} {wait} for {whither}{why}; to deliver {them}: {where}{ship}"


def _is_wrong(problem: str) -> bool:
    """Tell whether spans are refused for a mistake, which mended makes another destination."""
    from phasetrace.remedies import is_sent_wrongly  # there already, where anything is sent

    return is_sent_wrongly(problem)


def _destinations(settings: Settings) -> list[DestinationStanding]:
    """Return the destinations that the store knows; none if it cannot be read."""
    if settings.store is not None:
        with contextlib.suppress(PhasetraceError, OSError), StoreReader(settings.store) as store:
            return store.standing().destinations
    return []


def _spans(number: int) -> str:
    return f"{number:,} span{'' if number == 1 else 's'}"


def _more(executions: list[str]) -> str:
    others = len(executions) - 1
    return f"{others:,} more execution{'' if others == 1 else 's'}"


def say(line: str) -> None:
    """Print a line on stderr, if there is one that can be written to."""
    stream = _usable(sys.__stderr__, sys.stderr)
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            print(f"phasetrace: {line}", file=stream, flush=True)


def _of_children(tracing: Tracing, run: Run) -> list[str]:
    """Return the ids of the executions that child processes have stored, oldest first."""
    if tracing.settings.store is None:
        return []
    try:
        with StoreReader(tracing.settings.store) as store:
            found = store.of_children(os.getpid(), run.started_ns)
    except (PhasetraceError, OSError):
        return []
    return [execution.exec_id for execution in reversed(found)]


def _had_phases(tracing: Tracing, exec_id: str) -> bool:
    """Tell whether an execution of which nobody has the numbers was more than its id."""
    state = tracing.executions.get(exec_id)
    if state is not None and state.rooted:
        return True
    return tracing.collector.extent(exec_id) is not None


def _answer(tracing: Tracing, executions: Sequence[Recorded], run: Run) -> _Answer | None:
    """Return the answer for the first of the executions that somebody has the numbers of.

    The store's are those of all processes.
    """
    for exec_id, *_ in executions:
        if tracing.settings.store is not None:
            try:
                with StoreReader(tracing.settings.store) as store:
                    found = store.find(exec_id)
                    began_earlier = store.runs_before(found, run.started_ns)
                    within = store.within(found)
                    destinations = frozenset(one.destination.key for one in store.arrivals(found))
                    is_sampled = store.is_sampled(found)
                    answer = store.breakdown(found)
                    return _Answer(answer, True, began_earlier, within, destinations, is_sampled)
            except (PhasetraceError, OSError):
                pass  # it could not be stored, which was said then: the collector still has it
        try:
            return _Answer(tracing.collector.breakdown(exec_id))
        except PhasetraceError:
            continue
    return None


def _as_recorded(exec_id: str) -> str:
    return exec_id.encode("utf-8", "backslashreplace").decode("utf-8")


@contextlib.contextmanager
def _usable_stdout() -> Iterator[None]:
    """Let text go to the real stdout, if there is one, whatever the program has made of it."""
    stream = _usable(sys.__stdout__, sys.stdout)
    if stream is None:
        stream = io.StringIO()
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            sys.stdout.flush()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    with contextlib.suppress(OSError, ValueError), contextlib.redirect_stdout(stream):
        yield


def _usable(original: TextIO | None, current: TextIO | None) -> TextIO | None:
    """Return the process's own stream, or else the program's if that can be written to."""
    for stream in (original, current):
        try:
            if stream is not None and not stream.closed:
                stream.fileno()
                return stream
        except (AttributeError, OSError, ValueError):  # detached, or not a file at all
            continue
    return None


def _where(settings: Settings) -> str:
    """Return what has to stand before a command, for it to read the store that was written."""
    written = settings.store
    if written is None or written == store_path():
        return ""
    return f"PHASETRACE_STORE={_quoted(str(written.absolute()))} "


def _quoted(exec_id: str) -> str:
    return shlex.quote(safe(exec_id))
