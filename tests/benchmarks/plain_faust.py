"""The peer: a plain Faust application, one event a message, three `topic.send` for each.

It does the work of the normalizer with its functions (decode, three vocabularies), without its dedupe.
Faust commits an event when the loop comes round, so what the normalizer promises, that nothing is committed
before its outputs are acknowledged, takes `PLAIN_AWAITS=1`; without it a crash loses what was not sent yet.
Run as `python -m tests.benchmarks.plain_faust`, settings by environment.
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

SINGLES = "singles"
"""Topic of raw batches of one event."""
VOCABULARIES = (topics.DONUTWORK, topics.WATCH, topics.NOTIFY)


def make_app(kafka: KafkaSettings, web_port: int, *, awaits: bool) -> faust.App:
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
        app.topic(kafka.topic(name), key_serializer="raw", value_serializer="raw") for name in VOCABULARIES
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
            outputs = [
                (donutwork, history),
                *((watch, change) for change in changes),
                (notify, notifications),
            ]
            sent = [
                await topic.send(key=key, value=value, headers=headers) for topic, value in outputs if value
            ]
            if awaits:
                await asyncio.gather(*sent)

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
    app = make_app(kafka, int(os.environ["PLAIN_WEB_PORT"]), awaits=os.environ["PLAIN_AWAITS"] == "1")
    loop = asyncio.new_event_loop()
    faust.Worker(app, loglevel="INFO", loop=loop).execute_from_commandline()


if __name__ == "__main__":
    main()
