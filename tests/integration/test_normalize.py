"""Raw batches through a real worker and a real broker: what comes out, and what survives its death."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import MessageSizeTooLargeError

from agent.event import Event, Http, Reply
from agent.kafka import KafkaSettings, partition_of
from processors import registry, tail, topics_apply
from tests.integration.normalizing import (
    AWAIT_S,
    PARTITIONS,
    Worker,
    deduplicated,
    header,
    make_topics,
    read_count,
    read_until,
    shown,
    worker,
    write,
)
from tests.integration.raw_topic import batch_of

pytestmark = pytest.mark.stack


def created(path: str) -> Event:
    return Event(kind="create", path=path, time_ns=time.time_ns())


def put(identity: str, content: str, reply: str) -> Event:
    http = Http(identity, content, "modified", reply=Reply(reply, 2))
    return Event("closeWrite", "put.txt", time.time_ns(), source="http", written=True, http=http)


@pytest.fixture(scope="module")
def own(kafka: KafkaSettings) -> KafkaSettings:
    return make_topics(kafka, "tests", "http", "bad", "watched")


@pytest.fixture(scope="module")
def running(own: KafkaSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with worker(own, tmp_path_factory.mktemp("worker")) as process:
        yield process


def of(project: str, records: list[Any]) -> list[Any]:
    return [record for record in records if record.key == project.encode()]


def test_batch_becomes_records_in_every_vocabulary(own: KafkaSettings, running: Worker) -> None:
    """Every topic has the event under one id, in the raw record's partition, with its headers."""
    modified = Event("closeWrite", "b", time.time_ns(), written=True, changed=["data", "size"])
    write(own, ("tests", batch_of("tests", 1, created("a"), modified)))

    found = {
        name: read_until(own, name, lambda records, least=least: len(of("tests", records)) >= least)
        for name, least in (("donutwork", 2), ("watch", 3), ("notify", 2))
    }

    assert [shown(each)["event"] for each in of("tests", found["donutwork"])] == ["created", "modified"]
    assert [shown(each)["kind"] for each in of("tests", found["watch"])] == ["create", "modify", "closeWrite"]
    assert [[one["type"] for one in shown(each)] for each in of("tests", found["notify"])] == [
        ["child_file_added"],
        ["child_data_written", "child_size_changed"],
    ]
    for records in found.values():
        assert {each.partition for each in of("tests", records)} == {partition_of("tests", PARTITIONS)}
        ids = dict.fromkeys(header(each, "event_id") for each in of("tests", records))
        assert list(ids) == [shown(each)["eventId"] for each in of("tests", found["donutwork"])]


def test_http_event_is_decided(own: KafkaSettings, running: Worker) -> None:
    """New, repeated, in conflict: each is answered on the partition that was asked for."""
    for seq, (content, reply) in enumerate((("c", "r1"), ("c", "r2"), ("d", "r3")), 1):
        write(own, ("http", batch_of("http", seq, put("id-1", content, reply), agent="api-1")))

    outcomes = read_count(own, "outcomes", 3)

    assert {each.partition for each in outcomes} == {2}
    assert [(each.key, shown(each)["decision"]) for each in outcomes] == [
        (b"r1", "inserted"),
        (b"r2", "repeated"),
        (b"r3", "conflict"),
    ]
    history = read_until(own, "donutwork", lambda records: bool(of("http", records)))
    assert [header(each, "event_id") for each in of("http", history)] == ["id-1"]


def test_bad_records_are_parked_and_stop_nothing(own: KafkaSettings, running: Worker) -> None:
    """No JSON, half a batch, another version or place, 10 MB: parked or refused; the rest goes on."""
    good = batch_of("bad", 1, created("a"))
    half = json.dumps({"v": 1, "project": "bad"}).encode()[:-5]
    elsewhere = next(
        f"n{number}" for number in range(99) if partition_of(f"n{number}", 4) != partition_of("bad", 4)
    )
    write(
        own,
        ("bad", b"no json"),
        ("bad", half),
        ("bad", b'{"v":2}'),
        ("bad", b"\xff\xfe"),
        ("bad", batch_of(elsewhere, 1, created("a"))),
        ("bad", good),
    )
    with pytest.raises(MessageSizeTooLargeError):
        write(own, ("bad", b"\0" * 10_000_000))

    letters = [
        each for each in map(shown, read_count(own, "dead-letters", 5)) if "unknown" not in each["reason"]
    ]
    history = read_until(own, "donutwork", lambda records: bool(of("bad", records)))

    assert Counter(each["reason"] for each in letters) == {
        "not_json": 3,
        "wrong_version": 1,
        "wrong_partition": 1,
    }
    assert [shown(each)["filename"] for each in of("bad", history)] == ["a"]


def test_projects_register_by_pattern_alone(own: KafkaSettings, running: Worker) -> None:
    """A name that a pattern allows is taken and registered; another is parked."""
    write(
        own,
        ("allowed-1", batch_of("allowed-1", 1, created("a"))),
        ("strange", batch_of("strange", 1, created("a"))),
    )

    read_until(own, "donutwork", lambda records: bool(of("allowed-1", records)))
    letters = read_until(
        own,
        "dead-letters",
        lambda records: any(shown(each)["reason"] == "unknown_project" for each in records),
    )

    async def registered() -> set[str]:
        view = registry.Registry(own)
        await view.start()
        await view.stop()
        return set(view.projects)

    assert "allowed-1" in asyncio.run(registered())
    assert "strange" in "".join(shown(each)["detail"] for each in letters)


def test_heartbeat_is_kept_and_shown(own: KafkaSettings, running: Worker) -> None:
    """A batch without events is its agent's last sign of life: a record, and a metric of the worker."""
    write(own, ("tests", batch_of("tests", 1, agent="agt_alive")))

    records = read_until(
        own, "agents", lambda records: any(each.key == b"agt_alive/tests" for each in records)
    )

    assert shown(records[-1])["projectId"] == "tests"
    running.await_text('{agent="agt_alive",project="tests"}', running.metrics)


def test_silent_agent_is_shown_by_the_next_worker(kafka: KafkaSettings, tmp_path: Path) -> None:
    """An agent that fell silent before the worker was restarted still stands out."""
    own = make_topics(kafka, "tests")
    series = 'fswire_agent_last_seen_timestamp_seconds{agent="agt_gone",project="tests"}'
    with worker(own, tmp_path) as running:

        def page() -> str:
            try:
                return running.metrics()
            except httpx2.TransportError:  # it is not up yet
                return ""

        write(own, ("tests", batch_of("tests", 1, agent="agt_gone")))
        running.await_text(series, page)
        running.end(signal.SIGTERM)
        running.start()

        running.await_text(series, page)


def test_tail_follows_from_now_on(own: KafkaSettings, running: Worker) -> None:
    """A follower of one project sees what comes after it began, of that project alone."""

    async def follow() -> list[str]:
        names: list[str] = []
        arrived = asyncio.Event()

        async def collect() -> None:
            async for value in tail.follow(own, "donutwork", "watched"):
                names.append(json.loads(value)["filename"])
                arrived.set()

        following = asyncio.create_task(collect())
        async with asyncio.timeout(AWAIT_S):
            seq = 0
            while not arrived.is_set():
                seq += 1
                await asyncio.to_thread(write, own, ("watched", batch_of("watched", seq, created(f"f{seq}"))))
            while names[-1] != f"f{seq}":
                arrived.clear()
                await arrived.wait()
        following.cancel()
        await asyncio.wait([following])
        return names

    names = asyncio.run(follow())

    assert names == [f"f{number}" for number in range(int(names[0][1:]), int(names[-1][1:]) + 1)]


def test_worker_that_is_killed_loses_and_doubles_nothing(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Killed in the middle, again and again: each event has its records once repeats are dropped by `src`."""
    own, total, per = make_topics(kafka, "p0", "p1", "p2"), 12_000, 20
    batches = [
        (
            f"p{number % 3}",
            batch_of(f"p{number % 3}", 1 + number // 3 * per, *(created(f"f{each}") for each in range(per))),
        )
        for number in range(total // per)
    ]
    write(own, *batches)

    for count in (1, total // 3, total // 2):
        with worker(own, tmp_path) as process:
            read_count(own, "donutwork", count)
            process.end(signal.SIGKILL)
    with worker(own, tmp_path) as process:
        found = {name: _whole(own, name, total) for name in ("donutwork", "watch", "notify")}
        status = process.end(signal.SIGTERM)

    for records in found.values():
        counted = Counter((each.key, header(each, "seq")) for each in deduplicated(records))
        assert len(counted) == total
        assert set(counted.values()) == {1}
    assert status == 0, process.said()


def _whole(own: KafkaSettings, topic: str, total: int) -> list[Any]:
    return read_until(
        own, topic, lambda records: len({(each.key, header(each, "seq")) for each in records}) == total
    )


def test_expired_offsets_become_a_gap(kafka: KafkaSettings, tmp_path: Path) -> None:
    """What is gone before it was read is announced to every project known there, and reading goes on."""
    own = make_topics(kafka, "p")
    raw = TopicPartition(own.topic("raw"), partition_of("p", PARTITIONS))
    write(own, ("p", batch_of("p", 1, created("a"))))
    with worker(own, tmp_path) as process:
        read_count(own, "donutwork", 1)
        assert process.end(signal.SIGTERM) == 0

    write(own, *(("p", batch_of("p", 2 + number, created("lost"))) for number in range(3)))
    _delete_before(own, raw, 4)
    write(own, ("p", batch_of("p", 5, created("b"))))
    with worker(own, tmp_path) as process:
        history = deduplicated(read_until(own, "donutwork", lambda records: len(records) >= 4))
        said = process.said()

    assert [(shown(each)["event"], shown(each).get("gap", {}).get("reason")) for each in history] == [
        ("created", None),
        ("gap", "expired"),
        ("gap", "sequence"),
        ("created", None),
    ]
    assert '"level": "error"' in said


def _delete_before(kafka: KafkaSettings, partition: TopicPartition, offset: int) -> None:
    async def delete() -> None:
        admin = AIOKafkaAdminClient(**kafka.client())
        await admin.start()
        try:
            await admin.delete_records({partition: RecordsToDelete(before_offset=offset)})
        finally:
            await admin.close()

    asyncio.run(delete())


def test_topics_are_applied_once(kafka: KafkaSettings) -> None:
    """Applying again does nothing; another partition count is refused and changes nothing."""
    own = make_topics(kafka)

    assert asyncio.run(topics_apply.apply(own, PARTITIONS, 1)) == []
    with pytest.raises(topics_apply.TopicsRefused, match="has 4, not 5"):
        asyncio.run(topics_apply.apply(own, 5, 1))
    assert asyncio.run(topics_apply.apply(own, PARTITIONS, 1)) == []


def test_worker_waits_for_its_broker(tmp_path: Path) -> None:
    """Without a broker the worker says which and where, waits, and still stops at once."""
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with worker(nowhere, tmp_path) as process:
        process.await_text("does not answer", process.said)
        status = process.end(signal.SIGTERM)

    assert status == 0
    assert "127.0.0.1:1" in process.said()
    assert "Traceback" not in process.said()
