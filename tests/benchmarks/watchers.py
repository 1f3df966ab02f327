"""The watchers that are compared: how each is started on a ground, and what it has told of a storm."""

from __future__ import annotations

import asyncio
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agent.event import Event
from agent.kafka import KafkaSettings
from tests.benchmarks import peers, raw_reader, told
from tests.benchmarks.told import Said
from tests.benchmarks.topic_load import create
from tests.storms import tree
from tests.storms.ground import Ground
from tests.storms.history import SENTINEL
from tests.storms.watcher import FSWIRE, Watcher, agent, events

LOG_APPEND = {"message.timestamp.type": "LogAppendTime"}
_UNHASHED = "0"


class Account(NamedTuple):
    """What a watcher told of a storm, and whether that adds up to the tree on disk."""

    said: list[Said]
    right: bool


class Candidate(NamedTuple):
    """A watcher; `start` takes a ground and a directory for its files."""

    name: str
    start: Callable[[Ground, Path], AbstractContextManager[Watcher]]
    account: Callable[[Ground, bytes], Account]


def all_of(kafka: KafkaSettings) -> Iterator[Candidate]:
    """Yield the agent and the peers that this machine has."""
    yield Candidate("fswire agent, to the broker", partial(to_broker, kafka), _of_records)
    yield Candidate("fswire agent --stdout", partial(_to_stdout, "false"), _of_lines)
    yield Candidate("fswire agent --stdout, who did it", partial(_to_stdout, "true"), _of_lines)
    for name in peers.READY:
        if name != "inotifywait" or shutil.which(name):
            yield Candidate(name, partial(_peer, name), partial(_of_peer, name))


@contextmanager
def to_broker(kafka: KafkaSettings, ground: Ground, directory: Path) -> Iterator[Watcher]:
    """Run an agent that publishes; a reader in a process of its own prints what has arrived."""
    own = kafka.model_copy(update={"topic_prefix": f"{uuid.uuid4().hex}."})
    asyncio.run(create(own, own.topic("raw"), own.topic("registry"), configs=LOG_APPEND))
    reader = [sys.executable, "-m", "tests.benchmarks.raw_reader", own.bootstrap_servers, own.topic("raw")]
    env = {
        "FSWIRE_KAFKA_BOOTSTRAP_SERVERS": own.bootstrap_servers,
        "FSWIRE_KAFKA_TOPIC_PREFIX": own.topic_prefix,
        "FSWIRE_AGENT_STATE_DIR": str(directory / "state"),
        "FSWIRE_AGENT_MAX_HASH_BYTES": _UNHASHED,
        "FSWIRE_AGENT_ACTORS": "false",
    }
    command = [FSWIRE, "agent", str(ground.root), "--project", "storm"]
    (directory / "reader").mkdir()
    with (
        Watcher(reader, directory / "reader", "ready") as records,
        Watcher(command, directory, '"started"', env) as watcher,
    ):
        watcher.output = records.output
        yield watcher


def _to_stdout(actors: str, ground: Ground, directory: Path) -> Watcher:
    return agent(ground, directory, "inotify", max_hash_bytes=_UNHASHED, actors=actors)


def _peer(name: str, ground: Ground, directory: Path) -> Watcher:
    return Watcher(peers.command(name, ground.root), directory, peers.READY[name])


def _of_records(ground: Ground, output: bytes) -> Account:
    return _of_events(ground, [event for _, batch in raw_reader.read(output) for event in batch.events])


def _of_lines(ground: Ground, output: bytes) -> Account:
    return _of_events(ground, events(output))


def _of_events(ground: Ground, said: list[Event]) -> Account:
    """Take the agent at its word: kinds and permission bits have to be right too, and every step possible."""
    try:
        found = tree.replay(said)
    except tree.Contradiction:
        return Account(list(told.of_events(said)), right=False)
    wanted = {path: entry[:2] for path, entry in tree.on_disk(ground.root).items()}
    return Account(list(told.of_events(said)), {path: entry[:2] for path, entry in found.items()} == wanted)


def _of_peer(name: str, ground: Ground, output: bytes) -> Account:
    said = peers.said(name, output, ground.root)
    wanted = {path for path in tree.on_disk(ground.root) if not path.startswith(SENTINEL)}
    return Account(said, told.tree(said) == wanted)
