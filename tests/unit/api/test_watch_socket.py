"""The WebSocket `/watch` over a scripted hub and tree: what a slow, a stopped and a vanished client get."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any, cast

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent.event import Event, Gap
from api.access import Access
from api.live import Delivery, Hub, Interest, SlowSubscriber
from api.live_position import Mark
from api.live_record import Reach, Record
from api.tree_rows import Node
from api.virtual_tree import VirtualTree
from api.watch import WatchParts, routes
from processors import watch
from processors.registry import Key
from processors.watch_input import MAX_VALUE_BYTES

KEY = Key("key", "hash", ["directory_monitor:read"], ["p"], created_ns=1)


class ScriptedSubscription:
    """What `take` gives is put in by the test; an exception is raised once."""

    def __init__(self) -> None:
        self.items: deque[Delivery | Exception] = deque()
        self.closed = False
        self._news = asyncio.Event()

    def put(self, *items: Delivery | Exception) -> None:
        self.items.extend(items)
        self._news.set()

    def nudge(self) -> None:
        self._news.set()

    async def take(self) -> list[Delivery]:
        await self._news.wait()
        taken: list[Delivery] = []
        while self.items and not isinstance(self.items[0], Exception):
            taken.append(cast(Delivery, self.items.popleft()))
        if self.items and not taken:
            raise cast(Exception, self.items.popleft())
        if not self.items:
            self._news.clear()
        return taken


class ScriptedHub:
    """Knows the interests of each subscription, and which of them are open."""

    def __init__(self) -> None:
        self.opened: list[ScriptedSubscription] = []
        self.subscriptions: set[object] = set()
        self.interests: dict[ScriptedSubscription, set[Interest]] = {}

    @contextlib.asynccontextmanager
    async def subscribe(self, *interests: Interest) -> AsyncIterator[ScriptedSubscription]:
        subscription = ScriptedSubscription()
        self.opened.append(subscription)
        self.interests[subscription] = set(interests)
        try:
            yield subscription
        finally:
            del self.interests[subscription]

    async def add(self, subscription: ScriptedSubscription, interest: Interest) -> None:
        self.interests[subscription].add(interest)

    async def remove(self, subscription: ScriptedSubscription, interest: Interest) -> None:
        self.interests[subscription].remove(interest)

    async def caught_up(self, subscription: ScriptedSubscription) -> None:
        await asyncio.sleep(0)


class ScriptedTree:
    """Every path of the project `p` is there."""

    def sees(self, key: Key, project: str) -> bool:
        return project in key.projects

    async def look_all(
        self, paths: Iterable[bytes], reader: Key, *, wait: bool = True
    ) -> dict[bytes, Node | None]:
        return {
            path: Node(path.decode(), "5", True, "p") if path[:2] in (b"/p", b"/") else None for path in paths
        }


class ScriptedAccess:
    """Lets the one key in."""

    async def authenticate(self, authorization: bytes | None) -> Key:
        return KEY

    async def key(self, key_id: str) -> Key:
        return KEY


class Client:
    """The other end of the socket."""

    def __init__(self) -> None:
        self.hub = ScriptedHub()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = False
        headers = [(b"authorization", b"Bearer key.secret")]
        scope = {"type": "websocket", "headers": headers, "query_string": b"", "path": "/watch"}
        self._sent.put_nowait({"type": "websocket.connect"})
        parts = WatchParts(
            cast(Access, ScriptedAccess()), cast(Hub, self.hub), cast(VirtualTree, ScriptedTree()), 10
        )
        (route,) = routes(parts)
        self.served = asyncio.create_task(route.endpoint(WebSocket(scope, self._sent.get, self._take)))

    async def _take(self, message: Any) -> None:
        if self.gone:
            raise WebSocketDisconnect(1006)
        await self._received.put(message)

    @property
    def received(self) -> int:
        """Return how many messages wait to be looked at."""
        return self._received.qsize()

    async def message(self) -> Any:
        """Return the next message, or the frame that closes."""
        frame = await asyncio.wait_for(self._received.get(), 30)
        if frame["type"] == "websocket.accept":
            return await self.message()
        return json.loads(frame["text"]) if frame["type"] == "websocket.send" else frame

    def send(self, value: object) -> None:
        self.send_text(json.dumps(value))

    def send_text(self, text: str) -> None:
        self._sent.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def watch(self, path: str, **more: object) -> ScriptedSubscription:
        """Watch a path and return the subscription that serves it."""
        self.send({"id": path, "payload": {"type": "watch", "path": path, **more}})
        answer = await self.message()
        assert answer["payload"] == {"type": "ok"}, answer
        return self.hub.opened[-1]


def delivery(value: dict[str, Any] | None, project: str = "p") -> Delivery:
    mark = Mark(1)
    if value is None:
        return Delivery(None, (), 0, mark)
    headers = {"time_ns": b"1700000000000000000"}
    encoded = json.dumps(value, separators=(",", ":")).encode()
    return Delivery(Record(encoded, headers, project, 0, mark, Reach(())), (), 0, mark)


def change(path: str) -> dict[str, Any]:
    return {"type": "change", "timestamp": 1, "kind": "create", "path": path}


def lost(path: str, *, recursive: bool) -> dict[str, Any]:
    """Return the record that stands for lost events, as the vocabulary makes it."""
    gap = Event("gap", path, 2, gap=Gap("gap_1", "overflow", recursive=recursive, since_ns=1))
    (record,) = watch.records("/p", gap)
    told: dict[str, Any] = json.loads(record)
    return told


def run(scenario: Any) -> None:
    async def whole() -> None:
        client = Client()
        try:
            await scenario(client)
        finally:
            client.leave()
            await asyncio.wait_for(client.served, 30)
        assert client.hub.interests == {}

    asyncio.run(whole())


VERSION = '{"type":"version"}'


@pytest.mark.parametrize("frame", [VERSION * 5_000, f"[{','.join([VERSION] * 5_000)}]"])
def test_a_frame_of_many_requests_holds_up_nobody(frame: str) -> None:
    """Others have their turn again and again while it is answered, whether it is a batch or not."""

    async def scenario(client: Client) -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        client.send_text(frame)
        answered = 0
        while answered < 5_000:
            message = await client.message()
            answered += len(message) if isinstance(message, list) else 1
        beside.cancel()
        assert turns >= 5_000

    run(scenario)


def test_a_change_for_many_watches_of_one_client_holds_up_nobody() -> None:
    """Others have their turn before it has been told to all of them."""

    async def scenario(client: Client) -> None:
        client.send([{"type": "watch", "path": "/p"}] * 5_000)
        assert len(await client.message()) == 5_000
        before = client.received
        turns = []

        async def other() -> None:
            while len(turns) < 5:
                turns.append(client.received - before)
                await asyncio.sleep(0)

        client.hub.opened[-1].put(delivery(change("/p/a")))
        beside = asyncio.create_task(other())
        for _ in range(5_000):
            await client.message()
        await beside
        assert any(0 < turn < 4_000 for turn in turns)

    run(scenario)


def test_a_frame_that_is_too_long_is_refused_unread() -> None:
    """With its id, and the connection goes on."""

    async def scenario(client: Client) -> None:
        client.send({"id": "71", "payload": {"type": "watch", "path": "/p" + "a" * MAX_VALUE_BYTES}})
        client.send({"id": "72", "payload": {"type": "version"}})

        first, second = await client.message(), await client.message()
        assert (first["origin_id"], first["payload"]["kind"]) == ("71", "invalid_data")
        assert (second["origin_id"], second["payload"]["type"]) == ("72", "version")

    run(scenario)


def test_a_slow_client_is_told_what_it_misses_and_goes_on() -> None:
    """Each watch gets the error, with since when; then it has a subscription for the same again."""

    async def scenario(client: Client) -> None:
        first = await client.watch("/p/a")
        await client.watch("/p/b", recursive=True)
        first.put(delivery(change("/p/a/x")), SlowSubscriber())
        assert (await client.message())["payload"] == change("/p/a/x")

        errors = [await client.message() for _ in range(2)]
        second = client.hub.opened[-1]
        second.put(delivery(change("/p/b/x/y")))

        assert {each["origin_id"] for each in errors} == {"/p/a", "/p/b"}
        for each in errors:
            assert each["payload"]["kind"] == "other"
            assert f"events of {each['origin_id']} may be missing since 2023-11-14T" in str(each["payload"])
        assert second is not first
        assert {each.path for each in client.hub.interests[second]} == {b"/p/a", b"/p/b"}
        assert (await client.message())["payload"] == change("/p/b/x/y")

    run(scenario)


def test_a_loss_is_told_to_the_watches_that_it_concerns() -> None:
    """By the place that the record names: those that cover it, and with all below it those below."""

    async def scenario(client: Client) -> None:
        await client.watch("/p/a")
        subscription = await client.watch("/p/a/b")
        await client.watch("/p/c")
        subscription.put(delivery(lost("a", recursive=True)), delivery(lost("c", recursive=False)))

        told = [await client.message() for _ in range(3)]

        assert [each["origin_id"] for each in told[:2]] == ["/p/a", "/p/a/b"]
        assert (told[2]["origin_id"], told[2]["payload"]) == ("/p/c", lost("c", recursive=False))

    run(scenario)


def test_a_loss_below_a_name_of_two_lines_is_told_to_nobody_else() -> None:
    """The place is read whatever its name is."""

    async def scenario(client: Client) -> None:
        await client.watch("/p/c")
        subscription = await client.watch("/p/two\nlines")
        subscription.put(delivery(lost("two\nlines", recursive=True)), delivery(change("/p/c/a")))

        told = [await client.message() for _ in range(2)]

        assert [each["origin_id"] for each in told] == ["/p/two\nlines", "/p/c"]

    run(scenario)


def test_records_that_are_no_longer_held_are_a_loss() -> None:
    """What a delivery without a record says."""

    async def scenario(client: Client) -> None:
        subscription = await client.watch("/p")
        subscription.put(delivery(None))

        assert (await client.message())["payload"]["kind"] == "other"

    run(scenario)


def test_another_project_is_never_told() -> None:
    """Also under a watch of the root."""

    async def scenario(client: Client) -> None:
        client.send({"id": "1", "payload": {"type": "watch", "path": "/q"}})
        assert (await client.message())["payload"]["kind"] == "not_found"
        subscription = await client.watch("/p")
        subscription.put(delivery(change("/p"), project="q"), delivery(change("/p/a")))

        assert (await client.message())["payload"] == change("/p/a")

    run(scenario)


def test_an_interest_lasts_as_long_as_a_watch_needs_it() -> None:
    """Two watches of one path are one interest; the last `unwatch` takes it away."""

    async def scenario(client: Client) -> None:
        subscription = await client.watch("/p/a")
        await client.watch("/p/a", only=["delete"])
        await client.watch("/p/a", recursive=True)
        assert len(client.hub.interests[subscription]) == 2
        client.send({"id": "u", "payload": {"type": "unwatch", "path": "/p/a"}})

        assert (await client.message())["payload"] == {"type": "ok"}
        assert client.hub.interests[subscription] == set()

    run(scenario)


def test_an_empty_path_is_no_other_name_of_the_root() -> None:
    """What watches the root goes on."""

    async def scenario(client: Client) -> None:
        subscription = await client.watch("/")
        client.send({"type": "unwatch", "path": ""})

        assert (await client.message())["kind"] == "other"
        assert client.hub.interests[subscription]

    run(scenario)


def test_a_process_that_stops_says_goodbye() -> None:
    """1001, so that a client connects to another."""

    async def scenario(client: Client) -> None:
        subscription = await client.watch("/p/a")
        subscription.closed = True
        subscription.nudge()

        closing = await client.message()
        assert (closing["type"], closing["code"]) == ("websocket.close", 1001)

    run(scenario)


@pytest.mark.parametrize("how", ["leaves", "vanishes"])
def test_a_client_that_is_gone_leaves_nothing_behind(how: str) -> None:
    """Whether it says so, or is found to be gone by what is sent."""

    async def scenario(client: Client) -> None:
        subscription = await client.watch("/p/a")
        if how == "leaves":
            client.leave()
        else:
            client.gone = True
            subscription.put(delivery(change("/p/a/x")))
        await asyncio.wait_for(asyncio.shield(client.served), 30)

        assert client.hub.interests == {}

    run(scenario)
