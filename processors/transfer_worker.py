"""`fswire transfers`: fetches what `fswire.transfers` has queued, one process of a fleet at a time.

In: the states of all transfers. Out: files below the root, and reports to the sequencer. What was under way
when a process ended is taken up by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Collection

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from agent import log
from agent.hash_rate import HashRate
from agent.kafka import KafkaSettings
from processors import broker, topics, transfer_commands
from processors.producers import connect
from processors.targets import TargetSettings
from processors.transfer_commands import Command
from processors.transfer_events import Told
from processors.transfer_records import Marks, Transfer
from processors.transfer_root import Root, RootRefused
from processors.transfer_round import Round, Tools
from processors.transfer_settings import TransferSettings
from processors.transfer_view import View

TOPICS = (topics.TRANSFER_COMMANDS, topics.TRANSFERS, topics.RAW)
_OPEN = ("queued", "running")
_BACK_OFF_S = 1.0
_POLL_MS = 1_000
_STOP_S = 5.0
_AGAIN_S = 5.0
"""Pause after what no try foresees, such as a broker that is away."""
_log = structlog.get_logger()


class TransferWorker:
    """Owns the rounds that are under way; `run` until cancelled."""

    def __init__(self, kafka: KafkaSettings, settings: TransferSettings, root: Root) -> None:
        self._kafka = kafka
        self._settings = settings
        self._root = root
        self._topic = kafka.topic(topics.TRANSFER_COMMANDS)
        self._view = View(kafka, self._told)
        self._slots = asyncio.Semaphore(settings.at_once)
        self._rounds: dict[int, tuple[Round, asyncio.Task[None]]] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._removed: list[Transfer] = []
        self._producer: AIOKafkaProducer | None = None
        self._tools: Tools | None = None
        self._owner = False

    async def run(self) -> None:
        """Connect, join the group, and fetch."""
        async with contextlib.AsyncExitStack() as held:
            self._producer = producer = await connect(self._kafka)
            held.push_async_callback(producer.stop)
            held.push_async_callback(self._end_all)
            self._tools = self._made_tools(producer)
            await self._view.start()
            held.push_async_callback(self._view.stop)
            consumer = self._new_consumer()
            held.push_async_callback(consumer.stop)
            await consumer.start()
            consumer.subscribe([self._kafka.topic(topics.TRANSFERS)], listener=_Listener(self, consumer))
            _log.info("started", root=str(self._root.path), project=self._settings.project)
            while True:  # nothing is fetched: whoever asks is still a member
                try:
                    await consumer.getmany(timeout_ms=_POLL_MS)
                except KafkaError as error:
                    _log.warning("the group cannot be reached, trying again", error=repr(error))
                    await asyncio.sleep(_BACK_OFF_S)

    async def owns(self, owner: bool) -> None:
        """Begin what is open, or end what is under way: another has it."""
        self._owner = owner
        if not owner:
            await self._end_rounds()
            return
        await self._view.catch_up()
        rows = self._view.transfers.rows
        self._root.sweep({row.directory for row in rows.values()})
        removed, self._removed = self._removed, []
        for before in removed:
            self._remove(before)
        for identity in sorted(rows, key=lambda identity: (rows[identity].phase != "running", identity)):
            self._begin(rows[identity])

    def _told(self, identity: int, now: Transfer | None, marks: Marks) -> None:
        """React to a record: end what is void, begin what is open, remove what is deleted."""
        going = self._rounds.get(identity)
        if going is not None and (now is None or now.round != going[0].number or self._is_others(now)):
            going[1].cancel()
        if now is None and marks.before is not None:
            if self._owner:
                self._remove(marks.before)
            else:
                self._removed.append(marks.before)
        elif now is not None and now.phase == "queued" and self._owner:
            self._begin(now)

    def _is_others(self, now: Transfer) -> bool:
        return self._tools is not None and now.worker not in ("", self._tools.worker)

    def _begin(self, transfer: Transfer) -> None:
        if transfer.phase not in _OPEN or self._tools is None:
            return
        going = self._rounds.get(transfer.id)
        if going is not None and going[0].number == transfer.round and not going[1].done():
            return
        before = going[1] if going is not None else None
        round_ = Round(transfer, self._tools)
        task = asyncio.create_task(self._carry_out(round_, before), name=f"transfer {transfer.id}")
        self._rounds[transfer.id] = (round_, task)
        task.add_done_callback(lambda done: self._ended(transfer.id, done))

    async def _carry_out(self, round_: Round, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        async with self._slots:
            await round_.carry_out()

    def _ended(self, identity: int, task: asyncio.Task[None]) -> None:
        if (going := self._rounds.get(identity)) is not None and going[1] is task:
            del self._rounds[identity]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.warning("a transfer was interrupted, trying again", transfer=identity, exc_info=error)
            asyncio.get_running_loop().call_later(_AGAIN_S, self._again, identity)

    def _again(self, identity: int) -> None:
        now = self._view.transfers.rows.get(identity)
        if now is not None and self._owner:
            self._begin(now)

    def _remove(self, before: Transfer) -> None:
        going = self._rounds.get(before.id)
        task = asyncio.create_task(self._removing(before, going[1] if going is not None else None))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _removing(self, before: Transfer, going: asyncio.Task[None] | None) -> None:
        """Remove a deleted transfer's files, once nobody writes to them any more."""
        if going is not None:
            await asyncio.wait([going])
        if not self._root.has(before.directory):
            return
        try:
            if before.phase == "complete" and self._tools is not None:
                await self._tools.told.went(before)
            await asyncio.to_thread(self._root.remove, before.directory, before.file)
        except (KafkaError, OSError, ValueError) as error:
            _log.error("files of a deleted transfer are left", directory=before.directory, error=repr(error))

    async def _send(self, command: Command) -> None:
        """Append a command; insists until the broker has it."""
        producer = self._producer
        assert producer is not None
        while True:
            try:
                await producer.send_and_wait(self._topic, transfer_commands.encode(command), partition=0)
            except KafkaError as error:
                _log.warning("a report was not taken, trying again", error=repr(error))
                await asyncio.sleep(_BACK_OFF_S)
            else:
                return

    async def _end_rounds(self) -> None:
        tasks = [task for _, task in self._rounds.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _end_all(self) -> None:
        self._owner = False
        await self._end_rounds()
        if self._removals:
            await asyncio.wait(self._removals)

    def _made_tools(self, producer: AIOKafkaProducer) -> Tools:
        return Tools(
            worker=secrets.token_hex(8),
            settings=self._settings,
            root=self._root,
            view=self._view,
            rate=HashRate(self._settings.bytes_per_second),
            told=Told(self._kafka, producer, self._settings.project),
            send=self._send,
            allow_private=TargetSettings().allow_private_targets,
        )

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.client(),
            group_id=self._settings.group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=6_000,
            rebalance_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """The group is for ownership alone: its consumer reads nothing."""

    def __init__(self, worker: TransferWorker, consumer: AIOKafkaConsumer) -> None:
        self._worker = worker
        self._consumer = consumer

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called after every rebalance."""
        self._consumer.pause(*assigned)
        if assigned:
            await self._worker.owns(True)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Called before every rebalance."""
        if revoked:
            await self._worker.owns(False)


async def _run(kafka: KafkaSettings, settings: TransferSettings, root: Root) -> None:
    signalled = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, signalled.set)
    working = asyncio.create_task(_work(kafka, settings, root))
    waiting = asyncio.create_task(signalled.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        await working
    working.cancel()
    _, late = await asyncio.wait((working,), timeout=_STOP_S)
    if late:  # a server that says nothing holds a thread; what was fetched is there for the next process
        _log.info("stopped")
        sys.stderr.flush()
        os._exit(0)


async def _work(kafka: KafkaSettings, settings: TransferSettings, root: Root) -> None:
    await broker.await_topics(kafka, [kafka.topic(name) for name in TOPICS])
    while True:
        try:
            await TransferWorker(kafka, settings, root).run()
        except KafkaError as error:
            _log.warning("the broker cannot be used, trying again", error=repr(error))
            await asyncio.sleep(_BACK_OFF_S)


def main() -> int:
    """Run one worker until SIGTERM or SIGINT; return its exit status."""
    settings, kafka = TransferSettings(), KafkaSettings()
    log.configure("transfers", level=settings.log_level)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters of it is said once, here
    try:
        root = Root(settings.root)
    except RootRefused as error:
        sys.stderr.write(f"fswire transfers: {error}\n")
        return 1
    with contextlib.closing(root):
        asyncio.run(_run(kafka, settings, root))
    _log.info("stopped")
    return 0
