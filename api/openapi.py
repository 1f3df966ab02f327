"""The OpenAPI document, by hand: the contract's routes are plain ASGI, and all errors have one shape."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from api.event_form import MAX_EVENT_CHARS, MAX_INTEGER, MAX_NAME_CHARS
from api.history_query import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE

Json = dict[str, Any]

_STATUSES = {
    400: "Not JSON, or not an object",
    401: "No or unknown key, no or wrong ingress token",
    403: "The key lacks the scope or is bound to other projects",
    404: "Unknown project",
    408: "The query took too long",
    409: "The eventId is taken by other content",
    413: "Body too large",
    415: "Content-Type is not JSON",
    422: "Fields or parameters break a rule; each is named in details",
    503: "Not possible right now; Retry-After says when to try again",
}
_COUNT: Json = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
_SHA256: Json = {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}
_TIME: Json = {"type": "string", "format": "date-time"}
_NAME: Json = {"type": "string", "maxLength": MAX_NAME_CHARS}
_EVENT: Json = {"type": "string", "minLength": 1, "maxLength": MAX_EVENT_CHARS}
_PATH: Json = {"type": "string", "minLength": 1, "maxLength": 4096}
_EVENT_ID: Json = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,128}$"}
_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}


def _object(required: list[str], **properties: Json) -> Json:
    return {"type": "object", "required": required, "properties": properties}


def _optional(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_SCHEMAS: Json = {
    "Error": _object(
        ["status", "error", "code", "details"],
        status={"const": "error"},
        error=_TEXT,
        code=_TEXT,
        details={"type": "array", "items": _object(["field", "message"], field=_TEXT, message=_TEXT)},
    ),
    "Start": _object([], ingressToken=_optional(_TEXT), projectId=_optional(_TEXT)),
    "Started": _object(["status", "projectId"], status={"const": "success"}, projectId=_TEXT),
    "Event": _object(
        ["projectId", "filename", "event", "filesize"],
        projectId=_TEXT,
        filename=_PATH,
        event=_EVENT,
        filesize=_COUNT,
        filetype=_optional(_NAME),
        sha256=_optional(_SHA256),
        uid=_optional(_COUNT),
        pid=_optional(_COUNT),
        timestampUtc=_optional(_TIME),
        eventId=_optional(_EVENT_ID),
        renamedTo=_optional(_PATH),
        host=_optional(_NAME),
        ingressToken=_optional(_TEXT),
    ),
    "Ingested": _object(
        ["status", "eventId", "projectId", "inserted", "workflowTriggered"],
        status={"const": "success"},
        eventId=_EVENT_ID,
        projectId=_TEXT,
        inserted=_FLAG,
        workflowTriggered=_FLAG,
    ),
    "History": _object(
        ["status", "projectId", "page", "size", "count", "items"],
        status={"const": "fetch"},
        projectId=_TEXT,
        page={"type": "integer"},
        size={"type": "integer"},
        count=_COUNT,
        items={"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
        next={"type": "string", "description": "Cursor of the next page; missing on the last"},
    ),
    "Item": _object(
        ["eventId", "projectId", "filename", "event", "filesize", "timestampUtc", "receivedAt", "duplicate",
         "host", "workflows"],
        eventId=_TEXT, projectId=_TEXT, filename=_TEXT, event=_TEXT, filesize=_COUNT, timestampUtc=_TIME,
        receivedAt=_TIME, duplicate=_FLAG, host=_TEXT,
        workflows={"type": "array", "items": {"type": "object"}},
    ),
    "Query": _object(["query"], query={"type": "string", "description": "One SELECT, or EXPLAIN of one"}),
    "Result": _object(
        ["columns", "rows", "row_count", "elapsed_ms"],
        columns={"type": "array", "items": _object(["name", "type"], name=_TEXT, type=_TEXT)},
        rows={"type": "array", "items": {"type": "array"}},
        row_count={"type": "integer"},
        elapsed_ms={"type": "integer"},
    ),
}  # fmt: skip


def _content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _operation(
    name: str, summary: str, answer: str, statuses: list[int], parameters: list[Json], body: str | None = None
) -> Json:
    responses = {
        str(status): {"description": _STATUSES[status], "content": _content("Error")} for status in statuses
    }
    operation: Json = {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": {"description": "Success", "content": _content(answer)}} | responses,
        "security": [{"bearer": []}, {"basic": []}, {"apiKey": []}],
    }
    if body is not None:
        operation["requestBody"] = {"required": name != "start", "content": _content(body)}
    return operation


def _parameter(name: str, place: str, schema: Json, description: str) -> Json:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": description,
    }


def _number(maximum: int, default: int) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}


_PROJECT = _parameter("project", "path", _TEXT, "Project id")
_SAME_PROJECT = _parameter("projectId", "query", _TEXT, "As in the path, where it is given")
_TOKEN = _parameter("X-Directory-Monitor-Token", "header", _TEXT, "Ingress token, where the project has one")
_FILTERS = [
    _parameter("size", "query", _number(MAX_SIZE, DEFAULT_SIZE), "Items a page"),
    _parameter("page", "query", _number(MAX_PAGE, 1), "From 1"),
    _parameter("event", "query", _EVENT, "Only events of this name"),
    _parameter("pathLike", "query", _TEXT, "Literal, case-sensitive part of the old or new name"),
    _parameter("from", "query", _TIME, "Happened at or after this time"),
    _parameter("to", "query", _TIME, "Happened before this time"),
    _parameter("sha256", "query", _SHA256, "Only this content"),
    _parameter("host", "query", _NAME, "Only events of this host"),
    _parameter("cursor", "query", _TEXT, "The `next` of an answer to the same query"),
]  # fmt: skip
_WRITE = [400, 401, 403, 404, 409, 413, 415, 422, 503]


def document() -> Json:
    """Return the document that `/openapi.json` serves."""
    write = [_PROJECT, _SAME_PROJECT, _TOKEN]
    read = [_PROJECT, _SAME_PROJECT, *_FILTERS]
    return {
        "openapi": "3.1.0",
        "info": {"title": "fswire", "version": _version()},
        "paths": {
            "/2026-02-01/directory-monitor/{project}.json": {
                "post": _operation("start", "Start a session", "Started", _WRITE, write, "Start"),
                "put": _operation("ingest", "Ingest one event", "Ingested", _WRITE, write, "Event"),
            },
            "/2026-02-01/systems/directory-monitor/{project}/events.json": {
                "get": _operation("history", "Paged history", "History", [401, 403, 404, 422, 503], read),
            },
            "/v1/sql": {
                "post": _operation(
                    "sql", "Read-only SQL", "Result", [400, 401, 403, 408, 413, 415, 422, 503], [], "Query"
                ),
            },
            "/health/live": {"get": _plain("live", "This process handles requests")},
            "/health/ready": {"get": _plain("ready", "What it stands on answers", 503)},
            "/metrics": {"get": _plain("metrics", "Prometheus metrics")},
            "/": {"get": _plain("root", "Name, version and routes")},
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "ID.SECRET"},
                "basic": {"type": "http", "scheme": "basic", "description": "ID and SECRET"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "Authorization",
                           "description": "ApiKey ID:SECRET"},
            },
        },
    }  # fmt: skip


def _plain(name: str, summary: str, *statuses: int) -> Json:
    responses = {
        str(status): {"description": _STATUSES[status], "content": _content("Error")} for status in statuses
    }
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "Success"}} | responses,
    }


def _version() -> str:
    try:
        return version("fswire")
    except PackageNotFoundError:
        return "unknown"
