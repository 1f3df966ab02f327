"""Description of change notify, and of what Qumulo's clients ask for around it.

The same stands under `/api/v1`: it is described once.
"""

from __future__ import annotations

from typing import Any, get_args

from api.notify_view import TYPES
from api.openapi_form import FLAG, TEXT, Json, content, operation, parameter, plain, record, schema
from api.qumulo import MAX_IDS
from processors.registry import RecursiveMode

_ID: Json = {"type": "string", "pattern": "^[0-9]+$"}
SCHEMAS: Json = {
    "FilesError": record(
        ["module", "error_class", "description", "stack", "user_visible", "inner"],
        module=TEXT,
        error_class=TEXT,
        description=TEXT,
        stack={"type": "array", "items": TEXT},
        user_visible=FLAG,
        inner={"type": "null"},
    ),
    "SignIn": record(["username", "password"], username=TEXT, password=TEXT),
    "SignedIn": record(["bearer_token"], bearer_token=TEXT),
    "Myself": record(["id", "name"], id=_ID, name=TEXT),
    "Roles": {"type": "array", "items": record(["role_name"], role_name=TEXT)},
    "NotifySettings": record(["recursive_mode"], recursive_mode={"enum": list(get_args(RecursiveMode))})
    | {"additionalProperties": False},
    "Attributes": record(["path", "name", "id", "type"], path=TEXT, name=TEXT, id=_ID, type=TEXT),
    "Ids": {"type": "array", "maxItems": MAX_IDS, "items": {"anyOf": [_ID, {"type": "integer"}]}},
    "Paths": {"type": "array", "items": record(["id", "path"], id=_ID, path=TEXT)},
    "Notifications": {
        "type": "array",
        "items": record(
            ["type", "path", "spine", "stream_name"],
            type={"enum": sorted(TYPES)},
            path=TEXT,
            spine={"type": "array", "items": _ID},
            stream_name={"type": ["string", "null"]},
        ),
    },
}
_REF = parameter("ref", "path", TEXT, "Absolute path in the virtual tree, each `/` as `%2F`; or a file id")
_FILTER = parameter("filter", "query", TEXT, "Types, separated by commas; none: all")
_RECURSIVE = parameter("recursive", "query", TEXT, "Whether what happens further below is told as well")
_LAST = parameter("Last-Event-ID", "header", TEXT, "For `text/event-stream`: go on behind this event")
_STREAM: Json = {
    "200": {
        "description": "Server-sent events, `data:` of each Notifications; `text/event-stream` if asked for",
        "content": content(TEXT, "text/event-source") | content(schema("Notifications"), "text/event-stream"),
    }
}


def _asks(call: str, summary: str, answer: str, *statuses: int, **more: Any) -> Json:
    return operation(f"files_{call}", summary, answer, statuses, error="FilesError", **more)


_login = _asks("login", "Sign in with a key's id and secret", "SignedIn", 400, 413, body="SignIn")
PATHS: Json = {
    "/v1/version": {"get": plain("files_version", "Version of this api")},
    "/v1/session/login": {"post": _login | {"security": []}},
    "/v1/session/who-am-i": {"get": _asks("who_am_i", "The key that asks", "Myself")},
    "/v1/session/roles": {"get": _asks("roles", "Its scopes", "Roles")},
    "/v1/file-system/settings/notify": {
        "get": _asks("notify_settings", "Settings of change notify", "NotifySettings"),
        "put": _asks("set_notify", "Change them", "NotifySettings", 400, 413, body="NotifySettings"),
    },
    "/v1/files/resolve": {"post": _asks("resolve", "Paths of ids", "Paths", 400, 404, 413, body="Ids")},
    "/v1/files/{ref}/info/attributes": {
        "get": _asks("attributes", "Attributes of a file", "Attributes", 400, 404, parameters=[_REF]),
    },
    "/v1/files/{ref}/notify": {
        "get": _asks(
            "notify",
            "Follow a directory",
            "Notifications",
            *(400, 404),
            parameters=[_REF, _FILTER, _RECURSIVE, _LAST],
            responses=_STREAM,
        ),
    },
}
