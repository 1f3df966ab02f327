"""The peer: a Quix Streams application, one event a message, the same three outputs, without a dedupe.

It does the work of the normalizer with its functions (decode, three vocabularies), and commits as Quix
Streams does by default: every 5 s, once all that was produced is acknowledged. It wants older libraries: run
by an interpreter of its own, `.venv/quix/bin/python -m tests.benchmarks.quix_peer`.
"""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application, message_context

from agent.event import decode_batch
from processors.origin import Origin
from processors.outputs import Made, make

OUTPUTS = ("donutwork", "watch", "notify")


def made(value: bytes, _key: bytes, timestamp_ms: int, _headers: object) -> tuple[Made, dict[str, str]]:
    """Return what an event becomes, and the headers of all its records."""
    batch = decode_batch(value)
    origin = Origin(batch, timestamp_ms)
    event, identity = batch.events[0], origin.event_id(batch.first_seq)
    outputs = make(origin, event, identity, batch.first_seq, late=False)
    headers = {
        "event_id": identity,
        "src": f"{message_context().offset}.0.0",
        "agent": batch.agent,
        "epoch": batch.epoch,
        "seq": str(batch.first_seq),
        "time_ns": str(event.time_ns),
        "v": str(batch.v),
    }
    return outputs, headers


def _headers_of(value: tuple[Made, dict[str, str]], *_: object) -> list[tuple[str, bytes]]:
    return [(name, text.encode()) for name, text in value[1].items()]


def main() -> None:
    """Work until SIGTERM."""
    prefix = os.environ["FSWIRE_KAFKA_TOPIC_PREFIX"]
    app = Application(
        os.environ["FSWIRE_KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group="quix-peer",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=os.environ["QUIX_STATE_DIR"],
    )
    outputs = [app.topic(prefix + name, key_serializer="bytes", value_serializer="bytes") for name in OUTPUTS]
    stream: Any = app.dataframe(
        app.topic(prefix + "singles", key_deserializer="bytes", value_deserializer="bytes")
    )
    stream = stream.apply(made, metadata=True).set_headers(_headers_of)
    donutwork, watch, notify = outputs
    stream.apply(lambda value: value[0][0]).to_topic(donutwork)
    stream.apply(lambda value: list(value[0][1]), expand=True).to_topic(watch)
    stream.apply(lambda value: value[0][2]).to_topic(notify)
    app.run()


if __name__ == "__main__":
    main()
