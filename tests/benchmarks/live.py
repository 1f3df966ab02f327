"""Change notify: from a file's change to a subscriber, beside inotifywait; thousands of streams at once."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec
from aiokafka import AIOKafkaProducer

from agent.kafka import KafkaSettings, partition_of
from processors import topics
from tests.benchmarks.parts import peak_mb_of
from tests.benchmarks.steady import Seen, await_all, change, warm
from tests.benchmarks.table import percentile, show
from tests.integration import running

CHANGES_PER_S = 200
CHANGE_S = 20
STREAMS = 5_000
DIRECTORIES = 500
EVENTS_PER_S = 2_000
EVENT_S = 20
LINGER_MS = 5
PATIENCE_S = 60
PROJECT = "live"


def run(directory: Path) -> None:
    """Start the whole system, measure both, and print a table of each."""
    tree = directory / "tree"
    tree.mkdir()
    for number in range(DIRECTORIES):
        (tree / f"d{number}").mkdir()
    with running.up(directory / "data", f"{PROJECT}={tree}", "--port", "0") as up:
        up.ready()
        stack = running.Stack(up, up.endpoint(), tree, PROJECT)
        stack.await_rows(f"SELECT count() FROM files FINAL WHERE project_id = '{PROJECT}'", DIRECTORIES)
        rows = _from_the_file(stack, tree / "d0")
        show(f"a file's change, {CHANGES_PER_S}/s, to …, milliseconds", ("to", "changes", "p50", "p99"), rows)
        taken, memory_mb = _from_the_topic(stack)
        up.stop()
    show(
        f"{STREAMS:,} streams on {DIRECTORIES} directories, {EVENTS_PER_S:,} events/s, milliseconds",
        ("from the record's sending to", "deliveries", "p50", "p99", "longest", "api's peak, MB"),
        [("a stream", len(taken), percentile(taken, 0.5), percentile(taken, 0.99), max(taken), memory_mb)],
    )


def _from_the_file(stack: running.Stack, tree: Path) -> list[tuple[object, ...]]:
    ends: dict[str, Seen] = {"a change-notify stream": {}}
    with _notified(stack, tree, ends["a change-notify stream"]):
        if shutil.which("inotifywait") is None:
            return _measured(tree, ends)
        ends["inotifywait"] = {}
        with _inotifywait(tree, ends["inotifywait"]):
            return _measured(tree, ends)


def _measured(tree: Path, ends: dict[str, Seen]) -> list[tuple[object, ...]]:
    warm(tree, lambda: all("warm" in seen for seen in ends.values()))
    changed = change(tree, CHANGES_PER_S, CHANGE_S)
    await_all(lambda: all(changed.keys() <= seen.keys() for seen in ends.values()))
    rows: list[tuple[object, ...]] = []
    for name, seen in ends.items():
        took_ms = [(seen[path] - at) * 1000 for path, at in changed.items()]
        rows.append((name, len(took_ms), percentile(took_ms, 0.5), percentile(took_ms, 0.99)))
    return rows


@contextmanager
def _notified(stack: running.Stack, tree: Path, seen: Seen) -> Iterator[None]:
    url = urlsplit(stack.api)
    connection = http.client.HTTPConnection(url.hostname or "", url.port)
    target = f"/v1/files/{quote(f'/{PROJECT}/{tree.name}', safe='')}/notify"
    query = "?filter=child_data_written,child_file_added"
    connection.request("GET", target + query, headers={"Authorization": f"Bearer {stack.admin_key}"})
    answer = connection.getresponse()

    def read() -> None:
        for line in answer:
            now = time.perf_counter()
            if line.startswith(b"data: "):
                for each in json.loads(line.removeprefix(b"data: ")):
                    seen.setdefault(each["path"], now)

    threading.Thread(target=read, daemon=True).start()
    yield


@contextmanager
def _inotifywait(tree: Path, seen: Seen) -> Iterator[None]:
    command = ["inotifywait", "-m", "-q", "-e", "close_write", "--format", "%f", str(tree)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                seen.setdefault(line.decode().rstrip("\n"), time.perf_counter())

        threading.Thread(target=read, daemon=True).start()
        yield
        process.terminate()


def _from_the_topic(stack: running.Stack) -> tuple[list[float], float]:
    """Return how long each delivery took, in milliseconds, and the api's peak of memory."""
    api = stack.up.part("api")
    url = urlsplit(stack.api)
    asked = {
        "host": url.hostname,
        "port": url.port,
        "key": stack.admin_key,
        "streams": STREAMS,
        "deliveries": EVENTS_PER_S * EVENT_S * STREAMS // DIRECTORIES,
        "directories": [f"/{PROJECT}/d{number}" for number in range(DIRECTORIES)],
    }
    command = [sys.executable, "-m", "tests.benchmarks.live_subscribers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as readers:
        assert readers.stdin is not None
        assert readers.stdout is not None
        readers.stdin.write(json.dumps(asked).encode() + b"\n")
        readers.stdin.flush()
        if readers.stdout.readline() != b"begun\n":
            raise RuntimeError("the streams did not begin")
        sent = asyncio.run(_send(stack.kafka))
        giving_up = threading.Timer(PATIENCE_S, readers.stdin.close)
        giving_up.start()
        arrived: list[tuple[int, float]] = msgspec.json.decode(readers.stdout.read())
        giving_up.cancel()
    if len(arrived) != asked["deliveries"]:
        raise RuntimeError(f"{len(arrived)} deliveries of {asked['deliveries']}")
    return [(at - sent[number]) * 1000 for number, at in arrived], peak_mb_of(api)


async def _send(kafka: KafkaSettings) -> list[float]:
    """Write events of all directories in turn at a steady rate; return when each was handed over.

    Those of some milliseconds are one batch, as those of a chunk of the normalizer are.
    """
    sent: list[float] = []
    async with AIOKafkaProducer(**kafka.producer() | {"linger_ms": LINGER_MS}) as producer:
        topic = kafka.topic(topics.NOTIFY)
        partition = partition_of(PROJECT, len(await producer.partitions_for(topic)))
        began = time.monotonic()
        pending: list[asyncio.Future[object]] = []
        for number in range(EVENTS_PER_S * EVENT_S):
            await asyncio.sleep(max(0.0, began + number / EVENTS_PER_S - time.monotonic()))
            sent.append(time.monotonic())
            headers = [("src", b"%d.0.0" % (10**12 + number))]
            value = _event(number)
            pending.append(await producer.send(topic, value, PROJECT.encode(), partition, headers=headers))
        await asyncio.gather(*pending)
    return sent


def _event(number: int) -> bytes:
    path = f"/{PROJECT}/d{number % DIRECTORIES}/e{number}"
    spine = ["2", "10921", "14399369411861420382", "9423488711662896282"]
    return msgspec.json.encode(
        [{"type": "child_file_added", "path": path, "spine": spine, "stream_name": None}]
    )
