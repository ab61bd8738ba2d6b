"""What the profile `spm` counts, held to what phasetrace itself says of the same executions.

The connector counts every span it is sent, once for each service, name, kind and status, and by the
dimensions of `deploy/jaeger/spm.yaml`. What its series are in the breakdown of an execution:

    span_name       node_id   phasetrace_type   is
    the phase       the node                    a phase: its calls, and their total
    the node        the node  node              a node: its runs, and their total
    the execution             execution         an execution, `execution` if it was given no name

One that was given its exec_id for a name is not counted. Spans that are in no execution have
neither dimension. Phases of one name in several nodes are one operation to Jaeger's
tab Monitor, which looks at service and span_name alone.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from phasetrace.identity import trace_id_of
from phasetrace.names import UNNAMED

from .jaeger import Jaeger, require_binary
from .rotel import _free_ports

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
SERVICE: Final = "shop"
POLL_S: Final = 0.05
DEADLINE_S: Final = 60.0

CALLS: Final = "traces_span_metrics_calls_total"
DURATION: Final = "traces_span_metrics_duration_milliseconds"

PROGRAM: Final = """
import sys, time
from phasetrace import execution, node, phase, time_phase

def run(exec_id, name):
    with execution(exec_id, name=name):
        for iteration in range(3):
            with node("fetch", "io", iteration=iteration):
                for size in (0.0002, 0.002, 0.02):
                    with phase("download", size=size):
                        time.sleep(size)
        with node("load"):
            with phase("insert"):
                with phase("download"):
                    time.sleep(0.001)
            try:
                with phase("check"):
                    raise ValueError("no")
            except ValueError:
                pass

prefix = sys.argv[1]
run(f"{prefix}-1", "nightly import")
run(f"{prefix}-2", "nightly import")
run(f"{prefix}-3", None)
with time_phase(f"{prefix}-4", "by id", "insert"):
    pass
with execution(f"{prefix}-5", name=f"{prefix}-5"):
    pass
"""
EXECUTIONS: Final = 5
SPANS: Final = 3 * (1 + 3 + 9 + 1 + 3) + 2 + 1
NAMED_BY_ID: Final = "-5"  # how the exec_id ends of what is called by it
NOT_COUNTED: Final = 1  # its span

Key = tuple[str, str]
T = TypeVar("T")


class Sum(NamedTuple):
    """Calls of one thing, and how long they took in all."""

    calls: int
    total_ns: int


class Series(NamedTuple):
    """A line of Prometheus's text format."""

    name: str
    labels: dict[str, str]
    value: float


@pytest.fixture
def prometheus_port() -> int:
    """Pick the port on which Prometheus will be, if it is started."""
    return _free_ports()[0]


@pytest.fixture
def jaeger(prometheus_port: int) -> Iterator[Jaeger]:
    """Run the Jaeger of the profile."""
    require_binary()
    environment = {
        "SPANMETRICS_FLUSH_INTERVAL": "50ms",
        "PROMETHEUS_URL": f"http://127.0.0.1:{prometheus_port}",
    }
    with Jaeger(DEPLOY / "jaeger/spm.yaml", environment) as server:
        yield server


@pytest.fixture
def prometheus(jaeger: Jaeger, prometheus_port: int, tmp_path: Path) -> Iterator[str]:
    """Run the Prometheus of the profile, asking more often; give its address."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus here (Debian: apt install prometheus)")
    configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    configuration["global"]["scrape_interval"] = "250ms"
    (scraped,) = configuration["scrape_configs"]
    scraped["static_configs"] = [{"targets": [jaeger.metrics_address]}]
    written = tmp_path / "prometheus.yml"
    written.write_text(yaml.safe_dump(configuration))
    address = f"http://127.0.0.1:{prometheus_port}"
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={written}",
                f"--storage.tsdb.path={tmp_path / 'series'}",
                f"--web.listen-address=127.0.0.1:{prometheus_port}",
                *features(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: process.poll() is None and is_ready(address), bool)
        yield address
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


# --- what the connector counts ------------------------------------------------------------------


def test_calls_and_sums_are_those_of_the_breakdown(jaeger: Jaeger, tmp_path: Path) -> None:
    """By node and phase, of two processes of one service: exactly, and to the nanosecond."""
    run_program(jaeger, tmp_path, "a")
    run_program(jaeger, tmp_path, "b")
    series = counted(jaeger, 2 * (SPANS - NOT_COUNTED))
    executions = breakdowns(tmp_path)
    assert len(executions) == 2 * EXECUTIONS
    assert sums(series, kind="") == of_phases(executions)
    assert sums(series, kind="node") == of_nodes(executions)
    assert sums(series, kind="execution") == of_executions(executions)


def test_errors_are_a_status(jaeger: Jaeger, tmp_path: Path) -> None:
    """What failed is counted apart, under the phase that failed."""
    run_program(jaeger, tmp_path, "a")
    failed: Counter[Key] = Counter()
    for each in counted(jaeger, SPANS - NOT_COUNTED):
        if each.name == CALLS and each.labels["status_code"] == "STATUS_CODE_ERROR":
            failed[each.labels["node_id"], each.labels["span_name"]] += int(each.value)
    assert failed == {
        (node["node_id"], phase["phase"]): phase["errors"] * 3
        for node in breakdown_of(tmp_path, "a-1")["nodes"]
        for phase in node["phases"]
        if phase["errors"]
    }


def test_durations_are_in_the_buckets_they_belong_in(jaeger: Jaeger, tmp_path: Path) -> None:
    """As counted by hand, over the calls that the store has."""
    run_program(jaeger, tmp_path, "a")
    series = counted(jaeger, SPANS - NOT_COUNTED)
    buckets = {
        float(each.labels["le"]): int(each.value)
        for each in series
        if each.name == f"{DURATION}_bucket"
        and (each.labels.get("node_id"), each.labels["span_name"]) == ("fetch", "download")
    }
    durations = [
        span["duration_ns"] / 1e6
        for exec_id in ("a-1", "a-2", "a-3")
        for span in spans_of(jaeger, exec_id)
        if span["node_id"] == "fetch" and span["name"] == "download"
    ]
    assert len(durations) == 27
    assert buckets == {bound: sum(each <= bound for each in durations) for bound in buckets}
    assert {0.1, 1.0, 1000.0, 60_000.0} < buckets.keys()


def test_no_label_has_an_id_of_a_run(jaeger: Jaeger, tmp_path: Path) -> None:
    """Neither exec_id nor trace id, also where an execution has no name; and one instance."""
    run_program(jaeger, tmp_path, "a")
    run_program(jaeger, tmp_path, "b")
    series = [
        each
        for each in counted(jaeger, 2 * (SPANS - NOT_COUNTED))
        if each.name.startswith("traces")
    ]
    assert set().union(*(each.labels for each in series)) == {
        *("service_name", "span_name", "span_kind", "status_code", "node_id", "phasetrace_type"),
        *("le", "job", "instance"),
        *("otel_scope_name", "otel_scope_version", "otel_scope_schema_url"),
    }
    values = {value for each in series for value in each.labels.values()}
    for prefix in ("a", "b"):
        for number in range(1, EXECUTIONS + 1):
            exec_id = f"{prefix}-{number}"
            assert not values & {exec_id, f"{trace_id_of(exec_id):032x}"}
            assert jaeger.traces_v1(f"{trace_id_of(exec_id):032x}").status == 200
    assert len({each.labels["instance"] for each in series}) == 1
    assert {each.labels["span_kind"] for each in series} == {"SPAN_KIND_INTERNAL"}


# --- what Prometheus and Jaeger make of it ------------------------------------------------------


def test_prometheus_has_phases(jaeger: Jaeger, prometheus: str, tmp_path: Path) -> None:
    """With a label of their own, which nodes and executions do not have."""
    run_program(jaeger, tmp_path, "a")
    expected = {key: value.calls for key, value in of_phases(breakdowns(tmp_path)).items()}

    def phases() -> dict[Key, int]:
        found = query(prometheus, f'sum by (node_id, phase) ({CALLS}{{phase!=""}})')
        return {
            (each["metric"]["node_id"], each["metric"]["phase"]): int(each["value"][1])
            for each in found
        }

    assert wait_for(phases, lambda found: found == expected) == expected
    assert query(prometheus, f'{CALLS}{{phase!="", phasetrace_type!=""}}') == []
    assert query(prometheus, f'{CALLS}{{exported_instance!=""}}') == []


def test_the_tab_monitor_has_something_to_show(
    jaeger: Jaeger, prometheus: str, tmp_path: Path
) -> None:
    """Call rates, error rates and latencies, of the kind of span that ours are."""
    run_program(jaeger, tmp_path, "a")
    wait_for(lambda: calls_in(prometheus), lambda calls: calls == SPANS - NOT_COUNTED)
    run_program(jaeger, tmp_path, "b")  # a rate is of what comes after the first sight of a series
    wait_for(lambda: calls_in(prometheus), lambda calls: calls == 2 * (SPANS - NOT_COUNTED))

    operations = {"download", "insert", "check", "fetch", "load", "nightly import"}
    rates = monitor(jaeger, "calls")
    assert rates.keys() >= operations
    assert all(rates[operation] > 0 for operation in operations)
    errors = monitor(jaeger, "errors")
    assert errors["check"] == pytest.approx(1)
    assert errors.get("insert", 0) == 0
    latencies = monitor(jaeger, "latencies", quantile="0.95")
    shortest, longest = extremes(breakdowns(tmp_path), "insert")
    assert below(shortest) <= latencies["insert"] <= above(longest)


@pytest.mark.skipif("not has_start_timestamps()", reason="Prometheus here is older than 2.50")
def test_the_first_run_is_in_the_rate(jaeger: Jaeger, prometheus: str, tmp_path: Path) -> None:
    """Prometheus puts in the zero that the series began with, as it is told to in Compose."""
    run_program(jaeger, tmp_path, "a")
    wait_for(lambda: calls_in(prometheus), lambda calls: calls == SPANS - NOT_COUNTED)
    assert monitor(jaeger, "calls")["download"] > 0


# --- running --------------------------------------------------------------------------------------


def run_program(jaeger: Jaeger, folder: Path, prefix: str) -> None:
    """Run the program, which does the same whatever the prefix of its exec_ids."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, prefix],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PHASETRACE_STORE": str(folder / "traces.db"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http,
            "OTEL_SERVICE_NAME": SERVICE,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def phasetrace_json(folder: Path, *arguments: str) -> Any:
    """Return what a command prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "phasetrace", *arguments, "--json"],
        env={"HOME": str(folder), "PHASETRACE_STORE": str(folder / "traces.db")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def breakdown_of(folder: Path, exec_id: str) -> dict[str, Any]:
    """Return what `metrics --json` says of an execution."""
    answer: dict[str, Any] = phasetrace_json(folder, "metrics", exec_id)
    return answer


def breakdowns(folder: Path) -> list[dict[str, Any]]:
    """Return what `metrics --json` says of each execution in the store."""
    listed = phasetrace_json(folder, "list")["executions"]
    return [breakdown_of(folder, each["exec_id"]) for each in listed]


def features() -> list[str]:
    """Return the options of Compose's Prometheus that older ones ignore."""
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())
    command: list[str] = compose["services"]["prometheus"]["command"]
    return [option for option in command if option.startswith("--enable-feature=")]


@functools.cache
def has_start_timestamps() -> bool:
    """Tell whether Prometheus here knows the feature at all."""
    program = shutil.which("prometheus")
    if program is None:
        return False
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", told.stdout + told.stderr)
    return found is not None and (int(found[1]), int(found[2])) >= (2, 50)


def is_ready(address: str) -> bool:
    """Tell whether Prometheus answers queries."""
    try:
        with urlopen(f"{address}/-/ready", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def wait_for(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """Look until it is good, or the time is up; return what was seen last."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        seen = look()
        if good(seen) or time.monotonic() >= deadline:
            return seen
        time.sleep(POLL_S)


# --- asking ---------------------------------------------------------------------------------------


def counted(jaeger: Jaeger, spans: int) -> list[Series]:
    """Return Jaeger's series as soon as they have so many calls in all."""

    def calls(series: list[Series]) -> int:
        return sum(int(each.value) for each in series if each.name == CALLS)

    series = wait_for(lambda: scrape(jaeger), lambda series: calls(series) >= spans)
    assert calls(series) == spans
    return series


def scrape(jaeger: Jaeger) -> list[Series]:
    """Return what Jaeger tells Prometheus."""
    with urlopen(f"http://{jaeger.metrics_address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r"^([a-z_]+)\{(.*)\} (\S+)$", text, re.MULTILINE)
    return [
        Series(name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
        for name, labels, value in found
    ]


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """Return what a query of Prometheus gives now."""
    target = f"{prometheus}/api/v1/query?{urlencode({'query': expression})}"
    with urlopen(target, timeout=5) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def calls_in(prometheus: str) -> int:
    """Return how many calls Prometheus knows of."""
    return sum(int(each["value"][1]) for each in query(prometheus, f"sum({CALLS})"))


def monitor(jaeger: Jaeger, metric: str, **parameters: str) -> dict[str, float]:
    """Ask as the tab Monitor does for spans of kind Internal; return the latest of each line."""
    asked = {"service": SERVICE, "spanKind": "internal", "groupByOperation": "true"}
    asked |= {"lookback": "600000", "step": "1000", "ratePer": "600000", **parameters}
    answer = jaeger.get(f"/api/metrics/{metric}", **asked)
    assert answer.status == 200, answer.text
    lines: dict[str, float] = {}
    for each in answer.json()["metrics"]:
        labels = {label["name"]: label["value"] for label in each["labels"]}
        values = [point["gaugeValue"]["doubleValue"] for point in each["metricPoints"]]
        lines[labels["operation"]] = float(values[-1])
    return lines


def spans_of(jaeger: Jaeger, exec_id: str) -> Iterator[dict[str, Any]]:
    """Return name, node and duration of an execution's spans."""
    for span in jaeger.trace(f"{trace_id_of(exec_id):032x}", raw=True).spans():
        values = {each["key"]: each["value"] for each in span["attributes"]}
        yield {
            "name": span["name"],
            "node_id": values.get("node_id", {}).get("stringValue"),
            "duration_ns": int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]),
        }


# --- adding up ------------------------------------------------------------------------------------


def sums(series: list[Series], kind: str) -> dict[Key, Sum]:
    """Add up what there is of phases (""), nodes or executions, by node_id and span_name."""
    calls: Counter[Key] = Counter()
    total_ms: dict[Key, float] = {}
    for name, labels, value in series:
        key = labels.get("node_id", ""), labels.get("span_name", "")
        if labels.get("phasetrace_type", "") != kind:
            continue
        if name == CALLS:
            calls[key] += int(value)
        elif name == f"{DURATION}_sum":
            total_ms[key] = total_ms.get(key, 0.0) + value
    assert calls.keys() == total_ms.keys()
    return {key: Sum(calls[key], round(total_ms[key] * 1e6)) for key in calls}


def added(parts: list[tuple[Key, Sum]]) -> dict[Key, Sum]:
    """Add up what has the same key."""
    whole: dict[Key, Sum] = {}
    for key, (calls, total_ns) in parts:
        before = whole.get(key, Sum(0, 0))
        whole[key] = Sum(before.calls + calls, before.total_ns + total_ns)
    return whole


def of_phases(executions: list[dict[str, Any]]) -> dict[Key, Sum]:
    """Return the phases of all executions, by node and phase."""
    return added(
        [
            ((node["node_id"], phase["phase"]), Sum(phase["count"], phase["total_ns"]))
            for execution in executions
            for node in execution["nodes"]
            for phase in node["phases"]
        ]
    )


def of_nodes(executions: list[dict[str, Any]]) -> dict[Key, Sum]:
    """Return the nodes of all executions; one that was only named by its phases has no span."""
    return added(
        [
            ((node["node_id"], node["node_id"]), Sum(node["count"], node["total_ns"]))
            for execution in executions
            for node in execution["nodes"]
            if node["count"]
        ]
    )


def of_executions(executions: list[dict[str, Any]]) -> dict[Key, Sum]:
    """Return the executions by what their spans are called; those without a name are together."""
    return added(
        [
            (("", UNNAMED if name in (None, exec_id) else name), Sum(1, execution["duration_ns"]))
            for execution in executions
            for name, exec_id in [(execution["name"], execution["exec_id"])]
            if not exec_id.endswith(NAMED_BY_ID)
        ]
    )


def extremes(executions: list[dict[str, Any]], phase: str) -> tuple[float, float]:
    """Return the shortest and the longest call of a phase in any node, in ms."""
    found = [
        each
        for execution in executions
        for node in execution["nodes"]
        for each in node["phases"]
        if each["phase"] == phase
    ]
    return min(each["min_ns"] for each in found) / 1e6, max(each["max_ns"] for each in found) / 1e6


def bounds() -> list[float]:
    """Return where the buckets end, in ms."""
    spm = yaml.safe_load((DEPLOY / "jaeger/spm.yaml").read_text())
    ms = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
    found = spm["connectors"]["span_metrics"]["histogram"]["explicit"]["buckets"]
    parts = (re.fullmatch(r"(\d+)([a-z]+)", each) for each in found)
    return [int(part[1]) * ms[part[2]] for part in parts if part]


def below(duration_ms: float) -> float:
    """Return where the bucket of a duration begins."""
    return max([0.0, *(each for each in bounds() if each < duration_ms)])


def above(duration_ms: float) -> float:
    """Return where the bucket of a duration ends."""
    return min(each for each in bounds() if each >= duration_ms)
