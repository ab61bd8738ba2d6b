"""``phasetrace ship``: deliver what waits in the store, or send executions again."""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phasetrace.cli import FAILED, open_store
from phasetrace.cli.addresses import has_page, tell_addresses, waiting_traces
from phasetrace.cli.other_addresses import instead_of, tell_of_others
from phasetrace.errors import ConfigError, StoreError, StoreMissing
from phasetrace.rendering import safe

if TYPE_CHECKING:
    from phasetrace.delivery.shipper import Shipper
    from phasetrace.destination import Destination
    from phasetrace.exporting import Outlet
    from phasetrace.settings import Settings
    from phasetrace.store.ledger import StoredBlock
    from phasetrace.store.stored import StoredExecution

_TIMEOUT_S: Final = 30.0
_SLICE_S: Final = 0.5
_LAST_CALL_S: Final = 1.0
_AT_ONCE: Final = 2_048
_ALL: Final = 2**62


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``ship``."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--follow", action="store_true", help="go on delivering until interrupted")
    what.add_argument(
        "--replay",
        nargs="+",
        metavar="EXEC_ID",
        help="send executions again, whole, also to where they were not to go; each by its id, its"
        " name, or latest~1",
    )
    what.add_argument(
        "--instead-of",
        action="append",
        metavar="ADDRESS",
        help="deliver what waits for an address that was wrong, or for the key of a destination"
        " whose headers were (as status has it), to where the environment says, and not there;"
        " may be given several times",
    )
    parser.add_argument("--endpoint", help="where to (default: as the environment says)")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_TIMEOUT_S,
        metavar="S",
        help=f"seconds to go on trying for (default: {_TIMEOUT_S:g})",
    )


def execute(args: argparse.Namespace) -> int:
    """Deliver to the destinations that the environment names.

    Raises:
        ConfigError: if it names none, or one that cannot be had.
        StoreError: if there is no store, or it cannot be read.
        UnknownExecution: if one that is to be sent again is not there.
    """
    from phasetrace.settings import settings_from

    settings = settings_from(endpoint=args.endpoint)
    try:
        open_store().close()  # for what is wrong with it to be told in the usual way
    except StoreMissing:
        if not args.follow:
            raise
    assert settings.store is not None  # noqa: S101 - it was opened, or is to come
    outlets = _outlets(settings)
    if args.replay:
        return _replay(settings, args.replay, outlets, args.timeout)
    from phasetrace.delivery.shipping import shippers

    if args.instead_of is not None:
        couriers = instead_of(settings.store, args.instead_of, outlets)
    else:
        couriers = shippers(settings.store, outlets, by_hand=True)
    try:
        if args.follow:
            return _follow(couriers)
        waited = waiting_traces(settings.store, couriers)
        code = _deliver(settings.store, couriers, args.timeout)
        tell_of_others(couriers, [one.spec.key for one in outlets if one.spec is not None])
        waiting = set(waiting_traces(settings.store, couriers))
        tell_addresses(settings, [one for one in waited if one not in waiting])
        return code
    finally:
        deadline = time.monotonic() + _LAST_CALL_S
        for courier in couriers:
            courier.close(deadline)


def _outlets(settings: Settings) -> list[Outlet]:
    from phasetrace.environment import quieten_grpc, standard_variables

    quieten_grpc()
    with standard_variables():
        from phasetrace import exporting
    outlets = [one for one in exporting.make_outlets(settings) if one.spec is not None]
    if not outlets:
        raise ConfigError(
            "there is nowhere to ship to: set OTEL_EXPORTER_OTLP_ENDPOINT, or give --endpoint"
        )
    return outlets


def _deliver(store: Path, couriers: Sequence[Shipper], timeout_s: float) -> int:
    from phasetrace.delivery.fleet import Fleet

    specs = [courier.spec for courier in couriers]
    is_done = Fleet(store, couriers, specs).flush(time.monotonic() + timeout_s)
    code = 0
    for courier in couriers:
        whither = safe(courier.spec.endpoint or courier.spec.name)
        waiting = _waiting(store, courier)
        if waiting is None:
            print(  # noqa: T201
                f"nothing was recorded for {whither}; what was recorded without it is sent by:"
                " phasetrace ship --replay EXEC_ID"
            )
            continue
        # Flushed: in a pipe, too, what is said of others comes behind it.
        print(f"{whither}: {_numbers(courier, waiting)}", flush=True)  # noqa: T201
        if waiting and not is_done:  # else they were recorded since
            code = FAILED
            reason = courier.failing or _problem(store, courier)
            print(f"phasetrace: {whither}: {safe(reason)}", file=sys.stderr)  # noqa: T201
    return code


def _numbers(courier: Shipper, waiting: int) -> str:
    numbers = [f"{courier.delivered:,} spans delivered"]
    if courier.refused:
        numbers.append(f"{courier.refused:,} refused (see phasetrace status)")
    numbers.append(f"{waiting:,} waiting")
    return ", ".join(numbers)


def _waiting(store: Path, courier: Shipper) -> int | None:
    """Return how many spans wait; None if the store knows no such destination."""
    from phasetrace.store.ledger import Ledger

    try:
        with closing(Ledger(store, courier.spec.key)) as ledger:
            return ledger.waiting_spans(ledger.cursor, _ALL)
    except LookupError:
        return None
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {store}: {error}") from error


def _problem(store: Path, courier: Shipper) -> str:
    """Return why spans wait that this process had no try at."""
    from phasetrace.store.ledger import Ledger

    problem = None
    with (
        suppress(LookupError, StoreError, sqlite3.Error),
        closing(Ledger(store, courier.spec.key)) as ledger,
    ):
        problem = ledger.problem()
    if courier.is_served_elsewhere:
        return f"another process is delivering{f': {problem}' if problem else ''}"
    return problem or "there was no time left"


def _follow(couriers: Sequence[Shipper]) -> int:
    import signal

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    for courier in couriers:
        whither = safe(courier.spec.endpoint or courier.spec.name)
        print(f"phasetrace: delivering to {whither} until interrupted", file=sys.stderr)  # noqa: T201
        courier.hurry()
    failures = dict.fromkeys(couriers, 0)
    """Up to when it last took spans."""
    with suppress(KeyboardInterrupt):
        while True:
            for courier in couriers:
                courier.wait_for_position(_ALL, time.monotonic() + _SLICE_S)
                if courier.failing is None and courier.failures > failures[courier]:
                    failures[courier] = courier.failures
                    whither = safe(courier.spec.endpoint or courier.spec.name)
                    print(f"phasetrace: {whither} takes spans again", file=sys.stderr)  # noqa: T201
    for courier in couriers:
        whither = safe(courier.spec.endpoint or courier.spec.name)
        delivered = f"{courier.delivered:,} spans delivered"
        refused = f", {courier.refused:,} refused" if courier.refused else ""
        print(f"{whither}: {delivered}{refused}")  # noqa: T201
    return 0


def _replay(
    settings: Settings, exec_ids: Sequence[str], outlets: Sequence[Outlet], timeout_s: float
) -> int:
    from phasetrace.destination import Destination

    destinations = []
    with_pages = set()
    for outlet in outlets:
        assert outlet.spec is not None  # noqa: S101 - they were chosen by it
        whither = safe(outlet.spec.endpoint or outlet.name)
        destinations.append((whither, Destination(outlet.name, outlet.exporter, outlet.explain)))
        if has_page(outlet.spec):
            with_pages.add(whither)
    problems = 0
    deadline = time.monotonic() + timeout_s
    sent: dict[str, None] = {}
    """The traces of which something was."""
    try:
        assert settings.store is not None  # noqa: S101 - it was opened
        found = _blocks(settings.store, exec_ids)
        for whither, destination in destinations:
            for execution, blocks in found:
                delivered, problem = _send_again(destination, blocks, deadline)
                exec_id = safe(execution.exec_id)
                print(f"{whither}: {exec_id}: {delivered:,} spans sent")  # noqa: T201
                problems += _tell(whither, problem)
                if delivered and whither in with_pages:
                    sent[execution.trace_id] = None
    finally:
        for whither, destination in destinations:
            is_flushed = destination.force_flush(max(0.0, deadline - time.monotonic()))
            destination.shutdown()
            problem = None if is_flushed else "the exporter did not send all that it was given"
            problems += _tell(whither, problem)
    tell_addresses(settings, list(sent), len(sent))
    return FAILED if problems else 0


def _blocks(path: Path, exec_ids: Sequence[str]) -> list[tuple[StoredExecution, list[StoredBlock]]]:
    """Return the blocks of executions, each of which is called as for the other commands."""
    from phasetrace.recordings.references import resolve
    from phasetrace.store.file import open_for_reading
    from phasetrace.store.ledger import blocks_of_execution

    found = []
    with open_store() as store, closing(open_for_reading(path)) as connection:
        for exec_id in exec_ids:
            execution = resolve(store, exec_id)
            found.append((execution, blocks_of_execution(connection, execution.row)))
    return found


def _tell(whither: str, problem: str | None) -> int:
    """Tell of a problem, if there is one; return how many there are."""
    if problem is None:
        return 0
    print(f"phasetrace: {whither}: {safe(problem)}", file=sys.stderr)  # noqa: T201
    return 1


def _send_again(
    destination: Destination, blocks: list[StoredBlock], deadline: float
) -> tuple[int, str | None]:
    """Send blocks; return how many spans were taken, and what went wrong."""
    from phasetrace.delivery.backoff import Backoff
    from phasetrace.delivery.request import Request

    backoff = Backoff()
    delivered, problem = 0, None
    while blocks:
        number = spans = 0
        while number < len(blocks) and (not number or spans + blocks[number].spans <= _AT_ONCE):
            spans += blocks[number].spans
            number += 1
        request, blocks = Request(blocks[:number], is_trusted=delivered > 0), blocks[number:]
        while True:
            verdict = request.advance(destination, lambda: time.monotonic() > deadline)
            if verdict is None:
                break
            wait_s = backoff.next_s(verdict.retry_after_s)
            if time.monotonic() + wait_s > deadline:
                return delivered, destination.explained(verdict)
            time.sleep(wait_s)
        backoff.reset()
        settlement = request.settlement()
        delivered += settlement.delivered
        for letter in settlement.dead_letters:
            problem = f"a span {letter.name!r} was refused: {letter.reason}"
        if settlement.rejected:
            problem = f"{settlement.rejected} spans were rejected"
    return delivered, problem


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
