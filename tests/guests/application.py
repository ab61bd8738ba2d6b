"""The application: takes the steps it is given, and writes down what it saw.

What its own exporter gets is printed as JSON, one object a span.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry import trace

from tests.guests.work import EXEC_ID, OpenSpan, early, early_execution, flat, work


class Application:
    """The steps that the application can take, and what it knows of its host."""

    def __init__(self) -> None:
        self.host: Any = vars(trace).get("_TRACER_PROVIDER")
        """The provider that somebody has installed who is not phasetrace."""
        self.open_span: OpenSpan = trace.get_tracer("a library").start_as_current_span

    def take(self, step: str) -> None:
        """Take one step."""
        steps: dict[str, Callable[[], None]] = {
            "ddtrace": self.ddtrace,
            "ddtrace-run": self.keep_datadog_spans,
            "configuration-file": self.configuration_file,
            "early": early,
            "early-execution": early_execution,
            "flat": lambda: flat(self.open_span),
            "library-one": self.library_one,
            "library-two": self.library_two,
            "listen": self.listen,
            "logfire": self.logfire,
            "sdk": self.sdk,
            "work": lambda: work(self.open_span),
        }
        steps[step]()

    def sdk(self) -> None:
        """Install a provider of the SDK's."""
        from opentelemetry.sdk.trace import TracerProvider

        self.host = TracerProvider()
        trace.set_tracer_provider(self.host)
        self.listen()

    def listen(self) -> None:
        """Have whatever provider there is print its spans."""
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

        provider: Any = trace.get_tracer_provider()
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))

    def logfire(self) -> None:
        """Configure logfire, and make the library's spans with it."""
        import logfire
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

        logfire.configure(
            send_to_logfire=False,
            console=False,
            additional_span_processors=[SimpleSpanProcessor(ConsoleSpanExporter())],
        )
        self.host = trace.get_tracer_provider()
        self.open_span = logfire.span

    def ddtrace(self) -> None:
        """Install the provider of ddtrace by hand."""
        from ddtrace.opentelemetry import TracerProvider

        self.host = TracerProvider()
        trace.set_tracer_provider(self.host)
        self.keep_datadog_spans()

    def keep_datadog_spans(self) -> None:
        """Print ddtrace's spans, and have nothing sent."""
        from ddtrace.trace import TraceFilter, tracer

        class Print(TraceFilter):  # type: ignore[misc,unused-ignore]  # it may not be installed
            def process_trace(self, trace: Any) -> None:
                for span in trace:
                    ids = {
                        "trace_id": f"0x{span.trace_id:032x}",
                        "span_id": f"0x{span.span_id:016x}",
                    }
                    parent_id = f"0x{span.parent_id:016x}" if span.parent_id else None
                    shown = {"name": span.resource, "context": ids, "parent_id": parent_id}
                    print(json.dumps({**shown, "attributes": {}}))  # noqa: T201

        tracer.configure(trace_processors=[Print()])

    def configuration_file(self) -> None:
        """Have OpenTelemetry set up by its file, as an application can do itself."""
        from opentelemetry.configuration import configure_sdk, load_config_file

        configure_sdk(load_config_file(os.environ["SDK_CONFIGURATION"]))
        self.host = trace.get_tracer_provider()

    def library_one(self) -> None:
        """Be a library that configures phasetrace."""
        import phasetrace

        phasetrace.configure(service_name="library")

    def library_two(self) -> None:
        """Be another one, which does so, too, and may want something else."""
        import phasetrace

        phasetrace.configure(
            service_name=os.environ.get("SECOND_SERVICE", "library"),
            timing=os.environ.get("SECOND_TIMING"),
        )


def main(folder: Path, steps: list[str]) -> None:
    """Take the steps; write what was seen into `folder`."""
    _watch_the_network(folder / "connections")
    application = Application()
    loaded_before = "phasetrace.provider" in sys.modules
    for step in steps:
        application.take(step)
    import phasetrace

    assert phasetrace.force_flush()
    provider = trace.get_tracer_provider()
    seen = {
        "provider": f"{type(provider).__module__}.{type(provider).__qualname__}",
        "is_the_hosts": provider is application.host,
        "had_a_host": application.host is not None,
        "loaded_before": loaded_before,
        "has_grpc": "grpc" in sys.modules,
        "counts": {
            node.node_id: {phase.phase: phase.count for phase in node.phases}
            for node in phasetrace.breakdown(EXEC_ID).nodes
        },
    }
    (folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")


def _watch_the_network(written: Path) -> None:
    """Write down every attempt to reach somebody, until the very end of the process."""
    written.touch()

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            if args[0].family == getattr(socket, "AF_UNIX", None):
                return
        elif event != "socket.getaddrinfo":
            return
        with written.open("a", encoding="utf-8") as file:
            file.write(f"{event} {args[1:]}\n")

    sys.addaudithook(note)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
