"""A real Kafka and a real Cassandra for tests, of one node each, on loopback ports.

`.ci/scale-parts` finds their jars or fetches them. Both are run as their own scripts run them, with
what the profile `scale` of docker-compose.yml sets; ports, data and logs are in a folder of the
test's. They are slow to come up: some ten seconds each, and more on a busy machine.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest
import yaml

from .rotel import _free_ports

COMPOSE: Final = Path(__file__).parents[2] / "docker-compose.yml"
POLL_S: Final = 0.1
DEADLINE_S: Final = 180.0

_FINDER: Final = Path(__file__).parents[2] / ".ci" / "scale-parts"

# From bin/cassandra and conf/jvm17-server.options: what Java 17 has to be told to let Cassandra in.
_OPENED: Final = (
    *(
        f"--add-exports={module}=ALL-UNNAMED"
        for module in (
            "java.base/jdk.internal.misc",
            "java.base/jdk.internal.ref",
            "java.base/sun.nio.ch",
            "java.management.rmi/com.sun.jmx.remote.internal.rmi",
            "java.rmi/sun.rmi.registry",
            "java.rmi/sun.rmi.server",
            "java.rmi/sun.rmi.transport.tcp",
            "java.sql/java.sql",
        )
    ),
    *(
        f"--add-opens={module}=ALL-UNNAMED"
        for module in (
            "java.base/java.lang.module",
            "java.base/jdk.internal.loader",
            "java.base/jdk.internal.ref",
            "java.base/jdk.internal.reflect",
            "java.base/jdk.internal.math",
            "java.base/jdk.internal.module",
            "java.base/jdk.internal.util.jar",
            "jdk.management/com.sun.management.internal",
            "java.base/sun.nio.ch",
            "java.base/java.io",
            "java.base/java.util.concurrent",
            "java.base/java.util",
            "java.base/java.util.concurrent.atomic",
            "java.base/java.nio",
            "java.base/java.lang",
            "java.base/java.net",
            "java.base/jdk.internal.misc",
            "java.base/java.lang.reflect",
        )
    ),
)


def require_parts() -> None:
    """Skip the test if there are no jars to run, saying how to get them."""
    if _found()[0] is None:
        pytest.skip(_found()[1])


@functools.cache
def _found() -> tuple[list[Path] | None, str]:
    done = subprocess.run([_FINDER, "--find"], capture_output=True, text=True, check=False)
    if done.returncode:
        return None, done.stderr.strip()
    return [Path(line) for line in done.stdout.splitlines()], ""


def _jars(number: int) -> Path:
    folders, why = _found()
    if folders is None:
        raise RuntimeError(why)
    return folders[number]


class _Server:
    """A Java program that is ready when it takes connections; for use as a context manager.

    The port is kept over `kill` and `start`, and so are the data.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port, self._other_port = _free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it takes its clients, as host and port."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> _Server:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Run it, and return when clients can connect.

        Raises:
            AssertionError: It ends, or is not ready in time.
        """
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["java", *self._command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    name: os.environ[name] for name in os.environ if not name.startswith("JAVA_T")
                },
            )
        deadline = time.monotonic() + DEADLINE_S
        while not self._takes_connections():
            log_end = (self.folder / "log").read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, log_end
            assert time.monotonic() < deadline, log_end
            time.sleep(POLL_S)

    def kill(self) -> None:
        """End it at once, as a crash would; does nothing if it is down."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _takes_connections(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _command(self) -> list[str]:
        raise NotImplementedError


class Kafka(_Server):
    """One process as broker and controller, with the settings that Compose gives it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        settings = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]["environment"]
        cluster = settings.pop("CLUSTER_ID")
        settings = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value
            for name, value in settings.items()
            if not str(value).startswith("${")  # how many copies there are: one, as with one broker
        }
        settings |= {
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self._other_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.quorum.voters": f"1@127.0.0.1:{self._other_port}",
            "log.dirs": str(folder / "data"),
            "offsets.topic.replication.factor": 1,
        }
        settings.pop("heap.opts")
        lines = [f"{name}={value}" for name, value in settings.items()]
        (folder / "properties").write_text("\n".join(lines))
        formatting = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", "properties"]
        subprocess.run(
            ["java", "-cp", f"{_jars(0)}/*", *formatting],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    def _command(self) -> list[str]:
        return ["-Xmx256m", "-cp", f"{_jars(0)}/*", "kafka.Kafka", "properties"]


class Cassandra(_Server):
    """A cluster of one node, in the data centre `dc1`.

    What it has answered survives `kill`, as it does in a cluster of three. With Cassandra's own
    setting, `periodic`, one node alone forgets the last tenth of a second.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        data = {
            name: str(folder / name)
            for name in (
                "commitlog_directory",
                "saved_caches_directory",
                "hints_directory",
                "cdc_raw_directory",
            )
        }
        seeds = [{"seeds": f"127.0.0.1:{self._other_port}"}]
        seed_provider = "org.apache.cassandra.locator.SimpleSeedProvider"
        settings = {
            **data,
            "data_file_directories": [str(folder / "data")],
            "cluster_name": "tests",
            "num_tokens": 1,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "commitlog_sync": "batch",
            "listen_address": "127.0.0.1",
            "rpc_address": "127.0.0.1",
            "native_transport_port": self.port,
            "storage_port": self._other_port,
            "endpoint_snitch": "GossipingPropertyFileSnitch",
            "authenticator": "AllowAllAuthenticator",
            "seed_provider": [{"class_name": seed_provider, "parameters": seeds}],
        }
        configuration = folder / "conf"
        configuration.mkdir()
        (configuration / "cassandra.yaml").write_text(yaml.safe_dump(settings))
        (configuration / "cassandra-rackdc.properties").write_text("dc=dc1\nrack=rack1\n")
        (configuration / "logback.xml").write_text(
            '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender">'
            "<encoder><pattern>%-5level %date %logger{0} %msg%n</pattern></encoder></appender>"
            '<root level="INFO"><appender-ref ref="out"/></root></configuration>'
        )

    def _command(self) -> list[str]:
        (agent,) = _jars(1).glob("jamm-*.jar")
        return [
            "-Xms512M",
            "-Xmx512M",
            "-XX:+UseG1GC",
            *_OPENED,
            f"-javaagent:{agent}",
            "-Djdk.attach.allowAttachSelf=true",
            "-Djava.security.manager=allow",
            f"-Dcassandra.config={(self.folder / 'conf' / 'cassandra.yaml').as_uri()}",
            f"-Dcassandra.storagedir={self.folder}",
            "-cp",
            f"{self.folder / 'conf'}:{_jars(1)}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ]
