"""``phasetrace open``: an execution's trace in the browser, where it was sent to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from phasetrace.cli import FAILED, NothingRecorded, command
from phasetrace.cli.addresses import TRACE_ID, address_of, shown
from phasetrace.cli.calling import replay
from phasetrace.cli.options import add_execution
from phasetrace.cli.other_addresses import taking_over
from phasetrace.environment import no_trace_url
from phasetrace.errors import ConfigError, SourceError, UnknownExecution
from phasetrace.rendering import safe
from phasetrace.sending import otlp_endpoint
from phasetrace.settings import jaeger_url, settings_from
from phasetrace.store.reader import StoreReader

if TYPE_CHECKING:
    from phasetrace.settings import Settings
    from phasetrace.store.arrival import Arrival
    from phasetrace.store.stored import StoredExecution

_PATIENCE_S: Final = 3.0


class _Look(NamedTuple):
    """Whether it is worth opening an address, and what there is to say of that, if anything."""

    is_worth_it: bool
    remark: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``open``."""
    add_execution(parser)
    parser.add_argument(
        "--print",
        action="store_true",
        dest="only_print",
        help="print the address, and open nothing; so it is where stdout is no terminal",
    )


def execute(args: argparse.Namespace) -> int:
    """Print the address of an execution's trace, and open it where stdout is a terminal.

    Raises:
        ConfigError: if it is not known where traces can be looked at.
        UnknownExecution: if there is no such execution.
        StoreError: if there is no store, or it cannot be read.
    """
    from phasetrace.recordings.references import open_reference

    settings = settings_from()
    reference = args.exec_id
    if reference is not None:  # as it is recorded: bytes that are no UTF-8 are escaped
        reference = reference.encode("utf-8", "backslashreplace").decode("utf-8")
    try:
        source, found = open_reference(reference)
    except UnknownExecution:
        if reference is not None:
            raise
        raise NothingRecorded("nothing has been recorded yet") from None
    with source:
        known = source.arrivals(found) if isinstance(source, StoreReader) else None
    trace_url = settings.trace_url or _where_it_went(settings, known or [])
    if trace_url is None:
        raise ConfigError(_no_address(settings))
    address = address_of(trace_url, found.trace_id)
    if known is not None:
        look = _look(settings, found, known, address)
        if look.remark:
            print(f"phasetrace: {look.remark}", file=sys.stderr)  # noqa: T201
        if not look.is_worth_it:
            return FAILED
    print(shown(address), flush=True)  # noqa: T201
    if not args.only_print and sys.stdout.isatty():
        problem = _open(address)
        if problem is not None:
            print(f"phasetrace: {problem}", file=sys.stderr)  # noqa: T201
    return 0


def _open(address: str) -> str | None:
    """Open an address in a browser; return what has come in between."""
    import webbrowser

    try:
        is_open = webbrowser.open(address)
    except (webbrowser.Error, OSError, ValueError) as error:  # BROWSER may be anything
        return f"cannot open a browser (BROWSER names it): {safe(str(error))}"
    return None if is_open else "there is no browser to open it in"


def _where_it_went(settings: Settings, known: Sequence[Arrival]) -> str | None:
    """Return the form of addresses of where most of an execution is, as the store has it.

    None where the settings name another receiver, or want no addresses.
    """
    if settings.endpoint is not None or not known or no_trace_url():
        return None
    best = max(known, key=lambda one: one.delivered).destination
    return jaeger_url(best.endpoint)


def _no_address(settings: Settings) -> str:
    form = f"the address of a trace, with {TRACE_ID} in it"
    if settings.endpoint is None:
        return (
            "no address of traces is known: set OTEL_EXPORTER_OTLP_ENDPOINT to a Jaeger's, such as"
            f" http://localhost:4318, or PHASETRACE_TRACE_URL to {form}"
        )
    whither = safe(_endpoints(settings)[0])
    return f"where {whither} shows traces is not known: set PHASETRACE_TRACE_URL to {form}"


def _look(
    settings: Settings, execution: StoredExecution, known: Sequence[Arrival], address: str
) -> _Look:
    """Tell by the store's books whether an execution is where its address leads."""
    exec_id = safe(execution.exec_id)
    here = _endpoints(settings) if settings.endpoint is not None else None
    arrivals = [one for one in known if here is None or one.destination.endpoint in here]
    if not arrivals:
        recorded = f"{exec_id} was recorded without a destination"
        how = f"to send it: {replay(command(), execution.exec_id, execution.trace_id)}"
        if here is not None:
            recorded = f"{exec_id} was not to go to {safe(here[0])}"
            best = max(known, key=lambda one: (one.delivered, one.waiting), default=None)
            if best is not None:
                there = safe(best.destination.endpoint or best.destination.name)
                verb = "went to" if best.delivered else "waits for" if best.waiting else "was for"
                recorded = f"{exec_id} {verb} {there}, and was not to go to {safe(here[0])}"
                if best.waiting and not best.delivered:
                    again = taking_over(best.destination.key)
                    how = f"if that address was wrong: {again}" if again else how
        return _ask(execution, recorded, how, address)
    best = max(arrivals, key=lambda one: one.delivered)
    whither = safe(best.destination.endpoint or best.destination.name)
    waiting = f"{best.waiting:,} span{' waits' if best.waiting == 1 else 's wait'} for {whither}"
    how = f"to deliver {'it' if best.waiting == 1 else 'them'}: {_how_to_ship(settings, best)}"
    if best.delivered:
        return _Look(True, f"{waiting} still; {how}" if best.waiting else "")
    if best.waiting:
        return _Look(False, f"{exec_id} is not there yet: {waiting}; {how}")
    return _Look(False, f"{exec_id} is not there: {whither} refused it; see {command()} status")


def _ask(execution: StoredExecution, recorded: str, how: str, address: str) -> _Look:
    """Tell by Jaeger's own word, where the books have nothing: it may have been sent since."""
    is_there = _jaeger_has(execution.trace_id, address)
    if is_there is None:
        return _Look(True, f"{recorded}; unless it was sent since, it is not there; {how}")
    return _Look(is_there, "" if is_there else f"{recorded}, and is not there; {how}")


def _jaeger_has(trace_id: str, address: str) -> bool | None:
    """Ask the Jaeger whose page it is for a trace; None where that is none, or does not answer."""
    if not address.endswith(f"/trace/{trace_id}"):
        return None
    from phasetrace.recordings.http_get import Limits
    from phasetrace.recordings.query_api import QueryApi

    try:
        api = QueryApi(address, limits=Limits(_PATIENCE_S, _PATIENCE_S))
        return bool(api.trace(trace_id))
    except SourceError:
        return None


def _endpoints(settings: Settings) -> list[str]:
    """Return where OTLP goes to, as the store has it, by the protocol named and by the other."""
    from phasetrace.variables import redacted

    is_grpc = settings.protocol == "grpc"
    return [redacted(otlp_endpoint(settings, one)) for one in (is_grpc, not is_grpc)]


def _how_to_ship(settings: Settings, arrival: Arrival) -> str:
    if settings.endpoint is not None:
        return f"{command()} ship"
    from phasetrace.cli.waiting import how_to_ship

    return safe(how_to_ship(arrival.destination, [], settings.protocol, command()))
