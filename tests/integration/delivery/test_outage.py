"""The receiver goes away while spans are recorded, and comes back."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from .figures import figure
from .programs import Running, environment, ship_all, start, status
from .receivers import Collector, Counting, Receiver

RATE = 500
BEFORE_S = 1.5
AFTER_S = 3.0

# The stock SDK keeps trying for ten seconds, and 2,048 spans may wait meanwhile.
STOCK_CERTAINLY_LOSES_S = 30


@pytest.mark.parametrize(
    "outage_s",
    [
        5,
        pytest.param(30, marks=pytest.mark.slow),
        pytest.param(90, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
def test_an_outage_loses_nothing(tmp_path: Path, outage_s: int) -> None:
    """Over HTTP to a receiver that is killed, over gRPC to rotel; the stock SDK beside us."""
    spans = int(RATE * (BEFORE_S + outage_s + AFTER_S))
    folder = tmp_path / "received"
    folder.mkdir()
    with ExitStack() as stack:
        counting = stack.enter_context(Counting(folder))
        counting.start()
        receivers: list[Receiver] = [counting, stack.enter_context(Collector("grpc"))]
        running = {
            (receiver.protocol, tracer): record(tmp_path, receiver, tracer, spans)
            for receiver in receivers
            for tracer in ("thread", "process", "stock")
        }
        time.sleep(BEFORE_S)
        for receiver in receivers:
            receiver.vanish()
        time.sleep(outage_s)
        for receiver in receivers:
            receiver.start()
        done = {key: program.finished() for key, program in running.items()}
        for receiver in receivers:
            for delivery in ("thread", "process"):
                ship_all(environment_of(tmp_path, receiver, delivery))
        arrived = {
            (receiver.protocol, tracer): receiver.arrivals(tracer)
            for receiver in receivers
            for tracer in ("thread", "process", "stock")
        }
        for (protocol, tracer), arrivals in arrived.items():
            lost = spans - len(arrivals.seqs)
            figure(
                f"{outage_s} s, {protocol}, {tracer}: {lost} of {spans} lost,"
                f" {arrivals.repeated} repeated"
            )
        for receiver in receivers:
            for delivery in ("thread", "process"):
                assert done[receiver.protocol, delivery].returncode == 0
                env = environment_of(tmp_path, receiver, delivery)
                arrivals = arrived[receiver.protocol, delivery]
                assert arrivals.seqs == set(range(spans))
                assert not arrivals.doubled
                assert status(env)["waiting"] == 0
            if outage_s >= STOCK_CERTAINLY_LOSES_S:
                assert len(arrived[receiver.protocol, "stock"].seqs) < spans


def environment_of(folder: Path, receiver: Receiver, tracer: str) -> dict[str, str]:
    """Return the environment of one of the programs, whose service is called as this."""
    store = folder / f"{tracer}_{receiver.protocol.replace('/', '_')}.db"
    variables = {"OTEL_BSP_SCHEDULE_DELAY": "500"}
    if tracer != "stock":
        variables["PHASETRACE_DELIVERY"] = tracer
    return environment(store, receiver.endpoint, receiver.protocol, tracer, **variables)


def record(folder: Path, receiver: Receiver, tracer: str, spans: int) -> Running:
    """Begin to record at the rate."""
    env = environment_of(folder, receiver, tracer)
    kind = "stock" if tracer == "stock" else "phasetrace"
    return start(env, kind, "--spans", spans, "--rate", RATE)
