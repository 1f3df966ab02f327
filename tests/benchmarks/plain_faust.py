"""The peer: a plain Faust application, one event a message, three `topic.send` for each.

It does the normalizer's work with the normalizer's functions (decode, three vocabularies, headers), without
its dedupe. Run as `python -m tests.benchmarks.plain_faust`, settings by environment.
"""

from __future__ import annotations

import asyncio
import os

import faust

from agent.event import Batch, decode_batch
from agent.kafka import KafkaSettings
from processors import topics
from processors.origin import Origin
from processors.outputs import make

SINGLES = "plain-singles"
"""Topic of raw batches of one event."""
VOCABULARIES = (topics.DONUTWORK, topics.WATCH, topics.NOTIFY)
PREFIX = "plain."
"""What the peer's output topics start with, so that they are its own."""


def make_app(kafka: KafkaSettings, web_port: int) -> faust.App:
    """Return the application, with the defaults that a first Faust program has."""
    app = faust.App(
        "plain-faust",
        broker=f"aiokafka://{kafka.bootstrap_servers}",
        web_port=web_port,
        topic_disable_leader=True,
        store="memory://",
        autodiscover=False,
    )
    singles = app.topic(kafka.topic(SINGLES), key_serializer="raw", value_serializer="raw")
    donutwork, watch, notify = (
        app.topic(PREFIX + name, key_serializer="raw", value_serializer="raw") for name in VOCABULARIES
    )

    @app.agent(singles, name="normalize")  # type: ignore[untyped-decorator]
    async def normalize(stream: faust.StreamT[bytes]) -> None:
        async for message in stream.events():
            batch = decode_batch(message.value)
            origin = Origin(batch, int(message.message.timestamp * 1000))
            event, identity = batch.events[0], origin.event_id(batch.first_seq)
            key = batch.project.encode()
            history, changes, notifications = make(origin, event, identity, batch.first_seq, late=False)
            headers = _headers(batch, identity, message.message.offset)
            if history:
                await donutwork.send(key=key, value=history, headers=headers)
            for change in changes:
                await watch.send(key=key, value=change, headers=headers)
            if notifications:
                await notify.send(key=key, value=notifications, headers=headers)

    return app


def _headers(batch: Batch, identity: str, offset: int) -> list[tuple[str, bytes]]:
    values = {
        "event_id": identity,
        "src": f"{offset}.0.0",
        "agent": batch.agent,
        "epoch": batch.epoch,
        "seq": batch.first_seq,
        "time_ns": batch.events[0].time_ns,
        "v": batch.v,
    }
    return [(name, str(value).encode()) for name, value in values.items()]


def main() -> None:
    """Work until SIGTERM."""
    kafka = KafkaSettings()
    app = make_app(kafka, int(os.environ["PLAIN_WEB_PORT"]))
    loop = asyncio.new_event_loop()
    faust.Worker(app, loglevel="INFO", loop=loop).execute_from_commandline()


if __name__ == "__main__":
    main()
