"""docker-compose.yml and what it mounts: its parts fit together; only this machine gets at them.

Whether Jaeger and Prometheus accept the files is asked of themselves, in `tests/integration`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROFILES = {
    "jaeger": {"jaeger"},
    "spm": {"jaeger-spm", "prometheus"},
    "scale": {"collector", "kafka", "ingester", "cassandra", "query"},
}

every_service = pytest.mark.parametrize("name", SERVICES)


def test_each_profile_has_its_services() -> None:
    """A service without a profile would be started beside all of them."""
    assert {
        profile: {name for name, service in SERVICES.items() if service["profiles"] == [profile]}
        for profile in PROFILES
    } == PROFILES
    assert set().union(*PROFILES.values()) == set(SERVICES)


def test_without_a_profile_it_is_the_one_jaeger() -> None:
    """`docker compose up -d` reads .env; --profile on the command line takes its place."""
    settings = [line for line in (ROOT / ".env").read_text().splitlines() if line[:1] != "#"]
    assert settings == ["COMPOSE_PROFILES=jaeger"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_where_the_readme_says(profile: str) -> None:
    """Whichever runs: OTLP on 4317 and 4318, the user interface on 16686, no port twice."""
    ports = [port.split(":")[1] for name in PROFILES[profile] for port in published(name)]
    assert {"4317", "4318", "16686"} <= set(ports)
    assert len(ports) == len(set(ports))


@every_service
def test_only_this_machine_gets_at_a_port(name: str) -> None:
    """None of these services asks for a password."""
    for port in published(name):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)


def test_storage_and_queue_are_not_published() -> None:
    """What only the other containers need, only they get at."""
    assert published("kafka") == published("cassandra") == published("ingester") == []


@every_service
def test_an_image_is_one_release(name: str) -> None:
    """A tag that names a whole version; `latest` and `5.0` are another image next month."""
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_there_is_one_release_of_jaeger() -> None:
    """Collector, ingester and query are parts of one program."""
    images = {service["image"] for service in SERVICES.values()}
    assert len([image for image in images if image.startswith("jaegertracing/")]) == 1


@every_service
def test_it_is_known_when_it_is_up(name: str) -> None:
    """`up --wait` and what depends on it wait for that."""
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@every_service
def test_what_keeps_traces_in_memory_stays_down(name: str) -> None:
    """It would come up again empty, as if nothing had been; all else is started again."""
    in_memory = name in {"jaeger", "jaeger-spm"}
    assert SERVICES[name]["restart"] == ("no" if in_memory else "on-failure")


@every_service
def test_no_service_takes_all_the_memory(name: str) -> None:
    """Each has a limit; Jaeger's garbage collector knows of one below it."""
    units = {"MiB": 2**20, "m": 2**20, "g": 2**30}
    limit = re.fullmatch(r"(\d+)(m|g)", SERVICES[name]["mem_limit"])
    assert limit is not None
    if SERVICES[name]["image"].startswith("jaegertracing/"):
        soft = re.fullmatch(r"(\d+)(MiB)", SERVICES[name]["environment"]["GOMEMLIMIT"])
        assert soft is not None
        assert 0 < int(soft[1]) * units[soft[2]] < 0.95 * int(limit[1]) * units[limit[2]]


def test_both_jaegers_keep_as_many_traces() -> None:
    """One is told on its command line, the other in its configuration."""
    (option,) = SERVICES["jaeger"]["command"]
    memory = read("jaeger/spm.yaml")["extensions"]["jaeger_storage"]["backends"]["traces"]["memory"]
    assert option.endswith(f".memory.max_traces={memory['max_traces']}")


@every_service
def test_what_it_depends_on_comes_with_it(name: str) -> None:
    """A dependency in another profile would make Compose refuse the whole."""
    (profile,) = SERVICES[name]["profiles"]
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in PROFILES[profile]
        assert how == {"condition": "service_healthy"}


@every_service
def test_what_is_mounted_is_there(name: str) -> None:
    """A file, which the container may not write to; or a volume that is declared."""
    for volume in SERVICES[name].get("volumes", []):
        source, _, mode = volume.split(":") if volume.count(":") == 2 else (*volume.split(":"), "")
        if source.startswith("."):
            assert (ROOT / source).is_file()
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]


def test_every_file_of_deploy_is_mounted() -> None:
    """Nothing is kept there that nobody runs."""
    mounted = {
        volume.split(":")[0].removeprefix("./")
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }
    files = (path for path in (ROOT / "deploy").rglob("*") if path.is_file())
    assert {path.relative_to(ROOT).as_posix() for path in files} <= mounted


@pytest.mark.parametrize("name", ["jaeger-spm", "collector", "ingester", "query"])
def test_a_jaeger_runs_the_configuration_that_is_mounted(name: str) -> None:
    """By its path in the container."""
    (volume,) = SERVICES[name]["volumes"]
    assert SERVICES[name]["command"] == ["--config", volume.split(":")[1]]


# --- what has to be the same in two files -------------------------------------------------------


def test_prometheus_and_jaeger_find_each_other() -> None:
    """By the names of the services and the ports they listen on."""
    spm, scraped = read("jaeger/spm.yaml"), read("prometheus/prometheus.yml")
    ((target,),) = (each["targets"] for each in scraped["scrape_configs"][0]["static_configs"])
    host, port = target.split(":")
    assert host in PROFILES["spm"]
    assert spm["exporters"]["prometheus"]["endpoint"].endswith(f":{port}")
    backend = spm["extensions"]["jaeger_storage"]["metric_backends"]["metrics"]["prometheus"]
    assert default(backend["endpoint"]) == "http://prometheus:9090"


def test_the_unit_of_durations_is_that_in_which_they_are_asked_for() -> None:
    """The metric has the unit in its name."""
    spm = read("jaeger/spm.yaml")
    backend = spm["extensions"]["jaeger_storage"]["metric_backends"]["metrics"]["prometheus"]
    assert spm["connectors"]["span_metrics"]["histogram"]["unit"] == backend["latency_unit"]


def test_collector_and_ingester_find_kafka() -> None:
    """Under the name that it tells its clients, with messages as large as it takes."""
    collector = read("jaeger/collector.yaml")["exporters"]["kafka"]
    ingester = read("jaeger/ingester.yaml")["receivers"]["kafka"]
    kafka = SERVICES["kafka"]["environment"]
    for brokers in (collector["brokers"], ingester["brokers"]):
        assert f"PLAINTEXT://{default(brokers)}" == kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert collector["producer"]["max_message_bytes"] == kafka["KAFKA_MESSAGE_MAX_BYTES"]


def test_the_collector_takes_no_request_that_kafka_would_refuse() -> None:
    """Of one trace a request is one message, with what says to which trace and when before it."""
    collector = read("jaeger/collector.yaml")
    most = collector["receivers"]["otlp"]["protocols"]["http"]["max_request_body_size"]
    assert most + 100_000 < collector["exporters"]["kafka"]["producer"]["max_message_bytes"]


def test_an_address_given_to_compose_reaches_the_parts() -> None:
    """A variable that a configuration reads and the container does not have is never read."""
    for name in ("collector", "ingester", "query"):
        read_ = set(re.findall(r"\$\{env:(\w+)", (ROOT / f"deploy/jaeger/{name}.yaml").read_text()))
        assert read_ - {"JAEGER_LISTEN_HOST"} <= SERVICES[name]["environment"].keys()


def test_ingester_and_query_are_at_the_same_storage() -> None:
    """One makes the tables, named as Cassandra's data centre is; both connect alike."""
    ingester, query = (
        read(f"jaeger/{name}.yaml")["extensions"]["jaeger_storage"]["backends"]["traces"]
        for name in ("ingester", "query")
    )
    assert ingester["cassandra"]["connection"] == query["cassandra"]["connection"]
    assert default(query["cassandra"]["connection"]["servers"]) == "cassandra:9042"
    assert ingester["cassandra"]["query"]["consistency"] == "LOCAL_QUORUM"
    assert query["cassandra"]["query"]["consistency"] == "LOCAL_QUORUM"
    schemas = [each["cassandra"]["schema"] for each in (ingester, query)]
    assert [schema["create"] for schema in schemas] == [True, False]
    assert len({schema["keyspace"] for schema in schemas}) == 1
    centre = SERVICES["cassandra"]["environment"]["CASSANDRA_DC"]
    assert {schema["datacenter"] for schema in schemas} == {centre}
    assert query["cassandra"]["connection"]["local_dc"] == centre


# --- what is counted ----------------------------------------------------------------------------


def test_no_label_has_a_value_for_each_run() -> None:
    """Ids of executions and traces would be new series with every run."""
    connector = read("jaeger/spm.yaml")["connectors"]["span_metrics"]
    assert [each["name"] for each in connector["dimensions"]] == ["node_id", "phasetrace.type"]
    assert not connector.keys() & {"calls_dimensions", "exemplars", "events"}
    assert connector["histogram"].keys() == {"unit", "explicit"}
    assert connector["exclude_dimensions"] == ["collector.instance.id"]
    assert connector["resource_metrics_key_attributes"] == ["service.name"]
    assert connector["aggregation_cardinality_limit"] > 0


def test_buckets_reach_from_a_tenth_of_a_millisecond_to_minutes() -> None:
    """In order, none more than three times as wide as the one before reaches."""
    buckets = read("jaeger/spm.yaml")["connectors"]["span_metrics"]["histogram"]["explicit"]
    bounds = [seconds(each) for each in buckets["buckets"]]
    assert bounds[0] <= 0.0001
    assert bounds[-1] >= 600
    assert all(1 < after / before <= 3 for before, after in pairwise(bounds))


def read(name: str) -> Any:
    """Return what a file of deploy says."""
    return yaml.safe_load((ROOT / "deploy" / name).read_text())


def published(name: str) -> list[str]:
    """Return the ports of a service that can be reached from outside of its network."""
    ports: list[str] = SERVICES[name].get("ports", [])
    return ports


def default(value: str) -> str:
    """Return what `${env:NAME:-value}` is where NAME is not set."""
    found = re.fullmatch(r"\$\{env:\w+:-(.*)\}", value)
    assert found is not None
    return found[1]


def seconds(text: str) -> float:
    """Return a duration as Go writes it, of one unit."""
    found = re.fullmatch(r"(\d+)(us|ms|s|m)", text)
    assert found is not None
    return int(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[found[2]]
