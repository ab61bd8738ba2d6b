"""What docs/backends.md has one set is what is then in force."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Final, NamedTuple

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.re import parse_env_headers

from phasetrace.exporting import make_outlets
from phasetrace.sending import otlp_endpoint, otlp_headers
from phasetrace.settings import settings_from, settings_with_sources
from tests.phasetrace.receivers import Receiver, grpc_receiver, http_receiver

PAGE: Final = (Path(__file__).parents[2] / "docs" / "backends.md").read_text("utf-8")
BLOCKS: Final = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILLED_IN: Final = "x7Yz+/=="
"""Stands for whatever is to be filled in; with all that Base64 can have in it."""
HTTP: Final = "http/protobuf"


class Meant(NamedTuple):
    """Where spans are meant to go, by what, and with which headers."""

    address: str
    headers: Mapping[str, str] = MappingProxyType({})
    protocol: str = HTTP


def here(path: str) -> str:
    """Return an address or a header's value with what is to be filled in filled in."""
    return path.replace("*", FILLED_IN)


MEANT: Final[dict[str, list[Meant]]] = {
    "Arize AX": [
        Meant(
            "https://otlp.arize.com:443",
            {"arize-space-id": "*", "arize-api-key": "*"},
            "grpc",
        )
    ],
    "AWS X-Ray": [
        Meant("https://xray.*.amazonaws.com/v1/traces", {"authorization": "Bearer *"}),
    ],
    "Axiom": [
        Meant(
            "https://us-east-1.aws.edge.axiom.co/v1/traces",
            {"authorization": "Bearer *", "x-axiom-dataset": "*"},
        )
    ],
    "Better Stack": [Meant("https://*/v1/traces", {"authorization": "Bearer *"})],
    "Braintrust": [
        Meant(
            "https://api.braintrust.dev/otel/v1/traces",
            {"authorization": "Bearer *", "x-bt-parent": "project_id:*"},
        )
    ],
    "Chronosphere": [
        Meant("https://*.chronosphere.io/data/opentelemetry/v1/traces", {"api-token": "*"})
    ],
    "Coralogix": [
        Meant("https://ingress.*.coralogix.com:443/v1/traces", {"authorization": "Bearer *"})
    ],
    "Dash0": [
        Meant("https://ingress.*.aws.dash0.com/v1/traces", {"authorization": "Bearer *"}),
    ],
    "Datadog": [
        Meant("https://otlp.datadoghq.com/v1/traces", {"dd-api-key": "*", "compute_stats": "true"}),
        Meant("http://localhost:4318/v1/traces"),
    ],
    "Dynatrace": [
        Meant("https://*.live.dynatrace.com/api/v2/otlp/v1/traces", {"authorization": "Bearer *"})
    ],
    "Elastic": [
        Meant("https://*/v1/traces", {"authorization": "ApiKey *"}),
        Meant("https://*:8200/v1/traces", {"authorization": "Bearer *"}),
    ],
    "Google Cloud": [Meant("https://telemetry.googleapis.com:443/v1/traces")],
    "Grafana Cloud": [
        Meant("https://otlp-gateway-*.grafana.net/otlp/v1/traces", {"authorization": "Basic *"})
    ],
    "Honeycomb": [Meant("https://api.honeycomb.io/v1/traces", {"x-honeycomb-team": "*"})],
    "LangSmith": [
        Meant(
            "https://api.smith.langchain.com/otel/v1/traces",
            {"x-api-key": "*", "langsmith-project": "*"},
        )
    ],
    "Langfuse": [
        Meant(
            "https://cloud.langfuse.com/api/public/otel/v1/traces",
            {"authorization": "Basic *", "x-langfuse-ingestion-version": "4"},
        )
    ],
    "Logfire": [Meant("https://logfire-us.pydantic.dev/v1/traces", {"authorization": "*"})],
    "New Relic": [Meant("https://otlp.nr-data.net/v1/traces", {"api-key": "*"})],
    "Opik": [
        Meant(
            "https://www.comet.com/opik/api/v1/private/otel/v1/traces",
            {"authorization": "*", "projectname": "*", "comet-workspace": "*"},
        )
    ],
    "Phoenix Cloud": [Meant("*/v1/traces", {"authorization": "Bearer *"})],
    "Sentry": [
        Meant(
            "https://*/api/*/integration/otlp/v1/traces",
            {"x-sentry-auth": "sentry sentry_key=*"},
        )
    ],
    "SigNoz Cloud": [
        Meant("https://ingest.*.signoz.cloud:443/v1/traces", {"signoz-ingestion-key": "*"})
    ],
    "Splunk Observability Cloud": [
        Meant("https://ingest.*.signalfx.com/v2/trace/otlp", {"x-sf-token": "*"}),
        Meant("https://ingest.*.signalfx.com:443", {"x-sf-token": "*"}, "grpc"),
    ],
    "Uptrace": [Meant("https://api.uptrace.dev/v1/traces", {"uptrace-dsn": "*"})],
    "Weave": [Meant("https://trace.wandb.ai/otel/v1/traces", {"wandb-api-key": "*"})],
    "Receivers of one's own": [
        Meant("http://localhost:4318/v1/traces"),
        Meant("http://localhost:4317", protocol="grpc"),
        Meant("http://localhost:5000/v1/traces", {"x-mlflow-experiment-id": "*"}),
        Meant("http://localhost:6006/v1/traces"),
        Meant(
            "http://localhost:3000/api/public/otel/v1/traces",
            {"authorization": "Basic *", "x-langfuse-ingestion-version": "4"},
        ),
    ],
}
"""By the section; a star is what is to be filled in."""
NO_OTLP: Final = "Azure Monitor"


def blocks_by_section() -> dict[str, list[str]]:
    """Return the shell blocks of each section that has some."""
    sections = re.split(r"^##+ (.+)$", PAGE, flags=re.MULTILINE)
    found = {
        name: BLOCKS.findall(text)
        for name, text in zip(sections[1::2], sections[2::2], strict=True)
    }
    return {name: blocks for name, blocks in found.items() if blocks}


def environment_of(block: str) -> dict[str, str]:
    """Return what a shell would export, with every ``$NAME`` filled in.

    A line is one ``export NAME="value"``; anything else fails the test.
    """
    environment = {}
    for line in block.splitlines():
        assert re.fullmatch(r'export [A-Z_]+="[^"`\\]*"', line), line
        _, assignment = shlex.split(line)
        name, _, value = assignment.partition("=")
        names = re.findall(r"\$([A-Z_]+)", value)
        environment[name] = Template(value).substitute(dict.fromkeys(names, FILLED_IN))
    return environment


CASES: Final = [
    pytest.param(block, meant, id=f"{name}-{number}")
    for name, all_meant in MEANT.items()
    for number, (block, meant) in enumerate(
        zip(blocks_by_section()[name], all_meant, strict=True), 1
    )
]


@pytest.fixture(autouse=True)
def nothing_else_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment of the tests says of exporters."""
    for name in os.environ:
        if name.startswith(("OTEL_", "PHASETRACE_")):
            monkeypatch.delenv(name)


def test_every_block_is_meant_to_do_something() -> None:
    """No section has gone, and none has come that nobody says the meaning of."""
    counts = {name: len(blocks) for name, blocks in blocks_by_section().items()}
    assert counts == {NO_OTLP: 1, **{name: len(meant) for name, meant in MEANT.items()}}


@pytest.mark.parametrize(("block", "meant"), CASES)
def test_a_block_sends_to_where_it_is_meant_to(
    block: str, meant: Meant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is complete, once; the protocol is that one; nothing is complained of."""
    environment = environment_of(block)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sources = settings_with_sources(environment)
    assert (sources.bad, sources.unknown) == ([], [])
    assert sources.settings == settings_from(environment)
    assert sources.settings.exporters == ("otlp",)
    assert sources.settings.protocol == meant.protocol
    assert otlp_endpoint(sources.settings, meant.protocol == "grpc") == here(meant.address)
    # OpenTelemetry's exporter adds the path also to a base that has it already.
    assert not environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").endswith("/v1/traces")


@pytest.mark.parametrize(("block", "meant"), CASES)
def test_a_block_has_the_headers_that_are_meant(
    block: str, meant: Meant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by the letter of the specification, without OpenTelemetry's leniency for spaces."""
    for name, value in environment_of(block).items():
        monkeypatch.setenv(name, value)
    headers = {name: here(value) for name, value in meant.headers.items()}
    assert parse_env_headers(",".join(otlp_headers()), liberal=False) == headers


@pytest.mark.parametrize(
    ("section", "number", "run"),
    [("Sentry", 0, http_receiver), ("Splunk Observability Cloud", 1, grpc_receiver)],
)
def test_a_receiver_gets_the_headers_that_are_meant(
    section: str,
    number: int,
    run: Callable[[], AbstractContextManager[Receiver]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the wire, with names in lower case, which gRPC does not do without."""
    for name, value in environment_of(blocks_by_section()[section][number]).items():
        monkeypatch.setenv(name, value)
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
    span.end()
    with run() as receiver:
        address = f"http://127.0.0.1:{receiver.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address)
        (outlet,) = make_outlets(settings_from(store=False))
        try:
            outlet.exporter.export([span])
        finally:
            outlet.exporter.shutdown()
    (got,) = receiver.headers
    for name, value in MEANT[section][number].headers.items():
        assert got[name] == here(value)


@pytest.mark.parametrize(("block", "meant"), CASES)
def test_a_page_of_a_trace_has_its_id(block: str, meant: Meant) -> None:
    """Once, in an address over TLS, unless it is on this machine; other names are filled in."""
    environment = environment_of(block)
    page = environment.get("PHASETRACE_TRACE_URL")
    if page in (None, "off"):
        return
    assert page.startswith(("https://", "http://localhost:"))
    assert page.count("{trace_id}") == 1
    assert settings_from(environment).trace_url == page
    assert "$" not in page


def test_a_name_that_is_not_otlps_is_taken_as_it_is() -> None:
    """Azure Monitor's exporter is somebody else's, found by its entry point."""
    (block,) = blocks_by_section()[NO_OTLP]
    settings = settings_from(environment_of(block))
    assert settings.exporters == ("azure_monitor_opentelemetry_exporter",)
    assert settings.endpoint is None


def test_every_backend_in_the_table_has_its_section() -> None:
    """The links of the overview are the sections that follow, in the same order."""
    overview = PAGE.partition("\n## Hosted backends\n")[2].partition("\n### ")[0]
    names = re.findall(r"^\| \[([^]]+)\]\(#([a-z0-9-]+)\) \|", overview, re.MULTILINE)
    hosted = PAGE.partition("\n## Hosted backends\n")[2].partition("\n## ")[0]
    assert [name for name, _ in names] == re.findall(r"^### (.+)$", hosted, re.MULTILINE)
    assert [anchor for _, anchor in names] == [name.lower().replace(" ", "-") for name, _ in names]


def test_every_hosted_backend_names_its_document() -> None:
    """A row without a source would be a rumour."""
    hosted = PAGE.partition("\n## Hosted backends\n")[2].partition("\n## ")[0]
    for section in re.split(r"^### ", hosted, flags=re.MULTILINE)[1:]:
        assert re.search(r"\]\(https://", section), section
        assert re.search(r"checked\s+November\s+2026", section), section


def test_the_python_block_runs(tmp_path: Path) -> None:
    """As it stands, without a word."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        env={**os.environ, "PHASETRACE_STORE": str(tmp_path / "traces.db")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
