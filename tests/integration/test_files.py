"""Known files through a real worker: what `fswire.files` holds, duplicates, and what survives crashes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from agent.event import Event, Http, Reply
from agent.kafka import KafkaSettings
from processors import tree
from tests.integration.normalizing import (
    PARTITIONS,
    deduplicated,
    header,
    make_topics,
    read_until,
    shown,
    worker,
    write,
)
from tests.integration.raw_topic import batch_of

pytestmark = pytest.mark.stack
A, B = "a" * 64, "b" * 64
PROJECT = "known"


def written(path: str, sha256: str) -> Event:
    return Event("closeWrite", path, time.time_ns(), sha256=sha256, size=1, mtime_ns=1, written=True)


def put(path: str, sha256: str, identity: str) -> Event:
    http = Http(identity, identity, "modified", reply=Reply(identity, 0))
    return Event("closeWrite", path, time.time_ns(), source="http", sha256=sha256, written=True, http=http)


def renamed(path: str, to: str, *, is_dir: bool) -> Event:
    return Event("rename", path, time.time_ns(), renamed_to=to, moved="within", is_dir=is_dir)


def history(own: KafkaSettings, count: int) -> list[Any]:
    records = read_until(own, "donutwork", lambda found: len(deduplicated(found)) >= count)
    return [shown(each) for each in deduplicated(records)]


def files(own: KafkaSettings, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the last value of each path that has one, as soon as it is enough."""
    held: dict[str, Any] = {}

    def known(records: list[Any]) -> bool:
        held.clear()
        for each in records:
            assert header(each, "src")
            held[each.key.partition(b"\0")[2].decode()] = shown(each)
        return enough({path: value for path, value in held.items() if value})

    read_until(own, "files", known)
    return {path: value for path, value in held.items() if value}


def test_content_that_is_there_already_is_a_duplicate(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Whoever reports it, an agent, another agent or a client over HTTP; a change back is none."""
    own = make_topics(kafka, PROJECT)
    write(
        own,
        (PROJECT, batch_of(PROJECT, 1, written("f", A), written("f", A), renamed("f", "g", is_dir=False))),
    )
    write(own, (PROJECT, batch_of(PROJECT, 1, written("g", A), written("g", B), agent="agt_2")))
    write(own, (PROJECT, batch_of(PROJECT, 1, put("g", B, "id-1"), put("g", A, "id-2"), agent="api-1")))

    with worker(own, tmp_path):
        found = history(own, 7)
        known = files(own, lambda held: held.get("g", {}).get("eventId") == "id-2")

    assert [each.get("duplicate", False) for each in found] == [False, True, False, True, False, True, False]
    assert {path: value["sha256"] for path, value in known.items()} == {"g": A}


@pytest.mark.parametrize("kept", [True, False], ids=["its own disk", "an empty disk"])
def test_known_files_survive_the_death_of_a_worker(kafka: KafkaSettings, tmp_path: Path, kept: bool) -> None:
    """Content is remembered by the next worker too, on a disk of its own or not."""
    own = make_topics(kafka, PROJECT)
    paths = [f"d/f{number}" for number in range(300)]
    write(own, (PROJECT, batch_of(PROJECT, 1, *(written(path, A) for path in paths))))
    with worker(own, tmp_path) as process:
        history(own, 300)
        process.end(signal.SIGKILL)

    write(own, (PROJECT, batch_of(PROJECT, 301, *(written(path, A) for path in paths), written(paths[0], B))))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with worker(own, tmp_path if kept else elsewhere):
        found = history(own, 601)

    assert [each.get("duplicate", False) for each in found] == [False] * 300 + [True] * 300 + [False]


def test_renamed_directory_takes_its_files_along(kafka: KafkaSettings, tmp_path: Path) -> None:
    """However many there are, and though the worker is killed while it re-keys them."""
    own, count = make_topics(kafka, PROJECT), 20 * tree.AT_ONCE
    per = 500
    for first in range(0, count, per):
        write(
            own,
            (
                PROJECT,
                batch_of(
                    PROJECT,
                    first + 1,
                    *(written(f"old/f{nth}", A) for nth in range(first, min(first + per, count))),
                ),
            ),
        )
    write(
        own, (PROJECT, batch_of(PROJECT, count + 1, renamed("old", "new", is_dir=True), written("new/f7", A)))
    )
    with worker(own, tmp_path) as process:
        history(own, count + 2)
        process.end(signal.SIGKILL)

    write(own, (PROJECT, batch_of(PROJECT, count + 3, written("new/f9", A), written("old/f9", A))))
    with worker(own, tmp_path):
        found = history(own, count + 4)
        known = files(own, lambda held: "old/f9" in held and len(held) == count + 2)

    last = [each.get("duplicate", False) for each in found[-4:]]
    assert last == [False, True, True, False]
    assert set(known) == {"new", "old/f9"} | {f"new/f{nth}" for nth in range(count)}
    assert all(value["path"] == path for path, value in known.items())


def test_reset_offset_of_the_group_makes_nothing_forget(kafka: KafkaSettings, tmp_path: Path) -> None:
    """The state itself tells where the last chunk lies: what was known before it stays known."""
    own, paths = make_topics(kafka, PROJECT), ("f", "g", "h")
    with worker(own, tmp_path) as process:
        for seq, path in enumerate(paths, 1):
            write(own, (PROJECT, batch_of(PROJECT, seq, written(path, A))))
            history(own, seq)
        files(own, lambda held: set(held) == set(paths))
        process.end(signal.SIGTERM)
    asyncio.run(reset_offsets(own))

    write(own, (PROJECT, batch_of(PROJECT, 4, *(written(path, A) for path in paths))))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with worker(own, elsewhere):
        found = history(own, 6)

    assert [each.get("duplicate", False) for each in found] == [False] * 3 + [True] * 3


async def reset_offsets(own: KafkaSettings) -> None:
    group = own.topic_prefix + "normalize"
    consumer = AIOKafkaConsumer(**own.client(), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(own.topic("raw"), number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, 0))
    finally:
        await consumer.stop()
