"""The configurations of docker-compose.yml's profiles, as the programs that run them see them.

That the parts fit together is in `tests/phasetrace/test_compose.py`. The images have a later Jaeger
than the tests; both accept these files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .jaeger import Jaeger, find_binary, in_its_words, require_binary
from .rotel import _free_ports

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = sorted((ROOT / "deploy" / "jaeger").glob("*.yaml"))

PROGRAM = """
from phasetrace import node, phase

for iteration in range(3):
    with node("fetch", iteration=iteration), phase("download"):
        pass
"""
SPANS = 3 * 2 + 1


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda path: path.stem)
def test_jaeger_accepts_a_configuration(configuration: Path, tmp_path: Path) -> None:
    """Every name and value in it, for every part, with the addresses that it has in Compose."""
    done = validate(configuration, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda path: path.stem)
def test_the_addresses_of_other_services_can_be_given(configuration: Path, tmp_path: Path) -> None:
    """The variables are used, and what is in them is looked at."""
    variables = ("KAFKA_BROKERS", "CASSANDRA_SERVERS", "PROMETHEUS_URL")
    assert any(variable in configuration.read_text() for variable in variables)
    done = validate(
        configuration,
        tmp_path,
        KAFKA_BROKERS="kafka-1.example:9092,kafka-2.example:9092",
        CASSANDRA_SERVERS="cassandra-1.example:9042,cassandra-2.example:9042",
        PROMETHEUS_URL="https://prometheus.example",
    )
    assert done.returncode == 0, done.stderr


def test_a_misspelt_setting_would_be_noticed(tmp_path: Path) -> None:
    """The tests above mean something."""
    wrong = tmp_path / "wrong.yaml"
    text = (ROOT / "deploy/jaeger/spm.yaml").read_text()
    wrong.write_text(text.replace("metrics_flush_interval", "metrics_flush_intervall"))
    done = validate(wrong, tmp_path)
    assert done.returncode != 0
    assert "metrics_flush_intervall" in done.stderr


def test_prometheus_accepts_its_configuration() -> None:
    """By the program that comes with it for that."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here; it comes with Prometheus (Debian: apt install prometheus)")
    done = subprocess.run(
        [promtool, "check", "config", ROOT / "deploy/prometheus/prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_kafka_does_not_take_stays_with_the_program(tmp_path: Path) -> None:
    """The collector has no queue, which would be lost with it, and takes no spans for Kafka's."""
    require_binary()
    nobody = f"127.0.0.1:{_free_ports()[0]}"
    with Jaeger(ROOT / "deploy/jaeger/collector.yaml", {"KAFKA_BROKERS": nobody}) as collector:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PHASETRACE_STORE": str(tmp_path / "traces.db"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp_http,
        }
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        phasetrace(environment, "run", str(program))
        (kept,) = json.loads(phasetrace(environment, "status", "--json").stdout)["destinations"]
    assert (kept["recorded"], kept["waiting"], kept["delivered"]) == (SPANS, SPANS, 0)
    assert (kept["refused"], kept["lost"]) == (0, {})


def validate(
    configuration: Path, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Have Jaeger look at a configuration without running it; the folder is to write in."""
    require_binary()
    configuration = in_its_words(configuration, folder)
    binary = find_binary()
    assert binary is not None
    ours = {"KAFKA_BROKERS", "CASSANDRA_SERVERS", "PROMETHEUS_URL", "JAEGER_LISTEN_HOST"}
    return subprocess.run(
        [binary, "validate", "--config", configuration],
        env={name: os.environ[name] for name in os.environ.keys() - ours} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def phasetrace(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "phasetrace", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
