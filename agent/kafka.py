"""How every part of fswire reaches Kafka: one frozen settings model, and the arguments made from it.

A file of certificates that cannot be used is a FilesRefused, an OSError: it may be put right while we run.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator
from typing import Any, Literal

from aiokafka.partitioner import murmur2
from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MAX_RECORD_BYTES = 1024 * 1024
"""Largest record on any topic (contracts: topics)."""
_ADDRESS = re.compile(
    r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(:(?P<port>\d{1,5}))?|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,}"
)


class CredentialsMissing(ValueError):
    """Name or password of the broker's user are not set; the message names the settings."""


class FilesRefused(OSError):
    """A certificate, key or list of authorities cannot be used; the message names settings and files."""


class KafkaSettings(BaseSettings):
    """Connection to the broker, read from `FSWIRE_KAFKA_…`; a SASL password is never shown."""

    model_config = SettingsConfigDict(env_prefix="FSWIRE_KAFKA_", frozen=True, extra="forbid")

    bootstrap_servers: str = "127.0.0.1:9092"
    """Comma-separated `host:port`."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to connect; `SASL_…` authenticates by name and password, `…SSL` encrypts."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How the password is shown to the broker."""
    sasl_username: str | None = None
    """User of the broker."""
    sasl_password: SecretStr | None = None
    """Its password."""
    ssl_cafile: str | None = None
    """PEM file of the authorities that may vouch for the broker; the system's without it."""
    ssl_certfile: str | None = None
    """PEM file of this client's certificate, where the broker asks for one."""
    ssl_keyfile: str | None = None
    """PEM file of its key."""
    ssl_keypassword: SecretStr | None = None
    """What the key's file is encrypted with, where it is."""
    topic_prefix: str = "fswire."
    """What every topic's name starts with."""

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_addresses(cls, servers: str) -> str:
        for server in servers.split(","):
            found = _ADDRESS.fullmatch(server.strip())
            if found is None or not 0 < int(found["port"] or 9092) < 65536:
                raise ValueError("host:port is wanted, or several with commas between them")
        return servers

    def topic(self, name: str) -> str:
        """Return the full name of a topic, such as `fswire.raw` for `raw`."""
        return self.topic_prefix + name

    def check(self) -> None:
        """Raise CredentialsMissing where no client could be made of these settings."""
        if self.security_protocol.startswith("SASL"):
            self.login()

    def login(self) -> tuple[str, SecretStr]:
        """Return name and password of the broker's user. Raises CredentialsMissing."""
        if self.sasl_username is None or self.sasl_password is None:
            raise CredentialsMissing(
                f"{self.security_protocol} needs FSWIRE_KAFKA_SASL_USERNAME and "
                "FSWIRE_KAFKA_SASL_PASSWORD: one of them is not set"
            )
        return self.sasl_username, self.sasl_password

    def client(self) -> dict[str, Any]:
        """Return keyword arguments of every aiokafka client. Raises CredentialsMissing, FilesRefused."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "client_id": "fswire",
        }
        if "SSL" in self.security_protocol:
            arguments["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            username, password = self.login()
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = username
            arguments["sasl_plain_password"] = password.get_secret_value()
        return arguments

    def producer(self) -> dict[str, Any]:
        """Return keyword arguments of a producer that loses and doubles nothing: acks=all, idempotent."""
        return self.client() | {
            "acks": "all",
            "enable_idempotence": True,
            # aiokafka's lz4 is level 9: four times the time of its zstd, for twice the bytes
            "compression_type": "zstd",
            "max_request_size": 2 * MAX_RECORD_BYTES,
        }

    def _ssl_context(self) -> ssl.SSLContext:
        """Read the files; whoever connects anew takes certificates that were renewed meanwhile."""
        with _blaming("SSL_CAFILE", self.ssl_cafile):
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ssl_cafile or None)
        if self.ssl_certfile:
            # Never None: OpenSSL would ask a terminal for the password.
            password = self.ssl_keypassword.get_secret_value() if self.ssl_keypassword else ""
            with _blaming("SSL_CERTFILE", self.ssl_certfile, "SSL_KEYFILE", self.ssl_keyfile):
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile or None, password)
        return context


@contextlib.contextmanager
def _blaming(*settings: str | None) -> Iterator[None]:
    """Name settings and values in pairs where a file cannot be used: OpenSSL does not say which it was."""
    try:
        yield
    except (OSError, ValueError) as error:
        pairs = zip(settings[::2], settings[1::2], strict=True)
        named = ", ".join(f"FSWIRE_KAFKA_{name} = {value!r}" for name, value in pairs if value)
        raise FilesRefused(f"{named}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return what an error of a file or of OpenSSL says, in words and without the place in its source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def partition_of(project: str, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives a project's records."""
    hashed: int = murmur2(project.encode())
    return (hashed & 0x7FFFFFFF) % partitions
