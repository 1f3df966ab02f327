"""What Qumulo's clients ask for around change notify: sign-in, version, settings, attributes, paths of ids.

Every route stands under `/v1` and `/api/v1`; every refusal has Qumulo's form.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiokafka.errors import KafkaError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from api import auth, visit
from api.access import Access
from api.body import read_body
from api.errors import BadRequest, Unavailable
from api.notify import Notify
from api.qumulo_attributes import attributes
from api.qumulo_errors import Endpoint, NoSuchEntry, QumuloRoute, answering, existing
from api.qumulo_ref import ATTRIBUTES, NOTIFY, asked
from api.virtual_tree import VirtualTree
from processors.registry import Key, NotifySettings, RecursiveMode, Registry

PREFIXES = ("/v1", "/api/v1")
MAX_BODY_BYTES = 64 * 1024
MAX_IDS = 1_000
COOKIE = "fswire_files"
"""A browser's `EventSource` sends no headers of its own: after a sign-in this stands for the token."""
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]+")
"""Of a key; anything else cannot be a cookie's value."""


class _Login(msgspec.Struct):
    username: str
    password: str


class _Settings(msgspec.Struct, forbid_unknown_fields=True):
    recursive_mode: RecursiveMode


class Qumulo:
    """The endpoints; one for the process."""

    def __init__(
        self,
        access: Access,
        tree: VirtualTree,
        notify: Notify,
        registry: Callable[[], Registry],
        keep: Callable[[NotifySettings], Awaitable[None]],
    ) -> None:
        """`keep` writes settings down for every api process."""
        self._access = access
        self._tree = tree
        self._notify = notify
        self._registry = registry
        self._keep = keep

    async def version(self, _: Request) -> Response:
        """Answer `GET /v1/version`; anybody may ask."""
        number = importlib.metadata.version("fswire")
        return JSONResponse(
            {
                "revision_id": f"fswire {number}",
                "build_id": number,
                "flavor": "release",
                "build_date": "",
            }
        )

    async def login(self, request: Request) -> Response:
        """Answer `POST /v1/session/login`: a key's id and secret are user name and password."""
        given = await _json(request, _Login)
        token = f"{given.username}.{given.password}"
        await self._access.authenticate(b"Bearer " + token.encode())
        response = JSONResponse({"bearer_token": token}, headers={"Cache-Control": "no-store"})
        if _TOKEN.fullmatch(token):
            for prefix in PREFIXES:
                response.set_cookie(
                    COOKIE,
                    token,
                    path=f"{prefix}/files",
                    secure=request.url.scheme == "https",
                    httponly=True,
                    samesite="strict",
                )
        return response

    async def who_am_i(self, request: Request) -> Response:
        """Answer `GET /v1/session/who-am-i`."""
        key = await self._access.authenticate(_authorization(request))
        # Qumulo's client takes it for a number.
        identity = int.from_bytes(hashlib.blake2b(key.id.encode(), digest_size=6).digest())
        return JSONResponse(
            {"id": str(identity), "name": key.id, "uid": None, "sid": None, "primary_group": None}
        )

    async def roles(self, request: Request) -> Response:
        """Answer `GET /v1/session/roles`: the key's scopes."""
        key = await self._access.authenticate(_authorization(request))
        return JSONResponse([{"role_name": scope} for scope in key.scopes])

    async def settings(self, request: Request) -> Response:
        """Answer `GET` and `PUT /v1/file-system/settings/notify`; to change it takes the scope `admin`."""
        key = await self._access.authenticate(_authorization(request))
        if request.method == "PUT":
            auth.check_scope(key, auth.ADMIN)
            wanted = await _json(request, _Settings)
            await self._change(NotifySettings(wanted.recursive_mode))
        return JSONResponse(msgspec.to_builtins(self._registry().notify_settings))

    async def file(self, request: Request) -> ASGIApp:
        """Answer what is asked of a file: `…/notify` or `…/info/attributes`."""
        wanted = asked(request.scope["raw_path"], request.scope["query_string"])
        key = await self._reader(_authorization(request) or _cookie(request))
        if wanted.action == NOTIFY:
            return await self._notify.stream(request, wanted, key)
        if wanted.action != ATTRIBUTES:
            raise NoSuchEntry("no such route: there are …/notify and …/info/attributes")
        node = existing(await self._tree.find(wanted.path, wanted.id, key))
        visit.note(project=node.project or "", path=node.path)
        return JSONResponse(attributes(node))

    async def resolve(self, request: Request) -> Response:
        """Answer `POST /v1/files/resolve`: the path of each id."""
        key = await self._reader(_authorization(request))
        ids = await _json(request, list[str | int])
        if len(ids) > MAX_IDS:
            raise BadRequest(f"at most {MAX_IDS} ids at one time")
        nodes = await self._tree.by_ids([str(each) for each in ids], key)
        found = []
        for identity, node in zip(ids, nodes, strict=True):
            if node is None:
                raise NoSuchEntry(f"nothing has the id {str(identity)[:40]}")
            found.append({"id": node.file_id, "path": node.path})
        return JSONResponse(found)

    async def _change(self, settings: NotifySettings) -> None:
        registry = self._registry()
        try:
            await self._keep(settings)
            await registry.catch_up()
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable("settings cannot be kept right now", code="registry_unavailable") from error

    async def _reader(self, authorization: bytes | None) -> Key:
        visit.note(scope=auth.READ)
        key = await self._access.authenticate(authorization)
        auth.check_scope(key, auth.READ)
        return key


def routes(qumulo: Qumulo) -> list[BaseRoute]:
    """Return all routes."""
    below: list[tuple[str, Endpoint, list[str]]] = [
        ("/version", qumulo.version, ["GET"]),
        ("/session/login", qumulo.login, ["POST"]),
        ("/session/who-am-i", qumulo.who_am_i, ["GET"]),
        ("/session/roles", qumulo.roles, ["GET"]),
        ("/file-system/settings/notify", qumulo.settings, ["GET", "PUT"]),
        ("/files/resolve", qumulo.resolve, ["POST"]),
        ("/files/{rest:path}", qumulo.file, ["GET"]),
    ]
    return [
        QumuloRoute(prefix + path, answering(endpoint), methods=methods)
        for prefix in PREFIXES
        for path, endpoint, methods in below
    ]


def _authorization(request: Request) -> bytes | None:
    given = request.headers.get("authorization")
    return None if given is None else given.encode("latin-1")


def _cookie(request: Request) -> bytes | None:
    token = request.cookies.get(COOKIE)
    return None if token is None else b"Bearer " + token.encode()


async def _json(request: Request, kind: Any) -> Any:
    body = await read_body(request.scope, request.receive, MAX_BODY_BYTES)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not what is expected: {error}") from None
