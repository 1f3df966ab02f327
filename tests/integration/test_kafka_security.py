"""The agent against a broker that asks who it is: passwords, certificates, what is said when they are wrong.

The authority and its certificates are made for the test; the broker has a listener for each way in.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agent.event import decode_batch
from agent.kafka import KafkaSettings
from tests.integration import conftest, free_ports

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(conftest.DOCKER, reason="the listeners are those of a broker of our own"),
]
USER, PASSWORD = "edge", "correct-horse"
KEY_PASSWORD = "battery-staple"
_LOGIN = "org.apache.kafka.common.security.{} required"
_AGENT = [sys.executable, "-P", "-m", "deploy.command", "agent"]


class Secured(NamedTuple):
    """A broker with a listener for each way in, and a directory of PEM files."""

    plaintext: KafkaSettings
    files: Path
    sasl_ssl: int
    sasl_plaintext: int
    mutual: int
    expired: int


def _write(directory: Path, name: str, issued: trustme.LeafCert, protect: KeySerializationEncryption) -> None:
    """Write chain and key, the key as PKCS #8: that is what Kafka reads."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protect)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    (directory / f"{name}.crt").write_bytes(chain)
    (directory / f"{name}.key").write_bytes(pem)
    (directory / f"{name}.pem").write_bytes(pem + chain)


def _make_certificates(directory: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.crt")
    other.cert_pem.write_to_path(directory / "other-ca.crt")
    long_ago = datetime.now(UTC) - timedelta(days=400)
    over = {"not_before": long_ago, "not_after": long_ago + timedelta(days=30)}
    _write(directory, "broker", authority.issue_cert("127.0.0.1"), NoEncryption())
    _write(directory, "broker-expired", authority.issue_cert("127.0.0.1", **over), NoEncryption())
    _write(directory, "client", authority.issue_cert("edge@example.org"), NoEncryption())
    _write(directory, "client-expired", authority.issue_cert("edge@example.org", **over), NoEncryption())
    _write(directory, "client-other", other.issue_cert("edge@example.org"), NoEncryption())
    protected = BestAvailableEncryption(KEY_PASSWORD.encode())
    _write(directory, "client-protected", authority.issue_cert("edge@example.org"), protected)


def _listeners(port: int, controller: int, more: dict[str, int], files: Path) -> dict[str, str]:
    """Return Kafka's properties: each further listener with its protocol, certificate and users."""
    protocols = {"SASL": "SASL_SSL", "CLEAR": "SASL_PLAINTEXT", "MUTUAL": "SSL", "EXPIRED": "SSL"}
    clients = {"PLAINTEXT": port} | more
    addresses = [f"{name}://127.0.0.1:{number}" for name, number in clients.items()]
    login = f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}";'
    properties = {
        "listeners": ",".join([*addresses, f"CONTROLLER://127.0.0.1:{controller}"]),
        "advertised.listeners": ",".join([*addresses, f"CONTROLLER://127.0.0.1:{controller}"]),
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}"
            for name, protocol in ({"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | protocols).items()
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files / "ca.crt"),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": str(files / "broker-expired.pem"),
    }
    for name in ("sasl", "clear"):
        of = f"listener.name.{name}"
        properties[f"{of}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
        properties[f"{of}.plain.sasl.jaas.config"] = f"{_LOGIN.format('plain.PlainLoginModule')} {login}"
        for digest in ("256", "512"):
            properties[f"{of}.scram-sha-{digest}.sasl.jaas.config"] = (
                f"{_LOGIN.format('scram.ScramLoginModule')};"
            )
    return properties


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker with all its listeners, and its certificates."""
    directory, files = tmp_path_factory.mktemp("secured"), tmp_path_factory.mktemp("certificates")
    _make_certificates(files)
    port, controller = free_ports.pick(), free_ports.pick()
    more = {name: free_ports.pick() for name in ("SASL", "CLEAR", "MUTUAL", "EXPIRED")}
    users = [f"{name}=[name={USER},password={PASSWORD}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    formatting = tuple(word for user in users for word in ("--add-scram", user))
    properties = _listeners(port, controller, more, files)
    with ExitStack() as servers:
        node = conftest.kafka_broker.Broker(directory, port, controller, properties, formatting)
        plaintext = KafkaSettings(bootstrap_servers=conftest.run_broker(servers, node))
        yield Secured(plaintext, files, more["SASL"], more["CLEAR"], more["MUTUAL"], more["EXPIRED"])


@pytest.fixture
def topics(secured: Secured) -> KafkaSettings:
    """The way in without a password, with a prefix under which a raw topic exists."""
    own = secured.plaintext.model_copy(update={"topic_prefix": f"t-{secrets.token_hex(4)}."})

    async def create() -> None:
        admin = AIOKafkaAdminClient(**own.client())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(own.topic("raw"), 1, 1)])
        finally:
            await admin.close()

    asyncio.run(create())
    return own


class Agent:
    """`fswire agent` on a directory with one file, told by the environment how to reach the broker."""

    def __init__(self, directory: Path, topics: KafkaSettings, **settings: object) -> None:
        root = directory / "root"
        root.mkdir()
        (root / "f").write_bytes(b"x")
        told = {f"FSWIRE_KAFKA_{name}".upper(): str(value) for name, value in settings.items()}
        own = {
            "FSWIRE_KAFKA_TOPIC_PREFIX": topics.topic_prefix,
            "FSWIRE_AGENT_STATE_DIR": str(directory / "state"),
            "FSWIRE_AGENT_GRACE_S": "0.5",
        }
        self.process = subprocess.Popen(
            [*_AGENT, str(root), "--project", "p"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **own, **told},
        )

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def said(self, event: str) -> dict[str, str]:
        """Return the first log line with an event."""
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            entry: dict[str, str] = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == event:
                return entry
        raise AssertionError("".join(lines))

    def stop(self) -> tuple[int, str]:
        """Stop it as a service manager does; return status and the rest of its log."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=30)
        return self.process.returncode, rest


def _published(topics: KafkaSettings) -> list[str]:
    """Return the paths of the first batch on the raw topic, once there is one."""

    async def read() -> list[str]:
        consumer = AIOKafkaConsumer(**topics.client(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topics.topic("raw"), 0)])
            record = await asyncio.wait_for(consumer.getone(), 120)
            return [event.path for event in decode_batch(record.value).events]
        finally:
            await consumer.stop()

    return asyncio.run(read())


def _tls(of: Secured, **more: object) -> dict[str, object]:
    return {"ssl_cafile": of.files / "ca.crt"} | more


def _client(of: Secured, name: str, **more: object) -> dict[str, object]:
    files = {"ssl_certfile": of.files / f"{name}.crt", "ssl_keyfile": of.files / f"{name}.key"}
    at = {"bootstrap_servers": f"127.0.0.1:{of.mutual}", "security_protocol": "SSL"}
    return _tls(of, **at, **files, **more)


def _user(of: Secured, mechanism: str, password: str = PASSWORD, **more: object) -> dict[str, object]:
    at = {"bootstrap_servers": f"127.0.0.1:{of.sasl_ssl}", "security_protocol": "SASL_SSL"}
    login = {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password": password}
    return _tls(of, **at, **login) | more


def _clear(of: Secured) -> dict[str, object]:
    at = {"bootstrap_servers": f"127.0.0.1:{of.sasl_plaintext}", "security_protocol": "SASL_PLAINTEXT"}
    return _user(of, "SCRAM-SHA-512") | at


Told = Callable[[Secured], dict[str, object]]
WAYS: dict[str, Told] = {
    "PLAIN over TLS": lambda of: _user(of, "PLAIN"),
    "SCRAM-SHA-256 over TLS": lambda of: _user(of, "SCRAM-SHA-256"),
    "SCRAM-SHA-512 over TLS": lambda of: _user(of, "SCRAM-SHA-512"),
    "SCRAM-SHA-512 without TLS": _clear,
    "client certificate": lambda of: _client(of, "client"),
    "client certificate, key with a password": lambda of: _client(
        of, "client-protected", ssl_keypassword=KEY_PASSWORD
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_agent_publishes_securely(secured: Secured, topics: KafkaSettings, tmp_path: Path, way: str) -> None:
    """Whichever way a broker wants to know its clients, the agent's events arrive."""
    with Agent(tmp_path, topics, **WAYS[way](secured)) as agent:
        assert _published(topics) == ["f"]
        status, rest = agent.stop()

    assert status == 0
    assert "broker_unavailable" not in rest


class Wrong(NamedTuple):
    """Settings that the broker, or the agent, refuses, and what the log then says."""

    told: Told
    error: str
    check: str


WRONG: dict[str, Wrong] = {
    "password, PLAIN": Wrong(
        lambda of: _user(of, "PLAIN", "wrong-horse"), "refused name or password", "SASL_PASSWORD"
    ),
    "password, SCRAM": Wrong(
        lambda of: _user(of, "SCRAM-SHA-512", "wrong-horse"), "refused name or password", "SASL_PASSWORD"
    ),
    "authority": Wrong(
        lambda of: _user(of, "PLAIN", ssl_cafile=of.files / "other-ca.crt"),
        "certificate is refused",
        "SSL_CAFILE",
    ),
    "broker's certificate expired": Wrong(
        lambda of: _tls(of, bootstrap_servers=f"127.0.0.1:{of.expired}", security_protocol="SSL"),
        "certificate has expired",
        "the date of the broker's certificate",
    ),
    "client's certificate expired": Wrong(
        lambda of: _client(of, "client-expired"), "refuses this client", "SSL_CERTFILE"
    ),
    "client's authority": Wrong(
        lambda of: _client(of, "client-other"), "refuses this client", "SSL_CERTFILE"
    ),
    "no client certificate": Wrong(
        lambda of: _tls(of, bootstrap_servers=f"127.0.0.1:{of.mutual}", security_protocol="SSL"),
        "refuses this client",
        "SSL_CERTFILE",
    ),
    "key's password": Wrong(
        lambda of: _client(of, "client-protected", ssl_keypassword="wrong-horse"), "SSL_KEYFILE", "the file"
    ),
    "protocol": Wrong(
        lambda of: _tls(of, bootstrap_servers=f"127.0.0.1:{of.sasl_plaintext}", security_protocol="SSL"),
        "closed the connection",
        "SECURITY_PROTOCOL",
    ),
    "no name where one is wanted": Wrong(
        lambda of: {"bootstrap_servers": f"127.0.0.1:{of.sasl_plaintext}"},
        "closed the connection",
        "SECURITY_PROTOCOL",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_agent_says_what_is_wrong(secured: Secured, topics: KafkaSettings, tmp_path: Path, what: str) -> None:
    """One line with what to check and no secret in it; the agent goes on trying, and keeps what it has."""
    wrong = WRONG[what]
    with Agent(tmp_path, topics, **wrong.told(secured)) as agent:
        line = agent.said("broker_unavailable")
        status, rest = agent.stop()

    assert wrong.error in line["error"], line
    assert wrong.check in line["check"], line
    assert line["retry"]
    assert status == 0
    assert "broker_unavailable" not in rest
    stopped = [told for told in map(json.loads, rest.splitlines()) if told["event"] == "stopped"]
    assert [told["unpublished"] for told in stopped] == [1], rest
    assert not any(secret in str(line) + rest for secret in (PASSWORD, "wrong-horse", KEY_PASSWORD))


def test_agent_publishes_once_it_is_put_right(
    secured: Secured, topics: KafkaSettings, tmp_path: Path
) -> None:
    """It reads its files anew each time it tries: whoever renews a certificate need not restart it."""
    file = tmp_path / "authorities.crt"
    file.write_bytes((secured.files / "other-ca.crt").read_bytes())
    with Agent(tmp_path, topics, **_user(secured, "PLAIN", ssl_cafile=file)) as agent:
        agent.said("broker_unavailable")
        file.write_bytes((secured.files / "ca.crt").read_bytes())
        published = _published(topics)
        agent.said("broker_back")

    assert published == ["f"]
