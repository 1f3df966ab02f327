"""The registry: projects, names that may register themselves, keys, workflows, settings. A compacted topic.

`Registry` is a view of it in memory that follows the topic; `write` and `delete` change it for everybody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal, TypeVar

import msgspec
import structlog
from aiokafka import AIOKafkaProducer, ConsumerRecord

from agent.kafka import KafkaSettings
from agent.paths import is_project_id
from processors import topics
from processors.followed import Followed
from processors.workflow import Workflow

Kind = Literal["project", "pattern", "key", "workflow", "setting"]
Entry = TypeVar("Entry")


class Project(msgspec.Struct, frozen=True, omit_defaults=True):
    """A project that may receive events; with a hash of its ingress token where it has one."""

    id: str
    created_ns: int
    ingress_token_hash: str | None = None
    former_token_hash: str | None = None
    """Of the token before, which counts beside the new one until `former_token_until_ns`."""
    former_token_until_ns: int = 0

    def token_hashes(self, now_ns: int) -> list[str]:
        """Return the hashes of the ingress tokens that count at a moment; none: PUTs need no token."""
        former = [self.former_token_hash] if now_ns < self.former_token_until_ns else []
        return [hashed for hashed in (self.ingress_token_hash, *former) if hashed is not None]


class Pattern(msgspec.Struct, frozen=True):
    """Names that become projects on first sight, such as `etc-*` (fnmatch, case-sensitive)."""

    pattern: str
    created_ns: int


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """An api key: the hash of its secret, what it may do and on which projects (patterns)."""

    id: str
    secret_hash: str
    scopes: list[str]
    projects: list[str]
    created_ns: int
    expires_ns: int | None = None
    revoked: bool = False


RecursiveMode = Literal["ENABLED", "DISABLED_ERROR", "DISABLED_IGNORE"]


class NotifySettings(msgspec.Struct, frozen=True):
    """Settings of change notify, the same for every api process."""

    recursive_mode: RecursiveMode = "ENABLED"
    """What becomes of recursive watches: granted, refused, or taken for plain ones."""


Entries = Project | Pattern | Key | Workflow | NotifySettings
_NOTIFY = "notify"
_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Registry(Followed):
    """A view that is right up to a moment ago; `catch_up` makes it right up to now."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__(kafka, topics.REGISTRY)
        self._projects: dict[str, Project] = {}
        self._patterns: dict[str, Pattern] = {}
        self._keys: dict[str, Key] = {}
        self.projects: Mapping[str, Project] = MappingProxyType(self._projects)
        self.patterns: Mapping[str, Pattern] = MappingProxyType(self._patterns)
        self.keys: Mapping[str, Key] = MappingProxyType(self._keys)
        self._workflows: dict[str, Workflow] = {}
        self.workflows: Mapping[str, Workflow] = MappingProxyType(self._workflows)
        self._settings: dict[str, NotifySettings] = {}

    def project(self, identity: str) -> Project | None:
        """Return a registered project."""
        return self._projects.get(identity)

    def key(self, identity: str) -> Key | None:
        """Return a key, revoked and expired ones among them."""
        return self._keys.get(identity)

    def allowed(self, identity: str) -> bool:
        """Tell whether events of a project are taken: it is registered, or a pattern lets it be."""
        return identity in self._projects or (
            is_project_id(identity) and any(fnmatchcase(identity, each) for each in self._patterns)
        )

    @property
    def notify_settings(self) -> NotifySettings:
        """Return the settings of change notify."""
        return self._settings.get(_NOTIFY, NotifySettings())

    def take_record(self, record: ConsumerRecord[bytes, bytes]) -> None:
        """Fold a record in."""
        self._take(record.key, record.value)

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        try:
            kind, _, identity = (key or b"").decode().partition("/")
            if kind == "project":
                _put(self._projects, identity, value, Project)
            elif kind == "pattern":
                _put(self._patterns, identity, value, Pattern)
            elif kind == "key":
                _put(self._keys, identity, value, Key)
            elif kind == "workflow":
                _put(self._workflows, identity, value, Workflow)
            elif kind == "setting" and identity == _NOTIFY:
                _put(self._settings, identity, value, NotifySettings)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning("a record of the registry is not readable", error=str(error))


def _put(entries: dict[str, Entry], identity: str, value: bytes | None, kind: type[Entry]) -> None:
    if value:
        entries[identity] = msgspec.json.decode(value, type=kind)
    else:
        entries.pop(identity, None)


async def write(kafka: KafkaSettings, *records: Entries) -> None:
    """Write entries, new or changed, and return when all in-sync replicas have them. Raises KafkaError."""
    await _send(kafka, [(_key_of(record), _encode(record)) for record in records])


async def delete(kafka: KafkaSettings, kind: Kind, identity: str) -> None:
    """Delete an entry; one that does not exist is no error. Raises KafkaError."""
    await _send(kafka, [(f"{kind}/{identity}".encode(), None)])


def registered_now(identity: str) -> Project:
    """Return a project without a token, created at this moment."""
    return Project(identity, time.time_ns())


def _key_of(record: Entries) -> bytes:
    match record:
        case Project():
            return f"project/{record.id}".encode()
        case Pattern():
            return f"pattern/{record.pattern}".encode()
        case Key():
            return f"key/{record.id}".encode()
        case Workflow():
            return f"workflow/{record.name}".encode()
        case NotifySettings():
            return f"setting/{_NOTIFY}".encode()


async def _send(kafka: KafkaSettings, records: list[tuple[bytes, bytes | None]]) -> None:
    topic = kafka.topic(topics.REGISTRY)
    producer = AIOKafkaProducer(**kafka.producer())
    try:
        await producer.start()
        sent = [await producer.send(topic, value, key, partition=0) for key, value in records]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
