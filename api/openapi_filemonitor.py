"""Description of the file monitor, whose words are Tastypie's."""

from __future__ import annotations

from typing import Any

from api.filemonitor_form import RESOURCE
from api.filemonitor_schema import MAX_LIMIT, ROOT
from api.openapi_form import STATUSES, TEXT, Json, content, operation, optional, parameter, record, schema
from processors.transfer_filters import FIELDS

_WRITABLE: Json = {
    "url": TEXT,
    "name": TEXT,
    "status": TEXT,
    "md5sum": optional(TEXT),
    "local_dir": TEXT,
    "tags": TEXT,
    "celery_task_id": TEXT,
    "size": optional(TEXT),
    "progress": TEXT,
    "created": TEXT,
}
_READ_ONLY: Json = {"id": {"type": "integer"}, "resource_uri": TEXT, "updated": TEXT}
SCHEMAS: Json = {
    "TransferError": {
        "anyOf": [record(["error"], error=TEXT), record(["error_message"], error_message=TEXT)]
    },
    "TransferForm": record([], **_WRITABLE),
    "Transfer": record(sorted(_WRITABLE | _READ_ONLY), **_WRITABLE, **_READ_ONLY),
    "Transfers": record(
        ["meta", "objects"],
        meta=record(
            ["limit", "next", "offset", "previous", "total_count"],
            limit={"type": "integer"},
            next=optional(TEXT),
            offset={"type": "integer"},
            previous=optional(TEXT),
            total_count={"type": "integer"},
        ),
        objects={"type": "array", "items": schema("Transfer")},
    ),
    "TransferList": record(["objects"], objects={"type": "array", "items": schema("TransferForm")}),
    "TransferChanges": record(
        ["objects"],
        objects={"type": "array", "items": schema("TransferForm")},
        deleted_objects={"type": "array", "items": TEXT},
    ),
    "SomeTransfers": record(
        ["objects"],
        objects={"type": "array", "items": schema("Transfer")},
        not_found={"type": "array", "items": TEXT},
    ),
    "AnyObject": {"type": "object"},
}
_ID = parameter("id", "path", {"type": "integer", "minimum": 1}, "Id of a transfer")
_IDS = parameter("ids", "path", {"type": "string", "pattern": "^[0-9]{1,18}(;[0-9]{1,18})*$"}, "`1;2;3`")
_LIST = [
    parameter("limit", "query", {"type": "integer", "minimum": 0}, f"At most {MAX_LIMIT}, also for 0"),
    parameter("offset", "query", {"type": "integer", "minimum": 0}, "How many to leave out"),
    parameter("order_by", "query", TEXT, "A field, `-` before it: descending; may be repeated"),
    *(parameter(field, "query", TEXT, "Filter; lookups such as `__contains` may follow") for field in FIELDS),
]
_LOCATION: Json = {"Location": {"description": "The transfer", "schema": TEXT, "required": True}}
_DONE: dict[int, Json] = {
    201: {"description": "Made", "headers": _LOCATION},
    202: {"description": "Written"},
    204: {"description": "Done"},
}


def _reads(name: str, summary: str, answer: str, *statuses: int, **more: Any) -> Json:
    return _worded(operation(f"filemonitor_{name}", summary, answer, statuses, error="TransferError", **more))


def _writes(name: str, summary: str, done: tuple[int, ...], *statuses: int, **more: Any) -> Json:
    described = _reads(name, summary, "AnyObject", 400, *statuses, **more)
    del described["responses"]["200"]
    described["responses"] |= {str(status): _DONE[status] for status in done}
    return described


def _worded(described: Json) -> Json:
    """Tastypie has no 403, and says nothing more with a 401 or a 404."""
    responses = described["responses"]
    del responses["403"]
    for status in (401, 404):
        if str(status) in responses:
            responses[str(status)] = {"description": STATUSES[status]}
    return described


_SENT = (408, 413, 415)
_one: Json = {"parameters": [_ID], "body": "TransferForm"}
PATHS: Json = {
    ROOT: {"get": {
        "operationId": "filemonitor_root",
        "summary": "What there is",
        "responses": {"200": {"description": "Success", "content": content("AnyObject")}},
    }},
    RESOURCE: {
        "get": _reads("list", "Transfers, the newest first", "Transfers", 400, parameters=_LIST),
        "post": _writes("create", "Make a transfer", (201,), *_SENT, body="TransferForm"),
        "put": _writes("replace", "Put these in place of others", (204,), *_SENT, body="TransferList"),
        "patch": _writes("change", "Change several", (202,), 404, *_SENT, body="TransferChanges"),
        "delete": _writes("clear", "Delete those that match", (204,)),
    },
    f"{RESOURCE}schema/": {"get": _reads("schema", "What each field is", "AnyObject")},
    f"{RESOURCE}set/{{ids}}/": {"get": _reads("some", "Several", "SomeTransfers", 404, parameters=[_IDS])},
    f"{RESOURCE}{{id}}/": {
        "get": _reads("show", "One", "Transfer", 404, parameters=[_ID]),
        "put": _writes("put", "Write or make it", (201, 204), 404, *_SENT, **_one),
        "patch": _writes("patch", "Write to it", (202,), 404, *_SENT, **_one),
        "delete": _writes("delete", "Cancel and forget it", (204,), 404, parameters=[_ID]),
    },
}  # fmt: skip
