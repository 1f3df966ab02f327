"""A request's body: read within its limit, and decoded as a JSON object, or taken apart as a JSON list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from api.errors import ApiError, BadRequest, BodyTooLarge, UnsupportedMediaType, answer

LINGER_BYTES = 64 * 1024 * 1024
LINGER_S = 5.0
"""How much of a refused body is still thrown away: closing a connection on a client that is writing resets
it, and the answer with it."""

_decode = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a header's value, None where it is missing; the first where it is given more than once."""
    return next((value for key, value in scope["headers"] if key == name), None)


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the whole body. BodyTooLarge as soon as it is known to be over `limit` bytes."""
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise too_large(limit)
    message = await _next(receive)
    body: bytes = message.get("body", b"")
    while message.get("more_body", False) and len(body) <= limit:
        message = await _next(receive)
        body += message.get("body", b"")
    if len(body) > limit:
        raise too_large(limit)
    return body


def json_object(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds; UnsupportedMediaType or BadRequest where it holds none."""
    require_json(scope)
    return decoded_object(body)


def decoded_object(body: bytes | memoryview) -> dict[str, Any]:
    """Return a JSON object; BadRequest where it is none."""
    try:
        value = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body must be a JSON object", code="not_json") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object", code="not_an_object")
    return value


def json_members(body: bytes, most: int) -> list[bytes] | None:
    """Return the members of a JSON list as they were sent, None where the body begins like no list.

    BadRequest where it is none all the same; BodyTooLarge beyond `most`.
    """
    if body.lstrip()[:1] != b"[":
        return None
    try:
        members = _decode_list(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body must be a JSON object or a list of them", code="not_json") from None
    if len(members) > most:
        raise BodyTooLarge(f"a list must have at most {most} events", code="list_too_long")
    return [bytes(member) for member in members]


async def received(scope: Scope, receive: Receive, send: Send, limit: int) -> bytes | None:
    """Return the whole body; None where it was over the limit and has been answered so."""
    try:
        return await read_body(scope, receive, limit)
    except BodyTooLarge as error:
        await _refuse_and_drain(error, scope, receive, send)
        return None


async def _refuse_and_drain(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, then throw away what the client is still sending, within bounds, and close."""
    held: list[Message] = []

    async def hold_end(message: Message) -> None:
        if message["type"] == "http.response.body":
            held.append({**message, "body": b""})
            message = {**message, "more_body": True}
        await send(message)

    await answer(error)(scope, receive, hold_end)
    try:
        async with asyncio.timeout(LINGER_S):
            await _drain(receive)
    except (TimeoutError, ApiError):
        pass  # the answer is on its way: nothing else can be said
    for message in held:
        await send(message)


async def _drain(receive: Callable[[], Awaitable[Message]]) -> None:
    thrown_away = 0
    more = True
    while more and thrown_away < LINGER_BYTES:
        message = await receive()
        thrown_away += len(message.get("body", b""))
        more = message.get("more_body", False)


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def require_json(scope: Scope) -> None:
    """Raise UnsupportedMediaType unless the body is JSON by its Content-Type, or has none."""
    given = header(scope, b"content-type")
    if given is None:
        return
    media_type = given.split(b";")[0].strip().lower()
    if media_type != b"application/json" and not media_type.endswith(b"+json"):
        raise UnsupportedMediaType("Content-Type must be application/json")


def too_large(limit: int) -> BodyTooLarge:
    """Return the refusal of a body over the limit."""
    return BodyTooLarge(f"the body must be at most {limit} bytes", headers={"Connection": "close"})
