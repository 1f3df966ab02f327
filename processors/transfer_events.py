"""Tells a project of files that came or went: raw events, as an agent of its own.

An event's id follows from transfer and round, so that one that is told again is known as a repeat.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from hashlib import blake2b
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agent.event import VERSION, Batch, Event, Http, Previous, encode
from agent.files import filetype
from agent.kafka import KafkaSettings, partition_of
from processors import topics
from processors.transfer_digests import Sums
from processors.transfer_records import Transfer


class Told:
    """The events of one process, numbered; one batch at a time."""

    def __init__(self, kafka: KafkaSettings, producer: AIOKafkaProducer, project: str | None) -> None:
        self._topic = kafka.topic(topics.RAW)
        self._producer = producer
        self._project = project
        self._agent = f"transfers-{secrets.token_hex(8)}"
        self._epoch = secrets.token_hex(8)
        self._next_seq = 1
        self._previous: Previous | None = None
        self._sending = asyncio.Lock()

    async def came(self, transfer: Transfer, path: Path, sums: Sums) -> None:
        """Tell that a transfer's file is whole. Raises KafkaError."""
        await self._tell(await asyncio.to_thread(_created, transfer, path, sums))

    async def went(self, transfer: Transfer) -> None:
        """Tell that a transfer's file is removed. Raises KafkaError."""
        await self._tell(
            Event(
                kind="delete",
                path=f"{transfer.directory}/{transfer.file}",
                time_ns=time.time_ns(),
                source="http",
                http=_http(transfer, "deleted"),
            )
        )

    async def _tell(self, event: Event) -> None:
        project = self._project
        if project is None:
            return
        async with self._sending:
            partitions = await self._producer.partitions_for(self._topic)
            place = partition_of(project, len(partitions))
            try:
                await self._producer.send_and_wait(
                    self._topic, encode(self._batch(project, event)), project.encode(), place
                )
            except KafkaError:
                self._rotate()
                raise
            self._next_seq += 1
            self._previous = None

    def _batch(self, project: str, event: Event) -> Batch:
        return Batch(
            v=VERSION,
            project=project,
            host=socket.gethostname(),
            sent_ns=time.time_ns(),
            agent=self._agent,
            epoch=self._epoch,
            first_seq=self._next_seq,
            previous=self._previous,
            events=[event],
        )

    def _rotate(self) -> None:
        """Begin a new epoch: what became of the number that was sent last is not known."""
        if self._next_seq > 1:
            self._previous = Previous(self._epoch, self._next_seq - 1)
        self._epoch, self._next_seq = secrets.token_hex(8), 1


def _created(transfer: Transfer, path: Path, sums: Sums) -> Event:
    status = path.stat()
    return Event(
        kind="create",
        path=f"{path.parent.name}/{path.name}",
        time_ns=time.time_ns(),
        source="http",
        size=status.st_size,
        filetype=filetype(path.name.encode(), status.st_mode),
        mtime_ns=status.st_mtime_ns,
        sha256=sums.sha256,
        hash_status="ok",
        http=_http(transfer, "created"),
    )


def _http(transfer: Transfer, event: str) -> Http:
    told = f"{transfer.id}\0{transfer.round}\0{transfer.directory}\0{event}".encode()
    identity = "evt_" + blake2b(told, digest_size=16).hexdigest()
    return Http(event_id=identity, content=identity, event=event, key_id=transfer.key_id)
