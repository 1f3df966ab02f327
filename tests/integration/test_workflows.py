"""Workflows from the registry through a real worker: what runs, how often, and what survives a crash."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from agent.event import Batch, Event, Http, Reply
from agent.kafka import KafkaSettings, partition_of
from processors import registry, workflow
from processors.retry import RetryRefused, retry
from processors.workflow import Action, Command, Retry, ToTopic, Webhook, Workflow
from tests.integration.normalizing import (
    PARTITIONS,
    make_topic,
    make_topics,
    read_count,
    read_until,
    shown,
    worker,
    write,
)

pytestmark = pytest.mark.stack
SECRET = "whsec_" + base64.b64encode(b"a signing secret of 32 bytes....").decode()


@dataclass
class Hook:
    """A server that takes webhooks; `answers` are its next statuses, then 200."""

    url: str
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hold: threading.Event | None = None


@pytest.fixture
def hook() -> Iterator[Hook]:
    found: list[Hook] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found[0].calls.append(({key.lower(): value for key, value in self.headers.items()}, body))
            if found[0].hold is not None:
                found[0].hold.wait(30)
            self.send_response(found[0].answers.pop(0) if found[0].answers else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.append(Hook(f"http://127.0.0.1:{server.server_port}/hook"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found[0]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSWIRE_ALLOW_PRIVATE_TARGETS", "true")
    monkeypatch.setenv("FSWIRE_RUNNER_COMMANDS", json.dumps([sys.executable]))
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def applied(own: KafkaSettings, action: Action, **more: Any) -> Workflow:
    found = Workflow("w", "p", "DirectoryMonitor.p.notify", action, **more)
    workflow.check(found)
    asyncio.run(registry.write(own, found))
    return found


def batch(first_seq: int, *events: Event) -> Batch:
    return Batch(
        v=1,
        project="p",
        host="host-1",
        sent_ns=time.time_ns(),
        agent="agt_1",
        epoch="e1",
        first_seq=first_seq,
        events=list(events),
    )


def created(path: str) -> Event:
    return Event("create", path, time.time_ns())


def ended(own: KafkaSettings, count: int) -> list[Any]:
    """Return the last state of each run once so many have ended."""
    last: dict[bytes, Any] = {}

    def enough(records: list[Any]) -> bool:
        last.update({each.key: shown(each) for each in records})
        return sum(each["state"] in ("succeeded", "failed") for each in last.values()) >= count

    read_until(own, "runs", enough)
    return list(last.values())


@contextmanager
def waiting(condition: Callable[[], bool]) -> Iterator[None]:
    """Leave the body once the condition holds."""
    yield
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_webhook_is_signed_and_sent_once_per_event(kafka: KafkaSettings, tmp_path: Path, hook: Hook) -> None:
    """In the Standard Webhooks form, with the event as it stands in history; a batch sent twice runs once."""
    own = make_topics(kafka, "p")
    applied(own, Action(webhook=Webhook(hook.url, "HOOK_SECRET")))
    write(own, ("p", batch(1, created("a"), created("b"))), ("p", batch(1, created("a"), created("b"))))

    with worker(own, tmp_path):
        found = ended(own, 2)

    assert [each["state"] for each in found] == ["succeeded", "succeeded"]
    assert len(hook.calls) == 2
    told = [Verifier(SECRET).verify(body, headers) for headers, body in hook.calls]
    assert {each["data"]["filename"] for each in told} == {"a", "b"}
    assert {headers["webhook-id"] for headers, _ in hook.calls} == {each["id"] for each in found}
    assert SECRET not in "".join(str(each.value) for each in read_count(own, "runs", 6))


def test_failed_attempt_is_repeated_until_there_are_no_more(
    kafka: KafkaSettings, tmp_path: Path, hook: Hook
) -> None:
    """With the same id each time; the run says how often and what went wrong last."""
    own = make_topics(kafka, "p")
    hook.answers = [500, 503, 500, 500]
    applied(own, Action(webhook=Webhook(hook.url)), retry=Retry(attempts=3, first_s=0.05))
    write(own, ("p", batch(1, created("a"))))

    with worker(own, tmp_path):
        (found,) = ended(own, 1)

    assert (found["state"], found["attempts"]) == ("failed", 3)
    assert found["error"].startswith("answered 500")
    assert len({headers["webhook-id"] for headers, _ in hook.calls}) == 1
    assert len(hook.calls) == 3


def test_failed_run_is_tried_again_once_when_that_is_asked_for(
    kafka: KafkaSettings, tmp_path: Path, hook: Hook
) -> None:
    """By two people at once, too; under the id that the receiver knows. What succeeded is not run again."""
    own = make_topics(kafka, "p")
    hook.answers = [500]
    applied(own, Action(webhook=Webhook(hook.url)), retry=Retry(attempts=1))
    write(own, ("p", batch(1, created("a"))))

    async def asked(run: str) -> Sequence[object]:
        place = run, partition_of("p", PARTITIONS), 0
        return await asyncio.gather(retry(own, *place), retry(own, *place), return_exceptions=True)

    with worker(own, tmp_path):
        (failed,) = ended(own, 1)
        asyncio.run(asked(failed["id"]))
        states = read_until(own, "runs", lambda found: _last_state(found) == "succeeded")
        refused = asyncio.run(asked(failed["id"]))

    assert shown(states[-1])["again"] == 1
    assert [headers["webhook-id"] for headers, _ in hook.calls] == [failed["id"]] * 2
    assert all(isinstance(each, RetryRefused) for each in refused)


def _last_state(records: list[Any]) -> str | None:
    return str(shown(records[-1])["state"]) if records and records[-1].value else None


def test_private_address_is_refused_unless_allowed(
    kafka: KafkaSettings, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, nothing is tried again, and the run says why."""
    monkeypatch.delenv("FSWIRE_ALLOW_PRIVATE_TARGETS")
    own = make_topics(kafka, "p")
    applied(own, Action(webhook=Webhook(hook.url.replace("127.0.0.1", "localhost"))))
    write(own, ("p", batch(1, created("a"))))

    with worker(own, tmp_path):
        (found,) = ended(own, 1)

    assert (found["state"], found["attempts"]) == ("failed", 1)
    assert "not public" in found["error"]
    assert hook.calls == []


def test_event_goes_to_another_topic(kafka: KafkaSettings, tmp_path: Path) -> None:
    """As it stands in history, keyed by its project."""
    own = make_topics(kafka, "p")
    other = own.topic_prefix.rstrip(".") + "-other"
    asyncio.run(make_topic(own, other))
    applied(own, Action(topic=ToTopic(other)))
    write(own, ("p", batch(1, created("a"))))

    with worker(own, tmp_path):
        (found,) = ended(own, 1)

    assert found["state"] == "succeeded"
    (record,) = read_count(own.model_copy(update={"topic_prefix": ""}), other, 1)
    assert (record.key, shown(record)["filename"]) == (b"p", "a")


def test_command_runs_where_it_is_listed(kafka: KafkaSettings, tmp_path: Path) -> None:
    """With the event on its standard input and no shell in between; another program is refused."""
    own = make_topics(kafka, "p")
    seen = tmp_path / "seen; echo"
    script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    applied(own, Action(command=Command((sys.executable, "-c", script, str(seen)))))
    write(own, ("p", batch(1, created("a"))))

    with worker(own, tmp_path) as process:
        (first,) = ended(own, 1)
        process.end(signal.SIGTERM)
    applied(own, Action(command=Command(("/bin/true",))))
    write(own, ("p", batch(2, created("b"))))
    with worker(own, tmp_path):  # it knows what it is to run before it begins
        second = ended(own, 2)[1]

    assert first["state"] == "succeeded"
    assert json.loads(seen.read_text())["filename"] == "a"
    assert (second["state"], second["attempts"]) == ("failed", 1)
    assert "FSWIRE_RUNNER_COMMANDS" in second["error"]


def test_run_survives_the_death_of_its_worker(kafka: KafkaSettings, tmp_path: Path, hook: Hook) -> None:
    """A webhook that was under way is sent again under the same id."""
    own = make_topics(kafka, "p")
    applied(own, Action(webhook=Webhook(hook.url)))
    hook.hold = threading.Event()
    write(own, ("p", batch(1, created("a"))))
    with worker(own, tmp_path) as process, waiting(lambda: bool(hook.calls)):
        pass
    process.end(signal.SIGKILL) if process.process and process.process.poll() is None else None
    hook.hold.set()

    with worker(own, tmp_path):
        (found,) = ended(own, 1)

    assert found["state"] == "succeeded"
    assert found["attempts"] == 2
    assert Counter(headers["webhook-id"] for headers, _ in hook.calls) == {found["id"]: 2}


def test_command_that_was_interrupted_is_failed(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Nobody knows what it did, so it is not run again."""
    own = make_topics(kafka, "p")
    begun = tmp_path / "begun"
    script = (
        "import sys, time, pathlib; f = pathlib.Path(sys.argv[1]).open('a'); f.write('x'); f.close(); "
        "time.sleep(20)"
    )
    applied(own, Action(command=Command((sys.executable, "-c", script, str(begun)))))
    write(own, ("p", batch(1, created("a"))))
    with worker(own, tmp_path) as process, waiting(begun.exists):
        pass
    process.end(signal.SIGKILL) if process.process and process.process.poll() is None else None

    with worker(own, tmp_path):
        (found,) = ended(own, 1)

    assert found["state"] == "failed"
    assert "interrupted" in found["error"]
    assert begun.read_text() == "x"


def test_burst_on_one_path_is_one_run(kafka: KafkaSettings, tmp_path: Path, hook: Hook) -> None:
    """Of the runs that wait for the path to be quiet the last is carried out."""
    own = make_topics(kafka, "p")
    applied(own, Action(webhook=Webhook(hook.url)), debounce_s=0.5)
    events = [Event("closeWrite", "a", time.time_ns(), written=True) for _ in range(5)]
    write(own, ("p", batch(1, *events)))

    with worker(own, tmp_path):
        found = ended(own, 5)

    carried_out = [each for each in found if "supersededBy" not in each]
    assert len(carried_out) == 1
    assert [headers["webhook-id"] for headers, _ in hook.calls] == [carried_out[0]["id"]]


def test_put_is_told_that_a_run_was_queued(kafka: KafkaSettings, tmp_path: Path, hook: Hook) -> None:
    """And a workflow that is deleted triggers nothing from then on, without a restart."""
    own = make_topics(kafka, "p")
    applied(own, Action(webhook=Webhook(hook.url)))

    def put(identity: str) -> Event:
        http = Http(identity, identity, "modified", reply=Reply(identity, 0))
        return Event("closeWrite", "put", time.time_ns(), source="http", written=True, http=http)

    with worker(own, tmp_path):
        write(own, ("p", batch(1, put("id-1"))))
        read_count(own, "outcomes", 1)
        asyncio.run(registry.delete(own, "workflow", "w"))
        for nth in range(2, 100):
            write(own, ("p", batch(nth, put(f"id-{nth}"))))
            answers = [shown(each) for each in read_count(own, "outcomes", nth)]
            if not answers[-1].get("workflow_triggered"):
                break

    assert answers[0]["workflow_triggered"]
    assert not answers[-1].get("workflow_triggered", False)
