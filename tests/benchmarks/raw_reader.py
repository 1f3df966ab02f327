"""Prints the records of a raw topic as they come: when the broker appended each (Unix ms), and the batch.

`python -m tests.benchmarks.raw_reader BOOTSTRAP_SERVERS TOPIC`
"""

from __future__ import annotations

import asyncio
import sys

from agent.event import Batch, decode_batch


async def _print_all(bootstrap_servers: str, topic: str) -> None:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    sys.stderr.write("ready\n")
    sys.stderr.flush()
    async for record in consumer:
        sys.stdout.buffer.write(b"%d %s\n" % (record.timestamp, record.value))
        sys.stdout.buffer.flush()


def read(output: bytes) -> list[tuple[int, Batch]]:
    """Return what was printed."""
    lines = (line.partition(b" ") for line in output.splitlines())
    return [(int(appended_ms), decode_batch(value)) for appended_ms, _, value in lines]


if __name__ == "__main__":
    asyncio.run(_print_all(*sys.argv[1:]))
