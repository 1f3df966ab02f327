"""A subscriber in another language that knows nothing but the contract of the topics."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.event import Batch, Event
from agent.kafka import KafkaSettings
from processors import tree
from tests.integration.normalizing import PARTITIONS, make_topics, read_until, worker, write

pytestmark = pytest.mark.stack
SOURCE = Path(__file__).parent / "subscriber"
PROJECT = "subscribed"


@pytest.fixture(scope="module")
def subscriber(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        pytest.skip("there is no Go compiler")
    program = tmp_path_factory.mktemp("subscriber") / "subscriber"
    subprocess.run([go, "build", "-o", program, "."], cwd=SOURCE, check=True)
    yield program


def batch(first_seq: int, events: list[Event]) -> tuple[str, Batch]:
    return PROJECT, Batch(
        v=1,
        project=PROJECT,
        host="host-1",
        sent_ns=time.time_ns(),
        agent="agt_1",
        epoch="e1",
        first_seq=first_seq,
        events=events,
    )


def written(path: str, letter: str) -> Event:
    return Event("closeWrite", path, time.time_ns(), sha256=letter * 64, size=1, mtime_ns=1, written=True)


def renamed(path: str, to: str, *, is_dir: bool = False) -> Event:
    return Event("rename", path, time.time_ns(), renamed_to=to, moved="within", is_dir=is_dir)


def test_subscriber_rebuilds_the_tree(kafka: KafkaSettings, tmp_path: Path, subscriber: Path) -> None:
    """From the last known states and what followed them, with a large directory renamed in between."""
    own, count = make_topics(kafka, PROJECT), 3 * tree.AT_ONCE
    first = [Event("create", "old", time.time_ns(), is_dir=True)]
    first += [written(f"old/{number}", "a") for number in range(count)]
    second = [
        renamed("old", "new", is_dir=True),
        written("new/1", "b"),
        Event("delete", "new/2", time.time_ns()),
        written("old/3", "c"),
        renamed("new/4", "top"),
        Event("rename", "new/5", time.time_ns(), moved="out"),
    ]
    arguments = [subscriber, own.bootstrap_servers, own.topic_prefix, PROJECT, str(PARTITIONS), "pause"]
    write(own, batch(1, first))

    with worker(own, tmp_path):
        read_until(own, "files", lambda found: len({each.key for each in found}) == count + 1)
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "read\n"
            write(own, batch(count + 2, second))
            read_until(own, "donutwork", lambda found: len(found) == count + 1 + len(second))
            followed, _ = process.communicate("\n", timeout=60)
        read_until(own, "files", lambda found: any(each.key.endswith(b"\0") for each in found))
        joined = subprocess.run(arguments[:-1], capture_output=True, text=True, check=True, timeout=60).stdout

    expected = {f"new/{number}": "a" * 64 for number in range(count) if number not in (2, 4, 5)}
    expected |= {"new": "", "new/1": "b" * 64, "old/3": "c" * 64, "top": "a" * 64}
    assert json.loads(joined) == expected
    assert json.loads(followed) == expected
