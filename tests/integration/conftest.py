"""Real servers for the integration tests, each started once per test session.

- `stack`: the whole system, `fswire up` on a directory: a `tests.integration.running.Stack` (`api`,
  `admin_key`, `bootstrap_servers`, `clickhouse`, `data_dir`, `watched`, `project`, `kafka`, `query(sql)`,
  `await_rows`, `await_ready`, `settle` waits for the registry, `command(…)` runs `fswire …` against it,
  `send(method, path, body)`). Shared: use paths, projects and keys of your own.
- `monitor`: a `tests.integration.monitoring.Monitor`, a client with a project, key and token of its own.
- `kafka`: `agent.kafka.KafkaSettings` of an empty broker, no topics on it; use random topic names or a random
  `topic_prefix` (`kafka.model_copy(update={"topic_prefix": "t-…."})`). `broker`: its bootstrap servers.

- `line`: a `tests.integration.sinking.Line`, empty topics and a `store` with the schema, for a sink.
- `visitor`: a `tests.integration.browser.Visitor`, a browser profile at the pages of the `stack`.
- `site`: a `tests.integration.fetching.Site`, a file monitor whose processes a test may kill and start again.

With `FSWIRE_TEST_SERVERS=docker` Kafka and ClickHouse run in testcontainers. Where the machine lacks what the
servers need (an extra, the network for the first download, Docker), the tests that ask for them are skipped
with the reason; with `FSWIRE_TEST_REQUIRE_STACK=1` that is an error.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.kafka import KafkaSettings
from deploy import broker as kafka_broker
from deploy import kafka_jars, lifeline
from tests.integration import fetching, free_ports, running
from tests.integration.browser import chromium, screenshots, visitor  # noqa: F401  fixtures
from tests.integration.lacking import cannot_start
from tests.integration.monitoring import Monitor
from tests.integration.sinking import line, store  # noqa: F401  fixtures

DOCKER = os.environ.get("FSWIRE_TEST_SERVERS") == "docker"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:latest"
LACKING = ("pip install 'fswire[", "the first start needs the network")
KAFKA_IMAGE = "apache/kafka:4.3.1"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Stack]:
    """The whole system, watching a directory; at the end it must stop cleanly and leave no process."""
    directory = tmp_path_factory.mktemp("stack")
    watched = directory / "watched files"
    watched.mkdir()
    with ExitStack() as servers:
        arguments = _servers_in_docker(servers) if DOCKER else ()
        up = servers.enter_context(
            running.up(directory / "data", f"watched={watched}", "--port", "0", "--tls-port", "0", *arguments)
        )
        try:
            up.ready()
        except running.NotReady as error:
            if not any(sign in str(error) for sign in LACKING):
                raise
            cannot_start("fswire up", error)
        yield running.Stack(up, up.endpoint(), watched, "watched")
        status = up.stop()
        assert (status, up.processes()) == (0, {}), up.said()


@pytest.fixture
def monitor(stack: running.Stack) -> Iterator[Monitor]:
    """A project, a key and a token, written to the registry a moment ago."""
    monitor = Monitor(stack)
    with monitor.client:
        yield monitor


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of an empty Kafka broker."""
    with ExitStack() as servers:
        yield _kafka_in_docker(servers) if DOCKER else _kafka_here(servers, tmp_path_factory.mktemp("broker"))


@pytest.fixture(scope="session")
def kafka(broker: str) -> KafkaSettings:
    """How to reach the empty broker."""
    return KafkaSettings(bootstrap_servers=broker)


@pytest.fixture(scope="session")
def site(kafka: KafkaSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[fetching.Site]:
    """A file monitor on topics of its own: sequencer, two api processes, transfer worker."""
    with fetching.site(kafka, tmp_path_factory.mktemp("site")) as running_site:
        yield running_site


def _kafka_here(servers: ExitStack, directory: Path) -> str:
    return run_broker(servers, kafka_broker.Broker(directory, free_ports.pick(), free_ports.pick()))


def run_broker(servers: ExitStack, node: kafka_broker.Broker) -> str:
    """Run a broker until `servers` is closed; return its bootstrap servers."""
    directory = node.directory
    try:
        command = node.prepare(kafka_jars.class_path())
    except (ImportError, kafka_jars.JarsRefused, kafka_broker.BrokerRefused) as error:
        cannot_start("Kafka", error)
    log = servers.enter_context((directory / "broker.log").open("w+b"))
    process = servers.enter_context(_bound(command, directory, log.fileno()))
    servers.callback(process.wait, timeout=180)
    servers.callback(process.terminate)
    _await_line(directory / "broker.log", kafka_broker.STARTED, process)
    return node.bootstrap_servers


def _bound(command: list[str], directory: Path, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        lifeline.shim(command),
        cwd=directory,
        env=kafka_broker.environment(),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def _await_line(log: Path, text: str, process: subprocess.Popen[bytes], timeout_s: float = 180) -> None:
    # A file cannot be waited on: each look is followed by a short wait for the process's end.
    for _ in range(int(timeout_s / 0.1)):
        if text in log.read_text(errors="replace"):
            return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    cannot_start("Kafka", f"its log ends with\n{log.read_text(errors='replace')[-4000:]}")


def _servers_in_docker(servers: ExitStack) -> tuple[str, ...]:
    from testcontainers.community.clickhouse import ClickHouseContainer

    bootstrap_servers = _kafka_in_docker(servers)
    try:
        database = servers.enter_context(ClickHouseContainer(CLICKHOUSE_IMAGE, port=8123))
    except Exception as error:  # noqa: BLE001 - whatever Docker's client says is the reason
        cannot_start("ClickHouse in Docker", error)
    host, port = database.get_container_host_ip(), database.get_exposed_port(8123)
    url = f"http://{database.username}:{database.password}@{host}:{port}/{database.dbname}"
    return "--bootstrap-servers", bootstrap_servers, "--clickhouse", url


def _kafka_in_docker(servers: ExitStack) -> str:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    # Clients are sent to the advertised address, which the broker must know before it starts.
    port = free_ports.pick()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port).with_envs(**_kafka_settings(port))
    container.waiting_for(LogMessageWaitStrategy(kafka_broker.STARTED))
    try:
        servers.enter_context(container)
    except Exception as error:  # noqa: BLE001 - whatever Docker's client says is the reason
        cannot_start("Kafka in Docker", error)
    return f"127.0.0.1:{port}"


def _kafka_settings(port: int) -> dict[str, str]:
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }
