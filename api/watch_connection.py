"""The watches of one WebSocket client: requests are served and records handed on here, in one order.

Whatever is returned is sent before the next call; `settle` says that an answer has been.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version

import msgspec

from agent.paths import MAX_PATH_BYTES
from api import auth
from api.access import Access
from api.errors import ApiError
from api.live import Delivery, Hub, Interest, Subscription
from api.virtual_tree import VirtualTree
from processors import topics
from processors import watch_messages as messages
from processors.instants import iso
from processors.registry import Key
from processors.watch_messages import Answers, Message, Refused, Request, Writer
from processors.watch_table import Area, Table, Watching, above

_VERSION = f"fswire {version('fswire')}"
_NO_SUCH_PATH = Refused("not_found", "an empty path names nothing")
_TOO_LONG = Refused("not_found", f"no path has over {MAX_PATH_BYTES} bytes")
_PLACE = re.compile(r"events of (/.*) may be missing(?: since \S+)? until \S+: \w+ \(\S+\)", re.DOTALL)
_BELOW = " and everything below it"


class _Described(msgspec.Struct):
    description: str = ""


class Connection:
    """One client's side of hub and tree; `key` may be replaced by what it is now."""

    def __init__(self, hub: Hub, tree: VirtualTree, key: Key, writer: Writer) -> None:
        self._hub = hub
        self._tree = tree
        self.key = key
        self._writer = writer
        self._table = Table(writer)
        self._fresh: list[Watching] = []
        self._interests: Counter[Interest] = Counter()
        self._subscription: Subscription | None = None
        self._problems: dict[str, Refused | None] = {}
        self._since_ns = 0
        """When the last record that was handed on happened."""

    @property
    def interests(self) -> list[Interest]:
        """Return what a subscription for the watches that there are has to have."""
        return list(self._interests)

    def follow(self, subscription: Subscription) -> None:
        """Go on with a subscription."""
        self._subscription = subscription

    async def renew(self, access: Access) -> None:
        """Take the key as it is now; ApiError where it does not count any more for what is watched."""
        key = await access.key(self.key.id)
        auth.check_scope(key, auth.READ)
        for project in {interest.project for interest in self._interests} - {None}:
            auth.check_project(key, str(project))
        self.key = key

    async def prepare(self, waiting: Iterable[Message]) -> None:
        """Look at the paths that messages name, together: a missing one is waited for, and thousands come."""
        members = (member for message in waiting for member in message.members)
        paths = {_absolute(each.path) for each in members if isinstance(each, messages.Watch)}
        try:
            nodes = await self._tree.look_all([path.encode() for path in paths], self.key)
        except ApiError as error:
            self._problems = dict.fromkeys(paths, Refused("other", error.message))
            return
        missing = [path for path in paths if nodes[path.encode()] is None]
        problems = await asyncio.gather(*map(self._why_missing, missing))
        self._problems = dict.fromkeys(paths) | dict(zip(missing, problems, strict=True))

    async def serve(self, message: Message) -> bytes:
        """Return the answer to a message that was prepared."""
        answers = Answers(message)
        for request in answers.requests():
            try:
                answers.put(await self._outcome(request, message))
            except ApiError as error:
                answers.put(Refused("other", error.message))
            await asyncio.sleep(0)
        return self._writer.answer(message, answers.payloads)

    def settle(self) -> None:
        """Let the watches that an answer has announced have changes."""
        for watching in self._fresh:
            watching.live = True
        self._fresh.clear()

    def changes(self, delivery: Delivery) -> Iterator[bytes]:
        """Yield what the client is sent of a delivery."""
        if delivery.record is None:
            yield from self.losses("they are no longer held")
            return
        if not self._tree.sees(self.key, delivery.project):
            return
        self._since_ns = int(delivery.headers.get("time_ns", b"0"))
        place = _PLACE.fullmatch(_described(delivery.value))
        if place is None:
            yield from self._table.changes(delivery.value)
            return
        for watching in self._table.lost(_area(place[1])):
            yield self._writer.wrapped(delivery.value, watching.origin)

    def losses(self, why: str) -> Iterator[bytes]:
        """Yield the error that tells each watch of records that it will not get."""
        since = f" since {iso(self._since_ns)}" if self._since_ns else ""
        for watching in self._table:
            if watching.live:
                what = f"events of {watching.path} may be missing{since}: {why}"
                yield self._writer.wrapped(messages.error("other", what), watching.origin)

    async def _outcome(self, request: Request, message: Message) -> bytes | Refused:
        if isinstance(request, messages.Watch):
            return await self._watch(request, message)
        if isinstance(request, messages.Unwatch):
            return await self._unwatch(request)
        if isinstance(request, messages.Version):
            return messages.version(_VERSION)
        return Refused("invalid_input", "this connection has been authenticated")

    async def _watch(self, request: messages.Watch, message: Message) -> bytes | Refused:
        path = _absolute(request.path)
        problem = self._problems[path] if request.path else _NO_SUCH_PATH
        if problem is not None:
            return problem
        watching = Watching(path, request.recursive, request.kinds, messages.origin_of(message))
        await self._want(_interest(watching))
        self._table.add(watching)
        self._fresh.append(watching)
        return messages.OK

    async def _unwatch(self, request: messages.Unwatch) -> bytes | Refused:
        path = _absolute(request.path) if request.path else ""
        gone = self._table.remove(path) if path else []
        for watching in gone:
            await self._want_no_longer(_interest(watching))
        return messages.OK if gone else Refused("other", f'"{path}" is not being watched')

    async def _want(self, interest: Interest) -> None:
        assert self._subscription is not None
        if not self._interests[interest]:
            await self._hub.add(self._subscription, interest)
        self._interests[interest] += 1

    async def _want_no_longer(self, interest: Interest) -> None:
        assert self._subscription is not None
        self._interests[interest] -= 1
        if not self._interests[interest]:
            del self._interests[interest]
            await self._hub.remove(self._subscription, interest)

    async def _why_missing(self, path: str) -> Refused:
        """Tell a path that is not there from one below a file, which is `unknown` to `distant`."""
        if len(path) > MAX_PATH_BYTES:
            return _TOO_LONG  # nor is what is above it looked at: half a million paths, each as long
        try:
            nodes = await self._tree.look_all([each.encode() for each in above(path)], self.key, wait=False)
        except ApiError as error:
            return Refused("other", error.message)
        if all(node is None or node.is_dir for node in nodes.values()):
            return Refused("not_found", f'"{path}": there is no such path')
        return Refused("unknown", f'"{path}" is below a file')


def _absolute(path: str) -> str:
    """Return a path as the tree has it: relative ones begin at its root."""
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def _interest(watching: Watching) -> Interest:
    project = watching.path[1:].partition("/")[0] or None
    return Interest(topics.WATCH, project, watching.path.encode(), watching.recursive)


def _described(value: bytes) -> str:
    """Return what an error says, of a change nothing."""
    return msgspec.json.decode(value, type=_Described).description


def _area(place: str) -> Area:
    return Area(place.removesuffix(_BELOW), place.endswith(_BELOW))
