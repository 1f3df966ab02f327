"""Change notify: `GET /v1/files/<ref>/notify`, in every spelling of contracts/notify.md.

In flows a request, out flows the stream that it was granted, or a refusal in Qumulo's form.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from api import auth, visit
from api.come_again import EVENT_SOURCE, EVENT_STREAM, wants_event_stream
from api.errors import ApiError, BadRequest
from api.live import Hub, Interest, Position
from api.notify_stream import Stream, Terms, resumed
from api.notify_view import TYPES, Watch
from api.qumulo_errors import (
    NoSuchEntry,
    NotADirectory,
    Overrun,
    RecursionDisabled,
    TooManyWatchers,
    existing,
)
from api.qumulo_ref import Asked
from api.settings import ApiSettings
from api.tree_rows import Node
from api.virtual_tree import VirtualTree, root, written
from processors import topics
from processors.registry import Key, Registry

MAX_PARAMETERS = 100
_REMEMBERED_S = 600.0
_MOST_REMEMBERED = 10_000
_BOOLEANS = {"true": True, "false": False}
_WILD = frozenset("*?[")


class Notify:
    """Grants streams; one for the process."""

    def __init__(
        self, tree: VirtualTree, hub: Hub, registry: Callable[[], Registry], settings: ApiSettings
    ) -> None:
        self._tree = tree
        self._hub = hub
        self._registry = registry
        self._settings = settings
        self._overruns: dict[tuple[str, str], float] = {}
        """Key and directory of streams that were cut off, and when: the next request is told."""

    async def stream(self, request: Request, asked: Asked, key: Key) -> ASGIApp:
        """Return the stream that is asked for. Raises ApiError where there is none to be had."""
        given = _parameters(asked.query)
        types, recursive = _types(given), self._recursive(given)
        with_ids = wants_event_stream(request.headers)
        if request.method != "HEAD" and len(self._hub.subscriptions) >= self._settings.max_watchers:
            raise TooManyWatchers("too many watchers on this server: try again later, or another one")
        last_id = request.headers.get("last-event-id") if with_ids else None
        after, known = resumed(last_id, _named(asked)) if last_id else (None, "")
        node = _known(known) if known else await self._directory(asked, key)
        if node.project is not None and not self._tree.sees(key, node.project):
            raise NoSuchEntry("no such file or directory")
        visit.note(project=node.project or "", path=node.path)
        if request.method == "HEAD":
            return Response(headers={"content-type": EVENT_STREAM if with_ids else EVENT_SOURCE})
        if after is None:
            self._check_overrun(key, node)
        watch = Watch(node.path, recursive, types)
        return Stream(self._hub, self._terms(key, node, watch, asked, after, with_ids=with_ids))

    def _terms(
        self, key: Key, node: Node, watch: Watch, asked: Asked, after: Position | None, *, with_ids: bool
    ) -> Terms:
        def may_see(project: str) -> bool:
            return node.project is not None or self._tree.sees(key, project)

        return Terms(
            watch=watch,
            interests=_interests(key, node, recursive=watch.recursive),
            named=_named(asked),
            with_ids=with_ids,
            after=after,
            keep_alive_s=self._settings.keep_alive_s,
            may_see=may_see,
            counts=lambda: self._counts(key, node),
            when_cut=lambda: self._note_overrun(key, node),
        )

    def _recursive(self, given: Mapping[str, str]) -> bool:
        try:
            recursive = _BOOLEANS[given.get("recursive", "false").lower()]
        except KeyError:
            raise BadRequest("recursive must be true or false") from None
        mode = self._registry().notify_settings.recursive_mode
        if recursive and mode == "DISABLED_ERROR":
            raise RecursionDisabled("recursive change notify is disabled by the file system's settings")
        return recursive and mode != "DISABLED_IGNORE"

    async def _directory(self, asked: Asked, key: Key) -> Node:
        node = existing(await self._tree.find(asked.path, asked.id, key))
        if not node.is_dir:
            raise NotADirectory(f"{node.path} is not a directory")
        return node

    def _counts(self, key: Key, node: Node) -> bool:
        try:
            now = auth.check_counts(self._registry().key(key.id), time.time_ns())
        except ApiError:
            return False
        return node.project is None or self._tree.sees(now, node.project)

    def _note_overrun(self, key: Key, node: Node) -> None:
        self._overruns[key.id, node.path] = time.monotonic()
        if len(self._overruns) > _MOST_REMEMBERED:
            del self._overruns[next(iter(self._overruns))]

    def _check_overrun(self, key: Key, node: Node) -> None:
        at = self._overruns.pop((key.id, node.path), None)
        if at is not None and time.monotonic() - at < _REMEMBERED_S:
            raise Overrun("the stream before did not keep up and was cut off: list the directory again")


def _named(asked: Asked) -> str:
    return "" if asked.path is None else written(asked.path)


def _known(directory: str) -> Node:
    """Return a directory of which an id tells: it was there, and the log says what became of it."""
    path = written(directory.encode())
    project = path[1:].partition("/")[0]
    return Node(path, "", is_dir=True, project=project) if project else root()


def _parameters(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise BadRequest("the parameters must be UTF-8, percent-encoded") from None
    given = dict(pairs)
    if len(given) != len(pairs):
        raise BadRequest("a parameter must be given once")
    return given


def _types(given: Mapping[str, str]) -> frozenset[str] | None:
    if "filter" not in given:
        return None
    types = frozenset(given["filter"].split(","))
    unknown = sorted(types - TYPES)
    if unknown:
        raise BadRequest(f"unknown notification type {unknown[0]!r}" if unknown[0] else "an empty filter")
    return types


def _interests(key: Key, node: Node, *, recursive: bool) -> tuple[Interest, ...]:
    """Of the root: every project there may be, or those alone that the key names."""
    if node.project is not None:
        return (Interest(topics.NOTIFY, node.project, node.path.encode(), recursive, follows=True),)
    if auth.covers_all(key) or any(_WILD.intersection(pattern) for pattern in key.projects):
        return (Interest(topics.NOTIFY, None, b"/", recursive),)
    return tuple(
        Interest(topics.NOTIFY, project, f"/{project}".encode(), recursive) for project in key.projects
    )
